//! Any kernel, stride and dilation, through a padded copy of a band of rows.
//! Given: one plane, and scratch laid out as `Layout` says.
//! Promise: the copy brings together what the same tap meets, so that taps read whole vectors whatever the stride.

use super::super::Kernel;
use super::{Planes, Simd};
use crate::arch::band::copy_band;
use crate::band::Layout;
use crate::depthwise::ROWS_AT_ONCE;
use crate::geometry::Frame;

/// A share of the planes.
pub(super) struct Bands<'a>(pub Planes<'a>, pub &'a Layout);

impl Kernel for Bands<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Planes {
            conv,
            frame,
            input,
            first,
            output,
            sums,
            scratch: padded,
            ..
        } = self.0;
        let layout = self.1;
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
                    &conv.window,
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
