//! Products of 8-bit codes with AVX2: of bytes with AVX-VNNI, of 16 bits without.
//!
//! Given the tokens [`AvxVnni`] and [`Avx2Pairs`]; promises that memory outside of what an operation names is not touched, and that no
//! sum saturates: `vpmaddubsw`, which adds two products of bytes to 16 bits, is not used.

use std::arch::asm;
use std::arch::x86_64::*;

use super::apart;
use super::avx2::Avx2;
use crate::dot::{Dot, DotKernel, Format, PAIRS};

/// Proof that this machine executes AVX-VNNI, and what [`Avx2`] proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AvxVnni(Avx2);

/// What [`Avx2`] proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Avx2Pairs(Avx2);

impl AvxVnni {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        let available = std::arch::is_x86_feature_detected!("avxvnni");
        Avx2::new().filter(|_| available).map(Self)
    }
}

impl Avx2Pairs {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        Avx2::new().map(Self)
    }
}

/// Copies less than 32 bytes in two moves, of which the second may repeat some of the first: quicker than a loop for any length begins.
///
/// # Safety
/// `n` bytes can be read at `from` and written at `to`, and they do not overlap.
#[inline(always)]
unsafe fn copy_short(from: *const u8, to: *mut u8, n: usize) {
    /// The first `B` and the last.
    #[inline(always)]
    unsafe fn ends<const B: usize>(from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: `B <= n`, and what the caller promises.
        unsafe {
            let (first, last) = (from.cast::<[u8; B]>(), from.add(n - B).cast::<[u8; B]>());
            to.cast::<[u8; B]>().write(first.read());
            to.add(n - B).cast::<[u8; B]>().write(last.read());
        }
    }
    // SAFETY: each has no more bytes than there are.
    unsafe {
        match n {
            16.. => ends::<16>(from, to, n),
            8.. => ends::<8>(from, to, n),
            4.. => ends::<4>(from, to, n),
            2.. => ends::<2>(from, to, n),
            1 => to.write(from.read()),
            _ => {}
        }
    }
}

/// [`Dot::store_saturated`].
///
/// # Safety
/// AVX2 is there; the rest as there.
#[inline(always)]
unsafe fn store_saturated<const N: usize>(to: *mut u8, i: [__m256i; N], n: usize, signed: bool) {
    const { assert!(1 <= N && N <= 3) };
    // SAFETY: the caller's promise: as many bytes are stored as there are.
    unsafe {
        let zero = _mm256_setzero_si256();
        let second = if N > 1 { i[1 % N] } else { zero };
        let last = if N == 3 { i[N - 1] } else { zero };
        let (ab, cd) = (
            _mm256_packs_epi32(i[0], second),
            _mm256_packs_epi32(last, zero),
        );
        let bytes = if signed {
            _mm256_packs_epi16(ab, cd)
        } else {
            _mm256_packus_epi16(ab, cd)
        };
        // A half has four bytes of each register.
        let index = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        let bytes = _mm256_permutevar8x32_epi32(bytes, index);
        let low = _mm256_castsi256_si128(bytes);
        if n < 8 * N {
            let mut buffer = [0u8; 32];
            _mm256_storeu_si256(buffer.as_mut_ptr().cast(), bytes);
            copy_short(buffer.as_ptr(), to, n);
        } else if N == 1 {
            _mm_storel_epi64(to.cast(), low);
        } else {
            _mm_storeu_si128(to.cast(), low);
            if N == 3 {
                _mm_storel_epi64(to.add(16).cast(), _mm256_extracti128_si256::<1>(bytes));
            }
        }
    }
}

impl Dot for AvxVnni {
    shared!(
        Avx2,
        __m256,
        __m256i,
        _mm256_cvtepi32_ps,
        _mm256_cvtps_epi32
    );
    vectorize!(AvxVnni: "avx2", "fma", "f16c", "avxvnni");
    const FORMAT: Format = Format {
        group: 4,
        flip: 0,
        weights: [-128, 127],
    };

    #[inline(always)]
    fn dot(self, sum: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        instruction!(_mm256_dpbusd_avx_epi32(sum, codes, weights))
    }
    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [__m256i; 4] {
        // SAFETY: the token; the caller promises 32 bytes of each row.
        unsafe { interleave_bytes(rows, flip) }
    }
    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> __m256i {
        // SAFETY: the token, and the caller's promise.
        unsafe { windows_of_four(from, stride) }
    }
}

/// [`Dot::interleave`] of four rows.
///
/// # Safety
/// AVX2 is there; 32 bytes can be read at each row.
#[inline(always)]
unsafe fn interleave_bytes(rows: [*const u8; 4], flip: u8) -> [__m256i; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        // Every second lane: unpacking within halves then leaves the words of 8 neighbours in one register.
        let index = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
        let flip = _mm256_set1_epi8(flip.cast_signed());
        let a = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[0].cast()), index);
        let b = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[1].cast()), index);
        let c = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[2].cast()), index);
        let d = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(rows[3].cast()), index);
        let (ab, cd) = (_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d));
        let (ef, gh) = (_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d));
        [
            _mm256_xor_si256(flip, _mm256_unpacklo_epi16(ab, cd)),
            _mm256_xor_si256(flip, _mm256_unpackhi_epi16(ab, cd)),
            _mm256_xor_si256(flip, _mm256_unpacklo_epi16(ef, gh)),
            _mm256_xor_si256(flip, _mm256_unpackhi_epi16(ef, gh)),
        ]
    }
}

/// [`Dot::neighbours`] by four bytes.
///
/// # Safety
/// AVX2 is there; `8·stride + 64` bytes can be read at `from`.
#[inline(always)]
unsafe fn windows_of_four(from: *const u8, stride: usize) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let (upper, places) = match stride {
            1 => (
                4,
                _mm_setr_epi8(0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6),
            ),
            2 => (
                8,
                _mm_setr_epi8(0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9),
            ),
            _ => return _mm256_loadu_si256(apart::<4, 8>(from, stride).as_ptr().cast()),
        };
        let low = _mm_loadu_si128(from.cast());
        let high = _mm_loadu_si128(from.add(upper).cast());
        _mm256_shuffle_epi8(
            _mm256_set_m128i(high, low),
            _mm256_broadcastsi128_si256(places),
        )
    }
}

impl Dot for Avx2Pairs {
    shared!(
        Avx2,
        __m256,
        __m256i,
        _mm256_cvtepi32_ps,
        _mm256_cvtps_epi32
    );
    vectorize!(Avx2Pairs: "avx2", "fma", "f16c");
    const FORMAT: Format = PAIRS;
    const BETWEEN: usize = 1;

    #[inline(always)]
    #[allow(clippy::pointers_in_nomem_asm_block)] // Nothing is read there.
    fn anew<T>(self, mut at: *const T) -> *const T {
        // SAFETY: no instruction at all; the compiler must take the register for changed.
        unsafe {
            asm!("/* {0} */", inout(reg) at, options(nomem, nostack, preserves_flags));
        }
        at
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
        instruction!(_mm256_add_epi32(sum, _mm256_madd_epi16(codes, weights)))
    }
    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [__m256i; 4] {
        // SAFETY: the token; the caller promises 32 bytes of each row.
        unsafe {
            let flip = _mm256_set1_epi8(flip.cast_signed());
            let a = _mm256_xor_si256(flip, _mm256_loadu_si256(rows[0].cast()));
            let b = _mm256_xor_si256(flip, _mm256_loadu_si256(rows[1].cast()));
            // Pairs of bytes, 8 neighbours in each half of a register.
            let (low, high) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
            [
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(low)),
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(high)),
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(low)),
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(high)),
            ]
        }
    }
    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> __m256i {
        // SAFETY: the token, and the caller's promise.
        unsafe {
            let bytes = _mm_loadu_si128(from.cast());
            match stride {
                1 => {
                    let pairs = _mm_setr_epi8(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8);
                    _mm256_cvtepu8_epi16(_mm_shuffle_epi8(bytes, pairs))
                }
                2 => _mm256_cvtepu8_epi16(bytes),
                _ => _mm256_loadu_si256(apart::<2, 8>(from, stride).as_ptr().cast()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AVX-VNNI is rare; what it shares with AVX2 need not wait for it.
    #[test]
    fn words_of_four_bytes() {
        if Avx2::new().is_none() {
            return;
        }
        let bytes: Vec<u8> = (0..=255).collect();
        let lanes = |words: __m256i| {
            let mut lanes = [0u32; 8];
            // SAFETY: 32 bytes.
            unsafe { lanes.as_mut_ptr().cast::<__m256i>().write_unaligned(words) };
            lanes
        };
        // SAFETY: AVX2 was detected; 32 bytes follow each of these, and more than 100 the first.
        let (rows, strides) = unsafe {
            let row = |i: usize| bytes.as_ptr().add(40 * i);
            let rows = interleave_bytes([row(0), row(1), row(2), row(3)], 0x80).map(lanes);
            (
                rows,
                [1, 2, 3].map(|stride| lanes(windows_of_four(bytes.as_ptr(), stride))),
            )
        };
        for (i, word) in rows.into_iter().flatten().enumerate() {
            let expected = [0, 40, 80, 120].map(|row| (row + i) as u8 ^ 0x80);
            assert_eq!(word.to_le_bytes(), expected, "column {i}");
        }
        for (stride, words) in (1..).zip(strides) {
            for (i, word) in words.into_iter().enumerate() {
                let first = i * stride;
                let expected = [0, 1, 2, 3].map(|field| (first + field) as u8);
                assert_eq!(word.to_le_bytes(), expected, "stride {stride}, word {i}");
            }
        }
    }
}
