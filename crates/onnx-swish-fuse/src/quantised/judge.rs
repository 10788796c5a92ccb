//! Whether a reading through quantisation is the activation that it looks like.
//! Given: a reading, the factor behind it, and the numbers that the code can stand for.
//! Promises: no tolerance but those below, each derived from the step of a quantiser that stands there.

use super::Range;
use crate::forms::products::{Activation, Beta};

/// How far apart two constants may be and still be one, relative to their size. Quantisers store scales, so that 3 comes
/// back as 255·(3/255) with two roundings to float32. A relative error of 2^-16 moves a value by less than 1/256 of a
/// step, because a code has 256 of them.
const SAME: f64 = 1.0 / 65_536.0;

/// An activation with the factor that stays before it, which is 1 if it is the activation itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) activation: Activation,
    pub(super) factor: f64,
}

/// The gate of a HardSwish, as far as its quantiser is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct GateBounds {
    /// Step of the quantiser behind the gate, where the gate's upper bound is 1; 0 without one.
    pub(super) step: f64,
    /// Whether a Clip or HardSigmoid bounds it, not only a quantiser.
    pub(super) by_operator: bool,
}

pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

pub(super) fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * b.abs()
}

/// `factor · activation` with settled numbers, or nothing if the quantisers alone do not make it one.
pub(super) fn settle(
    activation: Activation,
    factor: f64,
    gate: GateBounds,
    x: Range,
) -> Option<Verdict> {
    let factor = if same(factor, 1.0) { 1.0 } else { factor };
    match activation {
        Activation::Swish(Beta::Number(beta)) => {
            let beta = if same(beta, 1.0) { 1.0 } else { beta };
            Some(Verdict {
                activation: Activation::Swish(Beta::Number(beta)),
                factor,
            })
        }
        Activation::Swish(_) => Some(Verdict { activation, factor }),
        Activation::HardSwish { alpha, beta } => hard(alpha, beta, factor, gate, x),
    }
}

/// `factor · x · clamp(alpha·x + beta, 0, 1)`.
///
/// A quantiser that has taken the Clip's place bounds the gate at the largest number that it has seen: at 6 if 6 was
/// reached, and below otherwise. A bound that no code reaches, or that is within a step of 1, is read as 1.
fn hard(alpha: f64, beta: f64, factor: f64, gate: GateBounds, x: Range) -> Option<Verdict> {
    let line = x.map(|x| alpha * x + beta);
    let reaches_top = line.hi > 1.0 + gate.step;
    let near = (factor - 1.0).abs() <= gate.step * factor.max(1.0);
    let free = !reaches_top && factor > 0.0 && factor * line.hi <= 1.0 + gate.step;
    let (alpha, beta, factor) = if factor != 1.0 && (near || free) {
        (alpha * factor, beta * factor, 1.0)
    } else {
        (alpha, beta, factor)
    };
    let standard = same(alpha, 1.0 / 6.0) && same(beta, 0.5);
    let (alpha, beta) = if standard {
        (1.0 / 6.0, 0.5)
    } else {
        (alpha, beta)
    };
    // Quantisers have bounds always: one that nothing reaches says nothing.
    let bounded = reaches_top || line.lo <= gate.step || line.hi >= 1.0 - gate.step;
    (gate.by_operator || standard || bounded).then_some(Verdict {
        activation: Activation::HardSwish { alpha, beta },
        factor,
    })
}
