//! What one call derives from β.
//!
//! Given any β; promises constants with which every formula takes it.

use super::coefficients::LOG2_E;

/// The constants of `x·σ(β·x)` for one β, f32: for functions on registers, which take them ready.
#[derive(Clone, Copy, Debug)]
pub struct SwishConstants {
    pub(crate) beta: f32,
    /// `−β·log₂e` as the sum of two f32.
    pub(crate) rate: [f32; 2],
    /// The same in f64.
    pub(crate) wide_rate: f64,
    /// −β as the sum of two f32 of 12 bits each, whose products with other 12 bits are exact.
    pub(crate) slope: [f32; 2],
    /// Whether β is 1.
    pub(crate) unit: bool,
    /// The magnitude of x from which on the formulas on registers do not hold; 0 if they never do.
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
        let upper = f32::from_bits((-beta).to_bits() & UPPER_BITS);
        Self {
            beta,
            rate: [high, (wide_rate - high as f64) as f32],
            wide_rate,
            slope: [upper, -beta - upper],
            unit: beta == 1.0,
            limit: if usable { 125.0 / magnitude } else { 0.0 },
        }
    }
}

/// Sign, exponent and the upper 12 bits of an f32's significand, the hidden one among them.
pub(crate) const UPPER_BITS: u32 = 0xffff_f000;
