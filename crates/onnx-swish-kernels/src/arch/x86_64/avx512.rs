//! AVX-512 (F, BW, DQ, VL): 16 f32 at a time, tails by mask.
//!
//! Given the token [`Avx512`] or a caller that enables the instructions; promises the contract of
//! the crate.

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::avx2::store_below_8;
use super::drive::Memory;
use super::softmax::Reduce;
use crate::formula::swish_constants::SwishConstants;
use crate::formula::table::{Activation, HardSwish, Lanes, Swish};
use crate::formula::table_constants::{EXP2_16, EXP2_16_SHORT};

/// Proof that this machine executes AVX-512 F, BW, DQ, VL, AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx512(());

impl Avx512 {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        let available = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        available.then_some(Self(()))
    }
}

static POWER: [u32; 16] = EXP2_16.powers_without_index();

/// One instruction on registers.
macro_rules! instruction {
    ($instruction:expr) => {{
        // SAFETY: the token `self` exists only where the instructions do; no memory is accessed.
        unsafe { $instruction }
    }};
}

impl Lanes for Avx512 {
    type F32 = __m512;
    const TABLE_BITS: u32 = 4;

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
    fn power_table(self) -> __m512 {
        // SAFETY: as in `instruction`; the static has 16 elements of 4 bytes.
        unsafe { _mm512_loadu_ps(POWER.as_ptr().cast()) }
    }
    #[inline(always)]
    fn excess_table(self) -> __m512 {
        // SAFETY: as in `instruction`; the array has 16 elements.
        unsafe { _mm512_loadu_ps(EXP2_16.excess.as_ptr()) }
    }
    #[inline(always)]
    fn polynomial(self, r: __m512, constant: __m512) -> __m512 {
        let c = &EXP2_16.coefficients;
        let p = self.mul_add(r, self.splat(c[2]), self.splat(c[1]));
        let p = self.mul_add(r, p, self.splat(c[0]));
        self.mul_add(r, p, constant)
    }
    #[inline(always)]
    fn short_polynomial(self, r: __m512) -> __m512 {
        let c = &EXP2_16_SHORT;
        let p = self.mul_add(r, self.splat(c[2]), self.splat(c[1]));
        self.mul_add(r, p, self.splat(c[0]))
    }
    #[inline(always)]
    fn look_up(self, table: __m512, m: __m512) -> __m512 {
        instruction!(_mm512_permutexvar_ps(_mm512_castps_si512(m), table))
    }
    #[inline(always)]
    fn scale(self, power: __m512, m: __m512) -> __m512 {
        instruction!({
            let exponent = _mm512_slli_epi32::<{ 23 - 4 }>(_mm512_castps_si512(m));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(power), exponent))
        })
    }
    #[inline(always)]
    fn any_beyond<const N: usize>(self, x: [__m512; N], limit: __m512) -> bool {
        instruction!({
            if N == 4 {
                _kortestz_mask16_u8(beyond(x[0], x[1], limit), beyond(x[2], x[N - 1], limit)) == 0
            } else {
                beyond(x[0], x[N - 1], limit) != 0
            }
        })
    }
    #[inline(always)]
    fn zero_below(self, v: __m512, m: __m512, limit: __m512) -> __m512 {
        instruction!(_mm512_maskz_mov_ps(
            _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(m, limit),
            v
        ))
    }
}

/// The lanes where the larger magnitude of two is `limit` or above. Of a quiet NaN and a number it
/// is the number, and the NaN may go through the table formula, which hands it on. A signalling
/// NaN would hide the number, but is found by the comparison.
///
/// # Safety
/// AVX-512 DQ is there.
#[inline(always)]
unsafe fn beyond(a: __m512, b: __m512, limit: __m512) -> __mmask16 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_range_ps::<0b1011>(a, b), limit) }
}

#[inline(always)]
fn first(n: usize) -> __mmask16 {
    // n <= 16
    ((1u32 << n) - 1) as __mmask16
}

impl Memory<f32> for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load_group(self, x: *const f32) -> [__m512; 4] {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            [
                _mm512_loadu_ps(x),
                _mm512_loadu_ps(x.add(16)),
                _mm512_loadu_ps(x.add(32)),
                _mm512_loadu_ps(x.add(48)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_group(self, y: *mut f32, v: [__m512; 4]) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the token, and the caller's promise.
            unsafe { _mm512_storeu_ps(y.add(16 * i), v) };
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f32, n: usize) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm512_maskz_loadu_ps(first(n), x) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm512_mask_storeu_ps(y, first(n), v) }
    }
}

impl Reduce for Avx512 {
    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m512 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm512_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: __m512) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm512_storeu_ps(y, v) }
    }
    #[inline(always)]
    unsafe fn load_first_or(self, x: *const f32, n: usize, rest: __m512) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm512_mask_loadu_ps(rest, first(n), x) }
    }
    #[inline(always)]
    unsafe fn store_exactly(self, y: *mut f32, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise, of which this half takes 8 and the other the rest.
        unsafe {
            let low = _mm512_castps512_ps256(v);
            if n & 8 != 0 {
                _mm256_storeu_ps(y, low);
                store_below_8(y.add(8), _mm512_extractf32x8_ps::<1>(v), n - 8);
            } else {
                store_below_8(y, low, n);
            }
        }
    }
    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        instruction!(_mm512_reduce_max_ps(v))
    }
    #[inline(always)]
    fn total(self, v: __m512) -> f64 {
        instruction!({
            let low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
            let high = _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(v));
            _mm512_reduce_add_pd(_mm512_add_pd(low, high))
        })
    }
}

impl Memory<f16> for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn load_group(self, x: *const f16) -> [__m512; 4] {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            [
                from_f16(x),
                from_f16(x.add(16)),
                from_f16(x.add(32)),
                from_f16(x.add(48)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_group(self, y: *mut f16, v: [__m512; 4]) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the token, and the caller's promise.
            unsafe { _mm256_storeu_si256(y.add(16 * i).cast(), to_f16(v)) };
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f16, n: usize) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first(n), x.cast())) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut f16, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm256_mask_storeu_epi16(y.cast(), first(n), to_f16(v)) }
    }
}

/// # Safety
/// AVX-512 F is there; 16 elements can be read at `x`.
#[inline(always)]
unsafe fn from_f16(x: *const f16) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.cast())) }
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

/// The upper halves of f32 become bf16; adding this first rounds to nearest, ties away from zero.
/// An f32 NaN here came from a bf16 or is the processor's own: its lower half is 0 and does not
/// carry. (`vcvtneps2bf16` would flush subnormals.)
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
    const LANES: usize = 16;

    /// The elements at even places, then those at odd places, of each 32: no lane changes its
    /// place in the register.
    #[inline(always)]
    unsafe fn load_group(self, x: *const bf16) -> [__m512; 4] {
        // SAFETY: the token, and the caller's promise.
        let ((a, b), (c, d)) = unsafe { (from_bf16_pair(x), from_bf16_pair(x.add(32))) };
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn store_group(self, y: *mut bf16, [a, b, c, d]: [__m512; 4]) {
        for (i, even, odd) in [(0, a, b), (32, c, d)] {
            // SAFETY: the token, and the caller's promise.
            unsafe {
                let even = _mm512_srli_epi32::<16>(rounded_bits(even));
                let both = _mm512_mask_blend_epi16(0xaaaa_aaaa, even, rounded_bits(odd));
                _mm512_storeu_si512(y.add(i).cast(), both);
            }
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const bf16, n: usize) -> __m512 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { from_bf16(_mm256_maskz_loadu_epi16(first(n), x.cast())) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut bf16, v: __m512, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm256_mask_storeu_epi16(y.cast(), first(n), to_bf16(v)) }
    }
}

super::entry_points!(Avx512, "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c");

/// `x·σ(x)` of 16 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub fn silu_lanes(x: __m512) -> __m512 {
    swish_lanes(x, &SwishConstants::SILU)
}

/// `x·σ(β·x)` of 16 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub fn swish_lanes(x: __m512, constants: &SwishConstants) -> __m512 {
    // The instructions are enabled here, which is what the token stands for.
    let s = Avx512(());
    let f = Swish::new(s, constants);
    let y = f.eval(s, x);
    if s.any_beyond([x], f.limit()) {
        repair_lanes(x, y, constants)
    } else {
        y
    }
}

#[cold]
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn repair_lanes(x: __m512, y: __m512, constants: &SwishConstants) -> __m512 {
    let (mut before, mut after) = ([0.0f32; 16], [0.0f32; 16]);
    // SAFETY: 16 elements each.
    unsafe {
        _mm512_storeu_ps(before.as_mut_ptr(), x);
        _mm512_storeu_ps(after.as_mut_ptr(), y);
    }
    repair(&mut before, &mut after, constants);
    // SAFETY: 16 elements.
    unsafe { _mm512_loadu_ps(after.as_ptr()) }
}

/// `x·clamp(x/6 + 1/2, 0, 1)` of 16 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub fn hard_swish_lanes(x: __m512) -> __m512 {
    sloped_hard_swish_lanes(x, crate::HARD_SWISH_ALPHA, crate::HARD_SWISH_BETA)
}

/// `x·clamp(alpha·x + beta, 0, 1)` of 16 f32.
///
/// For finite parameters and an |alpha| of at least 2⁻⁸², which the functions on slices do not ask for.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub fn sloped_hard_swish_lanes(x: __m512, alpha: f32, beta: f32) -> __m512 {
    let s = Avx512(());
    HardSwish::new(s, alpha, beta).eval(s, x)
}
