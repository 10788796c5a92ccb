//! f32 by polynomial and fused products, for sets without look-ups.
//!
//! Given a register of finite x with |x| at most the limit of [`SwishConstants`]; promises at most 2 ulp
//! ([`Swish`]) or 2⁻¹⁴ relative ([`ShortSwish`], for results that are rounded to 11 bits or fewer).
//!
//! `2ᶻ = u·(1 + q)`, u two to the integer k next to z, `q = 2ʳ − 1` for the rest r. Polynomials are split into pairs of terms: an
//! instruction that adds a product to a constant destroys the constant, so that each such step costs a copy, and pairs have half as many.

use onnx_swish_simd::Simd;

use super::coefficients::{EXP2_FUSED, EXP2_PLAIN_SHORT, LOG2_E_PARTS};
use super::softmax::Shift;
use super::swish_constants::SwishConstants;
use super::{Activation, Exponential};

/// `1.5·2²³` with the bias of an exponent: adding it rounds to an integer, and moved up, the low bits of the sum are two to it.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// `2ᵏ`, for k + [`ROUND`].
#[inline(always)]
fn power<S: Simd>(s: S, m: S::V) -> S::V {
    s.from_bits(s.int_shl(s.to_bits(m), 23))
}

/// ln 2, of which f32 has 2⁻²⁹ more than it is.
const LN_2: f32 = std::f32::consts::LN_2;

/// `(q/r − ln 2)/r`, |r| a little above 1/2.
#[inline(always)]
fn rest<S: Simd>(s: S, r: S::V) -> S::V {
    let [c2, c3, c4, c5, c6] = EXP2_FUSED;
    let square = s.mul(r, r);
    let high = s.mul_add(r, s.splat(c5), s.splat(c4));
    let high = s.mul_add(square, s.splat(c6), high);
    let low = s.mul_add(r, s.splat(c3), s.splat(c2));
    s.mul_add(square, high, low)
}

/// `x/(1 + 2ᶻ)`, `z = x·rate`, to f32 precision.
#[derive(Clone, Copy)]
pub(crate) struct Swish<S: Simd> {
    rate: [S::V; 2],
    limit: S::V,
}

impl<S: Simd> Swish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: [s.splat(constants.rate[0]), s.splat(constants.rate[1])],
            limit: s.splat(constants.limit),
        }
    }
}

impl<S: Simd> Activation<S> for Swish<S> {
    const LIMITED: bool = true;
    const LONG: bool = false;

    #[inline(always)]
    fn limit(&self) -> S::V {
        self.limit
    }

    /// The sum `1 + u + u·q` is taken as `(1 + u) + (c + u·q)`, c what the first sum lost where one of its terms is too small for
    /// it, and `u·q` as `u·r·ln 2 + u·r²·P(r)`, whose last step alone rounds at the scale of q. Errors in units of 2⁻²⁴ of the sum are
    /// largest for r = −1/2 and large u: 0.7 for the last addition, 0.35 for that step, 0.18 for the rounding of r, 0.18 for all others
    /// and the fit. Where the last addition costs 1, they cost 0.4. With half an ulp for the division that is below 1.95 ulp.
    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        let (round, one) = (s.splat(ROUND), s.splat(1.0));
        let m = s.mul_add(x, self.rate[0], round);
        let minus_k = s.sub(round, m);
        let r = s.mul_add(x, self.rate[0], minus_k);
        let r = s.mul_add(x, self.rate[1], r);
        let u = power(s, m);
        let sum = s.add(one, u);
        let lost = s.sub(one, s.sub(sum, u));
        let linear = s.mul(u, r);
        let more = s.mul_add(s.mul(linear, r), rest(s, r), lost);
        s.add(sum, s.mul_add(linear, s.splat(LN_2), more))
    }

    #[inline(always)]
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V {
        s.div(x, part)
    }
}

/// `x/(1 + 2ᶻ)` for results of 11 bits or fewer.
#[derive(Clone, Copy)]
pub(crate) struct ShortSwish<S: Simd> {
    rate: S::V,
    limit: S::V,
}

impl<S: Simd> ShortSwish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: s.splat(constants.rate[0]),
            limit: s.splat(constants.limit),
        }
    }
}

impl<S: Simd> Activation<S> for ShortSwish<S> {
    const LIMITED: bool = true;
    const LONG: bool = false;

    #[inline(always)]
    fn limit(&self) -> S::V {
        self.limit
    }

    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        let round = s.splat(ROUND);
        let m = s.mul_add(x, self.rate, round);
        let r = s.mul_add(x, self.rate, s.sub(round, m));
        let [c0, c1, c2, c3, c4] = EXP2_PLAIN_SHORT;
        let square = s.mul(r, r);
        let high = s.mul_add(r, s.splat(c3), s.splat(c2));
        let high = s.mul_add(square, s.splat(c4), high);
        let low = s.mul_add(r, s.splat(c1), s.splat(c0));
        let p = s.mul_add(square, high, low);
        s.mul_add(power(s, m), p, s.splat(1.0))
    }

    #[inline(always)]
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V {
        s.div_short(x, part)
    }
}

/// The exponential of softmax.
#[derive(Clone, Copy)]
pub(crate) struct Exp;

impl<S: Simd> Exponential<S> for Exp {
    #[inline(always)]
    fn round(&self) -> f32 {
        ROUND
    }

    /// `u + u·q` in one step: 1.35 units of 2⁻²⁴ of the result, where r is next to −1/2: 0.7 for the addition, for it ends just
    /// above a power of two over the square root of two; the rest for r and q.
    #[inline(always)]
    fn eval(&self, s: S, shift: &Shift<S>, x: S::V) -> S::V {
        // One instruction for what would take two at the end. NaN stays.
        let x = s.at_least(shift.lowest, x);
        let m = s.mul_add(x, s.splat(LOG2_E_PARTS[0]), shift.round);
        let minus_k = s.sub(shift.round, m);
        let r = s.mul_add(x, s.splat(LOG2_E_PARTS[0]), minus_k);
        let r = s.mul_add(x, s.splat(LOG2_E_PARTS[1]), r);
        let u = power(s, m);
        let slope = s.mul_add(r, rest(s, r), s.splat(LN_2));
        s.mul_add(s.mul(u, r), slope, u)
    }
}
