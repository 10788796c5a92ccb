//! What one call derives from β.
//!
//! Given any β; promises constants with which every implementation takes it.

use super::constants::LOG2_E;

/// The constants of `x·σ(β·x)` for one β, f32: for functions on registers, which take them ready.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "for the table formula")
)]
pub struct SwishConstants {
    /// `−β·log₂e` as the sum of two f32.
    pub(crate) rate: [f32; 2],
    /// The same in f64.
    pub(crate) wide_rate: f64,
    /// The magnitude of x from which on the table formula does not hold; 0 if it never does.
    pub(crate) limit: f32,
}

impl SwishConstants {
    /// For SiLU, β = 1.
    pub const SILU: Self = Self::new(1.0);

    /// For `x·σ(β·x)`. Any β will do, NaN and infinities included.
    #[must_use]
    pub const fn new(beta: f32) -> Self {
        let wide_rate = beta as f64 * -LOG2_E;
        let high = wide_rate as f32;
        // 2^±125 leaves the power and 1 plus it normal. A rate outside of 2^±64 would lose bits of
        // its low part or of its products.
        let magnitude = high.abs();
        let usable = 5.5e-20 < magnitude && magnitude < 1.8e19;
        Self {
            rate: [high, (wide_rate - high as f64) as f32],
            wide_rate,
            limit: if usable { 125.0 / magnitude } else { 0.0 },
        }
    }
}
