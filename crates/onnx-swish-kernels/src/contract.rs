//! What the results promise, as constants: the documentation states them and the tests hold every
//! implementation to them.
//!
//! One ulp is the distance of two neighbouring numbers of the element type at the exact result.
//! Beyond the bounds, for every function and implementation:
//! - NaN for NaN; the exact result's sign, that of zeros included;
//! - infinities as the definitions give them in IEEE arithmetic: `silu(∞) = ∞`, and
//!   `silu(−∞) = hard_swish(−∞) = −∞·0 = NaN`, as the bodies of the ONNX functions give them;
//! - subnormal inputs and results are not flushed;
//! - `|y| <= |x|` (for Swish with `β·x` of either sign);
//! - `hard_swish(x) == x` for every x >= 3;
//! - an element's result does not depend on its place, on its neighbours or on the slice's length.

/// f32: the bound that a proof on paper gives is 1.9; `docs/accuracy.md` has what was measured over
/// all inputs.
pub const F32_MAX_ULP: f64 = 2.0;

/// f64.
pub const F64_MAX_ULP: f64 = 2.0;

/// f16: faithful; one of the two neighbours of the exact result.
pub const F16_MAX_ULP: f64 = 1.0;

/// bf16: faithful.
pub const BF16_MAX_ULP: f64 = 1.0;

/// f32 [`crate::softmax_in_place`] along axes of up to a thousand elements. What the implementations on
/// registers can lose, in units of 2⁻²⁴ of the result, each of which is at most an ulp: 1.35 in the exponential, as much in the sum of
/// exponentials (its rounding is carried along, which leaves 0.2 in the worst case), 1 in the
/// reciprocal, and half an ulp in the product. What the carried rounding can lose at worst grows with the length;
/// `docs/accuracy.md` has what was measured for longer axes.
pub const SOFTMAX_F32_MAX_ULP: f64 = 4.5;

/// f32 [`crate::layer_norm`] and [`crate::rms_norm`], relative. In units of 2⁻²⁴: sums of sixteen terms and then of four lose at most 18, of
/// which a root leaves half, and as many again where they are of differences of either sign; the difference, its correction, the
/// factor and the product round once each.
pub const NORM_F32_MAX_ERROR: f64 = 32.0 / (1u32 << 24) as f64;

/// f32 [`crate::tanh`]: rounded once from f64, where it is off by 2⁻²⁹ at most.
pub const TANH_F32_MAX_ULP: f64 = 0.52;
