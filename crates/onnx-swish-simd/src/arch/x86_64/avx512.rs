//! AVX-512 (F, BW, DQ, VL): 16 f32 in a register, and masks.
//!
//! Given the token [`Avx512`]; promises that memory outside of what an operation names is neither read nor written.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::avx2::{look_up_bytes, store_below_8};
use crate::memory::Memory;
use crate::simd::{Kernel, Registers, Simd};

token! {
    /// Proof that this machine executes AVX-512 F, BW, DQ, VL, AVX2, FMA and F16C.
    Avx512: is_x86_feature_detected, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c"
}

/// Places in `a` and then `b` of the given parity, as `vpermt2ps` counts them.
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

/// Places from `first` on in `a` and in `b`, in turn.
const fn in_turn(first: i32) -> [i32; 16] {
    let mut index = [0; 16];
    let mut i = 0;
    while i < 16 {
        index[i] = first + i as i32 / 2 + 16 * (i as i32 % 2);
        i += 1;
    }
    index
}
static LOW: [i32; 16] = in_turn(0);
static HIGH: [i32; 16] = in_turn(8);

impl Registers for Avx512 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;
    type V = __m512;
}

impl Simd for Avx512 {
    const FUSED: bool = true;
    const TABLE: usize = 16;
    const MASKED: bool = true;
    const BY_LANE: bool = false;
    type M = __mmask16;
    type I = __m512i;
    type Table = __m512;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token is proof of the instructions.
        unsafe { featured(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        instruction!(_mm512_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        instruction!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn mul_sub(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        instruction!(_mm512_fmsub_ps(a, b, c))
    }
    #[inline(always)]
    fn mul_add_exact(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        self.mul_add(a, b, c)
    }

    #[inline(always)]
    fn to_bits(self, v: __m512) -> __m512i {
        instruction!(_mm512_castps_si512(v))
    }
    #[inline(always)]
    fn from_bits(self, i: __m512i) -> __m512 {
        instruction!(_mm512_castsi512_ps(i))
    }
    #[inline(always)]
    fn int_splat(self, i: u32) -> __m512i {
        instruction!(_mm512_set1_epi32(i.cast_signed()))
    }
    #[inline(always)]
    fn int_add(self, a: __m512i, b: __m512i) -> __m512i {
        instruction!(_mm512_add_epi32(a, b))
    }
    #[inline(always)]
    fn int_and(self, a: __m512i, b: __m512i) -> __m512i {
        instruction!(_mm512_and_si512(a, b))
    }
    #[inline(always)]
    fn int_shl(self, i: __m512i, by: u32) -> __m512i {
        // An immediate shift, once the compiler has seen where the count comes from.
        instruction!(_mm512_sll_epi32(i, _mm_cvtsi32_si128(by.cast_signed())))
    }

    #[inline(always)]
    fn table(self, entries: &[f32]) -> __m512 {
        assert_eq!(entries.len(), Self::TABLE, "entries of a table");
        // SAFETY: 16 elements; the token.
        unsafe { _mm512_loadu_ps(entries.as_ptr()) }
    }
    #[inline(always)]
    fn look_up(self, table: __m512, index: __m512i) -> __m512 {
        // It looks at the lowest four bits of an index alone.
        instruction!(_mm512_permutexvar_ps(index, table))
    }

    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> __mmask16 {
        first(to.min(16)) & !first(from.min(16))
    }
    #[inline(always)]
    fn not_less(self, a: __m512, b: __m512) -> __mmask16 {
        instruction!(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(a, b))
    }
    #[inline(always)]
    fn keep(self, v: __m512, lanes: __mmask16) -> __m512 {
        instruction!(_mm512_maskz_mov_ps(lanes, v))
    }
    #[inline(always)]
    fn select(self, lanes: __mmask16, a: __m512, b: __m512) -> __m512 {
        instruction!(_mm512_mask_mov_ps(b, lanes, a))
    }
    #[inline(always)]
    fn any_beyond<const N: usize>(self, v: [__m512; N], limit: __m512) -> bool {
        instruction!({
            if N == 4 {
                _kortestz_mask16_u8(beyond(v[0], v[1], limit), beyond(v[2], v[N - 1], limit)) == 0
            } else {
                beyond(v[0], v[N - 1], limit) != 0
            }
        })
    }

    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        instruction!(_mm512_reduce_add_ps(v))
    }
    #[inline(always)]
    fn sum_wide(self, v: __m512) -> f64 {
        instruction!({
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
            let high = _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(v));
            _mm512_reduce_add_pd(_mm512_add_pd(low, high))
        })
    }
    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        instruction!(_mm512_reduce_max_ps(v))
    }

    #[inline(always)]
    fn deinterleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: the token; both tables are 64 bytes long.
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
    fn interleave(self, a: __m512, b: __m512) -> (__m512, __m512) {
        // SAFETY: the token; both tables are 64 bytes long.
        unsafe {
            let low = _mm512_loadu_si512(LOW.as_ptr().cast());
            let high = _mm512_loadu_si512(HIGH.as_ptr().cast());
            (
                _mm512_permutex2var_ps(a, low, b),
                _mm512_permutex2var_ps(a, high, b),
            )
        }
    }
    #[inline(always)]
    fn rotate(self, v: __m512, by: usize) -> __m512 {
        instruction!({
            let i = _mm512_castps_si512(v);
            match by {
                0 => v,
                1 => _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(i, i)),
                2 => _mm512_castsi512_ps(_mm512_alignr_epi32::<2>(i, i)),
                3 => _mm512_castsi512_ps(_mm512_alignr_epi32::<3>(i, i)),
                _ => _mm512_permutexvar_ps(
                    _mm512_add_epi32(lane_numbers(), _mm512_set1_epi32(by as i32)),
                    v,
                ),
            }
        })
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, times: usize) -> __m512 {
        let n = 16 / times;
        // SAFETY: the token; the caller promises n elements, which are what each arm reads.
        unsafe {
            let times = _mm_cvtsi32_si128(times.trailing_zeros() as i32);
            let index = _mm512_srl_epi32(lane_numbers(), times);
            match n {
                1 => _mm512_set1_ps(from.read()),
                2 => {
                    let pair = _mm512_set1_pd(from.cast::<f64>().read_unaligned());
                    _mm512_permutexvar_ps(index, _mm512_castpd_ps(pair))
                }
                16 => _mm512_loadu_ps(from),
                _ => {
                    let few = _mm512_maskz_loadu_ps(first(n), from);
                    _mm512_permutexvar_ps(index, few)
                }
            }
        }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, lanes: __mmask16) -> __m512 {
        // SAFETY: the token; the caller promises the chosen elements, and the instruction does not touch the others.
        unsafe { _mm512_maskz_loadu_ps(lanes, from) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, to: *mut f32, v: __m512, lanes: __mmask16) {
        // SAFETY: the token; the caller promises the chosen elements, and the instruction does not touch the others.
        unsafe { _mm512_mask_storeu_ps(to, lanes, v) }
    }
    #[inline(always)]
    unsafe fn store_exactly(self, to: *mut f32, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise, of which this half takes 8 and the other the rest.
        unsafe {
            let low = _mm512_castps512_ps256(v);
            if n & 8 != 0 {
                _mm256_storeu_ps(to, low);
                store_below_8(to.add(8), _mm512_extractf32x8_ps::<1>(v), n - 8);
            } else {
                store_below_8(to, low, n);
            }
        }
    }
    #[inline(always)]
    unsafe fn look_up_bytes(self, table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
        // VBMI is younger than the rest and no part of the token: the standard library asks the processor once, and a branch for
        // a whole loop costs nothing. Without it (Skylake to Cooper Lake) the shuffles of AVX2 do it.
        if std::arch::is_x86_feature_detected!("avx512vbmi") {
            // SAFETY: VBMI was just detected, the token has the others; the caller's promise.
            unsafe { permute_bytes(table, from, to, n) }
        } else {
            // SAFETY: the token, which comes with AVX2; the caller's promise.
            unsafe { look_up_bytes(table, from, to, n) }
        }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // A hint that never faults.
        instruction!(_mm_prefetch::<_MM_HINT_T0>(at.cast()))
    }
}

/// [`Simd::look_up_bytes`]: a permutation of two registers finds the entry among 128 by seven bits of a byte, the eighth picks the half.
///
/// # Safety
/// AVX-512 F, BW and VBMI are there; the rest as there.
#[target_feature(enable = "avx512f", enable = "avx512bw", enable = "avx512vbmi")]
unsafe fn permute_bytes(table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: 64 of the 256 bytes each.
    let part = |i: usize| unsafe { _mm512_loadu_si512(table.as_ptr().add(64 * i).cast()) };
    let (a, b, c, d) = (part(0), part(1), part(2), part(3));
    let entries = |codes: __m512i| {
        let low = _mm512_permutex2var_epi8(a, codes, b);
        let high = _mm512_permutex2var_epi8(c, codes, d);
        _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(codes), high)
    };
    let some = |i: usize, n: usize| {
        let lanes = u64::MAX >> (64 - n);
        // SAFETY: `1 <= n <= 64` bytes that the caller promises; those outside of the mask are not touched.
        unsafe {
            let codes = _mm512_maskz_loadu_epi8(lanes, from.add(i).cast());
            _mm512_mask_storeu_epi8(to.add(i).cast(), lanes, entries(codes));
        }
    };
    let mut i = 0;
    if n >= 512 {
        // Stores of whole cache lines from here on.
        i = to.addr().wrapping_neg() % 64;
        if i > 0 {
            some(0, i);
        }
    }
    while i + 128 <= n {
        // SAFETY: 128 bytes that the caller promises, read before they are written.
        unsafe {
            let codes = [
                _mm512_loadu_si512(from.add(i).cast()),
                _mm512_loadu_si512(from.add(i + 64).cast()),
            ];
            _mm512_storeu_si512(to.add(i).cast(), entries(codes[0]));
            _mm512_storeu_si512(to.add(i + 64).cast(), entries(codes[1]));
        }
        i += 128;
    }
    while i < n {
        let lanes = (n - i).min(64);
        some(i, lanes);
        i += lanes;
    }
}

/// The lanes where the larger magnitude of two is `limit` or above. Of a quiet NaN and a number it is the number. A
/// signalling NaN would hide the number, but is found by the comparison.
///
/// # Safety
/// AVX-512 DQ is there.
#[inline(always)]
unsafe fn beyond(a: __m512, b: __m512, limit: __m512) -> __mmask16 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_range_ps::<0b1011>(a, b), limit) }
}

/// # Safety
/// AVX-512 F is there.
#[inline(always)]
unsafe fn lane_numbers() -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) }
}

/// The first n lanes; `n <= 16`.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n) - 1) as __mmask16
}

impl Memory<f32> for Avx512 {
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm512_maskz_loadu_ps(first(n), from) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm512_mask_storeu_ps(to, first(n), v) }
    }
}

impl Memory<f16> for Avx512 {
    #[inline(always)]
    unsafe fn load(self, from: *const f16) -> __m512 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f16, v: __m512) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_storeu_si256(to.cast(), to_f16(v)) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f16, n: usize) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f16, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm256_mask_storeu_epi16(to.cast(), first(n), to_f16(v)) }
    }
}

/// # Safety
/// AVX-512 F is there.
#[inline(always)]
unsafe fn to_f16(v: __m512) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v) }
}

/// # Safety
/// AVX-512 F is there.
#[inline(always)]
unsafe fn from_bf16(v: __m256i) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(v))) }
}

/// The upper halves of f32 become bf16; adding this first rounds to nearest, ties away from zero. A NaN has a lower half
/// of zero, by the promise of [`Memory`], and does not carry. (`vcvtneps2bf16` would flush subnormals.)
const HALF: i32 = 0x8000;

/// # Safety
/// AVX-512 F is there.
#[inline(always)]
unsafe fn rounded_bits(v: __m512) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_add_epi32(_mm512_castps_si512(v), _mm512_set1_epi32(HALF)) }
}

/// # Safety
/// AVX-512 F is there.
#[inline(always)]
unsafe fn to_bf16(v: __m512) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded_bits(v))) }
}

/// The elements at even places and those at odd places.
///
/// # Safety
/// The instructions are there; 32 elements can be read at `x`.
#[inline(always)]
unsafe fn from_bf16_pair(x: *const bf16) -> (__m512, __m512) {
    // SAFETY: the caller's promise.
    unsafe {
        let both = _mm512_loadu_si512(x.cast());
        let odd = _mm512_and_si512(both, _mm512_set1_epi32(0xffff_0000u32.cast_signed()));
        (
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(both)),
            _mm512_castsi512_ps(odd),
        )
    }
}

impl Memory<bf16> for Avx512 {
    #[inline(always)]
    unsafe fn load(self, from: *const bf16) -> __m512 {
        // SAFETY: the token, and the caller's promise.
        unsafe { from_bf16(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut bf16, v: __m512) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_storeu_si256(to.cast(), to_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const bf16, n: usize) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { from_bf16(_mm256_maskz_loadu_epi16(first(n), from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut bf16, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm256_mask_storeu_epi16(to.cast(), first(n), to_bf16(v)) }
    }

    /// The elements at even places, then those at odd places, of each 32: no lane changes its
    /// place in the register.
    #[inline(always)]
    unsafe fn load_group(self, from: *const bf16) -> [__m512; 4] {
        // SAFETY: the token, and the caller's promise.
        let ((a, b), (c, d)) = unsafe { (from_bf16_pair(from), from_bf16_pair(from.add(32))) };
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn store_group(self, to: *mut bf16, [a, b, c, d]: [__m512; 4]) {
        for (i, even, odd) in [(0, a, b), (32, c, d)] {
            // SAFETY: the token, and the caller's promise.
            unsafe {
                let even = _mm512_srli_epi32::<16>(rounded_bits(even));
                let both = _mm512_mask_blend_epi16(0xaaaa_aaaa, even, rounded_bits(odd));
                _mm512_storeu_si512(to.add(i).cast(), both);
            }
        }
    }
}

/// The nearest integers within the bounds, as bytes; NaN is the lower bound.
///
/// # Safety
/// AVX-512 F is there.
#[inline(always)]
unsafe fn nearest(v: __m512, low: f32, high: f32) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        let v = _mm512_min_ps(_mm512_max_ps(v, _mm512_set1_ps(low)), _mm512_set1_ps(high));
        _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))
    }
}

/// Loads and stores of a type of 8 bits.
macro_rules! bytes {
    ($type:ty, $widen:ident) => {
        impl Memory<$type> for Avx512 {
            #[inline(always)]
            unsafe fn load(self, from: *const $type) -> __m512 {
                // SAFETY: the token, and the caller's promise.
                unsafe { _mm512_cvtepi32_ps($widen(_mm_loadu_si128(from.cast()))) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $type, v: __m512) {
                // SAFETY: the token, and the caller's promise.
                unsafe {
                    let bytes = nearest(v, <$type>::MIN.into(), <$type>::MAX.into());
                    _mm_storeu_si128(to.cast(), bytes);
                }
            }
            #[inline(always)]
            unsafe fn load_first(self, from: *const $type, n: usize) -> __m512 {
                // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
                unsafe {
                    let bytes = _mm_maskz_loadu_epi8(first(n), from.cast());
                    _mm512_cvtepi32_ps($widen(bytes))
                }
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $type, v: __m512, n: usize) {
                // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
                unsafe {
                    let bytes = nearest(v, <$type>::MIN.into(), <$type>::MAX.into());
                    _mm_mask_storeu_epi8(to.cast(), first(n), bytes);
                }
            }
        }
    };
}

bytes!(i8, _mm512_cvtepi8_epi32);
bytes!(u8, _mm512_cvtepu8_epi32);
