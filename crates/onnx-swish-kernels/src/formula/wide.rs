//! f32 (and shorter) results by way of f64, one element at a time and without a branch, for the
//! compiler to vectorise.
//!
//! Given any x and β, infinities and NaN included; promises the function rounded once: an error
//! below 0.51 ulp of f32 everywhere.

use super::coefficients::{EXP2_WIDE, LOG2_E};

/// `1.5·2⁵²`: adding it rounds to an integer, in the low bits of the sum. With 1023 more, those
/// bits are the biased exponent of two to that integer.
const ROUND: f64 = 6_755_399_441_055_744.0 + 1023.0;

/// Beyond `2^±300` nothing changes: the smallest f32 is `2⁻¹⁴⁹` and the largest below `2¹²⁸`.
const FAR: f64 = 300.0;

/// What [`swish`] wants of β.
#[inline(always)]
pub(crate) fn rate(beta: f32) -> f64 {
    f64::from(beta) * -LOG2_E
}

/// `x·σ(β·x)`, given `rate = −β·log₂e`.
///
/// `w = 1/(1 + 2ᶻ)`, `z = rate·x`. In the far tail w is 0 and not `2⁻³⁰⁰`, which makes the result
/// for −∞ what the definition says, −∞·0.
#[inline(always)]
pub(crate) fn swish(x: f32, rate: f64) -> f32 {
    let x = f64::from(x);
    let z = x * rate;
    let far = z >= FAR;
    // Not `clamp` or `min`: NaN (β = ∞ at x = 0) must stay NaN.
    let z = if far { FAR } else { z };
    let w = 1.0 / (1.0 + exp2(z));
    (x * if far { 0.0 } else { w }) as f32
}

/// `σ(x)`; in the far tail 2⁻³⁰⁰, which is zero in f32.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let z = f64::from(x) * -LOG2_E;
    // Not `clamp` or `min`: NaN must stay NaN.
    let z = if z >= FAR { FAR } else { z };
    (1.0 / (1.0 + exp2(z))) as f32
}

/// Coefficients of `tanh(x)/x − 1` as a series in x²: Taylor's, of which the next, 0.0036·x¹², is below 2⁻³² up to [`NEAR`].
const TANH: [f64; 5] = [
    -1.0 / 3.0,
    2.0 / 15.0,
    -17.0 / 315.0,
    62.0 / 2835.0,
    -1382.0 / 155_925.0,
];

/// Below this `1 − e⁻²ˣ` would lose what the exponential has not got.
const NEAR: f64 = 0.25;

/// `tanh x = (1 − e⁻²ˣ)/(1 + e⁻²ˣ)`, by its series near zero; an error below 0.51 ulp.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = f64::from(x);
    let e = exp2(x.abs() * (-2.0 * LOG2_E));
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    let xx = x * x;
    let c = &TANH;
    let p = c[3] + xx * c[4];
    let p = c[2] + xx * p;
    let p = c[1] + xx * p;
    let p = c[0] + xx * p;
    let near = x * (1.0 + xx * p);
    (if x.abs() < NEAR { near } else { far }) as f32
}

/// `2ᶻ` of any z up to [`FAR`], `2^-FAR` below `-FAR`, NaN of NaN; relative error below 2⁻³¹.
#[inline(always)]
fn exp2(z: f64) -> f64 {
    let z = if z < -FAR { -FAR } else { z };
    let rounded = z + ROUND;
    let r = z - (rounded - ROUND);
    let scale = f64::from_bits(rounded.to_bits() << 52);
    let c = &EXP2_WIDE;
    let p = c[5] + r * c[6];
    let p = c[4] + r * p;
    let p = c[3] + r * p;
    let p = c[2] + r * p;
    let p = c[1] + r * p;
    let p = c[0] + r * p;
    scale + scale * (r * p)
}

/// `x·clamp(α·x + β, 0, 1)`.
#[inline(always)]
pub(crate) fn hard_swish(x: f32, alpha: f64, beta: f64) -> f32 {
    let x = f64::from(x);
    (x * hard_gate(x, alpha, beta)) as f32
}

/// `clamp(α·x + β, 0, 1)`.
#[inline(always)]
pub(crate) fn hard_sigmoid(x: f32, alpha: f64, beta: f64) -> f32 {
    hard_gate(x.into(), alpha, beta) as f32
}

/// The product of two f32 is exact in f64. Comparisons that NaN (a parameter, or α = ∞ at x = 0) survives.
#[inline(always)]
fn hard_gate(x: f64, alpha: f64, beta: f64) -> f64 {
    let gate = alpha * x + beta;
    let gate = if gate <= 0.0 { 0.0 } else { gate };
    if gate > 1.0 { 1.0 } else { gate }
}
