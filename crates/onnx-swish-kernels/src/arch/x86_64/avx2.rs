//! AVX2 with FMA and F16C: 8 f32 at a time.
//!
//! Given the token [`Avx2`] or a caller that enables the instructions; promises the contract of
//! the crate.

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::drive::Memory;
use crate::formula::constants::{EXP2_8, EXP2_8_SHORT};
use crate::formula::table::{Activation, HardSwish, Lanes, Swish, SwishConstants};
use crate::formula::wide;

/// Proof that this machine executes AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        let available = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        available.then_some(Self(()))
    }
}

static POWER: [u32; 8] = EXP2_8.powers_without_index();

/// One instruction on registers.
macro_rules! instruction {
    ($instruction:expr) => {{
        // SAFETY: the token `self` exists only where the instructions do; no memory is accessed.
        unsafe { $instruction }
    }};
}

impl Lanes for Avx2 {
    type F32 = __m256;
    const TABLE_BITS: u32 = 3;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        instruction!(_mm256_set1_ps(x))
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        instruction!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn mul_sub(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        instruction!(_mm256_fmsub_ps(a, b, c))
    }

    #[inline(always)]
    fn power_table(self) -> __m256 {
        // SAFETY: as in `instruction`; the static has 8 elements of 4 bytes.
        unsafe { _mm256_loadu_ps(POWER.as_ptr().cast()) }
    }
    #[inline(always)]
    fn excess_table(self) -> __m256 {
        // SAFETY: as in `instruction`; the array has 8 elements.
        unsafe { _mm256_loadu_ps(EXP2_8.excess.as_ptr()) }
    }
    #[inline(always)]
    fn polynomial(self, r: __m256, constant: __m256) -> __m256 {
        let [c1, c2, c3, c4] = EXP2_8.coefficients.map(|c| self.splat(c));
        let p = self.mul_add(r, c4, c3);
        let p = self.mul_add(r, p, c2);
        let p = self.mul_add(r, p, c1);
        self.mul_add(r, p, constant)
    }
    #[inline(always)]
    fn short_polynomial(self, r: __m256) -> __m256 {
        let [c0, c1, c2] = EXP2_8_SHORT.map(|c| self.splat(c));
        self.mul_add(r, self.mul_add(r, c2, c1), c0)
    }
    #[inline(always)]
    fn look_up(self, table: __m256, m: __m256) -> __m256 {
        instruction!(_mm256_permutevar8x32_ps(table, _mm256_castps_si256(m)))
    }
    #[inline(always)]
    fn scale(self, power: __m256, m: __m256) -> __m256 {
        instruction!({
            let exponent = _mm256_slli_epi32::<{ 23 - 3 }>(_mm256_castps_si256(m));
            _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(power), exponent))
        })
    }
    #[inline(always)]
    fn any_beyond<const N: usize>(self, x: [__m256; N], limit: __m256) -> bool {
        instruction!({
            // As integers, and doubled to drop the sign: a NaN cannot hide its neighbour, as it
            // would from `vmaxps`.
            let doubled = |x| {
                let bits = _mm256_castps_si256(x);
                _mm256_add_epi32(bits, bits)
            };
            let mut most = doubled(x[0]);
            for x in x.into_iter().skip(1) {
                most = _mm256_max_epu32(most, doubled(x));
            }
            // Unsigned most >= limit, which AVX2 lacks.
            let beyond = _mm256_cmpeq_epi32(_mm256_max_epu32(most, doubled(limit)), most);
            _mm256_movemask_ps(_mm256_castsi256_ps(beyond)) != 0
        })
    }
}

/// All ones in the first n of 8 lanes.
///
/// # Safety
/// AVX is there; `n <= 8`.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: 8 - n + 8 <= 16.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n).cast()) }
}

impl Memory<f32> for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_loadu_ps(x) }
    }
    #[inline(always)]
    unsafe fn store(self, y: *mut f32, v: __m256) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_storeu_ps(y, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f32, n: usize) -> __m256 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm256_maskload_ps(x, first(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut f32, v: __m256, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm256_maskstore_ps(y, first(n), v) }
    }
}

impl Memory<f16> for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(self, x: *const f16) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, y: *mut f16, v: __m256) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm_storeu_si128(y.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f16, n: usize) -> __m256 {
        let mut buffer = [f16::ZERO; 8];
        // SAFETY: n <= 8 elements can be read; AVX2 has no masks for 16 bits.
        unsafe { x.copy_to_nonoverlapping(buffer.as_mut_ptr(), n) };
        // SAFETY: 8 elements.
        unsafe { Memory::<f16>::load(self, buffer.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut f16, v: __m256, n: usize) {
        let mut buffer = [f16::ZERO; 8];
        // SAFETY: 8 elements.
        unsafe { Memory::<f16>::store(self, buffer.as_mut_ptr(), v) };
        // SAFETY: n <= 8 elements can be written.
        unsafe { y.copy_from_nonoverlapping(buffer.as_ptr(), n) };
    }
}

/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn from_bf16(v: __m128i) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v))) }
}

/// Rounds to nearest even.
///
/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn to_bf16(v: __m256) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        let number = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(v, v));
        // NaN is truncated: it came from a bf16 or is the processor's own, so its top bit stays.
        let rounded = _mm256_add_epi32(bits, _mm256_and_si256(bias, number));
        let words = _mm256_srli_epi32::<16>(rounded);
        let halves = _mm256_packus_epi32(words, words);
        _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(halves))
    }
}

impl Memory<bf16> for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load(self, x: *const bf16) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe { from_bf16(_mm_loadu_si128(x.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, y: *mut bf16, v: __m256) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm_storeu_si128(y.cast(), to_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const bf16, n: usize) -> __m256 {
        let mut buffer = [bf16::ZERO; 8];
        // SAFETY: n <= 8 elements can be read; AVX2 has no masks for 16 bits.
        unsafe { x.copy_to_nonoverlapping(buffer.as_mut_ptr(), n) };
        // SAFETY: 8 elements.
        unsafe { Memory::<bf16>::load(self, buffer.as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut bf16, v: __m256, n: usize) {
        let mut buffer = [bf16::ZERO; 8];
        // SAFETY: 8 elements.
        unsafe { Memory::<bf16>::store(self, buffer.as_mut_ptr(), v) };
        // SAFETY: n <= 8 elements can be written.
        unsafe { y.copy_from_nonoverlapping(buffer.as_ptr(), n) };
    }
}

super::entry_points!(Avx2, "avx2,fma,f16c");

/// `x·σ(x)` of 8 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub fn silu_lanes(x: __m256) -> __m256 {
    swish_lanes(x, &SwishConstants::SILU)
}

/// `x·σ(β·x)` of 8 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub fn swish_lanes(x: __m256, constants: &SwishConstants) -> __m256 {
    // The instructions are enabled here, which is what the token stands for.
    let s = Avx2(());
    let f = Swish::new(s, constants);
    if s.any_beyond([x], f.limit()) {
        beyond_lanes(x, constants.wide_rate)
    } else {
        f.eval(s, x)
    }
}

#[cold]
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn beyond_lanes(x: __m256, rate: f64) -> __m256 {
    let mut lanes = [0.0f32; 8];
    // SAFETY: 8 elements.
    unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), x) };
    for x in &mut lanes {
        *x = wide::swish(*x, rate);
    }
    // SAFETY: 8 elements.
    unsafe { _mm256_loadu_ps(lanes.as_ptr()) }
}

/// `x·clamp(x/6 + 1/2, 0, 1)` of 8 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub fn hard_swish_lanes(x: __m256) -> __m256 {
    sloped_hard_swish_lanes(x, crate::HARD_SWISH_ALPHA, crate::HARD_SWISH_BETA)
}

/// `x·clamp(alpha·x + beta, 0, 1)` of 8 f32.
///
/// # Safety
/// Safe to call where the instructions are enabled; elsewhere the caller has the token.
#[must_use]
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub fn sloped_hard_swish_lanes(x: __m256, alpha: f32, beta: f32) -> __m256 {
    let s = Avx2(());
    HardSwish::new(s, alpha, beta).eval(s, x)
}
