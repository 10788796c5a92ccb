//! f32 by table and short polynomial, for sets with look-ups and fused products.
//!
//! Given a register of finite x with |x| at most the limit of [`SwishConstants`]; promises at most 2 ulp
//! ([`Swish`]) or 2⁻¹⁷ relative ([`ShortSwish`], for results that are rounded to 16 bits).

use onnx_swish_simd::Simd;

use super::coefficients::{EXP2_8, EXP2_16, Exp2Table, LOG2_E_PARTS};
use super::softmax::{FLOOR, Shift};
use super::swish_constants::SwishConstants;
use super::{Activation, Exponential};

/// The coefficients for a table of this many entries; for [`super::by_table`] alone, there are others.
const fn coefficients(entries: usize) -> &'static Exp2Table {
    if entries == 8 { &EXP2_8 } else { &EXP2_16 }
}

/// `1.5·2²³/N`: adding it rounds to a multiple of 1/N; the low bits of the sum are then the index
/// and, above it, the integer part.
const fn round_to<S: Simd>() -> f32 {
    12_582_912.0 / S::TABLE as f32
}

/// `2^(k + r)` by table and polynomial, in two forms.
#[derive(Clone, Copy)]
struct Exp2<S: Simd> {
    power: S::Table,
    excess: S::Table,
}

impl<S: Simd> Exp2<S> {
    const COEFFICIENTS: &Exp2Table = coefficients(S::TABLE);

    #[inline(always)]
    fn new(s: S) -> Self {
        Self {
            power: s.table(Self::COEFFICIENTS.power_without_index),
            excess: s.table(Self::COEFFICIENTS.excess),
        }
    }

    /// A power of two times an entry of the table, for k + [`round_to`].
    #[inline(always)]
    fn power(&self, s: S, m: S::V) -> S::V {
        let bits = s.to_bits(m);
        let exponent = s.int_shl(bits, 23 - S::TABLE.trailing_zeros());
        s.from_bits(s.int_add(s.to_bits(s.look_up(self.power, bits)), exponent))
    }

    /// What to multiply the power by, less 1; never above 0.
    #[inline(always)]
    fn excess(&self, s: S, m: S::V, r: S::V) -> S::V {
        let constant = s.look_up(self.excess, s.to_bits(m));
        s.mul_add(r, horner(s, r, Self::COEFFICIENTS.coefficients), constant)
    }
}

/// `c₀ + r·(c₁ + r·(c₂ + ...))`
#[inline(always)]
fn horner<S: Simd>(s: S, r: S::V, coefficients: &[f32]) -> S::V {
    let mut p = s.splat(coefficients[coefficients.len() - 1]);
    let mut i = coefficients.len() - 1;
    while i > 0 {
        i -= 1;
        p = s.mul_add(r, p, s.splat(coefficients[i]));
    }
    p
}

/// `x/(1 + 2ᶻ)`, `z = x·rate`, to f32 precision.
#[derive(Clone, Copy)]
pub(crate) struct Swish<S: Simd> {
    rate: [S::V; 2],
    round: S::V,
    exp2: Exp2<S>,
    one: S::V,
    limit: S::V,
}

impl<S: Simd> Swish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: [s.splat(constants.rate[0]), s.splat(constants.rate[1])],
            round: s.splat(round_to::<S>()),
            exp2: Exp2::new(s),
            one: s.splat(1.0),
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

    /// `2ᶻ = u·(1 + q)` with `q <= 0`, and the sum `1 + u + u·q` is taken as
    /// `max(1, u) + (min(1, u) + u·q)`. Errors in units of 2⁻²⁴ of the sum: at most 1 for the outer
    /// addition, 1/4 for the inner one, 1/16 for q. With half an ulp for the division that is below
    /// 1.9 ulp.
    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        let m = s.mul_add(x, self.rate[0], self.round);
        let k = s.sub(m, self.round);
        let r = s.mul_sub(x, self.rate[0], k);
        let r = s.mul_add(x, self.rate[1], r);
        let q = self.exp2.excess(s, m, r);
        let u = self.exp2.power(s, m);
        let low = s.mul_add(u, q, s.min(u, self.one));
        s.add(low, s.max(u, self.one))
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
    round: S::V,
    exp2: Exp2<S>,
    one: S::V,
    limit: S::V,
}

impl<S: Simd> ShortSwish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: s.splat(constants.rate[0]),
            round: s.splat(round_to::<S>()),
            exp2: Exp2::new(s),
            one: s.splat(1.0),
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
        let m = s.mul_add(x, self.rate, self.round);
        let r = s.mul_sub(x, self.rate, s.sub(m, self.round));
        let p = horner(s, r, Exp2::<S>::COEFFICIENTS.short);
        s.mul_add(self.exp2.power(s, m), p, self.one)
    }

    #[inline(always)]
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V {
        s.div(x, part)
    }
}

/// The exponential of softmax.
#[derive(Clone, Copy)]
pub(crate) struct Exp<S: Simd> {
    rate: [S::V; 2],
    exp2: Exp2<S>,
    floor: S::V,
}

impl<S: Simd> Exp<S> {
    #[inline(always)]
    pub(crate) fn new(s: S) -> Self {
        Self {
            rate: [s.splat(LOG2_E_PARTS[0]), s.splat(LOG2_E_PARTS[1])],
            exp2: Exp2::new(s),
            floor: s.splat(round_to::<S>() + FLOOR),
        }
    }
}

impl<S: Simd> Exponential<S> for Exp<S> {
    #[inline(always)]
    fn round(&self) -> f32 {
        round_to::<S>()
    }

    #[inline(always)]
    fn eval(&self, s: S, shift: &Shift<S>, x: S::V) -> S::V {
        let x = s.sub(x, shift.base);
        let m = s.mul_add(x, self.rate[0], shift.round);
        let k = s.sub(m, shift.round);
        let r = s.mul_sub(x, self.rate[0], k);
        let r = s.mul_add(x, self.rate[1], r);
        let q = self.exp2.excess(s, m, r);
        let u = self.exp2.power(s, m);
        // Below the floor, −∞ included, this may be anything, NaN too.
        let e = s.mul_add(u, q, u);
        s.keep(e, s.not_less(m, self.floor))
    }
}
