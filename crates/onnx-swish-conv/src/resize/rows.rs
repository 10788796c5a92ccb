//! Rows of resized planes.
//! Given: a plane, the taps of the rows that are wanted, and room for two rows between the steps.
//! Promise: each row of the image is resized once for the output rows of a call, and equal output rows are copies.

use onnx_swish_simd::{Kernel, Simd};

use super::Tap;
use super::columns::{Columns, PADDING, Phased, Way};

/// Some rows of one plane.
pub(super) struct Rows<'a> {
    pub columns: &'a Columns,
    pub taps: &'a [Tap],
    /// Whole rows.
    pub plane: &'a [f32],
    pub input_width: usize,
    pub output: &'a mut [f32],
    /// Room for two rows of the output, if a row comes from two.
    pub resized: [&'a mut [f32]; 2],
    /// Room for a row of the image with its ends repeated, if its columns ask for it.
    pub padded: &'a mut [f32],
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.columns.taps().len();
        let [even, odd] = self.resized;
        // Which rows of the image lie in the room for those at even and at odd places.
        let mut kept = [None; 2];
        let mut rest = self.output;
        let mut last: (Option<usize>, &[f32]) = (None, &[]);
        for tap in self.taps {
            let (to, behind) = rest.split_at_mut(width);
            rest = behind;
            match *tap {
                Tap::One(at) => {
                    if last.0 == Some(at) {
                        to.copy_from_slice(last.1);
                    } else {
                        let row = &self.plane[at * self.input_width..][..self.input_width];
                        resize(s, self.columns, row, to, self.padded);
                    }
                    last = (Some(at), to);
                }
                Tap::Two(at, [first, second]) => {
                    for at in [at, at + 1] {
                        let room = if at % 2 == 0 { &mut *even } else { &mut *odd };
                        if kept[at % 2] != Some(at) {
                            let row = &self.plane[at * self.input_width..][..self.input_width];
                            resize(s, self.columns, row, &mut room[..width], self.padded);
                            kept[at % 2] = Some(at);
                        }
                    }
                    let (weights, rows) = if at % 2 == 0 {
                        ([first, second], [&*even, &*odd])
                    } else {
                        ([second, first], [&*even, &*odd])
                    };
                    mix(s, weights, rows, to);
                    last = (None, to);
                }
            }
        }
    }
}

/// A row of the image as one of the output.
#[inline(always)]
fn resize<S: Simd>(s: S, columns: &Columns, row: &[f32], to: &mut [f32], padded: &mut [f32]) {
    match columns.way() {
        Way::Same => to.copy_from_slice(row),
        Way::Repeated(times) => repeat(s, row, *times, to),
        Way::Chosen => {
            for (to, tap) in to.iter_mut().zip(columns.taps()) {
                *to = row[tap.places()[0]];
            }
        }
        Way::Mixed => {
            for (to, tap) in to.iter_mut().zip(columns.taps()) {
                *to = match *tap {
                    Tap::One(at) => row[at],
                    Tap::Two(at, [first, second]) => first * row[at] + second * row[at + 1],
                };
            }
        }
        Way::Phased(phased) => {
            let (before, behind) = padded.split_at_mut(PADDING);
            let (own, behind) = behind.split_at_mut(row.len());
            own.copy_from_slice(row);
            if let (Some(first), Some(last)) = (row.first(), row.last()) {
                before.fill(*first);
                behind.fill(*last);
            }
            if phased.places.len() == 2 {
                phases::<S, 2>(s, phased, padded, to);
            } else {
                phases::<S, 4>(s, phased, padded, to);
            }
        }
    }
}

/// Each element so many times.
#[inline(always)]
fn repeat<S: Simd>(s: S, row: &[f32], times: usize, to: &mut [f32]) {
    let mut done = 0;
    if times <= S::LANES && times.is_power_of_two() {
        let own = S::LANES / times;
        let vectors = to.chunks_exact_mut(S::LANES).zip(row.chunks_exact(own));
        for (to, row) in vectors {
            // SAFETY: so many elements are read, and a vector of them is written.
            unsafe { s.store(to.as_mut_ptr(), s.repeat(row.as_ptr(), times)) };
            done += own;
        }
    }
    let rest = to[done * times..].chunks_exact_mut(times);
    for (to, x) in rest.zip(&row[done..]) {
        to.fill(*x);
    }
}

/// The rows at even and at odd places, with their weights.
#[inline(always)]
fn mix<S: Simd>(s: S, weights: [f32; 2], [even, odd]: [&[f32]; 2], to: &mut [f32]) {
    let [first, second] = weights.map(|weight| s.splat(weight));
    let width = to.len().next_multiple_of(S::LANES);
    assert!(even.len() >= width && odd.len() >= width);
    for (v, to) in to.chunks_mut(S::LANES).enumerate() {
        // SAFETY: both rows have whole vectors, as checked above.
        let (even, odd) = unsafe {
            (
                s.load(even.as_ptr().add(v * S::LANES)),
                s.load(odd.as_ptr().add(v * S::LANES)),
            )
        };
        let mixed = s.mul_add(odd, second, s.mul(even, first));
        // SAFETY: the chunk's elements.
        unsafe { put(s, to, mixed) };
    }
}

/// # Safety
/// `to` has no more elements than a vector.
#[inline(always)]
unsafe fn put<S: Simd>(s: S, to: &mut [f32], v: S::V) {
    // SAFETY: the caller's promise.
    unsafe {
        if to.len() == S::LANES {
            s.store(to.as_mut_ptr(), v);
        } else {
            s.store_first(to.as_mut_ptr(), v, to.len());
        }
    }
}

/// P columns of the output for each of the row.
#[inline(always)]
fn phases<S: Simd, const P: usize>(s: S, phased: &Phased, padded: &[f32], to: &mut [f32]) {
    let width = to.len() / P;
    let vectors = width.next_multiple_of(S::LANES);
    assert!(P == 2 || P == 4);
    assert!(padded.len() >= vectors + 2 * PADDING);
    assert!(phased.places.len() == P && phased.weights.len() == P);
    for place in phased.places.iter().flatten() {
        assert!(*place <= 2 * PADDING);
    }
    for weights in phased.weights.iter().flatten() {
        assert!(weights.len() >= vectors);
    }
    for (v, to) in to.chunks_mut(P * S::LANES).enumerate() {
        let x = v * S::LANES;
        let mut all = [s.splat(0.0); P];
        for (p, all) in all.iter_mut().enumerate() {
            let [first, second] = &phased.weights[p];
            // SAFETY: as checked above.
            *all = unsafe {
                let from = padded.as_ptr().add(x);
                let [a, b] = phased.places[p];
                let (a, b) = (s.load(from.add(a)), s.load(from.add(b)));
                let first = s.load(first.as_ptr().add(x));
                let second = s.load(second.as_ptr().add(x));
                s.mul_add(b, second, s.mul(a, first))
            };
        }
        let mut woven = [s.splat(0.0); P];
        if P == 2 {
            (woven[0], woven[1]) = s.interleave(all[0], all[1]);
        } else {
            let (even, odd) = (
                s.interleave(all[0], all[2 % P]),
                s.interleave(all[1], all[3 % P]),
            );
            (woven[0], woven[1]) = s.interleave(even.0, odd.0);
            (woven[2 % P], woven[3 % P]) = s.interleave(even.1, odd.1);
        }
        for (to, woven) in to.chunks_mut(S::LANES).zip(woven) {
            // SAFETY: the chunk's elements.
            unsafe { put(s, to, woven) };
        }
    }
}
