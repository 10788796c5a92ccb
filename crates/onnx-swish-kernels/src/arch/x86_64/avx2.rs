//! AVX2 with FMA and F16C: 8 f32 at a time.
//!
//! Given the token [`Avx2`] or a caller that enables the instructions; promises the contract of
//! the crate.

use core::arch::x86_64::*;

use half::{bf16, f16};

use super::drive::Memory;
use super::softmax::Reduce;
use crate::formula::swish_constants::SwishConstants;
use crate::formula::table::{Activation, HardSwish, Lanes, Swish};
use crate::formula::table_constants::{EXP2_8, EXP2_8_SHORT};

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
        let c = &EXP2_8.coefficients;
        let p = self.mul_add(r, self.splat(c[3]), self.splat(c[2]));
        let p = self.mul_add(r, p, self.splat(c[1]));
        let p = self.mul_add(r, p, self.splat(c[0]));
        self.mul_add(r, p, constant)
    }
    #[inline(always)]
    fn short_polynomial(self, r: __m256) -> __m256 {
        let c = &EXP2_8_SHORT;
        let p = self.mul_add(r, self.splat(c[2]), self.splat(c[1]));
        self.mul_add(r, p, self.splat(c[0]))
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
            let mut most = doubled(x[0]);
            for x in x.into_iter().skip(1) {
                most = _mm256_max_epu32(most, doubled(x));
            }
            // Unsigned most >= limit, which AVX2 lacks.
            let beyond = _mm256_cmpeq_epi32(_mm256_max_epu32(most, doubled(limit)), most);
            _mm256_movemask_ps(_mm256_castsi256_ps(beyond)) != 0
        })
    }
    #[inline(always)]
    fn zero_below(self, v: __m256, m: __m256, limit: __m256) -> __m256 {
        instruction!(_mm256_and_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(m, limit), v))
    }
}

/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn doubled(x: __m256) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_add_epi32(_mm256_castps_si256(x), _mm256_castps_si256(x)) }
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
    unsafe fn load_group(self, x: *const f32) -> [__m256; 4] {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            [
                _mm256_loadu_ps(x),
                _mm256_loadu_ps(x.add(8)),
                _mm256_loadu_ps(x.add(16)),
                _mm256_loadu_ps(x.add(24)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_group(self, y: *mut f32, v: [__m256; 4]) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the token, and the caller's promise.
            unsafe { _mm256_storeu_ps(y.add(8 * i), v) };
        }
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

/// The first n lanes in up to three stores that cover these and no more.
///
/// # Safety
/// AVX is there; `n < 8` elements can be written at `y`.
#[inline(always)]
pub(super) unsafe fn store_below_8(y: *mut f32, v: __m256, n: usize) {
    let (mut y, mut v) = (y, v);
    // SAFETY: the stores cover the bits of n, the larger ones first.
    unsafe {
        if n & 4 != 0 {
            _mm_storeu_ps(y, _mm256_castps256_ps128(v));
            v = _mm256_castps128_ps256(_mm256_extractf128_ps::<1>(v));
            y = y.add(4);
        }
        let mut v = _mm256_castps256_ps128(v);
        if n & 2 != 0 {
            _mm_storel_epi64(y.cast(), _mm_castps_si128(v));
            v = _mm_movehl_ps(v, v);
            y = y.add(2);
        }
        if n & 1 != 0 {
            _mm_store_ss(y, v);
        }
    }
}

impl Reduce for Avx2 {
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
    unsafe fn load_first_or(self, x: *const f32, n: usize, rest: __m256) -> __m256 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe {
            let mask = first(n);
            _mm256_blendv_ps(rest, _mm256_maskload_ps(x, mask), _mm256_castsi256_ps(mask))
        }
    }
    #[inline(always)]
    unsafe fn store_exactly(self, y: *mut f32, v: __m256, n: usize) {
        // SAFETY: the token, and the caller's promise.
        unsafe { store_below_8(y, v, n) }
    }
    #[inline(always)]
    fn largest(self, v: __m256) -> f32 {
        instruction!({
            let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
        })
    }
    #[inline(always)]
    fn total(self, v: __m256) -> f64 {
        instruction!({
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
            let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v));
            let v = _mm256_add_pd(low, high);
            let v = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)))
        })
    }
}

impl Memory<f16> for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn load_group(self, x: *const f16) -> [__m256; 4] {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            [
                from_f16(x),
                from_f16(x.add(8)),
                from_f16(x.add(16)),
                from_f16(x.add(24)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn store_group(self, y: *mut f16, v: [__m256; 4]) {
        for (i, v) in v.into_iter().enumerate() {
            // SAFETY: the token, and the caller's promise.
            unsafe { _mm_storeu_si128(y.add(8 * i).cast(), to_f16(v)) };
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const f16, n: usize) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_cvtph_ps(load_first_words(x.cast(), n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut f16, v: __m256, n: usize) {
        // SAFETY: the token, and the caller's promise.
        unsafe { store_first_words(y.cast(), to_f16(v), n) };
    }
}

/// # Safety
/// F16C is there; 8 elements can be read at `x`.
#[inline(always)]
unsafe fn from_f16(x: *const f16) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(x.cast())) }
}

/// # Safety
/// F16C is there.
#[inline(always)]
unsafe fn to_f16(v: __m256) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
}

/// By way of the stack: AVX2 has no masks for 16 bits.
///
/// # Safety
/// `n <= 8` words can be read at `x`.
#[inline(always)]
unsafe fn load_first_words(x: *const u16, n: usize) -> __m128i {
    let mut buffer = [0u16; 8];
    // SAFETY: the caller's promise, and a buffer of 8.
    unsafe { x.copy_to_nonoverlapping(buffer.as_mut_ptr(), n) };
    // SAFETY: 8 words; SSE2 is part of x86-64.
    unsafe { _mm_loadu_si128(buffer.as_ptr().cast()) }
}

/// # Safety
/// `n <= 8` words can be written at `y`.
#[inline(always)]
unsafe fn store_first_words(y: *mut u16, v: __m128i, n: usize) {
    let mut buffer = [0u16; 8];
    // SAFETY: 8 words; SSE2 is part of x86-64.
    unsafe { _mm_storeu_si128(buffer.as_mut_ptr().cast(), v) };
    // SAFETY: the caller's promise, and a buffer of 8.
    unsafe { y.copy_from_nonoverlapping(buffer.as_ptr(), n) };
}

/// The upper halves of f32 become bf16; adding this first rounds to nearest, ties away from zero.
/// An f32 NaN here came from a bf16 or is the processor's own: its lower half is 0 and does not
/// carry.
const HALF: i32 = 0x8000;

/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn rounded_bits(v: __m256) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(HALF)) }
}

/// The elements at even places and those at odd places.
///
/// # Safety
/// The instructions are there; 16 elements can be read at `x`.
#[inline(always)]
unsafe fn from_bf16_pair(x: *const bf16) -> (__m256, __m256) {
    // SAFETY: the caller's promise.
    unsafe {
        let both = _mm256_loadu_si256(x.cast());
        let odd = _mm256_and_si256(both, _mm256_set1_epi32(0xffff_0000u32.cast_signed()));
        (
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(both)),
            _mm256_castsi256_ps(odd),
        )
    }
}

impl Memory<bf16> for Avx2 {
    const LANES: usize = 8;

    /// The elements at even places, then those at odd places, of each 16: no lane changes its
    /// place in the register.
    #[inline(always)]
    unsafe fn load_group(self, x: *const bf16) -> [__m256; 4] {
        // SAFETY: the token, and the caller's promise.
        let ((a, b), (c, d)) = unsafe { (from_bf16_pair(x), from_bf16_pair(x.add(16))) };
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn store_group(self, y: *mut bf16, [a, b, c, d]: [__m256; 4]) {
        for (i, even, odd) in [(0, a, b), (16, c, d)] {
            // SAFETY: the token, and the caller's promise.
            unsafe {
                let even = _mm256_srli_epi32::<16>(rounded_bits(even));
                let both = _mm256_blend_epi16::<0b1010_1010>(even, rounded_bits(odd));
                _mm256_storeu_si256(y.add(i).cast(), both);
            }
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, x: *const bf16, n: usize) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            let words = _mm256_cvtepu16_epi32(load_first_words(x.cast(), n));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, y: *mut bf16, v: __m256, n: usize) {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            let words = _mm256_srli_epi32::<16>(rounded_bits(v));
            let halves = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(words, words));
            store_first_words(y.cast(), _mm256_castsi256_si128(halves), n);
        }
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
    let y = f.eval(s, x);
    if s.any_beyond([x], f.limit()) {
        repair_lanes(x, y, constants)
    } else {
        y
    }
}

#[cold]
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn repair_lanes(x: __m256, y: __m256, constants: &SwishConstants) -> __m256 {
    let (mut before, mut after) = ([0.0f32; 8], [0.0f32; 8]);
    // SAFETY: 8 elements each.
    unsafe {
        _mm256_storeu_ps(before.as_mut_ptr(), x);
        _mm256_storeu_ps(after.as_mut_ptr(), y);
    }
    repair(&mut before, &mut after, constants);
    // SAFETY: 8 elements.
    unsafe { _mm256_loadu_ps(after.as_ptr()) }
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
/// For finite parameters and an |alpha| of at least 2⁻⁸², which the functions on slices do not ask for.
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
