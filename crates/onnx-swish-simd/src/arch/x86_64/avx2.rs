//! AVX2 with FMA and F16C: 8 f32 in a register.
//!
//! Given the token [`Avx2`]; promises that memory outside of what an operation names is neither read nor written.

use std::arch::x86_64::*;

use half::{bf16, f16};

use crate::memory::Memory;
use crate::simd::{Kernel, Registers, Simd};

token! {
    /// Proof that this machine executes AVX2, FMA and F16C.
    Avx2: is_x86_feature_detected, "avx2", "fma", "f16c"
}

impl Registers for Avx2 {
    const LANES: usize = 8;
    const REGISTERS: usize = 16;
    type V = __m256;
}

impl Simd for Avx2 {
    const FUSED: bool = true;
    const TABLE: usize = 8;
    const MASKED: bool = true;
    const BY_LANE: bool = false;
    type M = __m256i;
    type I = __m256i;
    type Table = __m256;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token is proof of the instructions.
        unsafe { featured(self, kernel) }
    }

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
    fn mul_add_exact(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        self.mul_add(a, b, c)
    }

    #[inline(always)]
    fn to_bits(self, v: __m256) -> __m256i {
        instruction!(_mm256_castps_si256(v))
    }
    #[inline(always)]
    fn from_bits(self, i: __m256i) -> __m256 {
        instruction!(_mm256_castsi256_ps(i))
    }
    #[inline(always)]
    fn int_splat(self, i: u32) -> __m256i {
        instruction!(_mm256_set1_epi32(i.cast_signed()))
    }
    #[inline(always)]
    fn int_add(self, a: __m256i, b: __m256i) -> __m256i {
        instruction!(_mm256_add_epi32(a, b))
    }
    #[inline(always)]
    fn int_and(self, a: __m256i, b: __m256i) -> __m256i {
        instruction!(_mm256_and_si256(a, b))
    }
    #[inline(always)]
    fn int_shl(self, i: __m256i, by: u32) -> __m256i {
        // An immediate shift, once the compiler has seen where the count comes from.
        instruction!(_mm256_sll_epi32(i, _mm_cvtsi32_si128(by.cast_signed())))
    }

    #[inline(always)]
    fn table(self, entries: &[f32]) -> __m256 {
        assert_eq!(entries.len(), Self::TABLE, "entries of a table");
        // SAFETY: 8 elements; the token.
        unsafe { _mm256_loadu_ps(entries.as_ptr()) }
    }
    #[inline(always)]
    fn look_up(self, table: __m256, index: __m256i) -> __m256 {
        // It looks at the lowest three bits of an index alone.
        instruction!(_mm256_permutevar8x32_ps(table, index))
    }

    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> __m256i {
        instruction!(_mm256_andnot_si256(first(from), first(to)))
    }
    #[inline(always)]
    fn not_less(self, a: __m256, b: __m256) -> __m256i {
        instruction!(_mm256_castps_si256(_mm256_cmp_ps::<_CMP_NLT_UQ>(a, b)))
    }
    #[inline(always)]
    fn keep(self, v: __m256, lanes: __m256i) -> __m256 {
        instruction!(_mm256_and_ps(v, _mm256_castsi256_ps(lanes)))
    }
    #[inline(always)]
    fn select(self, lanes: __m256i, a: __m256, b: __m256) -> __m256 {
        instruction!(_mm256_blendv_ps(b, a, _mm256_castsi256_ps(lanes)))
    }
    #[inline(always)]
    fn any_beyond<const N: usize>(self, v: [__m256; N], limit: __m256) -> bool {
        instruction!({
            // As integers, and doubled to drop the sign: a NaN cannot hide its neighbour, as it
            // would from `vmaxps`.
            let mut most = doubled(v[0]);
            for v in v.into_iter().skip(1) {
                most = _mm256_max_epu32(most, doubled(v));
            }
            // Unsigned most >= limit, which AVX2 lacks.
            let beyond = _mm256_cmpeq_epi32(_mm256_max_epu32(most, doubled(limit)), most);
            _mm256_movemask_ps(_mm256_castsi256_ps(beyond)) != 0
        })
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        instruction!({
            let four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }
    #[inline(always)]
    fn sum_wide(self, v: __m256) -> f64 {
        instruction!({
            let low = _mm256_cvtps_pd(_mm256_castps256_ps128(v));
            let high = _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(v));
            let v = _mm256_add_pd(low, high);
            let v = _mm_add_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd::<1>(v));
            _mm_cvtsd_f64(_mm_add_sd(v, _mm_unpackhi_pd(v, v)))
        })
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
    fn deinterleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        // The shuffles work within 128 bits; the permutation puts the four halves in order.
        let (even, odd) = self.unzip(a, b);
        (self.settle(even), self.settle(odd))
    }
    #[inline(always)]
    fn unzip(self, a: __m256, b: __m256) -> (__m256, __m256) {
        instruction!((
            _mm256_shuffle_ps::<0b10_00_10_00>(a, b),
            _mm256_shuffle_ps::<0b11_01_11_01>(a, b),
        ))
    }
    #[inline(always)]
    fn settle(self, v: __m256) -> __m256 {
        instruction!(_mm256_castpd_ps(_mm256_permute4x64_pd::<0b11_01_10_00>(
            _mm256_castps_pd(v)
        )))
    }
    #[inline(always)]
    fn unzipped_lanes(self, from: usize, to: usize) -> __m256i {
        // The permutation of `settle` is its own inverse.
        instruction!(_mm256_permute4x64_epi64::<0b11_01_10_00>(
            self.lanes(from, to)
        ))
    }
    #[inline(always)]
    fn interleave(self, a: __m256, b: __m256) -> (__m256, __m256) {
        instruction!({
            // Within 128 bits again: the first halves of both come before the second halves.
            let low = _mm256_unpacklo_ps(a, b);
            let high = _mm256_unpackhi_ps(a, b);
            (
                _mm256_permute2f128_ps::<0x20>(low, high),
                _mm256_permute2f128_ps::<0x31>(low, high),
            )
        })
    }
    #[inline(always)]
    fn rotate(self, v: __m256, by: usize) -> __m256 {
        instruction!({
            let by = _mm256_set1_epi32(by as i32);
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            // The permutation looks at the lowest three bits of an index alone.
            _mm256_permutevar8x32_ps(v, _mm256_add_epi32(lane, by))
        })
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, times: usize) -> __m256 {
        let n = 8 / times;
        let lane = instruction!(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        // SAFETY: the token; the caller promises n elements, which are what each arm reads.
        unsafe {
            let index = _mm256_srl_epi32(lane, _mm_cvtsi32_si128(times.trailing_zeros() as i32));
            match n {
                1 => _mm256_broadcast_ss(&*from),
                2 => {
                    let pair = _mm256_set1_pd(from.cast::<f64>().read_unaligned());
                    _mm256_permutevar8x32_ps(_mm256_castpd_ps(pair), index)
                }
                4 => _mm256_permutevar8x32_ps(_mm256_maskload_ps(from, first(4)), index),
                _ => _mm256_loadu_ps(from),
            }
        }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, lanes: __m256i) -> __m256 {
        // SAFETY: the token; the caller promises the chosen elements, and the instruction does not touch the others.
        unsafe { _mm256_maskload_ps(from, lanes) }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, to: *mut f32, v: __m256, lanes: __m256i) {
        // SAFETY: the token; the caller promises the chosen elements, and the instruction does not touch the others.
        unsafe { _mm256_maskstore_ps(to, lanes, v) }
    }
    #[inline(always)]
    unsafe fn store_exactly(self, to: *mut f32, v: __m256, n: usize) {
        // SAFETY: the token, and the caller's promise.
        unsafe { store_below_8(to, v, n) }
    }
    #[inline(always)]
    unsafe fn look_up_bytes(self, table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the token, and the caller's promise.
        unsafe { look_up_bytes(table, from, to, n) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // A hint that never faults.
        instruction!(_mm_prefetch::<_MM_HINT_T0>(at.cast()))
    }
}

/// [`Simd::look_up_bytes`]. The lower half of a byte picks from sixteen shuffles of 16 entries each, bits of the upper half, one after
/// the other, pick among these.
///
/// # Safety
/// AVX2 is there; the rest as there.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn look_up_bytes(table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
    let mut i = 0;
    while i + 64 <= n {
        // SAFETY: 64 bytes that the caller promises, all read before the first is written.
        unsafe {
            let codes = [
                _mm256_loadu_si256(from.add(i).cast()),
                _mm256_loadu_si256(from.add(i + 32).cast()),
            ];
            let [low, high] = entries(table, codes);
            _mm256_storeu_si256(to.add(i).cast(), low);
            _mm256_storeu_si256(to.add(i + 32).cast(), high);
        }
        i += 64;
    }
    if i < n {
        let mut rest = [0u8; 64];
        // SAFETY: fewer than 64 bytes are left, which the caller promises; the buffer has 64.
        unsafe {
            let (from, to, n) = (from.add(i), to.add(i), n - i);
            from.copy_to_nonoverlapping(rest.as_mut_ptr(), n);
            let codes = [
                _mm256_loadu_si256(rest.as_ptr().cast()),
                _mm256_loadu_si256(rest.as_ptr().add(32).cast()),
            ];
            let [low, high] = entries(table, codes);
            _mm256_storeu_si256(rest.as_mut_ptr().cast(), low);
            _mm256_storeu_si256(rest.as_mut_ptr().add(32).cast(), high);
            to.copy_from_nonoverlapping(rest.as_ptr(), n);
        }
    }
}

/// The entries for the codes of N registers, which share the loads of the table.
#[target_feature(enable = "avx2")]
#[inline]
fn entries<const N: usize>(table: &[u8; 256], codes: [__m256i; N]) -> [__m256i; N] {
    // A shuffle looks at the lowest four bits of a byte whose highest is zero, a blend at the highest alone.
    let low = codes.map(|codes| _mm256_and_si256(codes, _mm256_set1_epi8(0x0f)));
    let bit = [
        codes.map(|codes| _mm256_slli_epi16::<3>(codes)),
        codes.map(|codes| _mm256_slli_epi16::<2>(codes)),
        codes.map(|codes| _mm256_slli_epi16::<1>(codes)),
        codes,
    ];
    let among_16 = |first: usize| {
        // SAFETY: 16 of the 256 bytes, for `first` is 16 times 0 to 15.
        let entries = unsafe { _mm_loadu_si128(table.as_ptr().add(first).cast()) };
        let entries = _mm256_broadcastsi128_si256(entries);
        low.map(|low| _mm256_shuffle_epi8(entries, low))
    };
    let either = |which: usize, [a, b]: [[__m256i; N]; 2]| {
        let mut chosen = a;
        for (i, chosen) in chosen.iter_mut().enumerate() {
            *chosen = _mm256_blendv_epi8(a[i], b[i], bit[which][i]);
        }
        chosen
    };
    let among_32 = |first| either(0, [among_16(first), among_16(first + 16)]);
    let among_64 = |first| either(1, [among_32(first), among_32(first + 32)]);
    let among_128 = |first| either(2, [among_64(first), among_64(first + 64)]);
    either(3, [among_128(0), among_128(128)])
}

/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn doubled(x: __m256) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_add_epi32(_mm256_castps_si256(x), _mm256_castps_si256(x)) }
}

/// All ones in the first n of 8 lanes; in all of them if there are more.
///
/// # Safety
/// AVX is there.
#[inline(always)]
unsafe fn first(n: usize) -> __m256i {
    static MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    // SAFETY: 8 of the 16 follow, for 8 - n + 8 <= 16; the caller's promise.
    unsafe { _mm256_loadu_si256(MASKS.as_ptr().add(8 - n.min(8)).cast()) }
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

impl Memory<f32> for Avx2 {
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> __m256 {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not read.
        unsafe { _mm256_maskload_ps(from, first(n)) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: __m256, n: usize) {
        // SAFETY: the token, and the caller's promise: lanes outside of the mask are not written.
        unsafe { _mm256_maskstore_ps(to, first(n), v) }
    }
}

/// Elements by way of the stack, for AVX2 has masks for 32 bits only.
///
/// # Safety
/// `n <= N` elements can be read at `x`.
#[inline(always)]
unsafe fn first_of<T: Copy + Default, const N: usize>(x: *const T, n: usize) -> [T; N] {
    let mut buffer = [T::default(); N];
    // SAFETY: the caller's promise, and a buffer of N.
    unsafe { x.copy_to_nonoverlapping(buffer.as_mut_ptr(), n) };
    buffer
}

impl Memory<f16> for Avx2 {
    #[inline(always)]
    unsafe fn load(self, from: *const f16) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f16, v: __m256) {
        // SAFETY: the token, and the caller's promise.
        unsafe { _mm_storeu_si128(to.cast(), to_f16(v)) };
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f16, n: usize) -> __m256 {
        // SAFETY: the token, the caller's promise, and a buffer of 8.
        unsafe { self.load(first_of::<_, 8>(from, n).as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f16, v: __m256, n: usize) {
        let mut buffer = [f16::ZERO; 8];
        // SAFETY: a buffer of 8, the token, and the caller's promise.
        unsafe {
            self.store(buffer.as_mut_ptr(), v);
            to.copy_from_nonoverlapping(buffer.as_ptr(), n);
        }
    }
}

/// # Safety
/// F16C is there.
#[inline(always)]
unsafe fn to_f16(v: __m256) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v) }
}

/// The upper halves of f32 become bf16; adding this first rounds to nearest, ties away from zero. A NaN has a lower half
/// of zero, by the promise of [`Memory`], and does not carry.
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
    #[inline(always)]
    unsafe fn load(self, from: *const bf16) -> __m256 {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            let words = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(words))
        }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut bf16, v: __m256) {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            let words = _mm256_srli_epi32::<16>(rounded_bits(v));
            let halves = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(words, words));
            _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(halves));
        }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const bf16, n: usize) -> __m256 {
        // SAFETY: the token, the caller's promise, and a buffer of 8.
        unsafe { self.load(first_of::<_, 8>(from, n).as_ptr()) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut bf16, v: __m256, n: usize) {
        let mut buffer = [bf16::ZERO; 8];
        // SAFETY: a buffer of 8, the token, and the caller's promise.
        unsafe {
            self.store(buffer.as_mut_ptr(), v);
            to.copy_from_nonoverlapping(buffer.as_ptr(), n);
        }
    }

    /// The elements at even places, then those at odd places, of each 16: no lane changes its
    /// place in the register.
    #[inline(always)]
    unsafe fn load_group(self, from: *const bf16) -> [__m256; 4] {
        // SAFETY: the token, and the caller's promise.
        let ((a, b), (c, d)) = unsafe { (from_bf16_pair(from), from_bf16_pair(from.add(16))) };
        [a, b, c, d]
    }
    #[inline(always)]
    unsafe fn store_group(self, to: *mut bf16, [a, b, c, d]: [__m256; 4]) {
        for (i, even, odd) in [(0, a, b), (16, c, d)] {
            // SAFETY: the token, and the caller's promise.
            unsafe {
                let even = _mm256_srli_epi32::<16>(rounded_bits(even));
                let both = _mm256_blend_epi16::<0b1010_1010>(even, rounded_bits(odd));
                _mm256_storeu_si256(to.add(i).cast(), both);
            }
        }
    }
}

/// The nearest integers within the bounds, as bytes in the lower half; NaN is the lower bound.
///
/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn nearest(v: __m256, low: f32, high: f32) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe {
        let v = _mm256_min_ps(_mm256_max_ps(v, _mm256_set1_ps(low)), _mm256_set1_ps(high));
        let words = _mm256_cvtps_epi32(v);
        let halves = _mm_packs_epi32(
            _mm256_castsi256_si128(words),
            _mm256_extracti128_si256::<1>(words),
        );
        if low < 0.0 {
            _mm_packs_epi16(halves, halves)
        } else {
            _mm_packus_epi16(halves, halves)
        }
    }
}

/// As [`nearest`], of four registers, one behind the other.
///
/// # Safety
/// AVX2 is there.
#[inline(always)]
unsafe fn nearest_of_four(v: [__m256; 4], low: f32, high: f32) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let (least, most) = (_mm256_set1_ps(low), _mm256_set1_ps(high));
        let word = |v| _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, least), most));
        let [a, b, c, d] = v;
        let (ab, cd) = (
            _mm256_packs_epi32(word(a), word(b)),
            _mm256_packs_epi32(word(c), word(d)),
        );
        let bytes = if low < 0.0 {
            _mm256_packs_epi16(ab, cd)
        } else {
            _mm256_packus_epi16(ab, cd)
        };
        // A half has four bytes of each register.
        _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))
    }
}

/// Loads and stores of a type of 8 bits.
macro_rules! bytes {
    ($type:ty, $widen:ident) => {
        impl Memory<$type> for Avx2 {
            #[inline(always)]
            unsafe fn load(self, from: *const $type) -> __m256 {
                // SAFETY: the token, and the caller's promise.
                unsafe { _mm256_cvtepi32_ps($widen(_mm_loadl_epi64(from.cast()))) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $type, v: __m256) {
                // SAFETY: the token, and the caller's promise.
                unsafe {
                    let bytes = nearest(v, <$type>::MIN.into(), <$type>::MAX.into());
                    _mm_storel_epi64(to.cast(), bytes);
                }
            }
            #[inline(always)]
            unsafe fn store_group(self, to: *mut $type, v: [__m256; 4]) {
                // SAFETY: the token, and the caller's promise.
                unsafe {
                    let bytes = nearest_of_four(v, <$type>::MIN.into(), <$type>::MAX.into());
                    _mm256_storeu_si256(to.cast(), bytes);
                }
            }
            #[inline(always)]
            unsafe fn load_first(self, from: *const $type, n: usize) -> __m256 {
                // SAFETY: the token, the caller's promise, and a buffer of 8.
                unsafe { self.load(first_of::<_, 8>(from, n).as_ptr()) }
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $type, v: __m256, n: usize) {
                let mut buffer = [0; 8];
                // SAFETY: a buffer of 8, the token, and the caller's promise.
                unsafe {
                    self.store(buffer.as_mut_ptr(), v);
                    to.copy_from_nonoverlapping(buffer.as_ptr(), n);
                }
            }
        }
    };
}

bytes!(i8, _mm256_cvtepi8_epi32);
bytes!(u8, _mm256_cvtepu8_epi32);
