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
        if let Some(flat) = frame.flattened(&gemm.spec.window) {
            let panels = Panels::new(gemm, flat.output_area());
            return Plan {
                frame: flat,
                parts: panels.columns.panels,
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
