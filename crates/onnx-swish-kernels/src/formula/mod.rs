//! The formulas, each written once.
//!
//! Given x and the constants that a call derives from β; promises the error bounds that the crate
//! states. `table` and, on it, `softmax` are for registers with a permute and FMA; `wide` for f32 and shorter types
//! elsewhere, and for the inputs that `table` leaves out; `wide64` for f64.

pub(crate) mod bits;
pub(crate) mod constants;
#[cfg(target_arch = "x86_64")]
pub(crate) mod softmax;
pub(crate) mod swish_constants;
#[cfg(target_arch = "x86_64")]
pub(crate) mod table;
#[cfg(target_arch = "x86_64")]
pub(crate) mod table_constants;
pub(crate) mod wide;
pub(crate) mod wide64;
