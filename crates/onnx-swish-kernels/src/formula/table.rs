//! f32 by table and short polynomial, for sets with look-ups and fused products.
//!
//! Given a register of finite x with |x| at most the limit of [`SwishConstants`]; promises at most 2 ulp
//! ([`Swish`]) or 2⁻¹⁷ relative ([`ShortSwish`], for results that are rounded to 16 bits).

use std::hint::black_box;

use onnx_swish_simd::Simd;

use super::coefficients::{EXP2_8, EXP2_16, Exp2Table, LOG2_E_PARTS};
use super::softmax::{FLOOR, Shift};
use super::swish_constants::SwishConstants;
use super::{Activation, Exponential};

/// The coefficients for a table of this many entries; for [`super::by_table`] alone, there are others.
const fn coefficients(entries: usize) -> &'static Exp2Table {
    if entries == 8 { &EXP2_8 } else { &EXP2_16 }
}

/// The coefficients for a loop that has few registers: hidden from the compiler, which else makes many of them anew in every
/// turn and then has registers left to mix the work of several, until it runs out of them.
#[inline(always)]
fn held<S: Simd>() -> &'static Exp2Table {
    let table = coefficients(S::TABLE);
    if S::REGISTERS < 32 {
        black_box(table)
    } else {
        table
    }
}

/// `2^(k + r)`: a power of two times an entry of a table, and a polynomial of r.
#[derive(Clone, Copy)]
struct Exp2<S: Simd> {
    power: S::Table,
    round: S::V,
}

impl<S: Simd> Exp2<S> {
    #[inline(always)]
    fn new(s: S, table: &Exp2Table) -> Self {
        Self {
            power: s.table(&table.power_without_index[..S::TABLE]),
            round: s.splat(table.round),
        }
    }

    /// A power of two times an entry of the table, for k + [`Exp2Table::round`].
    #[inline(always)]
    fn power(&self, s: S, m: S::V) -> S::V {
        let bits = s.to_bits(m);
        let exponent = s.int_shl(bits, 23 - S::TABLE.trailing_zeros());
        s.from_bits(s.int_add(s.to_bits(s.look_up(self.power, bits)), exponent))
    }
}

/// What to multiply the power by, less 1.
#[derive(Clone, Copy)]
struct Excess<S: Simd> {
    constant: S::Table,
    /// From the linear term on.
    coefficients: [S::V; 4],
}

impl<S: Simd> Excess<S> {
    #[inline(always)]
    fn new(s: S, table: &Exp2Table) -> Self {
        let [c1, c2, c3, c4] = table.coefficients;
        Self {
            constant: s.table(&table.excess[..S::TABLE]),
            coefficients: [s.splat(c1), s.splat(c2), s.splat(c3), s.splat(c4)],
        }
    }

    /// Never above 0.
    #[inline(always)]
    fn eval(&self, s: S, m: S::V, r: S::V) -> S::V {
        let [c1, c2, c3, c4] = self.coefficients;
        let last = if S::TABLE == 8 {
            s.mul_add(r, c4, c3)
        } else {
            // It has one coefficient less.
            c3
        };
        let p = s.mul_add(r, s.mul_add(r, last, c2), c1);
        s.mul_add(r, p, s.look_up(self.constant, s.to_bits(m)))
    }
}

/// `x/(1 + 2ᶻ)`, `z = x·rate`, to f32 precision.
#[derive(Clone, Copy)]
pub(crate) struct Swish<S: Simd> {
    rate: [S::V; 2],
    exp2: Exp2<S>,
    excess: Excess<S>,
    one: S::V,
    limit: S::V,
}

impl<S: Simd> Swish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        let table = coefficients(S::TABLE);
        Self {
            rate: [s.splat(constants.rate[0]), s.splat(constants.rate[1])],
            exp2: Exp2::new(s, table),
            excess: Excess::new(s, table),
            one: s.splat(table.one),
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
        let m = s.mul_add(x, self.rate[0], self.exp2.round);
        let k = s.sub(m, self.exp2.round);
        let r = s.mul_sub(x, self.rate[0], k);
        let r = s.mul_add(x, self.rate[1], r);
        let q = self.excess.eval(s, m, r);
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
    exp2: Exp2<S>,
    coefficients: [S::V; 3],
    one: S::V,
    limit: S::V,
}

impl<S: Simd> ShortSwish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        let table = held::<S>();
        let [c0, c1, c2] = table.short;
        Self {
            rate: s.splat(constants.rate[0]),
            exp2: Exp2::new(s, table),
            coefficients: [s.splat(c0), s.splat(c1), s.splat(c2)],
            one: s.splat(table.one),
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
        let m = s.mul_add(x, self.rate, self.exp2.round);
        let r = s.mul_sub(x, self.rate, s.sub(m, self.exp2.round));
        let [c0, c1, c2] = self.coefficients;
        let p = s.mul_add(r, s.mul_add(r, c2, c1), c0);
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
    excess: Excess<S>,
    floor: S::V,
}

impl<S: Simd> Exp<S> {
    #[inline(always)]
    pub(crate) fn new(s: S) -> Self {
        let table = coefficients(S::TABLE);
        Self {
            rate: [s.splat(LOG2_E_PARTS[0]), s.splat(LOG2_E_PARTS[1])],
            exp2: Exp2::new(s, table),
            excess: Excess::new(s, table),
            floor: s.splat(table.round + FLOOR),
        }
    }
}

impl<S: Simd> Exponential<S> for Exp<S> {
    #[inline(always)]
    fn round(&self) -> f32 {
        coefficients(S::TABLE).round
    }

    #[inline(always)]
    fn eval(&self, s: S, shift: &Shift<S>, x: S::V) -> S::V {
        let m = s.mul_add(x, self.rate[0], shift.round);
        let k = s.sub(m, shift.round);
        let r = s.mul_sub(x, self.rate[0], k);
        let r = s.mul_add(x, self.rate[1], r);
        let q = self.excess.eval(s, m, r);
        let u = self.exp2.power(s, m);
        // Below the floor, −∞ included, this may be anything, NaN too.
        let e = s.mul_add(u, q, u);
        s.keep(e, s.not_less(m, self.floor))
    }
}
