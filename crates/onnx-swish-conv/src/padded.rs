//! Padded copies of bands of rows, split by stride.
//! Given: a window, a frame and how many output rows a band has.
//! Promise: every tap reads consecutive elements for consecutive outputs, whatever the stride and the padding.

use std::ops::Range;

use onnx_swish_simd::Simd;

use crate::geometry::{Frame, Window};

/// How the copy of a band of one plane lies in scratch memory.
///
/// The band is copied with its padding. With strides, elements that the same tap can meet are brought together:
/// padded row `u` goes to row phase `u % stride`, row `u / stride`, and columns likewise, so that every tap reads
/// consecutive elements for consecutive outputs whatever the stride. Each pair of phases has a plane of its own.
#[derive(Debug)]
pub(crate) struct PaddedBand {
    window: Window,
    frame: Frame,
    /// Output rows of a band (the last band of a plane may have fewer).
    pub outputs: usize,
    /// Rows of a phase plane.
    rows: usize,
    /// Elements from one row of a phase plane to the next.
    pub pitch: usize,
    /// Where each tap finds the element for output 0.
    pub taps: Vec<usize>,
    /// Elements of all phase planes.
    pub len: usize,
}

impl PaddedBand {
    /// For `outputs` output rows whose rows are `pitch` elements apart, or as many more as they need.
    pub(crate) fn new(window: &Window, frame: &Frame, pitch: usize, outputs: usize) -> PaddedBand {
        let [stride_y, stride_x] = window.stride;
        let pitch = pitch.max(frame.output[1] + window.beyond(1));
        let rows = outputs + window.beyond(0);
        let offset = |tap: usize| {
            let y = tap / window.kernel[1] * window.dilation[0];
            let x = tap % window.kernel[1] * window.dilation[1];
            ((y % stride_y) * stride_x + x % stride_x) * rows * pitch
                + (y / stride_y) * pitch
                + x / stride_x
        };
        PaddedBand {
            window: *window,
            frame: *frame,
            outputs,
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

    /// Copies the rows of `plane` that these output rows read to their places in `copy`, whose padding columns are zero
    /// already.
    #[inline(always)]
    pub(crate) fn copy<S: Simd>(
        &self,
        s: S,
        plane: &[f32],
        outputs: Range<usize>,
        copy: &mut [f32],
    ) {
        let [stride_y, stride_x] = self.window.stride;
        let [height, width] = self.frame.input;
        let [pad_y, pad_x] = self.frame.pad;
        let first = outputs.start * stride_y;
        let last = (outputs.end - 1) * stride_y + self.window.reach(0);
        // Columns that no output reads have no place in the copy.
        let read = (self.frame.output[1] - 1) * stride_x + self.window.reach(1) + 1;
        let copied = width.min(read.saturating_sub(pad_x));
        let (mut phase, mut row) = (0, 0);
        for u in first..=last {
            let at = phase * stride_x * self.plane() + row * self.pitch;
            phase += 1;
            if phase == stride_y {
                (phase, row) = (0, row + 1);
            }
            let y = u.wrapping_sub(pad_y);
            if y < height {
                self.copy_row(s, &plane[y * width..y * width + copied], &mut copy[at..]);
            } else {
                for phase in 0..stride_x {
                    copy[at + phase * self.plane()..][..self.pitch].fill(0.0);
                }
            }
        }
    }

    /// As [`PaddedBand::copy`], of 8-bit codes, of which `padding` stands for zero.
    pub(crate) fn copy_bytes(
        &self,
        plane: &[u8],
        outputs: Range<usize>,
        copy: &mut [u8],
        padding: u8,
    ) {
        let [stride_y, stride_x] = self.window.stride;
        let [height, width] = self.frame.input;
        let [pad_y, pad_x] = self.frame.pad;
        let first = outputs.start * stride_y;
        let last = (outputs.end - 1) * stride_y + self.window.reach(0);
        let read = (self.frame.output[1] - 1) * stride_x + self.window.reach(1) + 1;
        let copied = width.min(read.saturating_sub(pad_x));
        for u in first..=last {
            let (phase, row) = ((u - first) % stride_y, (u - first) / stride_y);
            let lines = &mut copy[phase * stride_x * self.plane() + row * self.pitch..];
            let y = u.wrapping_sub(pad_y);
            if y >= height {
                for phase in 0..stride_x {
                    lines[phase * self.plane()..][..self.pitch].fill(padding);
                }
                continue;
            }
            let row = &plane[y * width..y * width + copied];
            // Elements of one phase follow each other: that of x = phase, phase + stride, and so on, lies from here on.
            for phase in 0..stride_x.min(copied) {
                let at = (phase + pad_x) % stride_x * self.plane() + (phase + pad_x) / stride_x;
                let len = (copied - phase).div_ceil(stride_x);
                every(stride_x, &row[phase..], &mut lines[at..][..len]);
            }
        }
    }

    /// Copies a row of the input to the phase planes, of which `to` begins with the row in the first.
    #[inline(always)]
    fn copy_row<S: Simd>(&self, s: S, row: &[f32], to: &mut [f32]) {
        let stride = self.window.stride[1];
        let pad = self.frame.pad[1];
        let place = |x: usize| (x + pad) % stride * self.plane() + (x + pad) / stride;
        match stride {
            1 => copy_line(s, row, &mut to[pad..][..row.len()]),
            2 => {
                let (even, odd) = (place(0), place(1));
                // Either may be the lower one; both lines end inside the copy.
                let (evens, odds) = (row.len().div_ceil(2), row.len() / 2);
                assert!(even + evens <= to.len() && odd + odds <= to.len());
                let to = to.as_mut_ptr();
                // SAFETY: just checked; the two lines belong to different phase planes and do not overlap.
                unsafe { split_line(s, row, to.add(even), to.add(odd)) }
            }
            _ => {
                for (x, value) in row.iter().enumerate() {
                    to[place(x)] = *value;
                }
            }
        }
    }
}

/// Copies every element that is a multiple of `stride` from the first, as many as `to` has.
fn every(stride: usize, from: &[u8], to: &mut [u8]) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        // A stride that the compiler knows.
        2 => {
            for (to, pair) in to.iter_mut().zip(from.chunks_exact(2)) {
                *to = pair[0];
            }
            if let (Some(to), [last]) = (to.last_mut(), from.chunks_exact(2).remainder()) {
                *to = *last;
            }
        }
        _ => {
            for (to, from) in to.iter_mut().zip(from.iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}

/// Copies a line with vectors; short lines do not deserve a library call.
#[inline(always)]
pub(crate) fn copy_line<S: Simd>(s: S, from: &[f32], to: &mut [f32]) {
    let len = from.len();
    assert_eq!(len, to.len());
    let mut x = 0;
    while x < len {
        // SAFETY: lanes beyond the end are masked; both slices have `len` elements.
        unsafe {
            if x + S::LANES <= len {
                s.store(to.as_mut_ptr().add(x), s.load(from.as_ptr().add(x)));
            } else {
                let tail = s.lanes(0, len - x);
                s.store_lanes(
                    to.as_mut_ptr().add(x),
                    s.load_lanes(from.as_ptr().add(x), tail),
                    tail,
                );
            }
        }
        x += S::LANES;
    }
}

/// Copies the elements of `line` at even positions to `even` and the others to `odd`.
///
/// # Safety
/// Half of the line's elements, rounded up, must be writable at `even`, and half rounded down at `odd`.
#[inline(always)]
unsafe fn split_line<S: Simd>(s: S, line: &[f32], even: *mut f32, odd: *mut f32) {
    let len = line.len();
    let from = line.as_ptr();
    let mut x = 0;
    while x < len {
        let rest = len - x;
        // SAFETY: lanes beyond the line's end are masked in both loads and in both stores.
        unsafe {
            if rest >= 2 * S::LANES {
                let (a, b) = s.deinterleave(s.load(from.add(x)), s.load(from.add(x + S::LANES)));
                s.store(even.add(x / 2), a);
                s.store(odd.add(x / 2), b);
            } else {
                let a = s.load_lanes(from.add(x), s.lanes(0, rest));
                let b = s.load_lanes(
                    from.wrapping_add(x + S::LANES),
                    s.lanes(0, rest.saturating_sub(S::LANES)),
                );
                let (a, b) = s.deinterleave(a, b);
                s.store_lanes(even.add(x / 2), a, s.lanes(0, rest.div_ceil(2)));
                s.store_lanes(odd.wrapping_add(x / 2), b, s.lanes(0, rest / 2));
            }
        }
        x += 2 * S::LANES;
    }
}
