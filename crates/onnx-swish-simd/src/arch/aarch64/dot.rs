//! Products of 8-bit codes with the dot products of ARMv8.2: four signed bytes in one instruction.
//!
//! Given the token [`NeonDot`]; promises that memory outside of what an operation names is not touched. Codes of u8 are taken less 128,
//! because the base of the extension multiplies bytes of the same sign only.

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon::Neon;
use crate::dot::{Dot, DotKernel, Format};

/// Proof that this machine executes `sdot`, and what [`Neon`] proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeonDot(Neon);

impl NeonDot {
    /// The token, if this machine executes the instructions.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        let available = std::arch::is_aarch64_feature_detected!("dotprod");
        Neon::new().filter(|_| available).map(Self)
    }
}

impl Dot for NeonDot {
    type S = Neon;
    const FORMAT: Format = Format {
        group: 4,
        flip: 0x80,
        weights: [-128, 127],
    };

    #[inline(always)]
    fn simd(self) -> Neon {
        self.0
    }
    #[inline(always)]
    fn vectorize<K: DotKernel>(self, kernel: K) -> K::Output {
        /// Never inlined: a kernel is to have the registers for itself.
        #[inline(never)]
        #[target_feature(enable = "neon,dotprod")]
        fn featured<K: DotKernel>(token: NeonDot, kernel: K) -> K::Output {
            kernel.run(token)
        }
        // SAFETY: the token is proof of the instructions.
        unsafe { featured(self, kernel) }
    }

    #[inline(always)]
    fn dot(self, sum: uint32x4_t, codes: uint32x4_t, weights: uint32x4_t) -> uint32x4_t {
        let mut total = sum;
        // SAFETY: the token; registers only. (The intrinsic is not stable.)
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) total,
                in(vreg) codes,
                in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags)
            );
        }
        total
    }

    #[inline(always)]
    unsafe fn interleave(self, rows: [*const u8; 4], flip: u8) -> [uint32x4_t; 4] {
        // SAFETY: the token; the caller promises 16 bytes of each row.
        unsafe {
            let flip = vdupq_n_u8(flip);
            let [a, b, c, d] = rows.map(|row| veorq_u8(vld1q_u8(row), flip));
            let pairs = |low, high| (vreinterpretq_u16_u8(low), vreinterpretq_u16_u8(high));
            // Pairs of bytes of 8 neighbours, then words of 4.
            let (low, high) = pairs(vzip1q_u8(a, b), vzip1q_u8(c, d));
            let (low_end, high_end) = pairs(vzip2q_u8(a, b), vzip2q_u8(c, d));
            [
                vreinterpretq_u32_u16(vzip1q_u16(low, high)),
                vreinterpretq_u32_u16(vzip2q_u16(low, high)),
                vreinterpretq_u32_u16(vzip1q_u16(low_end, high_end)),
                vreinterpretq_u32_u16(vzip2q_u16(low_end, high_end)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn neighbours(self, from: *const u8, stride: usize) -> uint32x4_t {
        static BY_ONE: [u8; 16] = [0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6];
        static BY_TWO: [u8; 16] = [0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7, 8, 9];
        // SAFETY: the token, and the caller's promise: 16 bytes, or four at each of the strides.
        unsafe {
            let places = match stride {
                1 => &BY_ONE,
                2 => &BY_TWO,
                _ => {
                    let word = |i: usize| from.add(i * stride).cast::<u32>().read_unaligned();
                    let words = [word(0), word(1), word(2), word(3)];
                    return vld1q_u32(words.as_ptr());
                }
            };
            let bytes = vqtbl1q_u8(vld1q_u8(from), vld1q_u8(places.as_ptr()));
            vreinterpretq_u32_u8(bytes)
        }
    }

    #[inline(always)]
    fn to_float(self, i: uint32x4_t) -> float32x4_t {
        instruction!(vcvtq_f32_s32(vreinterpretq_s32_u32(i)))
    }
    #[inline(always)]
    fn nearest(self, v: float32x4_t) -> uint32x4_t {
        instruction!(vreinterpretq_u32_s32(vcvtnq_s32_f32(v)))
    }

    #[inline(always)]
    unsafe fn store_saturated<const N: usize>(
        self,
        to: *mut u8,
        i: [uint32x4_t; N],
        n: usize,
        signed: bool,
    ) {
        const { assert!(1 <= N && N <= 3) };
        // SAFETY: the token, and the caller's promise: as many bytes are stored as there are.
        unsafe {
            let words = |at: usize| vqmovn_s32(vreinterpretq_s32_u32(i[at % N]));
            let low = vcombine_s16(words(0), words(1));
            let high = vcombine_s16(words(2), words(2));
            let bytes = if signed {
                let bytes = vcombine_s8(vqmovn_s16(low), vqmovn_s16(high));
                vreinterpretq_u8_s8(bytes)
            } else {
                vcombine_u8(vqmovun_s16(low), vqmovun_s16(high))
            };
            if n == 12 {
                vst1_u8(to, vget_low_u8(bytes));
                let last = vgetq_lane_u32::<2>(vreinterpretq_u32_u8(bytes));
                to.add(8).cast::<u32>().write_unaligned(last);
            } else {
                let mut buffer = [0u8; 16];
                vst1q_u8(buffer.as_mut_ptr(), bytes);
                to.copy_from_nonoverlapping(buffer.as_ptr(), n);
            }
        }
    }
}
