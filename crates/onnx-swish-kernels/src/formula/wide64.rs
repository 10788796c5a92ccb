//! f64 results, one element at a time and without a branch, for the compiler to vectorise.
//!
//! Given any x and β, infinities and NaN included; promises at most 2 ulp everywhere, with no FMA
//! instruction needed.

use super::coefficients::{EXP_64, LN_2, LOG2_E};

/// `1.5·2⁵²`: adding it rounds to an integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// Beyond this t = β·x the result is x or 0: `e⁻¹⁴⁶⁰` times the largest f64 is below half of the
/// smallest.
const FAR: f64 = 1460.0;

/// The part of `a` in its upper 26 bits, and the rest.
#[inline(always)]
fn split(a: f64) -> (f64, f64) {
    let high = f64::from_bits(a.to_bits() & !((1 << 27) - 1));
    (high, a - high)
}

/// What rounding took from the product `p = a·b` (Dekker 1971), where nothing over- or underflows.
#[inline(always)]
fn product_error(a: f64, b: f64, p: f64) -> f64 {
    let (ah, al) = split(a);
    let (bh, bl) = split(b);
    ((ah * bh - p) + ah * bl + al * bh) + al * bl
}

/// Two to the integer n, -1022 <= n <= 1023.
#[inline(always)]
fn power_of_two(n: f64) -> f64 {
    f64::from_bits((n + (ROUND + 1023.0)).to_bits() << 52)
}

#[inline(always)]
fn at_most(x: f64, most: f64) -> f64 {
    if x > most { most } else { x }
}

/// `x·σ(β·x)`.
///
/// With `e⁻ᵗ = 2ⁿ·(1 + p)`, `t = β·x`, and D = `min(1, 2⁻ⁿ) + min(1, 2ⁿ)·(1 + p)` the result is
/// `x/D`, times `2⁻ⁿ` if n > 0: neither end of the range over- or underflows before its result.
#[inline(always)]
pub(crate) fn swish(x: f64, beta: f64) -> f64 {
    let t = x * beta;
    let error = product_error(x, beta, t);
    let far = t <= -FAR;
    let near = t.abs() < FAR;
    // Comparisons that NaN (β = ∞ at x = 0) survives.
    let t = if far { -FAR } else { t };
    let t = at_most(t, FAR);
    // Where the splitting overflowed or underflowed, the product is far away or next to zero.
    let error = if near & (error.abs() < 1.0) {
        error
    } else {
        0.0
    };

    let n = (t * -LOG2_E + ROUND) - ROUND;
    // r = -t - n·ln 2, in two pieces: the first is exact.
    let r = (-t - n * LN_2[0]) - (n * LN_2[1] + error);
    let c = &EXP_64;
    let p = c[9] + r * c[10];
    let p = c[8] + r * p;
    let p = c[7] + r * p;
    let p = c[6] + r * p;
    let p = c[5] + r * p;
    let p = c[4] + r * p;
    let p = c[3] + r * p;
    let p = c[2] + r * p;
    let p = c[1] + r * p;
    let p = c[0] + r * p;
    let p = r + r * r * p;

    let up = if n > 0.0 { n } else { 0.0 };
    let down = up - n;
    // Capped: what is below 2⁻¹⁰⁰⁰ does not reach the sum.
    let one = power_of_two(-at_most(up, 1000.0));
    let power = power_of_two(-at_most(down, 1000.0));
    // The larger of the two is 1, so the error of the sum is exactly known (Dekker's Fast2Sum).
    let sum = one + power;
    let lost = (if n > 0.0 { one } else { power }) - (sum - 1.0);
    let y = x / (sum + (power * p + lost));
    // Three factors, as n reaches 2107. The largest comes last: if the others underflow, the
    // result is zero anyway, so a result that is subnormal is rounded once.
    let rest = up - at_most(up, 1000.0);
    let tip = rest - at_most(rest, 1000.0);
    let y = y * power_of_two(-tip) * power_of_two(-at_most(rest, 1000.0)) * one;
    if far { x * 0.0 } else { y }
}

/// `σ(x)`. Standard exponentials, which are within an ulp; of the argument that does not overflow.
#[inline(always)]
pub(crate) fn sigmoid(x: f64) -> f64 {
    let power = (-x.abs()).exp();
    (if x < 0.0 { power } else { 1.0 }) / (1.0 + power)
}

/// `x·clamp(α·x + β, 0, 1)`.
#[inline(always)]
pub(crate) fn hard_swish(x: f64, alpha: f64, beta: f64) -> f64 {
    x * hard_sigmoid(x, alpha, beta)
}

/// `clamp(α·x + β, 0, 1)`.
#[inline(always)]
pub(crate) fn hard_sigmoid(x: f64, alpha: f64, beta: f64) -> f64 {
    let product = alpha * x;
    let error = product_error(alpha, x, product);
    let error = if error.abs() < f64::INFINITY {
        error
    } else {
        0.0
    };
    let gate = (product + beta) + error;
    // NaN, of a parameter or of ∞·0, survives both.
    let gate = if gate <= 0.0 { 0.0 } else { gate };
    at_most(gate, 1.0)
}
