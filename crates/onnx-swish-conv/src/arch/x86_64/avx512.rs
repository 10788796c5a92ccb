//! AVX-512F vectors.
//! Given: a kernel to run.
//! Promise: it runs only on processors with AVX-512F, which is checked once per run.

use std::arch::x86_64::*;

use crate::arch::{Kernel, Simd};

/// Proof that the processor has AVX-512F.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

pub(in crate::arch) fn run(kernel: impl Kernel) {
    #[target_feature(enable = "avx512f")]
    fn featured(kernel: impl Kernel) {
        kernel.run(Avx512(()));
    }
    assert!(
        std::is_x86_feature_detected!("avx512f"),
        "this processor has no AVX-512F"
    );
    // SAFETY: the feature was just detected.
    unsafe { featured(kernel) }
}

/// Positions of `a` then `b` with the given parity, as `vpermt2ps` counts them.
const fn parity(odd: i32) -> [i32; 16] {
    let mut index = [0; 16];
    let mut i = 0;
    while i < 16 {
        index[i] = 2 * i as i32 + odd;
        i += 1;
    }
    index
}
static EVEN: [i32; 16] = parity(0);
static ODD: [i32; 16] = parity(1);

impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512;
    type M = __mmask16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    fn deinterleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: the token proves the feature; both tables are 64 bytes long.
        unsafe {
            let even = _mm512_loadu_si512(EVEN.as_ptr().cast());
            let odd = _mm512_loadu_si512(ODD.as_ptr().cast());
            (
                _mm512_permutex2var_ps(a, even, b),
                _mm512_permutex2var_ps(a, odd, b),
            )
        }
    }
    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> __mmask16 {
        let below = |n: usize| ((1u32 << n.min(16)) - 1) as u16;
        below(to) & !below(from)
    }
    #[inline(always)]
    fn keep(self, v: __m512, lanes: __mmask16) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe { _mm512_maskz_mov_ps(lanes, v) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, lanes: __mmask16) -> __m512 {
        // SAFETY: the caller promises the chosen elements; the instruction does not touch the others.
        unsafe { _mm512_maskz_loadu_ps(lanes, from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller promises sixteen writable elements.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, to: *mut f32, v: __m512, lanes: __mmask16) {
        // SAFETY: the caller promises the chosen elements; the instruction does not touch the others.
        unsafe { _mm512_mask_storeu_ps(to, lanes, v) }
    }
}
