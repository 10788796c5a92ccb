//! NEON (Advanced SIMD of ARMv8.0): 4 f32 in a register, of which there are 32.
//!
//! Given the token [`Neon`]; promises that memory outside of what an operation names is neither read nor written. What ARMv8.2
//! and later added is not used: half precision is only converted here, and converting is part of the base.

use std::arch::aarch64::*;
use std::arch::asm;

use half::{bf16, f16};

use super::bytes::look_up_bytes;
use crate::memory::Memory;
use crate::simd::{Kernel, Registers, Simd};

token! {
    /// Proof that this machine executes NEON.
    Neon: is_aarch64_feature_detected, "neon"
}

impl Registers for Neon {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    type V = float32x4_t;
}

impl Simd for Neon {
    const FUSED: bool = true;
    // `tbl` finds bytes, and making them of an index takes longer than the terms of a polynomial that a table saves.
    const TABLE: usize = 1;
    const MASKED: bool = false;
    const BY_LANE: bool = true;
    type M = uint32x4_t;
    type I = uint32x4_t;
    type Table = float32x4_t;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token is proof of the instructions.
        unsafe { featured(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4_t {
        instruction!(vdupq_n_f32(x))
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        instruction!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        instruction!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        instruction!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        instruction!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn div_short(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // 8 bits, and a step of Newton's.
        instruction!({
            let near = vrecpeq_f32(b);
            vmulq_f32(vmulq_f32(a, near), vrecpsq_f32(near, b))
        })
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // `fmin` would give NaN for a NaN of either.
        instruction!(vbslq_f32(vcltq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        instruction!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn at_most(self, bound: float32x4_t, v: float32x4_t) -> float32x4_t {
        instruction!(vminq_f32(bound, v))
    }
    #[inline(always)]
    fn at_least(self, bound: float32x4_t, v: float32x4_t) -> float32x4_t {
        instruction!(vmaxq_f32(bound, v))
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        instruction!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn mul_sub(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        instruction!(vfmaq_f32(vnegq_f32(c), a, b))
    }
    #[inline(always)]
    fn mul_add_exact(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        self.mul_add(a, b, c)
    }

    #[inline(always)]
    fn to_bits(self, v: float32x4_t) -> uint32x4_t {
        instruction!(vreinterpretq_u32_f32(v))
    }
    #[inline(always)]
    fn from_bits(self, i: uint32x4_t) -> float32x4_t {
        instruction!(vreinterpretq_f32_u32(i))
    }
    #[inline(always)]
    fn int_splat(self, i: u32) -> uint32x4_t {
        instruction!(vdupq_n_u32(i))
    }
    #[inline(always)]
    fn int_add(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        instruction!(vaddq_u32(a, b))
    }
    #[inline(always)]
    fn int_and(self, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
        instruction!(vandq_u32(a, b))
    }
    #[inline(always)]
    fn int_shl(self, i: uint32x4_t, by: u32) -> uint32x4_t {
        // An immediate shift, once the compiler has seen where the count comes from.
        instruction!(vshlq_u32(i, vdupq_n_s32(by.cast_signed())))
    }

    #[inline(always)]
    fn table(self, entries: &[f32]) -> float32x4_t {
        assert_eq!(entries.len(), Self::TABLE, "entries of a table");
        self.splat(entries[0])
    }
    #[inline(always)]
    fn look_up(self, table: float32x4_t, _index: uint32x4_t) -> float32x4_t {
        table
    }

    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> uint32x4_t {
        static NUMBERS: [u32; 4] = [0, 1, 2, 3];
        let (from, to) = (from.min(4) as u32, to.min(4) as u32);
        // SAFETY: the token; four elements.
        unsafe {
            let lane = vld1q_u32(NUMBERS.as_ptr());
            vandq_u32(
                vcgeq_u32(lane, vdupq_n_u32(from)),
                vcltq_u32(lane, vdupq_n_u32(to)),
            )
        }
    }
    #[inline(always)]
    fn not_less(self, a: float32x4_t, b: float32x4_t) -> uint32x4_t {
        instruction!(vmvnq_u32(vcltq_f32(a, b)))
    }
    #[inline(always)]
    fn keep(self, v: float32x4_t, lanes: uint32x4_t) -> float32x4_t {
        instruction!(vreinterpretq_f32_u32(vandq_u32(
            vreinterpretq_u32_f32(v),
            lanes
        )))
    }
    #[inline(always)]
    fn select(self, lanes: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        instruction!(vbslq_f32(lanes, a, b))
    }
    #[inline(always)]
    fn any_beyond<const N: usize>(self, v: [float32x4_t; N], limit: float32x4_t) -> bool {
        // A comparison of magnitudes, false for a NaN.
        instruction!({
            if N != 4 {
                return chosen(vcageq_f32(v[0], limit)) != 0;
            }
            let low = vorrq_u32(vcageq_f32(v[0], limit), vcageq_f32(v[1], limit));
            let high = vorrq_u32(vcageq_f32(v[2], limit), vcageq_f32(v[N - 1], limit));
            // The upper halves of sums of 0 and 2³² − 1: zero where both are.
            vget_lane_u64::<0>(vreinterpret_u64_u16(vaddhn_u32(low, high))) != 0
        })
    }

    #[inline(always)]
    fn sum(self, v: float32x4_t) -> f32 {
        instruction!(vaddvq_f32(v))
    }
    #[inline(always)]
    fn sum_wide(self, v: float32x4_t) -> f64 {
        instruction!(vaddvq_f64(vaddq_f64(
            vcvt_f64_f32(vget_low_f32(v)),
            vcvt_high_f64_f32(v),
        )))
    }
    #[inline(always)]
    fn largest(self, v: float32x4_t) -> f32 {
        instruction!(vmaxvq_f32(v))
    }

    #[inline(always)]
    fn deinterleave(self, a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) {
        instruction!((vuzp1q_f32(a, b), vuzp2q_f32(a, b)))
    }
    #[inline(always)]
    fn interleave(self, a: float32x4_t, b: float32x4_t) -> (float32x4_t, float32x4_t) {
        instruction!((vzip1q_f32(a, b), vzip2q_f32(a, b)))
    }
    #[inline(always)]
    fn rotate(self, v: float32x4_t, by: usize) -> float32x4_t {
        instruction!({
            match by % 4 {
                0 => v,
                1 => vextq_f32::<1>(v, v),
                2 => vextq_f32::<2>(v, v),
                _ => vextq_f32::<3>(v, v),
            }
        })
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, times: usize) -> float32x4_t {
        // SAFETY: the caller promises 4/times elements, which are what each arm reads.
        unsafe {
            match times {
                1 => vld1q_f32(from),
                2 => {
                    let pair = vld1_f32(from);
                    vcombine_f32(vdup_lane_f32::<0>(pair), vdup_lane_f32::<1>(pair))
                }
                _ => vld1q_dup_f32(from),
            }
        }
    }
    #[inline(always)]
    unsafe fn splat_each<const N: usize>(self, from: *const f32) -> [float32x4_t; N] {
        // SAFETY: the token; the caller promises N elements.
        unsafe {
            let mut all = [vdupq_n_f32(0.0); N];
            let mut i = 0;
            // Whole registers, whose lanes a product then takes as its second operand.
            while i + 4 <= N {
                let four = vld1q_f32(from.add(i));
                all[i] = vdupq_laneq_f32::<0>(four);
                all[i + 1] = vdupq_laneq_f32::<1>(four);
                all[i + 2] = vdupq_laneq_f32::<2>(four);
                all[i + 3] = vdupq_laneq_f32::<3>(four);
                i += 4;
            }
            while i < N {
                all[i] = vld1q_dup_f32(from.add(i));
                i += 1;
            }
            all
        }
    }
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, lanes: uint32x4_t) -> float32x4_t {
        // SAFETY: the token; the caller promises the elements of the chosen lanes.
        unsafe {
            let chosen = chosen(lanes);
            if chosen == u64::MAX {
                return vld1q_f32(from);
            }
            let mut v = vdupq_n_f32(0.0);
            if chosen & 0xffff != 0 {
                v = vld1q_lane_f32::<0>(from, v);
            }
            if chosen & (0xffff << 16) != 0 {
                v = vld1q_lane_f32::<1>(from.wrapping_add(1), v);
            }
            if chosen & (0xffff << 32) != 0 {
                v = vld1q_lane_f32::<2>(from.wrapping_add(2), v);
            }
            if chosen & (0xffff << 48) != 0 {
                v = vld1q_lane_f32::<3>(from.wrapping_add(3), v);
            }
            v
        }
    }
    #[inline(always)]
    unsafe fn store_lanes(self, to: *mut f32, v: float32x4_t, lanes: uint32x4_t) {
        // SAFETY: the token; the caller promises the elements of the chosen lanes.
        unsafe {
            let chosen = chosen(lanes);
            if chosen == u64::MAX {
                return vst1q_f32(to, v);
            }
            if chosen & 0xffff != 0 {
                vst1q_lane_f32::<0>(to, v);
            }
            if chosen & (0xffff << 16) != 0 {
                vst1q_lane_f32::<1>(to.wrapping_add(1), v);
            }
            if chosen & (0xffff << 32) != 0 {
                vst1q_lane_f32::<2>(to.wrapping_add(2), v);
            }
            if chosen & (0xffff << 48) != 0 {
                vst1q_lane_f32::<3>(to.wrapping_add(3), v);
            }
        }
    }
    #[inline(always)]
    unsafe fn store_exactly(self, to: *mut f32, v: float32x4_t, n: usize) {
        // SAFETY: the token, and the caller's promise; the stores cover the bits of n, the larger one first.
        unsafe {
            let (mut to, mut v) = (to, v);
            if n & 2 != 0 {
                vst1_f32(to, vget_low_f32(v));
                v = vextq_f32::<2>(v, v);
                to = to.add(2);
            }
            if n & 1 != 0 {
                vst1q_lane_f32::<0>(to, v);
            }
        }
    }
    #[inline(always)]
    unsafe fn look_up_bytes(self, table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the token, and the caller's promise.
        unsafe { look_up_bytes(table, from, to, n) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a hint that never faults. (The intrinsic is not stable.)
        unsafe {
            asm!("prfm pldl1keep, [{}]", in(reg) at, options(nomem, nostack, preserves_flags));
        }
    }
}

/// The chosen lanes, 16 bits each.
///
/// # Safety
/// NEON is there.
#[inline(always)]
unsafe fn chosen(lanes: uint32x4_t) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { vget_lane_u64::<0>(vreinterpret_u64_u16(vmovn_u32(lanes))) }
}

impl Memory<f32> for Neon {
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller's promise.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: the caller's promise.
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, n: usize) -> float32x4_t {
        // SAFETY: the caller's promise; a buffer of 4.
        unsafe {
            if n == 4 {
                return vld1q_f32(from);
            }
            vld1q_f32(first_of::<_, 4>(from, n).as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, v: float32x4_t, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if n == 4 {
                vst1q_f32(to, v);
            } else {
                self.store_exactly(to, v, n);
            }
        }
    }
}

/// Elements by way of the stack, for NEON has no masks for memory.
///
/// # Safety
/// `n <= N` elements can be read at `x`.
#[inline(always)]
unsafe fn first_of<T: Copy + Default, const N: usize>(x: *const T, n: usize) -> [T; N] {
    let mut buffer = [T::default(); N];
    for (i, element) in buffer.iter_mut().enumerate().take(n) {
        // SAFETY: the caller's promise.
        *element = unsafe { x.add(i).read() };
    }
    buffer
}

/// Loads and stores of a type that goes through registers of its own: `$load` of four elements at an address, `$store` to one.
macro_rules! memory {
    ($type:ty, $zero:expr, $load:ident, $store:ident) => {
        impl Memory<$type> for Neon {
            #[inline(always)]
            unsafe fn load(self, from: *const $type) -> float32x4_t {
                // SAFETY: the caller's promise.
                unsafe { $load(from) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $type, v: float32x4_t) {
                // SAFETY: the caller's promise.
                unsafe { $store(to, v) }
            }
            #[inline(always)]
            unsafe fn load_first(self, from: *const $type, n: usize) -> float32x4_t {
                // SAFETY: the caller's promise; a buffer of 4.
                unsafe {
                    if n == 4 {
                        return $load(from);
                    }
                    $load(first_of::<_, 4>(from, n).as_ptr())
                }
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $type, v: float32x4_t, n: usize) {
                let mut buffer = [$zero; 4];
                // SAFETY: a buffer of 4, and the caller's promise.
                unsafe {
                    if n == 4 {
                        return $store(to, v);
                    }
                    $store(buffer.as_mut_ptr(), v);
                    for (i, element) in buffer.iter().enumerate().take(n) {
                        to.add(i).write(*element);
                    }
                }
            }
        }
    };
}

/// # Safety
/// NEON is there; 4 elements can be read at `x`.
#[inline(always)]
unsafe fn load_f16(x: *const f16) -> float32x4_t {
    let wide;
    // SAFETY: the caller's promise; the conversion is part of the base. (Its intrinsic came with a type that is newer than the
    // oldest compiler we support.)
    unsafe {
        let halves = vld1_u16(x.cast());
        asm!("fcvtl {:v}.4s, {:v}.4h", out(vreg) wide, in(vreg) halves, options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

/// # Safety
/// NEON is there; 4 elements can be written at `y`.
#[inline(always)]
unsafe fn store_f16(y: *mut f16, v: float32x4_t) {
    let halves: uint16x4_t;
    // SAFETY: as above; it rounds as the processor is set to, and Rust's programs leave that at to nearest, ties to even.
    unsafe {
        asm!("fcvtn {:v}.4h, {:v}.4s", out(vreg) halves, in(vreg) v, options(pure, nomem, nostack, preserves_flags));
        vst1_u16(y.cast(), halves);
    }
}

/// # Safety
/// NEON is there; 4 elements can be read at `x`.
#[inline(always)]
unsafe fn load_bf16(x: *const bf16) -> float32x4_t {
    // SAFETY: the caller's promise.
    unsafe { vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(x.cast()))) }
}

/// Rounds to nearest, ties away from zero. A NaN has a lower half of zero, by the promise of [`Memory`], and does not carry.
///
/// # Safety
/// NEON is there; 4 elements can be written at `y`.
#[inline(always)]
unsafe fn store_bf16(y: *mut bf16, v: float32x4_t) {
    // SAFETY: the caller's promise.
    unsafe { vst1_u16(y.cast(), vrshrn_n_u32::<16>(vreinterpretq_u32_f32(v))) }
}

/// # Safety
/// NEON is there; 4 elements can be read at `x`.
#[inline(always)]
unsafe fn four_bytes<T>(x: *const T) -> uint8x8_t {
    // SAFETY: the caller's promise.
    unsafe { vreinterpret_u8_u32(vdup_n_u32(x.cast::<u32>().read_unaligned())) }
}

/// # Safety
/// NEON is there; 4 elements can be read at `x`.
#[inline(always)]
unsafe fn load_i8(x: *const i8) -> float32x4_t {
    // SAFETY: the caller's promise.
    unsafe {
        let bytes = vreinterpret_s8_u8(four_bytes(x));
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))
    }
}

/// # Safety
/// NEON is there; 4 elements can be written at `y`.
#[inline(always)]
unsafe fn store_i8(y: *mut i8, v: float32x4_t) {
    // SAFETY: the caller's promise.
    unsafe {
        // Conversions stop at the ends of a range by themselves, but make zero of NaN.
        let words = vcvtnq_s32_f32(v);
        let words = vbslq_s32(vceqq_f32(v, v), words, vdupq_n_s32(-128));
        let halves = vqmovn_s32(words);
        let bytes = vqmovn_s16(vcombine_s16(halves, halves));
        y.cast::<u32>()
            .write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_s8(bytes)));
    }
}

/// # Safety
/// NEON is there; 4 elements can be read at `x`.
#[inline(always)]
unsafe fn load_u8(x: *const u8) -> float32x4_t {
    // SAFETY: the caller's promise.
    unsafe { vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(four_bytes(x))))) }
}

/// # Safety
/// NEON is there; 4 elements can be written at `y`.
#[inline(always)]
unsafe fn store_u8(y: *mut u8, v: float32x4_t) {
    // SAFETY: the caller's promise.
    unsafe {
        // What is below the range, and NaN, becomes zero.
        let halves = vqmovn_u32(vcvtnq_u32_f32(v));
        let bytes = vqmovn_u16(vcombine_u16(halves, halves));
        y.cast::<u32>()
            .write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_u8(bytes)));
    }
}

memory!(f16, f16::ZERO, load_f16, store_f16);
memory!(bf16, bf16::ZERO, load_bf16, store_bf16);
memory!(i8, 0, load_i8, store_i8);
memory!(u8, 0, load_u8, store_u8);
