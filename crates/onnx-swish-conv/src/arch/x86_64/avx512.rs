//! AVX-512F vectors.
//! Given: a kernel to run.
//! Promise: the token proves that the processor has the instructions; lanes outside a mask touch no memory.

use std::arch::x86_64::*;

use onnx_swish_kernels::SwishConstants;
use onnx_swish_kernels::arch::x86_64::avx512::{Avx512, sloped_hard_swish_lanes, swish_lanes};

use crate::arch::{Kernel, Simd};

pub(in crate::arch) fn run(token: Avx512, kernel: impl Kernel) {
    // Kernels are to have their registers for themselves.
    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn featured(token: Avx512, kernel: impl Kernel) {
        kernel.run(token);
    }
    // SAFETY: the token exists only where the processor has these features.
    unsafe { featured(token, kernel) }
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
    fn swish(self, x: __m512, constants: &SwishConstants) -> __m512 {
        // SAFETY: the token proves the features.
        unsafe { swish_lanes(x, constants) }
    }
    #[inline(always)]
    fn hard_swish(self, x: __m512, alpha: f32, beta: f32) -> __m512 {
        // SAFETY: the token proves the features.
        unsafe { sloped_hard_swish_lanes(x, alpha, beta) }
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
    fn rotate(self, v: __m512, by: usize) -> __m512 {
        // SAFETY: the token proves the feature.
        unsafe {
            let v = _mm512_castps_si512(v);
            _mm512_castsi512_ps(match by {
                1 => _mm512_alignr_epi32::<1>(v, v),
                2 => _mm512_alignr_epi32::<2>(v, v),
                3 => _mm512_alignr_epi32::<3>(v, v),
                _ => v,
            })
        }
    }
    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, rows: usize) -> __m512 {
        debug_assert_eq!(rows, 8);
        // SAFETY: the token proves the features, and the caller promises two elements.
        unsafe {
            let pair = _mm512_castpd_ps(_mm512_set1_pd(from.cast::<f64>().read_unaligned()));
            let lanes = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
            _mm512_permutexvar_ps(lanes, pair)
        }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint that never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
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
