//! A value as the chain of steps from one earlier value, to be computed with numbers.
//! Given: forms read through quantisation.
//! Promises: bounded length; f64 arithmetic, with the roundings of quantisers and without.

use super::Quantised;
use crate::forms::{Bounds, Core, Quantisation};
use crate::graph::Value;

/// Most steps of a chain.
const MAX_STEPS: usize = 24;

/// Quotients of this magnitude and above leave the range of 32-bit integers.
const QUOTIENT_LIMIT: f64 = 2_147_483_648.0;

#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Line(f64, f64),
    /// A quantiser, with the code that it makes.
    Code(Value, Quantisation),
    Sigmoid,
    Tanh,
    Exp,
    /// A constant divided by the value.
    Under(f64),
    Clamp(Bounds),
}

/// Steps in the order in which they are taken.
pub(super) struct Chain(Vec<Step>);

/// What a number becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) number: f64,
    /// How far it may be off because of the quantisers on the way, each by its own step.
    pub(super) slack: f64,
}

impl Step {
    fn apply(self, x: f64, rounds: bool) -> f64 {
        match self {
            Self::Line(p, q) => p * x + q,
            Self::Code(_, Quantisation { lo, hi, step }) => {
                let nearest = if rounds {
                    (x / step).round_ties_even() * step
                } else {
                    x
                };
                nearest.max(lo).min(hi)
            }
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Exp => x.exp(),
            Self::Under(c) => c / x,
            Self::Clamp(Bounds { p, q, lo, hi }) => (p * x + q).max(lo).min(hi),
        }
    }

    /// How far an error of 1 is carried on at most. Exponentials and reciprocals carry errors on without bound, so that
    /// none is granted to quantisers before them.
    fn carries(self) -> f64 {
        match self {
            Self::Line(p, _) => p.abs(),
            Self::Code(..) | Self::Tanh => 1.0,
            Self::Sigmoid => 0.25,
            Self::Exp | Self::Under(_) => 0.0,
            Self::Clamp(Bounds { p, .. }) => p.abs(),
        }
    }
}

pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

impl Chain {
    /// Computes the chain from `x`, which is off by `slack` itself.
    pub(super) fn pass(&self, x: f64, slack: f64, rounds: bool) -> Passed {
        let start = Passed { number: x, slack };
        self.0.iter().fold(start, |passed, &step| {
            let own = match step {
                Step::Code(_, quantisation) => quantisation.step,
                _ => 0.0,
            };
            Passed {
                number: step.apply(passed.number, rounds),
                slack: passed.slack * step.carries() + own,
            }
        })
    }

    /// The first code whose quotient leaves the range of integers when the chain begins at `x`.
    pub(super) fn overflowing(&self, x: f64) -> Option<Value> {
        let mut number = x;
        for &step in &self.0 {
            // Infinity is no matter of the scale.
            if let Step::Code(code, quantisation) = step
                && number.is_finite()
                && (number / quantisation.step).abs() >= QUOTIENT_LIMIT
            {
                return Some(code);
            }
            number = step.apply(number, true);
        }
        None
    }

    /// The first code on the way.
    pub(super) fn code(&self) -> Option<Value> {
        self.0.iter().find_map(|step| match step {
            Step::Code(code, _) => Some(*code),
            _ => None,
        })
    }

    /// One quantiser more at the end.
    pub(super) fn then_code(mut self, code: Value, quantisation: Quantisation) -> Self {
        self.0.push(Step::Code(code, quantisation));
        self
    }
}

impl Quantised {
    /// The steps from `root` to `value`.
    pub(super) fn chain(&self, value: Value, root: Value) -> Option<Chain> {
        let forms = &self.forms;
        let mut steps = Vec::new();
        let mut at = value;
        while steps.len() < MAX_STEPS {
            let line = forms.linear(at);
            steps.push(Step::Line(line.p, line.q));
            if line.root == root {
                steps.reverse();
                return Some(Chain(steps));
            }
            let (step, of) = match forms.core(line.root) {
                Core::Code(of, index) => {
                    (Some(Step::Code(line.root, forms.quantisation(index)?)), of)
                }
                Core::Sigmoid(z) => (Some(Step::Sigmoid), z),
                Core::Tanh(z) => (Some(Step::Tanh), z),
                Core::Exp(z) => (Some(Step::Exp), z),
                Core::Reciprocal(z, c) => (Some(Step::Under(forms.numerator(c))), z),
                Core::Clamp(z, bounds) => (Some(Step::Clamp(forms.bounds(bounds)?)), z),
                Core::Degenerate(z, c) => (Some(Step::Line(forms.numerator(c), 0.0)), z),
                Core::Cast(z) | Core::Transpose(z) => (None, z),
                _ => return None,
            };
            steps.extend(step);
            at = of;
        }
        None
    }
}
