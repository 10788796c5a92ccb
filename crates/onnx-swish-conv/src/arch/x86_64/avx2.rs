//! AVX2 vectors with fused multiply-add.
//! Given: a kernel to run.
//! Promise: the token proves that the processor has the instructions; lanes outside a mask touch no memory.

use std::arch::x86_64::*;

use onnx_swish_kernels::SwishConstants;
use onnx_swish_kernels::arch::x86_64::avx2::{Avx2, sloped_hard_swish_lanes, swish_lanes};

use crate::arch::{Kernel, Simd};

pub(in crate::arch) fn run(token: Avx2, kernel: impl Kernel) {
    // Kernels are to have their registers for themselves.
    #[inline(never)]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn featured(token: Avx2, kernel: impl Kernel) {
        kernel.run(token);
    }
    // SAFETY: the token exists only where the processor has these features.
    unsafe { featured(token, kernel) }
}

/// Eight set words, then eight clear ones: the mask of the first `n` lanes starts `n` words before the middle.
static FIRST: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

#[inline(always)]
fn first_lanes(n: usize) -> __m256i {
    // SAFETY: `n` is clamped to 0..=8, so eight of the table's sixteen words follow; the caller holds the token.
    unsafe { _mm256_loadu_si256(FIRST.as_ptr().add(8 - n.min(8)).cast()) }
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;
    type M = __m256i;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn swish(self, x: __m256, constants: &SwishConstants) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe { swish_lanes(x, constants) }
    }
    #[inline(always)]
    fn hard_swish(self, x: __m256, alpha: f32, beta: f32) -> __m256 {
        // SAFETY: the token proves the features.
        unsafe { sloped_hard_swish_lanes(x, alpha, beta) }
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: the token proves the feature.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        }
    }
    #[inline(always)]
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // SAFETY: the token proves the feature.
        unsafe {
            // The shuffles work within 128 bits; the permutation puts the four halves in order.
            let in_order = |v: __m256| {
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(_mm256_castps_pd(v)))
            };
            (
                in_order(_mm256_shuffle_ps::<0b10_00_10_00>(a, b)),
                in_order(_mm256_shuffle_ps::<0b11_01_11_01>(a, b)),
            )
        }
    }
    #[inline(always)]
    fn rotate(self, v: __m256, by: usize) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe {
            let by = _mm256_set1_epi32(by as i32);
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            // The permutation looks at the three lowest bits of an index alone.
            _mm256_permutevar8x32_ps(v, _mm256_add_epi32(lane, by))
        }
    }
    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, rows: usize) -> __m256 {
        debug_assert_eq!(rows, 4);
        // SAFETY: the token proves the features, and the caller promises two elements.
        unsafe {
            let pair = _mm256_castpd_ps(_mm256_set1_pd(from.cast::<f64>().read_unaligned()));
            _mm256_permutevar8x32_ps(pair, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1))
        }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint that never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> __m256i {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_andnot_si256(first_lanes(from), first_lanes(to)) }
    }
    #[inline(always)]
    fn keep(self, v: __m256, lanes: __m256i) -> __m256 {
        // SAFETY: the token proves the feature.
        unsafe { _mm256_and_ps(v, _mm256_castsi256_ps(lanes)) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller promises eight readable elements.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, lanes: __m256i) -> __m256 {
        // SAFETY: the caller promises the chosen elements; the instruction does not touch the others.
        unsafe { _mm256_maskload_ps(from, lanes) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the caller promises eight writable elements.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, to: *mut f32, v: __m256, lanes: __m256i) {
        // SAFETY: the caller promises the chosen elements; the instruction does not touch the others.
        unsafe { _mm256_maskstore_ps(to, lanes, v) }
    }
}
