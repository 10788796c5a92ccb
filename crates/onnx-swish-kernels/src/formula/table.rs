//! f32 by table and short polynomial, written over the few operations of [`Lanes`].
//!
//! Given a register of finite x with |x| at most the limit of [`SwishConstants`]; promises at most 2 ulp
//! ([`Swish`]) or 2⁻¹⁷ relative ([`ShortSwish`], for results that are rounded to 16 bits).

use super::swish_constants::SwishConstants;

/// What the formulas need of a register of f32. An implementor is a token: it exists only where
/// its instructions do.
pub(crate) trait Lanes: Copy {
    /// A register of f32.
    type F32: Copy;
    /// `log₂ N` of a table with one entry per lane.
    const TABLE_BITS: u32;

    fn splat(self, x: f32) -> Self::F32;
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a·b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `a·b − c`, rounded once.
    fn mul_sub(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;

    /// The powers of the table, less what [`Lanes::scale`] adds for the index.
    fn power_table(self) -> Self::F32;
    /// The excess of each power.
    fn excess_table(self) -> Self::F32;
    /// `constant + r·(c₁ + r·(c₂ + ...))` with the coefficients of the table.
    fn polynomial(self, r: Self::F32, constant: Self::F32) -> Self::F32;
    /// `2^(r − 1/(2·N))` for 16-bit results.
    fn short_polynomial(self, r: Self::F32) -> Self::F32;
    /// `table[m mod N]` for the bits m of each lane.
    fn look_up(self, table: Self::F32, m: Self::F32) -> Self::F32;
    /// Adds the bits of m to the exponent of each lane: times `2^⌊k⌋`, and off by the index.
    fn scale(self, power: Self::F32, m: Self::F32) -> Self::F32;
    /// Whether a lane's magnitude is `limit` or above, or NaN.
    fn any_beyond<const N: usize>(self, x: [Self::F32; N], limit: Self::F32) -> bool;
    /// The lanes of v, but zero where m is less than `limit`. A NaN in m is not less.
    fn zero_below(self, v: Self::F32, m: Self::F32, limit: Self::F32) -> Self::F32;
}

/// `1.5·2²³/N`: adding it rounds to a multiple of 1/N; the low bits of the sum are then the index
/// and, above it, the integer part.
#[inline(always)]
pub(super) const fn round_to(table_bits: u32) -> f32 {
    12_582_912.0 / (1u32 << table_bits) as f32
}

/// A function of x, with its constants in registers.
pub(crate) trait Activation<S: Lanes>: Copy {
    /// Whether the function holds only below [`Activation::limit`].
    const LIMITED: bool;
    fn limit(&self) -> S::F32;
    fn eval(&self, s: S, x: S::F32) -> S::F32;
}

/// `x/(1 + 2ᶻ)`, `z = x·rate`, to f32 precision.
#[derive(Clone, Copy)]
pub(crate) struct Swish<S: Lanes> {
    rate: [S::F32; 2],
    round: S::F32,
    power: S::F32,
    excess: S::F32,
    one: S::F32,
    limit: S::F32,
}

impl<S: Lanes> Swish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: [s.splat(constants.rate[0]), s.splat(constants.rate[1])],
            round: s.splat(round_to(S::TABLE_BITS)),
            power: s.power_table(),
            excess: s.excess_table(),
            one: s.splat(1.0),
            limit: s.splat(constants.limit),
        }
    }
}

impl<S: Lanes> Activation<S> for Swish<S> {
    const LIMITED: bool = true;

    #[inline(always)]
    fn limit(&self) -> S::F32 {
        self.limit
    }

    /// `2ᶻ = u·(1 + q)` with `q <= 0`, and the sum `1 + u + u·q` is taken as
    /// `max(1, u) + (min(1, u) + u·q)`. Errors in units of 2⁻²⁴ of the sum: at most 1 for the outer
    /// addition, 1/4 for the inner one, 1/16 for q. With half an ulp for the division that is below
    /// 1.9 ulp.
    #[inline(always)]
    fn eval(&self, s: S, x: S::F32) -> S::F32 {
        let m = s.mul_add(x, self.rate[0], self.round);
        let k = s.sub(m, self.round);
        let r = s.mul_sub(x, self.rate[0], k);
        let r = s.mul_add(x, self.rate[1], r);
        let q = s.polynomial(r, s.look_up(self.excess, m));
        let u = s.scale(s.look_up(self.power, m), m);
        let low = s.mul_add(u, q, s.min(u, self.one));
        s.div(x, s.add(low, s.max(u, self.one)))
    }
}

/// `x/(1 + 2ᶻ)` for results of 11 bits or fewer.
#[derive(Clone, Copy)]
pub(crate) struct ShortSwish<S: Lanes> {
    rate: S::F32,
    round: S::F32,
    power: S::F32,
    one: S::F32,
    limit: S::F32,
}

impl<S: Lanes> ShortSwish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, constants: &SwishConstants) -> Self {
        Self {
            rate: s.splat(constants.rate[0]),
            round: s.splat(round_to(S::TABLE_BITS)),
            power: s.power_table(),
            one: s.splat(1.0),
            limit: s.splat(constants.limit),
        }
    }
}

impl<S: Lanes> Activation<S> for ShortSwish<S> {
    const LIMITED: bool = true;

    #[inline(always)]
    fn limit(&self) -> S::F32 {
        self.limit
    }

    #[inline(always)]
    fn eval(&self, s: S, x: S::F32) -> S::F32 {
        let m = s.mul_add(x, self.rate, self.round);
        let r = s.mul_sub(x, self.rate, s.sub(m, self.round));
        let u = s.scale(s.look_up(self.power, m), m);
        s.div(x, s.mul_add(u, s.short_polynomial(r), self.one))
    }
}

/// `x·clamp(α·x + β, 0, 1)`.
#[derive(Clone, Copy)]
pub(crate) struct HardSwish<S: Lanes> {
    alpha: S::F32,
    beta: S::F32,
    zero: S::F32,
    one: S::F32,
}

impl<S: Lanes> HardSwish<S> {
    /// Whether the bounds hold for these parameters. The clamping would swallow a NaN gate, which
    /// takes a parameter that is not finite; and a gate below the normal range, not yet multiplied
    /// by a large x, would have lost bits, which takes a slope below 2⁻⁸².
    #[inline(always)]
    pub(crate) fn takes(alpha: f32, beta: f32) -> bool {
        let slope = alpha.abs();
        1e-24 < slope && slope < f32::INFINITY && beta.is_finite()
    }

    #[inline(always)]
    pub(crate) fn new(s: S, alpha: f32, beta: f32) -> Self {
        Self {
            alpha: s.splat(alpha),
            beta: s.splat(beta),
            zero: s.splat(0.0),
            one: s.splat(1.0),
        }
    }
}

impl<S: Lanes> Activation<S> for HardSwish<S> {
    const LIMITED: bool = false;

    #[inline(always)]
    fn limit(&self) -> S::F32 {
        self.one
    }

    #[inline(always)]
    fn eval(&self, s: S, x: S::F32) -> S::F32 {
        let gate = s.mul_add(x, self.alpha, self.beta);
        s.mul(x, s.min(s.max(gate, self.zero), self.one))
    }
}
