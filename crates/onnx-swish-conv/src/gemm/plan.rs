//! Which way a product goes through images of one size.
//! Given: the product and the frame.
//! Promise: a way whose copies fit the caches, what it needs to know, and the bytes of scratch it takes: calls compute, and
//! allocate nothing.

use super::banded::Bands;
use super::gemv::Vectors;
use super::panels::Panels;
use super::{Gemm, PANEL_VECTORS};
use crate::tuning::BAND_MET;
use crate::{Frame, Isa, Spec};

/// A way, and what all of them have.
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
    Bands(Bands),
    Panels(Panels),
    Vectors(Vectors),
}

impl Plan {
    pub(super) fn new(gemm: &Gemm, frame: &Frame) -> Plan {
        let area = frame.output_area();
        let frame = frame.flattened(&gemm.spec.window).unwrap_or(*frame);
        if let Some(bands) = Bands::new(gemm, &frame) {
            return Plan {
                frame,
                parts: bands.count,
                scratch: bands.scratch(),
                way: Way::Bands(bands),
            };
        }
        if let Some(vectors) = Vectors::new(gemm, area) {
            return Plan {
                frame,
                parts: 1,
                scratch: vectors.scratch(),
                way: Way::Vectors(vectors),
            };
        }
        let panels = Panels::new(gemm, area);
        Plan {
            frame,
            parts: panels.columns.panels,
            scratch: panels.scratch(),
            way: Way::Panels(panels),
        }
    }
}

/// Whether bands are the better way for images that are wide enough: while the input elements that a panel of outputs meets
/// stay in cache from one tile of output channels to the next.
pub(super) fn is_banded(spec: &Spec, isa: Isa) -> bool {
    let window = &spec.window;
    let strides = window.stride.iter().all(|stride| *stride <= 2);
    let channels = spec.in_channels / spec.groups;
    let rows = channels * window.kernel[0] * window.stride[1].min(window.kernel[1]);
    let met = rows * (PANEL_VECTORS * isa.lanes() + window.beyond(1));
    !spec.gated && window.taps() > 1 && strides && met * size_of::<f32>() <= BAND_MET
}
