//! Planes of a depthwise convolution.
//! Given: a share of the output planes, the whole input, and scratch laid out as `Layout` says.
//! Promise: each output is one chain of multiply-adds over the taps in a fixed order, then the activation.

use super::{Isa, Kernel, Simd, dispatch};
use crate::depthwise::{Depthwise, Layout, ROWS_AT_ONCE};
use crate::geometry::Frame;

/// A share of the work: `output` are whole planes, the first of which is plane `first` of the tensor.
pub(crate) struct Planes<'a> {
    pub conv: &'a Depthwise,
    pub frame: &'a Frame,
    pub layout: &'a Layout,
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
    assert_eq!(share.scratch.len(), layout.padded_len + layout.flat_len);
    dispatch(isa, share);
}

impl Kernel for Planes<'_> {
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
            scratch,
        } = self;
        let (padded, flat) = scratch.split_at_mut(layout.padded_len);
        // Copies leave the padding columns alone: they are cleared once for all planes.
        padded.fill(0.0);
        let taps = conv.window.taps();
        let multiplier = conv.out_channels / conv.in_channels;
        let mut sums = sums.iter_mut();
        for (i, plane) in output.chunks_exact_mut(frame.output_area()).enumerate() {
            let (image, channel) = (
                (first + i) / conv.out_channels,
                (first + i) % conv.out_channels,
            );
            let source = (image * conv.in_channels + channel / multiplier) * frame.input_area();
            let source = &input[source..source + frame.input_area()];
            let filter = Filter {
                weights: &conv.weights[channel * taps..(channel + 1) * taps],
                bias: conv.bias[channel],
            };
            let mut total = s.splat(0.0);
            let bands = plane.chunks_mut(layout.band * frame.output[1]);
            for (band, rows) in bands.enumerate() {
                let from = band * layout.band;
                copy_band(
                    s,
                    conv,
                    frame,
                    layout,
                    source,
                    from,
                    rows.len() / frame.output[1],
                    padded,
                );
                if layout.flat {
                    flat_band(
                        s, conv, frame, layout, &filter, padded, flat, rows, &mut total,
                    );
                } else {
                    row_band(s, conv, frame, layout, &filter, padded, rows, &mut total);
                }
            }
            if let Some(sum) = sums.next() {
                *sum = s.sum(total);
            }
        }
    }
}

/// One channel's weights.
struct Filter<'a> {
    weights: &'a [f32],
    bias: f32,
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
    for u in first..=last {
        let row = u / stride_y - from;
        let at = (u % stride_y) * stride_x * layout.plane() + row * layout.pitch;
        let Some(y) = u.checked_sub(pad_y).filter(|y| *y < height) else {
            for phase in 0..stride_x {
                let at = at + phase * layout.plane();
                padded[at..at + layout.pitch].fill(0.0);
            }
            continue;
        };
        let line = &source[y * width..y * width + copied];
        let place = |x: usize| {
            let u = x + pad_x;
            at + (u % stride_x) * layout.plane() + u / stride_x
        };
        match stride_x {
            1 => copy_line(s, line, &mut padded[place(0)..][..copied]),
            2 => {
                let (even, odd) = (place(0), place(1));
                // Either may be the lower one; both lines end inside the copy.
                let (evens, odds) = (copied.div_ceil(2), copied / 2);
                assert!(even + evens <= padded.len() && odd + odds <= padded.len());
                // SAFETY: just checked; the two lines belong to different phase planes and do not overlap.
                unsafe {
                    split_line(
                        s,
                        line,
                        padded.as_mut_ptr().add(even),
                        padded.as_mut_ptr().add(odd),
                    )
                }
            }
            _ => {
                for (x, value) in line.iter().enumerate() {
                    padded[place(x)] = *value;
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

/// Where a tap finds the element for output 0.
#[inline(always)]
fn tap_offset(conv: &Depthwise, layout: &Layout, tap: usize) -> usize {
    let [stride_y, stride_x] = conv.window.stride;
    let y = tap / conv.window.kernel[1] * conv.window.dilation[0];
    let x = tap % conv.window.kernel[1] * conv.window.dilation[1];
    ((y % stride_y) * stride_x + x % stride_x) * layout.plane()
        + (y / stride_y) * layout.pitch
        + x / stride_x
}

/// Computes a band along its phase planes and picks the outputs.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn flat_band<S: Simd>(
    s: S,
    conv: &Depthwise,
    frame: &Frame,
    layout: &Layout,
    filter: &Filter,
    padded: &[f32],
    flat: &mut [f32],
    rows: &mut [f32],
    total: &mut S::V,
) {
    let width = frame.output[1];
    let count = rows.len() / width;
    let span = count * layout.pitch;
    let step = ROWS_AT_ONCE * S::LANES;
    assert!(span.next_multiple_of(step) <= flat.len() && width <= layout.pitch);
    for at in (0..span).step_by(step) {
        // SAFETY: `at + step` is at most `flat`'s length, so the stores fit. The furthest load starts at the last
        // tap's offset for output `at`: below all phase planes' end by less than the overrun `Layout` added.
        unsafe {
            let sums = taps(s, conv, layout, filter, padded, at, S::LANES);
            for (i, v) in sums.into_iter().enumerate() {
                s.store(flat.as_mut_ptr().add(at + i * S::LANES), v);
            }
        }
    }
    let lanes = s.lanes(0, width);
    for (y, row) in rows.chunks_exact_mut(width).enumerate() {
        // SAFETY: row `y` of the pitch-wide flat rows exists, and its `width` elements fit one vector and `row`.
        unsafe {
            let v = s.load_lanes(flat.as_ptr().add(y * layout.pitch), lanes);
            s.store_lanes(row.as_mut_ptr(), v, lanes);
            *total = s.add(*total, v);
        }
    }
}

/// Four vectors of activated outputs, `apart` elements from each other, for any kernel, stride and dilation.
///
/// # Safety
/// `padded` must hold a vector at every tap's offset from each of the four positions.
#[inline(always)]
unsafe fn taps<S: Simd>(
    s: S,
    conv: &Depthwise,
    layout: &Layout,
    filter: &Filter,
    padded: &[f32],
    at: usize,
    apart: usize,
) -> [S::V; ROWS_AT_ONCE] {
    let mut sums = [s.splat(filter.bias); ROWS_AT_ONCE];
    for (tap, weight) in filter.weights.iter().enumerate() {
        let weight = s.splat(*weight);
        let from = at + tap_offset(conv, layout, tap);
        debug_assert!(from + (ROWS_AT_ONCE - 1) * apart + S::LANES <= padded.len());
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the caller promises the vector.
            let v = unsafe { s.load(padded.as_ptr().add(from + i * apart)) };
            *sum = s.mul_add(v, weight, *sum);
        }
    }
    conv.activation.apply(s, &mut sums);
    sums
}

/// Computes a band row by row, four rows at a time.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn row_band<S: Simd>(
    s: S,
    conv: &Depthwise,
    frame: &Frame,
    layout: &Layout,
    filter: &Filter,
    padded: &[f32],
    rows: &mut [f32],
    total: &mut S::V,
) {
    let window = &conv.window;
    let plain = window.kernel[0] == window.kernel[1]
        && window.stride[0] == window.stride[1]
        && window.dilation == [1, 1];
    match (plain, window.kernel[0], window.stride[0]) {
        (true, 3, 1) => square_rows::<S, 3, 1>(s, conv, frame, layout, filter, padded, rows, total),
        (true, 3, 2) => square_rows::<S, 3, 2>(s, conv, frame, layout, filter, padded, rows, total),
        (true, 5, 1) => square_rows::<S, 5, 1>(s, conv, frame, layout, filter, padded, rows, total),
        (true, 5, 2) => square_rows::<S, 5, 2>(s, conv, frame, layout, filter, padded, rows, total),
        (true, 7, 1) => square_rows::<S, 7, 1>(s, conv, frame, layout, filter, padded, rows, total),
        _ => {
            for_tiles(s, frame, rows, total, |y, x| {
                // SAFETY: the furthest load starts at the last tap's offset for output (y, x): below all phase
                // planes' end by less than the overrun `Layout` added.
                unsafe {
                    taps(
                        s,
                        conv,
                        layout,
                        filter,
                        padded,
                        y * layout.pitch + x,
                        layout.pitch,
                    )
                }
            });
        }
    }
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

/// Square kernels without dilation, unrolled: each input vector is loaded once for all the rows and taps it meets.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn square_rows<S: Simd, const K: usize, const STRIDE: usize>(
    s: S,
    conv: &Depthwise,
    frame: &Frame,
    layout: &Layout,
    filter: &Filter,
    padded: &[f32],
    rows: &mut [f32],
    total: &mut S::V,
) {
    const R: usize = ROWS_AT_ONCE;
    assert!(filter.weights.len() == K * K && K <= 7);
    let mut weights = [s.splat(0.0); 49];
    for (splat, weight) in weights.iter_mut().zip(filter.weights) {
        *splat = s.splat(*weight);
    }
    let bias = s.splat(filter.bias);
    let (pitch, plane) = (layout.pitch, layout.plane());
    for_tiles(s, frame, rows, total, |y, x| {
        let mut sums = [bias; R];
        let corner = y * pitch + x;
        unrolled!(phase < STRIDE, {
            // Row `j` of this phase meets output row `r` at kernel row `phase + STRIDE * (j - r)`.
            unrolled!(j < R - 1 + (K - phase).div_ceil(STRIDE), {
                unrolled!(kx < K, {
                    let from =
                        corner + (phase * STRIDE + kx % STRIDE) * plane + j * pitch + kx / STRIDE;
                    debug_assert!(from + S::LANES <= padded.len());
                    // SAFETY: as for `taps`: the furthest load is within the overrun `Layout` added.
                    let v = unsafe { s.load(padded.as_ptr().add(from)) };
                    unrolled!(r < R, {
                        if j >= r && phase + STRIDE * (j - r) < K {
                            let ky = phase + STRIDE * (j - r);
                            sums[r] = s.mul_add(v, weights[ky * K + kx], sums[r]);
                        }
                    });
                });
            });
        });
        conv.activation.apply(s, &mut sums);
        sums
    });
}
