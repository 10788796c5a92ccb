//! Products of 8-bit codes with AVX-512: of bytes with VNNI, of 16 bits without.
//!
//! Given the tokens [`Avx512Vnni`] and [`Avx512Pairs`]; promises that memory outside of what an operation names is not touched, and
//! that no sum saturates (`vpdpbusd` and `vpmaddwd` have none that could).

use std::arch::x86_64::*;

use super::apart;
use super::avx512::Avx512;
use crate::dot::{Dot, DotKernel, Format, PAIRS};

/// Proof that this machine executes AVX-512 VNNI, and what [`Avx512`] proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx512Vnni(Avx512);

/// What [`Avx512`] proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx512Pairs(Avx512);

impl Avx512Vnni {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        let available = std::arch::is_x86_feature_detected!("avx512vnni");
        Avx512::new().filter(|_| available).map(Self)
    }
}

impl Avx512Pairs {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        Avx512::new().map(Self)
    }
}

/// Where 32-bit lane `4·quarter + i` of a register comes from, for shuffles within a quarter of it.
const fn quarters(quarter: usize, i: usize) -> [i32; 16] {
    let mut index = [0; 16];
    let mut lane = 0;
    while lane < 16 {
        index[lane] = (lane / 4 * quarter + lane % 4 * i) as i32;
        lane += 1;
    }
    index
}

/// Every fourth: unpacking within quarters then leaves the words of 16 neighbours in one register.
static FOURTH: [i32; 16] = quarters(1, 4);
/// Four from each on: what the words of a quarter are made of.
static ON: [i32; 16] = quarters(1, 1);
/// The same for strides of two.
static ON_BY_TWO: [i32; 16] = quarters(2, 1);

/// [`Dot::store_saturated`].
///
/// # Safety
/// AVX-512 F, BW and VL are there; the rest as there.
#[inline(always)]
unsafe fn store_saturated<const N: usize>(to: *mut u8, i: [__m512i; N], n: usize, signed: bool) {
    const { assert!(1 <= N && N <= 3) };
    // SAFETY: the caller's promise: as many bytes are stored as there are, and lanes outside of a mask are not written.
    unsafe {
        if N == 1 {
            let bytes = if signed {
                _mm512_cvtsepi32_epi8(i[0])
            } else {
                _mm512_cvtusepi32_epi8(_mm512_max_epi32(i[0], _mm512_setzero_si512()))
            };
            if n == 16 {
                _mm_storeu_si128(to.cast(), bytes);
            } else {
                _mm_mask_storeu_epi8(to.cast(), ((1u32 << n) - 1) as __mmask16, bytes);
            }
            return;
        }
        let last = if N == 3 {
            i[N - 1]
        } else {
            _mm512_setzero_si512()
        };
        let ab = _mm512_packs_epi32(i[0], i[1 % N]);
        let cd = _mm512_packs_epi32(last, _mm512_setzero_si512());
        let bytes = if signed {
            _mm512_packs_epi16(ab, cd)
        } else {
            _mm512_packus_epi16(ab, cd)
        };
        // A quarter has four bytes of each register.
        let index = _mm512_loadu_si512(FOURTH.as_ptr().cast());
        let bytes = _mm512_permutexvar_epi32(index, bytes);
        if n == 16 * N {
            _mm256_storeu_si256(to.cast(), _mm512_castsi512_si256(bytes));
            if N == 3 {
                _mm_storeu_si128(to.add(32).cast(), _mm512_extracti32x4_epi32::<2>(bytes));
            }
        } else {
            _mm512_mask_storeu_epi8(to.cast(), (1u64 << n) - 1, bytes);
        }
    }
}

/// Where the bytes of four words come from that begin `stride` bytes apart, in a group of so many; -1 is a zero.
const fn windows(stride: usize, group: usize) -> [i8; 16] {
    let mut index = [-1; 16];
    let mut i = 0;
    while i < 4 {
        let mut field = 0;
        while field < group {
            index[4 * i + 4 / group * field] = (i * stride + field) as i8;
            field += 1;
        }
        i += 1;
    }
    index
}

/// Words of neighbours, `group` bytes of each.
///
/// # Safety
/// AVX-512 F and BW are there; `16·stride + 64` bytes can be read at `from`.
#[inline(always)]
unsafe fn windows_at<const GROUP: usize>(from: *const u8, stride: usize) -> __m512i {
    /// For each stride up to two.
    struct Places<const GROUP: usize>;
    impl<const GROUP: usize> Places<GROUP> {
        const BY_ONE: [i8; 16] = windows(1, GROUP);
        const BY_TWO: [i8; 16] = windows(2, GROUP);
    }
    // SAFETY: the caller's promise; the widest load has 64 bytes, and `apart` reads what it says.
    unsafe {
        let (from_lanes, places) = match stride {
            1 => (&ON, &Places::<GROUP>::BY_ONE),
            2 => (&ON_BY_TWO, &Places::<GROUP>::BY_TWO),
            _ => return _mm512_loadu_si512(apart::<GROUP, 16>(from, stride).as_ptr().cast()),
        };
        let bytes = _mm512_loadu_si512(from.cast());
        let quarters =
            _mm512_permutexvar_epi32(_mm512_loadu_si512(from_lanes.as_ptr().cast()), bytes);
        let places = _mm512_broadcast_i32x4(_mm_loadu_si128(places.as_ptr().cast()));
        _mm512_shuffle_epi8(quarters, places)
    }
}

impl Dot for Avx512Vnni {
    shared!(
        Avx512,
        __m512,
        __m512i,
        _mm512_cvtepi32_ps,
        _mm512_cvtps_epi32
    );
    vectorize!(Avx512Vnni: "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "avx2", "fma", "f16c");
    const FORMAT: Format = Format {
        group: 4,
        flip: 0,
        weights: [-128, 127],
    };

    #[inline(always)]
    fn dot(self, sum: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
        instruction!(_mm512_dpbusd_epi32(sum, codes, weights))
    }
    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [__m512i; 4] {
        // SAFETY: the token; the caller promises 64 bytes of each row.
        unsafe {
            let index = _mm512_loadu_si512(FOURTH.as_ptr().cast());
            let flip = _mm512_set1_epi8(flip.cast_signed());
            let a = _mm512_permutexvar_epi32(index, _mm512_loadu_si512(rows[0].cast()));
            let b = _mm512_permutexvar_epi32(index, _mm512_loadu_si512(rows[1].cast()));
            let c = _mm512_permutexvar_epi32(index, _mm512_loadu_si512(rows[2].cast()));
            let d = _mm512_permutexvar_epi32(index, _mm512_loadu_si512(rows[3].cast()));
            let (ab, cd) = (_mm512_unpacklo_epi8(a, b), _mm512_unpacklo_epi8(c, d));
            let (ef, gh) = (_mm512_unpackhi_epi8(a, b), _mm512_unpackhi_epi8(c, d));
            [
                _mm512_xor_si512(flip, _mm512_unpacklo_epi16(ab, cd)),
                _mm512_xor_si512(flip, _mm512_unpackhi_epi16(ab, cd)),
                _mm512_xor_si512(flip, _mm512_unpacklo_epi16(ef, gh)),
                _mm512_xor_si512(flip, _mm512_unpackhi_epi16(ef, gh)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> __m512i {
        // SAFETY: the token, and the caller's promise.
        unsafe { windows_at::<4>(from, stride) }
    }
}

impl Dot for Avx512Pairs {
    shared!(
        Avx512,
        __m512,
        __m512i,
        _mm512_cvtepi32_ps,
        _mm512_cvtps_epi32
    );
    vectorize!(Avx512Pairs: "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "f16c");
    const FORMAT: Format = PAIRS;
    const BETWEEN: usize = 1;

    #[inline(always)]
    fn dot(self, sum: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
        instruction!(_mm512_add_epi32(sum, _mm512_madd_epi16(codes, weights)))
    }
    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [__m512i; 4] {
        // SAFETY: the token; the caller promises 64 bytes of each row.
        unsafe {
            let flip = _mm512_set1_epi8(flip.cast_signed());
            let a = _mm512_xor_si512(flip, _mm512_loadu_si512(rows[0].cast()));
            let b = _mm512_xor_si512(flip, _mm512_loadu_si512(rows[1].cast()));
            // Pairs of bytes, 16 neighbours in each quarter, of which a register of words takes one.
            let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
            [
                widen(_mm512_castsi512_si128(low), _mm512_castsi512_si128(high)),
                widen(
                    _mm512_extracti32x4_epi32::<1>(low),
                    _mm512_extracti32x4_epi32::<1>(high),
                ),
                widen(
                    _mm512_extracti32x4_epi32::<2>(low),
                    _mm512_extracti32x4_epi32::<2>(high),
                ),
                widen(
                    _mm512_extracti32x4_epi32::<3>(low),
                    _mm512_extracti32x4_epi32::<3>(high),
                ),
            ]
        }
    }
    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> __m512i {
        // SAFETY: the token, and the caller's promise.
        unsafe { windows_at::<2>(from, stride) }
    }
}

/// 32 bytes as 16 bits each.
///
/// # Safety
/// AVX-512 BW is there.
#[inline(always)]
unsafe fn widen(low: __m128i, high: __m128i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtepu8_epi16(_mm256_set_m128i(high, low)) }
}
