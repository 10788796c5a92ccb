//! The exponential of softmax and the sum of exponentials, for every set.
//!
//! Given a register of any x and one of the largest x that share its sum; promises the bound of
//! [`crate::contract::SOFTMAX_F32_MAX_ULP`] for their quotient, NaN and infinities as IEEE arithmetic has them.
//!
//! Softmax does not change when every exponential is multiplied by the same number. So instead of `e^(x − max)`, whose
//! argument would be rounded (by up to 64 ulp of the result), it takes `2^(x·log₂e − K + 64)`, K the integer next to
//! `max·log₂e`. [`super::table`], [`super::fused`] and [`super::plain`] have that exponential. The 64 keeps what becomes a
//! subnormal quotient normal until it is divided.

use onnx_swish_simd::Simd;

use super::Exponential;
use super::coefficients::LOG2_E_PARTS;

/// The factor of all exponentials is two to this.
const BIAS: f32 = 64.0;

/// Exponents below this are those of zero: the quotient is then below `2⁻¹⁸⁴`, and half the smallest f32 is `2⁻¹⁵⁰`.
pub(super) const FLOOR: f32 = -120.0;

/// Where max is this large, max has to be taken from every x beforehand: `x·log₂e` would leave the range in which the table's index can be
/// told. `x − max` is exact for every x that counts (Sterbenz: x is within a factor of two of max, for `x − max >= −128`, and below
/// that the exponent is under [`FLOOR`]).
pub(crate) const LARGE: f32 = 256.0;

/// What is so far below max has a quotient that rounds to zero: it is below `2⁻¹⁸³`.
const COUNTS: f32 = 127.0;

/// Sums begin at two to this, so that no term is larger than the sum it is added to: exponents are at most `64 + 1/2`.
const START: f32 = (1u128 << 65) as f32;

/// `1.5·2²³`: adding it rounds to an integer.
const ROUND: f32 = 12_582_912.0;

/// What all exponentials of one sum share.
#[derive(Clone, Copy)]
pub(crate) struct Shift<S: Simd> {
    /// What rounds to the exponential's steps, less K and with [`BIAS`].
    pub(super) round: S::V,
    /// The lowest x that counts.
    pub(super) lowest: S::V,
}

impl<S: Simd> Shift<S> {
    /// For the largest of the x, those that are NaN counted or not, in magnitude below [`LARGE`] or NaN. NaN makes all exponentials NaN.
    #[inline(always)]
    pub(crate) fn new<E: Exponential<S>>(s: S, exp: &E, max: S::V) -> Self {
        let round = s.splat(ROUND);
        let log = s.mul_add(max, s.splat(LOG2_E_PARTS[0]), round);
        Self {
            round: s.sub(s.splat(exp.round() + BIAS), s.sub(log, round)),
            lowest: s.sub(max, s.splat(COUNTS)),
        }
    }
}

/// A sum that carries what rounding took from it (Dekker's Fast2Sum, "A floating-point technique for extending the
/// available precision", 1971: exact as long as no term is larger than the sum).
#[derive(Clone, Copy)]
pub(crate) struct Sum<S: Simd> {
    high: S::V,
    low: S::V,
}

impl<S: Simd> Sum<S> {
    #[inline(always)]
    pub(crate) fn new(s: S) -> Self {
        Self {
            high: s.splat(START),
            low: s.splat(0.0),
        }
    }

    #[inline(always)]
    pub(crate) fn add(&mut self, s: S, e: S::V) {
        let high = s.add(self.high, e);
        self.low = s.add(self.low, s.sub(e, s.sub(high, self.high)));
        self.high = high;
    }

    /// Makes the correction less than half a unit of the sum's last place again, so that it is added to without loss.
    #[inline(always)]
    pub(crate) fn settle(&mut self, s: S) {
        let high = s.add(self.high, self.low);
        self.low = s.sub(self.low, s.sub(high, self.high));
        self.high = high;
    }

    /// The sum as two terms: the first is exact, since START is a multiple of every unit in the last place on the way.
    #[inline(always)]
    pub(crate) fn terms(&self, s: S) -> [S::V; 2] {
        [s.sub(self.high, s.splat(START)), self.low]
    }

    /// One over the sum, rounded once and off by another 2⁻⁴⁰ or so: a step of Newton's from the reciprocal of its head.
    #[inline(always)]
    pub(crate) fn reciprocal(&self, s: S) -> S::V {
        let [high, low] = self.terms(s);
        let head = s.add(high, low);
        let tail = s.sub(low, s.sub(head, high));
        let near = s.div(s.splat(1.0), head);
        let off = s.mul_add(tail, near, s.mul_add_exact(head, near, s.splat(-1.0)));
        s.sub(near, s.mul(near, off))
    }
}

/// `e` times the reciprocal of its sum, which a rounding could take above 1.
#[inline(always)]
pub(crate) fn quotient<S: Simd>(s: S, e: S::V, reciprocal: S::V) -> S::V {
    s.at_most(s.splat(1.0), s.mul(e, reciprocal))
}
