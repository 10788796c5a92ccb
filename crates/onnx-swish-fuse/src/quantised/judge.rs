//! Whether a reading through quantisation is the activation that it looks like.
//! Given: a reading, and the steps from the code to its gate, its partner and its result.
//! Promises: the region's own 256 codes are computed with all their roundings and saturations, and each must be the
//! activation's within a tolerance that the region's own steps give; no quantiser is left out.
//!
//! What a code may be off by, from the activation computed without rounding and cut off where the code that leaves ends:
//!
//! - one step of the code that leaves, and one of each quantiser between the product and it, but not more than two of its
//!   own (`Chain::tolerance`);
//! - what one step of each quantiser on the way to the gate's argument or to the partner moves the product, but not more
//!   than two steps of the code that enters would;
//! - what one step of each quantiser of the gate moves the product, but not more than 1/64 of what an open gate lets
//!   through. σ(x) and clamp(x/6 + 1/2, 0, 1) are never farther apart than 0.069 (found numerically, near |x| = 1.35): a
//!   gate that is off by more than a quarter of that could be taken for the other one.

use super::chain::{Chain, Except, Without, sigmoid};
use super::params::Quantiser;
use super::readings::CONSTANT;
use crate::forms::Quantisation;
use crate::forms::products::{Activation, Beta};
use crate::graph::Value;

/// How far apart two constants may be and still be one, relative to their size. Quantisers store scales, so that 3 comes
/// back as 255·(3/255) with two roundings to float32. A relative error of 2^-16 moves a value by less than 1/256 of a
/// step, because a code has 256 of them.
const SAME: f64 = 1.0 / 65_536.0;

/// What a gate's codes must resolve of it.
pub(super) const RESOLUTION: f64 = 1.0 / 64.0;

/// An activation with the factor that stays before it, which is 1 if it is the activation itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) activation: Activation,
    pub(super) factor: f64,
}

/// The steps of a region.
#[derive(Clone)]
pub(super) struct Steps {
    /// The numbers that the code that enters can stand for.
    pub(super) codes: Quantiser,
    /// From those to what the activation is applied to.
    pub(super) x: Chain,
    /// The operator that is the activation, if one is, and what it is applied to.
    pub(super) operator: Option<(Activation, Chain)>,
    /// From those to gate and partner; nothing where one operator is the activation.
    pub(super) product: Option<(Chain, Chain)>,
    /// Whether the partner is divided by the gate.
    pub(super) inverted: bool,
    /// From the product to the code that leaves.
    pub(super) result: Chain,
    /// Whether operators bound the gate, not only a quantiser.
    pub(super) by_operator: bool,
}

/// The quantiser that makes another function of an activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Culprit {
    pub(super) code: Value,
    pub(super) quantisation: Quantisation,
    /// What would have to be left out for the region to be the activation.
    pub(super) without: Without,
}

fn is_near(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * b.abs()
}

impl Verdict {
    /// The activation itself: the one that people name without numbers.
    pub(super) fn is_plain(&self) -> bool {
        self.factor == 1.0
            && match self.activation {
                Activation::Swish(Beta::Number(beta)) => beta == 1.0,
                Activation::Swish(_) => false,
                Activation::HardSwish { alpha, beta } => alpha == 1.0 / 6.0 && beta == 0.5,
            }
    }

    /// The activation of `p · x` as one of x: what multiplies x goes into the slope, and stands before the product, too.
    pub(super) fn over(mut self, p: f64) -> Self {
        match &mut self.activation {
            Activation::Swish(Beta::Number(beta)) => *beta *= p,
            Activation::Swish(_) => {}
            Activation::HardSwish { alpha, .. } => *alpha *= p,
        }
        self.factor *= p;
        self.snapped(SAME)
    }

    fn is_standard(&self) -> bool {
        matches!(self.activation, Activation::HardSwish { alpha, beta } if alpha == 1.0 / 6.0 && beta == 0.5)
    }

    /// With the numbers that are meant where constants were rounded when they were quantised.
    fn snapped(mut self, tolerance: f64) -> Self {
        let snap = |number: f64, meant: f64| {
            if is_near(number, meant, tolerance) {
                meant
            } else {
                number
            }
        };
        let is_off = !is_near(self.factor, 1.0, SAME);
        self.factor = snap(self.factor, 1.0);
        match &mut self.activation {
            // Where rounding changed beta it changed the factor, too: both come from the constants of one tanh. A beta that
            // is off alone is a beta.
            Activation::Swish(Beta::Number(beta)) if tolerance == SAME || is_off => {
                *beta = snap(*beta, 1.0);
            }
            Activation::Swish(_) => {}
            Activation::HardSwish { alpha, beta } => {
                let (slope, offset) = (snap(*alpha, 1.0 / 6.0), snap(*beta, 0.5));
                // One without the other is another function.
                if slope == 1.0 / 6.0 && offset == 0.5 {
                    (*alpha, *beta) = (slope, offset);
                }
            }
        }
        self
    }
}

/// What `k · activation` may be said to be, the best first.
///
/// A quantiser that has taken a Clip's place bounds the gate at the largest number that calibration saw: at 6 if 6 was
/// reached, and below otherwise. So the gate's own bound may be meant to be 1, whatever the quantiser's is.
pub(super) fn verdicts(activation: Activation, factor: f64) -> Vec<Verdict> {
    let as_it_is = Verdict { activation, factor };
    let mut verdicts = vec![as_it_is.snapped(CONSTANT), as_it_is.snapped(SAME)];
    if let Activation::HardSwish { alpha, beta } = activation
        && factor > 0.0
    {
        let inside = Verdict {
            activation: Activation::HardSwish {
                alpha: alpha * factor,
                beta: beta * factor,
            },
            factor: 1.0,
        };
        let snapped = inside.snapped(CONSTANT);
        let at = usize::from(verdicts.first().is_some_and(Verdict::is_plain));
        verdicts.insert(at, snapped);
        verdicts.insert(at + 1, inside.snapped(SAME));
    }
    verdicts.dedup();
    verdicts
}

fn value(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::Swish(Beta::Number(beta)) => x * sigmoid(beta * x),
        Activation::Swish(_) => f64::NAN,
        Activation::HardSwish { alpha, beta } => x * (alpha * x + beta).clamp(0.0, 1.0),
    }
}

/// What one number that enters becomes.
#[derive(Debug, Clone, Copy)]
struct Product {
    x: f64,
    product: f64,
    /// How far it may be off by the argument's quantisers and the partner's.
    fine: f64,
    /// How far it may be off by all of the gate's quantisers, before what is granted to them.
    gate: f64,
}

impl Steps {
    /// The same steps, judged against an activation of the number itself that the code that enters stands for.
    pub(super) fn over_code(&self) -> Self {
        Self {
            x: Chain::default(),
            ..self.clone()
        }
    }

    fn product(&self, number: f64, except: Except) -> Product {
        let spread = self.codes.scale;
        let x = self.x.pass(number, spread, None).number;
        let Some((gate, partner)) = &self.product else {
            let product = match &self.operator {
                Some((activation, argument)) => {
                    let argument = argument.pass(number, spread, None).number;
                    value(*activation, argument)
                }
                None => f64::NAN,
            };
            return Product {
                x,
                product,
                fine: 0.0,
                gate: 0.0,
            };
        };
        let gate = gate.pass(number, spread, except);
        let partner = partner.pass(number, spread, except);
        let (open, off, fine) = if self.inverted {
            let under = |number: f64, slack: f64| {
                let far = number.abs() - slack;
                if far > 0.0 {
                    1.0 / far - 1.0 / number.abs()
                } else {
                    f64::INFINITY
                }
            };
            let all = under(gate.number, gate.slack);
            (1.0 / gate.number, all, under(gate.exact, gate.fine))
        } else {
            (gate.number, gate.slack, gate.fine)
        };
        // Nothing is off where nothing is multiplied, however wide the gate's steps.
        let times = |slack: f64| {
            if partner.number == 0.0 {
                0.0
            } else {
                slack * partner.number.abs()
            }
        };
        Product {
            x,
            product: if self.inverted {
                partner.number / gate.number
            } else {
                open * partner.number
            },
            fine: times(fine) + partner.fine * open.abs(),
            gate: times(off),
        }
    }

    /// Whether the region computes this, up to a step of each quantiser; perhaps without a part of one.
    pub(super) fn agree(&self, verdict: Verdict, except: Except) -> bool {
        let slope = self.result.slope().abs();
        let tolerance = self.result.tolerance();
        let (lo, hi) = self.result.ends();
        self.codes.numbers().all(|number| {
            let found = self.product(number, except);
            let open = (verdict.factor * found.x).abs() * RESOLUTION;
            let inside = found.fine * slope + (found.gate * slope).min(open);
            let meant = verdict.factor * value(verdict.activation, found.x);
            let meant = meant.max(lo).min(hi);
            let code = self.result.pass(found.product, 0.0, except).number;
            // Zero divided by zero is no number, and runtimes disagree about its code.
            !found.product.is_nan() && (code - meant).abs() <= inside + tolerance
        })
    }

    /// Quantisers have bounds always. A gate that is bounded by one alone is a HardSwish's if it is open at zero (x·relu(x)
    /// is closed there), and reaches both bounds or is 1/2 at zero.
    pub(super) fn is_bounded(&self, verdict: Verdict) -> bool {
        let Activation::HardSwish { alpha, beta } = verdict.activation else {
            return true;
        };
        if self.by_operator || verdict.is_standard() {
            return true;
        }
        let gates = self.codes.numbers().map(|number| {
            let x = self.x.pass(number, self.codes.scale, None).number;
            alpha * x + beta
        });
        let (least, most) = gates.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), gate| {
            (lo.min(gate), hi.max(gate))
        });
        let reaches = least < -RESOLUTION && most > 1.0 + RESOLUTION;
        beta > RESOLUTION && (reaches || is_near(beta, 0.5, CONSTANT) && verdict.factor == 1.0)
    }

    /// The quantiser without which, or without a part of which, the region would be this activation.
    pub(super) fn culprit(&self, verdict: Verdict) -> Option<Culprit> {
        let (gate, partner) = match &self.product {
            Some((gate, partner)) => (Some(gate), Some(partner)),
            None => (None, None),
        };
        let codes: Vec<(Value, Quantisation)> = gate
            .into_iter()
            .chain(partner)
            .chain([&self.result])
            .flat_map(Chain::codes)
            .collect();
        [Without::Ends, Without::Rounding, Without::Both]
            .into_iter()
            .find_map(|without| {
                let innocent = |&&(code, _): &&(Value, Quantisation)| {
                    self.agree(verdict, Some((code, without)))
                };
                let (code, quantisation) = *codes.iter().find(innocent)?;
                Some(Culprit {
                    code,
                    quantisation,
                    without,
                })
            })
    }

    /// Whether the quantiser of this code cuts off more than a step of any number.
    pub(super) fn cuts_off(&self, code: Value) -> bool {
        self.codes.numbers().any(|number| {
            let inside = self
                .product
                .iter()
                .flat_map(|(gate, partner)| [gate, partner]);
            let mut cuts = inside.filter_map(|chain| chain.cut_off(number, code));
            let at_the_end = || {
                self.result
                    .cut_off(self.product(number, None).product, code)
            };
            cuts.next()
                .or_else(at_the_end)
                .is_some_and(|steps| steps > 1.0)
        })
    }

    /// The first quantiser inside.
    pub(super) fn first_code(&self) -> Option<(Value, Quantisation)> {
        let (gate, _) = self.product.as_ref()?;
        gate.codes().next().or_else(|| self.result.codes().next())
    }

    /// A code whose quotients leave the range of integers.
    pub(super) fn overflowing(&self) -> Option<Value> {
        let in_product = |number: f64| {
            let (gate, partner) = self.product.as_ref()?;
            gate.overflowing(number)
                .or_else(|| partner.overflowing(number))
        };
        self.codes.numbers().find_map(in_product).or_else(|| {
            self.codes.numbers().find_map(|number| {
                let product = self.product(number, None).product;
                self.result.overflowing(product)
            })
        })
    }
}
