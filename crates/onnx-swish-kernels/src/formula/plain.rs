//! f32 by polynomial alone, for sets without look-ups and without fused products.
//!
//! Given a register of finite x with |x| at most the limit of [`SwishConstants`]; promises at most 2 ulp ([`Swish`]) or 2⁻¹⁶
//! relative ([`ShortSwish`], for results that are rounded to 16 bits). Each operation is rounded by itself, the same on every
//! machine; `docs/accuracy.md` adds the roundings up.
//!
//! `e^t = 2ᵏ·(1 + q)` with k the integer next to `t·log₂e`. The rest `r = t − k·ln 2` is the sum of two parts: `a = t − k·L`,
//! L the upper 15 bits of ln 2, is exact, for both terms are multiples of the same power of two and their difference is
//! small; b is what L and t left, below 2⁻⁶. Then `q = a + (b + r²·P(r))`, so that the rounding of r reaches q by way of `r²` only.

use onnx_swish_simd::Simd;

use super::coefficients::{EXP_PLAIN, EXP2_PLAIN_SHORT, LN_2_PARTS, LOG2_E_PARTS};
use super::softmax::{FLOOR, Shift};
use super::swish_constants::{SwishConstants, UPPER_BITS};
use super::{Activation, Exponential};

/// `1.5·2²³`: adding it rounds to an integer, in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// The same with the bias of an exponent: moved up, the low bits are two to the integer.
const ROUND_BIASED: f32 = ROUND + 127.0;

/// What is added to a in q: `b + r²·P(r)`. The polynomial is two short chains instead of one long one.
#[inline(always)]
fn tail<S: Simd>(s: S, a: S::V, b: S::V) -> S::V {
    let [c2, c3, c4, c5, c6] = EXP_PLAIN;
    let r = s.add(a, b);
    let square = s.mul(r, r);
    let high = s.add(s.splat(c4), s.mul(r, s.splat(c5)));
    let high = s.add(high, s.mul(square, s.splat(c6)));
    let low = s.add(s.splat(c2), s.mul(r, s.splat(c3)));
    let p = s.add(low, s.mul(square, high));
    s.add(b, s.mul(square, p))
}

/// The same for −a and −b, and its sign turned.
#[inline(always)]
fn turned_tail<S: Simd>(s: S, a: S::V, b: S::V) -> S::V {
    let [c2, c3, c4, c5, c6] = EXP_PLAIN;
    let r = s.add(a, b);
    let square = s.mul(r, r);
    let high = s.sub(s.splat(c4), s.mul(r, s.splat(c5)));
    let high = s.add(high, s.mul(square, s.splat(c6)));
    let low = s.sub(s.splat(c2), s.mul(r, s.splat(c3)));
    let p = s.add(low, s.mul(square, high));
    s.sub(b, s.mul(square, p))
}

/// `x/(1 + e^t)`, `t = −β·x`, to f32 precision: β is 1, or else `β·x` is made of exact products of halves.
#[derive(Clone, Copy)]
pub(crate) struct Swish<S: Simd, const UNIT: bool> {
    rate: S::V,
    slope: [S::V; 2],
    limit: S::V,
}

impl<S: Simd, const UNIT: bool> Swish<S, UNIT> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: s.splat(constants.rate[0]),
            slope: [s.splat(constants.slope[0]), s.splat(constants.slope[1])],
            limit: s.splat(constants.limit),
        }
    }

    /// q for k. Where β is 1, all signs of the module's text are turned, that of q too, which saves turning that of x.
    #[inline(always)]
    fn excess(&self, s: S, x: S::V, k: S::V) -> S::V {
        let upper_ln_2 = s.splat(LN_2_PARTS[0]);
        let lower_ln_2 = s.splat(LN_2_PARTS[1]);
        if UNIT {
            let a = s.add(x, s.mul(k, upper_ln_2));
            s.add(a, turned_tail(s, a, s.mul(k, lower_ln_2)))
        } else {
            let upper = s.from_bits(s.int_and(s.to_bits(x), s.int_splat(UPPER_BITS)));
            let lower = s.sub(x, upper);
            let rest = s.add(s.mul(lower, self.slope[0]), s.mul(x, self.slope[1]));
            let a = s.sub(s.mul(upper, self.slope[0]), s.mul(k, upper_ln_2));
            s.add(a, tail(s, a, s.sub(rest, s.mul(k, lower_ln_2))))
        }
    }
}

impl<S: Simd, const UNIT: bool> Activation<S> for Swish<S, UNIT> {
    const LIMITED: bool = true;
    const LONG: bool = true;

    #[inline(always)]
    fn limit(&self) -> S::V {
        self.limit
    }

    /// The sum `1 + u + u·q`, u a power of two, is taken as `(1 + u) + (... + u·q)` with what the first sum lost, if one of
    /// its terms is too small for it, in the second. Errors in units of 2⁻²⁴ of the sum: at most 1 for the last addition and
    /// 1/3 for q where that is 1. With half an ulp for the division that is below 1.9 ulp.
    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        let round = s.splat(ROUND_BIASED);
        let m = s.add(s.mul(x, self.rate), round);
        let q = self.excess(s, x, s.sub(m, round));
        let u = s.from_bits(s.int_shl(s.to_bits(m), 23));
        let one = s.splat(1.0);
        let sum = s.add(one, u);
        let lost = s.sub(one, s.sub(sum, u));
        let product = s.mul(u, q);
        if UNIT {
            s.add(sum, s.sub(lost, product))
        } else {
            s.add(sum, s.add(lost, product))
        }
    }

    #[inline(always)]
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V {
        s.div(x, part)
    }
}

/// `x/(1 + 2ᶻ)`, `z = −β·log₂e·x` rounded, for results of 11 bits or fewer.
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
    const LONG: bool = true;

    #[inline(always)]
    fn limit(&self) -> S::V {
        self.limit
    }

    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        let round = s.splat(ROUND);
        let z = s.mul(x, self.rate);
        let m = s.add(z, round);
        let r = s.sub(z, s.sub(m, round));
        let [c0, c1, c2, c3, c4] = EXP2_PLAIN_SHORT;
        let p = s.add(s.splat(c3), s.mul(r, s.splat(c4)));
        let p = s.add(s.splat(c2), s.mul(r, p));
        let p = s.add(s.splat(c1), s.mul(r, p));
        let p = s.add(s.splat(c0), s.mul(r, p));
        let exponent = s.int_shl(s.to_bits(m), 23);
        let e = s.from_bits(s.int_add(s.to_bits(p), exponent));
        s.add(e, s.splat(1.0))
    }

    #[inline(always)]
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V {
        s.div(x, part)
    }
}

/// The exponential of softmax.
#[derive(Clone, Copy)]
pub(crate) struct Exp;

impl<S: Simd> Exponential<S> for Exp {
    #[inline(always)]
    fn round(&self) -> f32 {
        ROUND_BIASED
    }

    /// `1 + q` is taken as `(1 + a) + (...)` with what rounding took from the first sum in the second (Fast2Sum, for
    /// `|a| < 1`): 1.1 units of 2⁻²⁴ of the result in all.
    #[inline(always)]
    fn eval(&self, s: S, shift: &Shift<S>, x: S::V) -> S::V {
        let m = s.add(s.mul(x, s.splat(LOG2_E_PARTS[0])), shift.round);
        let k = s.sub(m, shift.round);
        let a = s.sub(x, s.mul(k, s.splat(LN_2_PARTS[0])));
        let tail = tail(s, a, s.mul(k, s.splat(-LN_2_PARTS[1])));
        let one = s.splat(1.0);
        let sum = s.add(one, a);
        let lost = s.sub(a, s.sub(sum, one));
        let u = s.from_bits(s.int_shl(s.to_bits(m), 23));
        // Below the floor, −∞ included, this may be anything, NaN too.
        let e = s.mul(u, s.add(sum, s.add(lost, tail)));
        s.keep(e, s.not_less(m, s.splat(ROUND_BIASED + FLOOR)))
    }
}
