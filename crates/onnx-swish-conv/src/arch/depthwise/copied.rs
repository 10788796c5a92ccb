//! Any kernel, stride and dilation, through a padded copy of a band of rows.
//! Given: one plane, and scratch laid out as `Layout` says.
//! Promise: the copy brings together what the same tap meets, so that taps read whole vectors whatever the stride.

use super::super::Kernel;
use super::{Planes, Simd};
use crate::depthwise::{Depthwise, Layout, ROWS_AT_ONCE};
use crate::geometry::Frame;

/// A share of the planes.
pub(super) struct Bands<'a>(pub Planes<'a>);

impl Kernel for Bands<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Planes {
            conv,
            frame,
            layout,
            input,
            first,
            output,
            sums,
            scratch: padded,
        } = self.0;
        let taps = conv.window.taps();
        let multiplier = conv.out_channels / conv.in_channels;
        let mut sums = sums.iter_mut();
        // Copies leave the padding columns alone: they are cleared once for all planes.
        padded.fill(0.0);
        for (i, output) in output.chunks_exact_mut(frame.output_area()).enumerate() {
            let (image, channel) = (
                (first + i) / conv.out_channels,
                (first + i) % conv.out_channels,
            );
            let plane = (image * conv.in_channels + channel / multiplier) * frame.input_area();
            let input = &input[plane..plane + frame.input_area()];
            let weights = &conv.weights[channel * taps..(channel + 1) * taps];
            let bias = conv.bias[channel];
            let mut total = s.splat(0.0);
            let bands = output.chunks_mut(layout.band * frame.output[1]);
            for (band, rows) in bands.enumerate() {
                let count = rows.len() / frame.output[1];
                copy_band(
                    s,
                    conv,
                    frame,
                    layout,
                    input,
                    band * layout.band,
                    count,
                    padded,
                );
                for_tiles(s, frame, rows, &mut total, |y, x| {
                    // SAFETY: the furthest load starts at the last tap's offset for output (y, x): below all phase
                    // planes' end by less than the overrun `Layout` added.
                    let mut sums =
                        unsafe { sum_taps(s, layout, weights, bias, padded, y * layout.pitch + x) };
                    conv.activation.apply(s, &mut sums);
                    sums
                });
            }
            if let Some(sum) = sums.next() {
                *sum = s.sum(total);
            }
        }
    }
}

/// Copies the input rows that output rows `from..from + rows` read to their places in `padded`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn copy_band<S: Simd>(
    s: S,
    conv: &Depthwise,
    frame: &Frame,
    layout: &Layout,
    source: &[f32],
    from: usize,
    rows: usize,
    padded: &mut [f32],
) {
    let [stride_y, stride_x] = conv.window.stride;
    let [height, width] = frame.input;
    let [pad_y, pad_x] = frame.pad;
    let first = from * stride_y;
    let last = (from + rows - 1) * stride_y + conv.window.reach(0);
    // Columns that no output reads have no place in the copy.
    let read = (frame.output[1] - 1) * stride_x + conv.window.reach(1) + 1;
    let copied = width.min(read.saturating_sub(pad_x));
    // Where the first two input columns go: all others follow one of them, or are placed one by one.
    let place = |x: usize| (x + pad_x) % stride_x * layout.plane() + (x + pad_x) / stride_x;
    let (even, odd) = (place(0), place(1));
    let (mut phase, mut row) = (0, 0);
    for u in first..=last {
        let at = phase * stride_x * layout.plane() + row * layout.pitch;
        phase += 1;
        if phase == stride_y {
            (phase, row) = (0, row + 1);
        }
        let y = u.wrapping_sub(pad_y);
        if y >= height {
            for phase in 0..stride_x {
                let at = at + phase * layout.plane();
                padded[at..at + layout.pitch].fill(0.0);
            }
            continue;
        }
        let line = &source[y * width..y * width + copied];
        match stride_x {
            1 => copy_line(s, line, &mut padded[at + even..][..copied]),
            2 => {
                let (even, odd) = (at + even, at + odd);
                // Either may be the lower one; both lines end inside the copy.
                assert!(
                    even + copied.div_ceil(2) <= padded.len() && odd + copied / 2 <= padded.len()
                );
                let padded = padded.as_mut_ptr();
                // SAFETY: just checked; the two lines belong to different phase planes and do not overlap.
                unsafe { split_line(s, line, padded.add(even), padded.add(odd)) }
            }
            _ => {
                for (x, value) in line.iter().enumerate() {
                    padded[at + place(x)] = *value;
                }
            }
        }
    }
}

/// Copies a line with vectors; short lines do not deserve a library call.
#[inline(always)]
fn copy_line<S: Simd>(s: S, from: &[f32], to: &mut [f32]) {
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

/// Four rows of sums, one vector each, for any kernel, stride and dilation.
///
/// # Safety
/// `padded` must hold a vector at every tap's offset from each of the four rows' positions.
#[inline(always)]
unsafe fn sum_taps<S: Simd>(
    s: S,
    layout: &Layout,
    weights: &[f32],
    bias: f32,
    padded: &[f32],
    at: usize,
) -> [S::V; ROWS_AT_ONCE] {
    let mut sums = [s.splat(bias); ROWS_AT_ONCE];
    for (offset, weight) in layout.taps.iter().zip(weights) {
        let weight = s.splat(*weight);
        let from = at + offset;
        debug_assert!(from + (ROWS_AT_ONCE - 1) * layout.pitch + S::LANES <= padded.len());
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller promises the vector.
            let v = unsafe { s.load(padded.as_ptr().add(from + i * layout.pitch)) };
            *sum = s.mul_add(v, weight, *sum);
        }
    }
    sums
}

/// Stores what `tile` computes for each four rows and vector of columns, and adds it to `total`.
#[inline(always)]
fn for_tiles<S: Simd>(
    s: S,
    frame: &Frame,
    rows: &mut [f32],
    total: &mut S::V,
    mut tile: impl FnMut(usize, usize) -> [S::V; ROWS_AT_ONCE],
) {
    let width = frame.output[1];
    let count = rows.len() / width;
    assert_eq!(rows.len(), count * width);
    let to = rows.as_mut_ptr();
    for y in (0..count).step_by(ROWS_AT_ONCE) {
        for x in (0..width).step_by(S::LANES) {
            let outputs = tile(y, x);
            let lanes = s.lanes(0, width - x);
            for (i, v) in outputs.into_iter().enumerate() {
                if y + i < count {
                    // SAFETY: row `y + i` exists, and the mask ends with it.
                    unsafe {
                        let to = to.add((y + i) * width + x);
                        if x + S::LANES <= width {
                            s.store(to, v)
                        } else {
                            s.store_lanes(to, v, lanes)
                        }
                    }
                    *total = s.add(*total, s.keep(v, lanes));
                }
            }
        }
    }
}
