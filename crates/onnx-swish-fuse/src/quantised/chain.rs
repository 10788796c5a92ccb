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
#[derive(Clone, Default)]
pub(super) struct Chain(Vec<Step>);

/// How much of a quantiser is applied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Without {
    /// Codes have no ends.
    Ends,
    /// Codes have no steps in between.
    Rounding,
    /// Nothing of it.
    Both,
}

/// One quantiser that is not applied as it stands.
pub(super) type Except = Option<(Value, Without)>;

/// What a number becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    pub(super) number: f64,
    /// What it would be without quantisers.
    pub(super) exact: f64,
    /// How far it may be off because of the quantisers on the way, each by its own step.
    pub(super) slack: f64,
    /// The same for quantisers on the way to an activation's argument, each by two steps of the code that enters at most:
    /// an argument need not be finer than what it is computed from.
    pub(super) fine: f64,
    /// How far apart neighbouring codes that enter are here, as long as that is one number.
    spread: f64,
}

impl Step {
    fn apply(self, x: f64, except: Except) -> f64 {
        match self {
            Self::Line(p, q) => p * x + q,
            Self::Code(code, Quantisation { lo, hi, step }) => {
                let without = except.and_then(|(value, part)| (value == code).then_some(part));
                let nearest = match without {
                    Some(Without::Rounding | Without::Both) => x,
                    _ => (x / step).round_ties_even() * step,
                };
                match without {
                    Some(Without::Ends | Without::Both) => nearest,
                    _ => nearest.max(lo).min(hi),
                }
            }
            Self::Sigmoid => sigmoid(x),
            Self::Tanh => x.tanh(),
            Self::Exp => x.exp(),
            Self::Under(c) => c / x,
            Self::Clamp(Bounds { p, q, lo, hi }) => (p * x + q).max(lo).min(hi),
        }
    }

    /// How far the result may be off if `x` is off by `slack`. All of these functions are monotonic, a reciprocal only on
    /// each side of zero.
    fn carry(self, x: f64, slack: f64) -> f64 {
        match self {
            Self::Line(p, _) | Self::Clamp(Bounds { p, .. }) => slack * p.abs(),
            Self::Code(..) => slack,
            Self::Under(_) if slack >= x.abs() => f64::INFINITY,
            _ => {
                let here = self.apply(x, None);
                let [less, more] = [x - slack, x + slack].map(|x| self.apply(x, None) - here);
                less.abs().max(more.abs())
            }
        }
    }
}

impl Passed {
    fn then(self, step: Step, except: Except) -> Self {
        let number = step.apply(self.number, except);
        let mut slack = step.carry(self.number, self.slack);
        let exact = match step {
            Step::Code(..) => self.exact,
            _ => step.apply(self.exact, None),
        };
        let mut fine = step.carry(self.exact, self.fine);
        let spread = match step {
            Step::Line(p, _) | Step::Clamp(Bounds { p, .. }) => self.spread * p.abs(),
            Step::Code(..) => self.spread,
            _ => 0.0,
        };
        if let Step::Code(_, quantisation) = step {
            slack += quantisation.step;
            fine += quantisation.step.min(2.0 * self.spread);
        }
        Self {
            number,
            exact,
            slack,
            fine,
            spread,
        }
    }
}

pub(super) fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

impl Chain {
    /// Computes the chain from `x`, one of numbers that are `spread` apart.
    pub(super) fn pass(&self, x: f64, spread: f64, except: Except) -> Passed {
        let start = Passed {
            number: x,
            exact: x,
            slack: 0.0,
            fine: 0.0,
            spread,
        };
        let steps = self.0.iter();
        steps.fold(start, |passed, &step| passed.then(step, except))
    }

    /// What a chain of lines and quantisers multiplies by.
    pub(super) fn slope(&self) -> f64 {
        let slopes = self.0.iter().map(|step| match step {
            Step::Line(p, _) => *p,
            _ => 1.0,
        });
        slopes.product()
    }

    /// What a code that leaves may be off by, behind quantisers that round on the way to it: a step of its own, and a step
    /// of each of the others, but not more than two of its own. It need not be finer than what it is computed from, and
    /// what is coarser by far rounds the function away.
    pub(super) fn tolerance(&self) -> f64 {
        let mut all = 0.0;
        let mut own = 0.0;
        for step in &self.0 {
            match step {
                Step::Line(p, _) => all *= p.abs(),
                Step::Code(_, quantisation) => {
                    own = quantisation.step;
                    all += own;
                }
                _ => {}
            }
        }
        all.min(3.0 * own)
    }

    /// What bounds the code that leaves.
    pub(super) fn ends(&self) -> (f64, f64) {
        match self.0.last() {
            Some(Step::Code(_, Quantisation { lo, hi, .. })) => (*lo, *hi),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        }
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
            number = step.apply(number, None);
        }
        None
    }

    /// How many of its steps the quantiser of this code cuts off when the chain begins at `x`; nothing if it is on another
    /// way.
    pub(super) fn cut_off(&self, x: f64, code: Value) -> Option<f64> {
        let mut number = x;
        for &step in &self.0 {
            if let Step::Code(value, Quantisation { lo, hi, step }) = step
                && value == code
            {
                return Some((lo - number).max(number - hi) / step);
            }
            number = step.apply(number, None);
        }
        None
    }

    /// The codes on the way.
    pub(super) fn codes(&self) -> impl Iterator<Item = (Value, Quantisation)> + '_ {
        self.0.iter().filter_map(|step| match step {
            Step::Code(code, quantisation) => Some((*code, *quantisation)),
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
