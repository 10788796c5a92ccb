//! Look-ups of bytes by NEON.
//!
//! Given a table of 256 bytes and bytes; promises what [`crate::Simd::look_up_bytes`] does.

use std::arch::aarch64::*;

/// Bytes that go through the table together: two registers, so that the second does not wait for the first.
const AT_ONCE: usize = 32;

/// [`crate::Simd::look_up_bytes`]. The table is in sixteen registers, and an instruction finds bytes among four of them: one that gives
/// zero for others, and three that leave what the others have found.
///
/// # Safety
/// NEON is there; the rest as there.
#[target_feature(enable = "neon")]
pub(super) unsafe fn look_up_bytes(table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
    // SAFETY: four times 64 of the 256 bytes.
    let quarters = unsafe {
        let first = table.as_ptr();
        [
            vld1q_u8_x4(first),
            vld1q_u8_x4(first.add(64)),
            vld1q_u8_x4(first.add(128)),
            vld1q_u8_x4(first.add(192)),
        ]
    };
    let mut i = 0;
    while i + AT_ONCE <= n {
        // SAFETY: so many bytes that the caller promises, all read before the first is written.
        unsafe { two_registers(quarters, from.add(i), to.add(i)) };
        i += AT_ONCE;
    }
    if i < n {
        let mut rest = [0; AT_ONCE];
        let place = rest.as_mut_ptr();
        // SAFETY: fewer bytes are left, which the caller promises, than the buffer has.
        unsafe {
            from.add(i).copy_to_nonoverlapping(place, n - i);
            two_registers(quarters, place, place);
            to.add(i).copy_from_nonoverlapping(place, n - i);
        }
    }
}

/// # Safety
/// [`AT_ONCE`] bytes can be read at `from` and written at `to`.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn two_registers(quarters: [uint8x16x4_t; 4], from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        let (low, high) = (vld1q_u8(from), vld1q_u8(from.add(16)));
        let (low, high) = (entries(quarters, low), entries(quarters, high));
        vst1q_u8(to, low);
        vst1q_u8(to.add(16), high);
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn entries(quarters: [uint8x16x4_t; 4], codes: uint8x16_t) -> uint8x16_t {
    let [first, second, third, fourth] = quarters;
    // Below 64 are the codes of one quarter, whichever it is.
    let in_quarter = |start| veorq_u8(codes, vdupq_n_u8(start));
    let found = vqtbl4q_u8(first, codes);
    let found = vqtbx4q_u8(found, second, in_quarter(64));
    let found = vqtbx4q_u8(found, third, in_quarter(128));
    vqtbx4q_u8(found, fourth, in_quarter(192))
}
