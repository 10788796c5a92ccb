//! An instruction set that no processor has: what tests take for the one that comes next.
//!
//! Given nothing; promises that what is generic over [`crate::Simd`] is so for a width and a number of registers that occur
//! together nowhere else. All that this set is to the project is this file and its row in `isa.rs`.

use super::portable::Plain;

/// Eight lanes and 32 registers: no processor here has both.
pub type Imaginary = Plain<8, 32>;
