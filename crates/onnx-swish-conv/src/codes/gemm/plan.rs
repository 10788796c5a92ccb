//! Which way a product of codes goes through images of one size.
//! Given: the product and the frame.
//! Promise: what the way needs to know, and the bytes of scratch it takes: calls compute, and allocate nothing.

use super::Gemm;
use super::bands::Bands;
use super::panels::Panels;
use crate::Frame;

/// A way, and what both have.
#[derive(Debug)]
pub(super) struct Plan {
    /// The frame as the way sees it: without rows where rows mean nothing.
    pub frame: Frame,
    pub way: Way,
    /// Bands, or panels of columns: what tasks share.
    pub parts: usize,
    /// Bytes that a task needs.
    pub scratch: usize,
}

#[derive(Debug)]
pub(super) enum Way {
    Panels(Panels),
    Bands(Bands),
}

impl Plan {
    pub(super) fn new(gemm: &Gemm, frame: &Frame) -> Plan {
        let area = frame.output_area();
        let window = &gemm.spec.window;
        // A one-by-one kernel that reads every element: rows and columns mean nothing to it.
        let pointwise = window.taps() == 1
            && window.stride == [1, 1]
            && frame.pad == [0, 0]
            && frame.input == frame.output;
        if pointwise {
            let panels = Panels::new(gemm, area);
            return Plan {
                frame: Frame {
                    input: [1, area],
                    output: [1, area],
                    pad: [0, 0],
                },
                parts: panels.count,
                scratch: panels.scratch(),
                way: Way::Panels(panels),
            };
        }
        let bands = Bands::new(gemm, frame);
        Plan {
            frame: *frame,
            parts: bands.count,
            scratch: bands.scratch(),
            way: Way::Bands(bands),
        }
    }
}

/// Offsets of each step of the depth, and the last again up to a whole word.
pub(super) fn whole_words(mut offsets: Vec<usize>, group: usize) -> Vec<usize> {
    let last = offsets.last().copied().unwrap_or(0);
    offsets.resize(offsets.len().next_multiple_of(group), last);
    offsets
}
