//! The formulas, each written once, with their coefficients.
//!
//! Given x and the constants that a call derives from β; promises the error bounds that the crate states. Which formula an
//! instruction set takes depends on what the set has, see [`Means`]: `table` wants look-ups and products that are added to
//! before they are rounded, `fused` only the latter, `plain` wants neither. `wide` (f32 and shorter by way of f64, one element at a time) is for the
//! inputs that both leave out; `wide64` for f64.

pub(crate) mod coefficients;
pub(crate) mod fused;
pub(crate) mod hard_swish;
pub(crate) mod plain;
pub(crate) mod softmax;
pub(crate) mod swish_constants;
pub(crate) mod table;
pub(crate) mod wide;
pub(crate) mod wide64;

use onnx_swish_simd::Simd;

use crate::element::Scalar;
use swish_constants::SwishConstants;

/// What the formulas of a set are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    /// Look-ups and fused products: [`table`].
    Table,
    /// Fused products: [`fused`].
    Fused,
    /// Neither: [`plain`].
    Plain,
}

/// The fastest whose bounds hold on this set. [`table`] has coefficients for two sizes.
#[inline(always)]
pub(crate) const fn means<S: Simd>() -> Means {
    if !S::FUSED {
        Means::Plain
    } else if S::TABLE == 8 || S::TABLE == 16 {
        Means::Table
    } else {
        Means::Fused
    }
}

/// A function of x, with its constants in registers, in two steps: something of x, and what x and that become.
pub(crate) trait Activation<S: Simd>: Copy {
    /// Whether the function holds only below [`Activation::limit`].
    const LIMITED: bool;
    /// Whether each instruction of the first step waits for the one before, more of them than a processor looks ahead. The two
    /// steps are then better two loops.
    const LONG: bool;

    /// The magnitude of x from which on the function does not hold.
    fn limit(&self) -> S::V;
    /// The first step: a divisor or a factor.
    fn part(&self, s: S, x: S::V) -> S::V;
    /// The second step.
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V;

    #[inline(always)]
    fn eval(&self, s: S, x: S::V) -> S::V {
        self.whole(s, x, self.part(s, x))
    }
}

/// What somebody does with an activation, whichever it is.
pub(crate) trait Use<S: Simd> {
    type Output;

    /// Must be `#[inline(always)]`.
    fn with<A: Activation<S>>(self, s: S, f: A) -> Self::Output;
}

/// A precision of Swish, which chooses a formula for the set and the constants.
pub(crate) trait Precision {
    fn choose<S: Simd, U: Use<S>>(s: S, constants: &SwishConstants, user: U) -> U::Output;

    /// One element that the formulas leave out.
    #[inline(always)]
    fn one<T: Scalar>(x: T, constants: &SwishConstants) -> T {
        x.swish_one(constants.wide_rate)
    }
}

/// That of f32.
pub(crate) struct Single;

impl Precision for Single {
    #[inline(always)]
    fn choose<S: Simd, U: Use<S>>(s: S, constants: &SwishConstants, user: U) -> U::Output {
        match means::<S>() {
            Means::Table => user.with(s, table::Swish::new(s, constants)),
            Means::Fused => user.with(s, fused::Swish::new(s, constants)),
            Means::Plain if constants.unit => {
                user.with(s, plain::Swish::<S, true>::new(s, constants))
            }
            Means::Plain => user.with(s, plain::Swish::<S, false>::new(s, constants)),
        }
    }
}

/// For results that are rounded to 11 bits or fewer.
pub(crate) struct Short;

impl Precision for Short {
    #[inline(always)]
    fn choose<S: Simd, U: Use<S>>(s: S, constants: &SwishConstants, user: U) -> U::Output {
        match means::<S>() {
            Means::Table => user.with(s, table::ShortSwish::new(s, constants)),
            Means::Fused => user.with(s, fused::ShortSwish::new(s, constants)),
            Means::Plain => user.with(s, plain::ShortSwish::new(s, constants)),
        }
    }
}

/// The gate of Swish alone, `1/(1 + 2ᶻ)` for `x/(1 + 2ᶻ)`, to the same precision. For β = 1.
pub(crate) struct GateOf<P>(P);

impl<P: Precision> Precision for GateOf<P> {
    #[inline(always)]
    fn choose<S: Simd, U: Use<S>>(s: S, constants: &SwishConstants, user: U) -> U::Output {
        P::choose(s, constants, UseGate(user))
    }

    #[inline(always)]
    fn one<T: Scalar>(x: T, _: &SwishConstants) -> T {
        x.sigmoid_one()
    }
}

/// Somebody who gets the gate of the activation that is chosen.
struct UseGate<U>(U);

impl<S: Simd, U: Use<S>> Use<S> for UseGate<U> {
    type Output = U::Output;

    #[inline(always)]
    fn with<A: Activation<S>>(self, s: S, f: A) -> U::Output {
        self.0.with(s, Gate(f))
    }
}

/// An activation whose first step is a divisor, with 1 in the place of x.
#[derive(Clone, Copy)]
struct Gate<A>(A);

impl<S: Simd, A: Activation<S>> Activation<S> for Gate<A> {
    const LIMITED: bool = A::LIMITED;
    const LONG: bool = A::LONG;

    #[inline(always)]
    fn limit(&self) -> S::V {
        self.0.limit()
    }

    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        self.0.part(s, x)
    }

    #[inline(always)]
    fn whole(&self, s: S, _: S::V, part: S::V) -> S::V {
        s.div(s.splat(1.0), part)
    }
}

/// The exponential of softmax.
pub(crate) trait Exponential<S: Simd>: Copy {
    /// `2⁶⁴·e^(x − max)`, times a power of two that all x of one sum share, from `shift` of their max: to about 1.15 units of
    /// 2⁻²⁴. −∞ gives zero, or what rounds to zero once it is divided.
    fn eval(&self, s: S, shift: &softmax::Shift<S>, x: S::V) -> S::V;
    /// `1.5·2²³` over the steps that the exponential divides a power of two into.
    fn round(&self) -> f32;
}
