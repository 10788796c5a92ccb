//! The implementations, one module per instruction set.
//!
//! Given slices whose lengths agree; promise the contract of the crate. The functions on
//! registers (`silu_lanes` and its kin) are for the epilogues of other loops.

pub mod portable;
pub(crate) mod registers;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;
