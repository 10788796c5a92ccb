//! A padded copy of a band of rows.
//! Given: a window, a frame and how many rows the band has.
//! Promise: every tap reads consecutive elements for consecutive outputs, whatever the stride and the padding.

use crate::{Frame, Window};

/// How a band of one plane lies in scratch memory.
///
/// The band is copied with its padding. With strides, elements that the same tap can meet are brought together:
/// padded row `u` goes to row phase `u % stride`, row `u / stride`, and columns likewise, so that every tap reads
/// consecutive elements for consecutive outputs whatever the stride.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Output rows of a band (the last band of a plane may have fewer).
    pub band: usize,
    /// Rows of a phase plane.
    pub rows: usize,
    /// Elements from one row of a phase plane to the next.
    pub pitch: usize,
    /// Where each tap finds the element for output 0.
    pub taps: Vec<usize>,
    /// Elements of all phase planes.
    pub len: usize,
}

impl Layout {
    /// A layout for `band` output rows whose rows are `pitch` elements apart, or as many more as they need.
    pub(crate) fn new(window: &Window, frame: &Frame, pitch: usize, band: usize) -> Layout {
        let [stride_y, stride_x] = window.stride;
        let pitch = pitch.max(frame.output[1] + beyond(window, 1));
        let rows = band + beyond(window, 0);
        let offset = |tap: usize| {
            let y = tap / window.kernel[1] * window.dilation[0];
            let x = tap % window.kernel[1] * window.dilation[1];
            ((y % stride_y) * stride_x + x % stride_x) * rows * pitch
                + (y / stride_y) * pitch
                + x / stride_x
        };
        Layout {
            band,
            rows,
            pitch,
            taps: (0..window.taps()).map(offset).collect(),
            len: stride_y * stride_x * rows * pitch,
        }
    }

    /// Elements of one phase plane.
    pub(crate) fn plane(&self) -> usize {
        self.rows * self.pitch
    }
}

/// Rows, or columns, of a phase plane beyond those that have an output.
pub(crate) fn beyond(window: &Window, axis: usize) -> usize {
    window.reach(axis) / window.stride[axis]
}
