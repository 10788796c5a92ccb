//! Four lanes in plain Rust: SSE2, NEON or scalars, as the compiler finds.
//! Given: nothing.
//! Promise: runs everywhere, with separate rounding of product and sum.

use onnx_swish_kernels::SwishConstants;
use onnx_swish_kernels::arch::portable::{sloped_hard_swish_lane, swish_lane};

use super::Simd;

/// Needs no proof.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 4;

#[inline(always)]
fn map2(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    const LANES: usize = LANES;
    type V = [f32; LANES];
    type M = (usize, usize);

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }
    #[inline(always)]
    fn add(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map2(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map2(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn min(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map2(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        map2(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        // Not `f32::mul_add`: without the instruction that is a library call per lane.
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn swish(self, x: [f32; LANES], constants: &SwishConstants) -> [f32; LANES] {
        x.map(|x| swish_lane(x, constants))
    }
    #[inline(always)]
    fn hard_swish(self, x: [f32; LANES], alpha: f32, beta: f32) -> [f32; LANES] {
        x.map(|x| sloped_hard_swish_lane(x, alpha, beta))
    }
    #[inline(always)]
    fn sum(self, v: [f32; LANES]) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    fn deinterleave(self, a: [f32; LANES], b: [f32; LANES]) -> ([f32; LANES], [f32; LANES]) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }
    #[inline(always)]
    fn rotate(self, v: [f32; LANES], by: usize) -> [f32; LANES] {
        std::array::from_fn(|i| v[(i + by) % LANES])
    }
    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, rows: usize) -> [f32; LANES] {
        debug_assert_eq!(rows, LANES);
        // SAFETY: the caller promises two elements.
        [unsafe { from.read() }; LANES]
    }
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}
    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> (usize, usize) {
        (from.min(LANES), to.min(LANES))
    }
    #[inline(always)]
    fn keep(self, v: [f32; LANES], (from, to): (usize, usize)) -> [f32; LANES] {
        std::array::from_fn(|i| if from <= i && i < to { v[i] } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; LANES] {
        // SAFETY: the caller promises four readable elements.
        unsafe { from.cast::<[f32; LANES]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, at: *const f32, (from, to): (usize, usize)) -> [f32; LANES] {
        std::array::from_fn(|i| {
            if from <= i && i < to {
                // SAFETY: the caller promises the elements of the chosen lanes.
                unsafe { at.wrapping_add(i).read() }
            } else {
                0.0
            }
        })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: [f32; LANES]) {
        // SAFETY: the caller promises four writable elements.
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, at: *mut f32, v: [f32; LANES], (from, to): (usize, usize)) {
        for (i, x) in v.into_iter().enumerate() {
            if from <= i && i < to {
                // SAFETY: the caller promises the elements of the chosen lanes.
                unsafe { at.wrapping_add(i).write(x) }
            }
        }
    }
}
