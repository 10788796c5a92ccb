//! Copies of bands of rows, padded and split by stride.
//! Given: one plane, and memory laid out as `Layout` says.
//! Promise: the copy brings together what the same tap meets, so that taps read whole vectors whatever the stride.

use super::Simd;
use crate::band::Layout;
use crate::geometry::{Frame, Window};

/// Copies the rows of plane `source` that output rows `from..from + rows` read to their places in `padded`, whose padding
/// columns are zero already.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn copy_band<S: Simd>(
    s: S,
    window: &Window,
    frame: &Frame,
    layout: &Layout,
    source: &[f32],
    from: usize,
    rows: usize,
    padded: &mut [f32],
) {
    let [stride_y, stride_x] = window.stride;
    let [height, width] = frame.input;
    let [pad_y, pad_x] = frame.pad;
    let first = from * stride_y;
    let last = (from + rows - 1) * stride_y + window.reach(0);
    // Columns that no output reads have no place in the copy.
    let read = (frame.output[1] - 1) * stride_x + window.reach(1) + 1;
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
