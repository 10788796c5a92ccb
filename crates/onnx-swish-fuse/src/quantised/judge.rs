//! Whether a reading through quantisation is the activation that it looks like.
//! Given: a reading, and the steps from the code to its gate, its partner and its result.
//! Promises: one tolerance for constants and one for values, each derived from the step of a quantiser that stands there.
//!
//! What is read is checked with numbers: for each of the 256 codes the region, with all its roundings, must give what the
//! activation gives, but for one step of each quantiser on the way, behind the last quantiser.

use super::chain::{Chain, sigmoid};
use super::params::Quantiser;
use crate::forms::products::{Activation, Beta};
use crate::graph::Value;

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

/// The steps of a region.
pub(super) struct Steps {
    /// The numbers that the code that enters can stand for.
    pub(super) codes: Quantiser,
    /// From those to what the activation is applied to.
    pub(super) x: Chain,
    /// From those to gate and partner; nothing where one operator is the activation.
    pub(super) product: Option<(Chain, Chain)>,
    /// Whether the partner is divided by the gate.
    pub(super) inverted: bool,
    /// From the product to the code that leaves.
    pub(super) result: Chain,
    /// What the product is multiplied by on that way.
    pub(super) factor: f64,
    /// Whether a Clip or HardSigmoid bounds the gate, not only a quantiser.
    pub(super) by_operator: bool,
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= SAME * b.abs()
}

/// What `k · activation` may be said to be, the best first.
///
/// A quantiser that has taken a Clip's place bounds the gate at the largest number that calibration saw: at 6 if 6 was
/// reached, and below otherwise. So the gate's own bound may be meant to be 1, whatever the quantiser's is.
pub(super) fn verdicts(activation: Activation, factor: f64) -> Vec<Verdict> {
    let factor = if same(factor, 1.0) { 1.0 } else { factor };
    match activation {
        Activation::Swish(Beta::Number(beta)) => {
            let beta = if same(beta, 1.0) { 1.0 } else { beta };
            vec![Verdict {
                activation: Activation::Swish(Beta::Number(beta)),
                factor,
            }]
        }
        Activation::Swish(_) => vec![Verdict { activation, factor }],
        Activation::HardSwish { alpha, beta } => {
            let as_it_is = hard(alpha, beta, factor);
            if factor == 1.0 {
                return vec![as_it_is];
            }
            vec![hard(alpha * factor, beta * factor, 1.0), as_it_is]
        }
    }
}

fn hard(alpha: f64, beta: f64, factor: f64) -> Verdict {
    let standard = same(alpha, 1.0 / 6.0) && same(beta, 0.5);
    let (alpha, beta) = if standard {
        (1.0 / 6.0, 0.5)
    } else {
        (alpha, beta)
    };
    Verdict {
        activation: Activation::HardSwish { alpha, beta },
        factor,
    }
}

fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Swish(Beta::Number(beta)) => x * sigmoid(beta * x),
        Activation::Swish(_) => f64::NAN,
        Activation::HardSwish { alpha, beta } => x * (alpha * x + beta).clamp(0.0, 1.0),
    }
}

impl Steps {
    /// Every number that enters, and what the product makes of it: the number, and how far it may be off.
    fn products(&self, activation: Activation) -> impl Iterator<Item = (f64, f64, f64)> + '_ {
        self.codes.numbers().map(move |number| {
            let x = self.x.pass(number, 0.0, true).number;
            let Some((gate, partner)) = &self.product else {
                return (x, value(activation, x), 0.0);
            };
            let gate = gate.pass(number, 0.0, true);
            let partner = partner.pass(number, 0.0, true);
            if self.inverted {
                return (x, partner.number / gate.number, 0.0);
            }
            let slack = gate.slack * partner.number.abs() + partner.slack * gate.number.abs();
            (x, gate.number * partner.number, slack)
        })
    }

    /// Whether the region computes this, up to a step of each quantiser.
    pub(super) fn agree(&self, verdict: Verdict) -> bool {
        let factor = verdict.factor / self.factor;
        self.is_bounded(verdict)
            && self
                .products(verdict.activation)
                .all(|(x, product, slack)| {
                    let meant = factor * value(verdict.activation, x);
                    let found = self.result.pass(product, slack, true);
                    let meant = self.result.pass(meant, 0.0, false).number;
                    (found.number - meant).abs() <= found.slack
                })
    }

    /// Quantisers have bounds always. A gate that is bounded by one alone must reach a bound, or be the standard one.
    fn is_bounded(&self, verdict: Verdict) -> bool {
        let Activation::HardSwish { alpha, beta } = verdict.activation else {
            return true;
        };
        let standard = alpha == 1.0 / 6.0 && beta == 0.5;
        self.by_operator
            || standard
            || self.codes.numbers().any(|number| {
                let gate = alpha * self.x.pass(number, 0.0, true).number + beta;
                !(0.0..1.0).contains(&gate)
            })
    }

    /// A code whose quotients leave the range of integers.
    pub(super) fn overflowing(&self, activation: Activation) -> Option<Value> {
        self.codes
            .numbers()
            .find_map(|number| {
                let (gate, partner) = self.product.as_ref()?;
                gate.overflowing(number)
                    .or_else(|| partner.overflowing(number))
            })
            .or_else(|| {
                let mut products = self.products(activation);
                products.find_map(|(_, product, _)| self.result.overflowing(product))
            })
    }
}
