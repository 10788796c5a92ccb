//! Planes of a depthwise convolution.
//! Given: a share of the output planes, the whole input, and scratch laid out as `Layout` says.
//! Promise: each output is one chain of multiply-adds over the taps in a fixed order, then the activation.

mod copied;
mod direct;

use onnx_swish_kernels::Isa;

use super::{Simd, dispatch, lanes};
use crate::band::Layout;
use crate::depthwise::{Depthwise, ROWS_AT_ONCE};
use crate::geometry::Frame;

/// A share of the work: `output` are whole planes, the first of which is plane `first` of the tensor.
pub(crate) struct Planes<'a> {
    pub conv: &'a Depthwise,
    pub frame: &'a Frame,
    /// Of the copy, unless the window is common.
    pub layout: Option<&'a Layout>,
    pub input: &'a [f32],
    pub first: usize,
    pub output: &'a mut [f32],
    /// Empty, or one total per plane.
    pub sums: &'a mut [f32],
    pub scratch: &'a mut [f32],
}

/// Computes the planes of `share`.
pub(crate) fn compute(isa: Isa, share: Planes) {
    let Planes {
        conv,
        frame,
        layout,
        ..
    } = &share;
    let area = frame.output_area();
    let planes = share.output.len() / area;
    let images = (share.first + planes).div_ceil(conv.out_channels);
    // What the unsafe code below relies on.
    assert_eq!(share.output.len(), planes * area);
    assert!(share.sums.is_empty() || share.sums.len() == planes);
    assert!(share.input.len() >= images * conv.in_channels * frame.input_area());
    assert_eq!(conv.out_channels % conv.in_channels, 0);
    assert_eq!(conv.weights.len(), conv.out_channels * conv.window.taps());
    assert_eq!(conv.bias.len(), conv.out_channels);
    match *layout {
        None => direct::compute(isa, share),
        Some(layout) => {
            let over_the_end = ROWS_AT_ONCE * layout.pitch + lanes(isa);
            assert!(share.scratch.len() >= layout.len + over_the_end);
            dispatch(isa, copied::Bands(share, layout));
        }
    }
}
