//! Values read as gates: something between 0 and 1 (times a factor) that multiplies something else.
//! Given: forms.
//! Promises: `k·σ(b·r + d)` and `k·clamp(p·r + q, lo, hi)` in one normal form each, whichever operators spelled them.

use super::{Bounds, Core, Forms, Linear, Quantisation};
use crate::graph::Value;

/// How many clamps inside clamps are looked through.
pub(super) const MAX_CLAMPS: usize = 8;

/// A gate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Gate {
    /// `k · σ(argument)`
    Logistic {
        /// Factor in front.
        k: f64,
        /// What σ is applied to.
        argument: Linear,
    },
    /// `clamp(argument, lo, hi)`, with every factor and offset moved inside.
    Clamp(Clamp),
}

/// `clamp(argument, lo, hi)`
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Clamp {
    /// The affine function inside.
    pub(crate) argument: Linear,
    /// Lower bound, may be -inf.
    pub(crate) lo: f64,
    /// Upper bound, may be +inf.
    pub(crate) hi: f64,
}

impl Clamp {
    /// `p · clamp + q`, with the factor and the offset moved inside.
    fn then(self, p: f64, q: f64) -> Option<Self> {
        let (lo, hi) = (p * self.lo + q, p * self.hi + q);
        let (lo, hi) = if p < 0.0 { (hi, lo) } else { (lo, hi) };
        let argument = self.argument.then(p, q).or_else(|| {
            // (x + 3) - 3 within [-3, 3] loses no more than numbers of the bounds' own size do.
            let Linear {
                root,
                p: slope,
                q: offset,
            } = self.argument;
            let size = lo.abs().max(hi.abs());
            let line = Linear {
                root,
                p: p * slope,
                q: p * offset + q,
            };
            let is_small = size.is_finite() && (p * offset).abs() <= 4.0 * size;
            (is_small && line.p != 0.0 && line.p.is_finite()).then_some(line)
        })?;
        Some(Self { argument, lo, hi })
    }

    /// `clamp(self, lo, hi)`
    fn within(self, lo: f64, hi: f64) -> Option<Self> {
        let (lo, hi) = (self.lo.clamp(lo, hi), self.hi.clamp(lo, hi));
        (lo < hi).then_some(Self { lo, hi, ..self })
    }
}

/// Something that looks like a gate and is none of ours: worth a sentence when it multiplies something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Almost {
    /// `tanh(z)` or `σ(z)` plus an offset that does not make it a logistic function.
    Offset,
    /// `1 + erf(z)`: GELU.
    Erf,
    /// A gate behind a change of element type.
    Cast,
    /// A gate behind QuantizeLinear.
    Quantized,
    /// A gate behind a Dropout that may drop.
    Dropout,
    /// `e^z / (1 + e^z)`: σ on paper, infinity by infinity where `e^z` overflows.
    Overflowing,
    /// `σ(z)²`, or another product of gates.
    Power,
    /// A gate that Where picks from several.
    Where,
    /// A clamp whose numbers make none.
    Closed,
}

impl Forms {
    /// `value` as a gate.
    pub(crate) fn gate(&self, value: Value) -> Option<Gate> {
        self.gate_before(value, Value::ABSENT)
    }

    /// `value` as a gate, where quantisers are looked through as far as `end`, what the gate is multiplied by.
    pub(crate) fn gate_before(&self, value: Value, end: Value) -> Option<Gate> {
        let direct = self.linear(value);
        let outer = self.behind_quantisers(direct, end);
        match self.core(outer.root) {
            Core::Sigmoid(z) => logistic(outer.p, outer.q, self.linear(z)),
            // tanh(z) = 2 σ(2z) - 1
            Core::Tanh(z) => logistic(
                2.0 * outer.p,
                outer.q - outer.p,
                self.linear(z).then(2.0, 0.0)?,
            ),
            Core::Reciprocal(z, numerator) => {
                let (k, argument) = self.logistic_denominator(z, end)?;
                logistic(outer.p * self.numerator(numerator) * k, outer.q, argument)
            }
            // e^(c - ln(1 + e^z)) = e^c · σ(-z)
            Core::Exp(exponent) => {
                let exponent = self.linear(exponent);
                let Core::Softplus(z) = self.core(exponent.root) else {
                    return None;
                };
                if exponent.p != -1.0 {
                    return None;
                }
                let argument = self.linear(z).then(-1.0, 0.0)?;
                logistic(outer.p * exponent.q.exp(), outer.q, argument)
            }
            Core::Clamp(..) => {
                let clamp = self.clamp(outer.root)?.then(outer.p, outer.q)?;
                Some(Gate::Clamp(clamp))
            }
            // Nothing but a quantiser: its bounds may be those of a Clip that the quantiser has taken out.
            _ if matches!(self.core(direct.root), Core::Code(..)) => {
                let clamp = self.clamp(direct.root)?.then(direct.p, direct.q)?;
                Some(Gate::Clamp(clamp))
            }
            _ => None,
        }
    }

    /// `1 / value` as a gate: `1 / (c·(1 + e^-z)) = σ(z) / c`.
    pub(crate) fn reciprocal_gate(&self, value: Value) -> Option<Gate> {
        let (k, argument) = self.logistic_denominator(value, Value::ABSENT)?;
        Some(Gate::Logistic { k, argument })
    }

    /// For `value = c + a·e^u`: the `k` and `z` with `1 / value = k · σ(z)`.
    ///
    /// `1 / (c + a·e^u) = (1/c) · 1 / (1 + e^(u + ln(a/c))) = (1/c) · σ(-u - ln(a/c))`
    pub(crate) fn logistic_denominator(&self, value: Value, end: Value) -> Option<(f64, Linear)> {
        let outer = self.behind_quantisers(self.linear(value), end);
        let Core::Exp(exponent) = self.core(outer.root) else {
            return None;
        };
        let (a, c) = (outer.p, outer.q);
        if !(a > 0.0 && c > 0.0) {
            return None;
        }
        let argument = self.linear(exponent).then(-1.0, -(a / c).ln())?;
        Some((1.0 / c, argument))
    }

    /// The clamp that made `root`, over the root of its argument.
    fn clamp(&self, root: Value) -> Option<Clamp> {
        match self.core(root) {
            Core::Clamp(of, bounds) => {
                let Bounds { p, q, lo, hi } = self.bounds(bounds)?;
                Some(Clamp {
                    argument: self.linear(of).then(p, q)?,
                    lo,
                    hi,
                })
            }
            Core::Code(of, index) => {
                let Quantisation { lo, hi, .. } = self.quantisation(index)?;
                Some(Clamp {
                    argument: self.linear(of),
                    lo,
                    hi,
                })
            }
            _ => None,
        }
    }

    /// The same clamp over one root after the other: `clamp(clamp(r + 3, 0, inf), -inf, 6)` is a function of the
    /// inner clamp and also of `r`.
    pub(crate) fn clamps(&self, outermost: Clamp) -> impl Iterator<Item = Clamp> + '_ {
        let mut next = Some(outermost);
        std::iter::from_fn(move || {
            let current = next?;
            next = self.clamp(current.argument.root).and_then(|inner| {
                inner
                    .then(current.argument.p, current.argument.q)?
                    .within(current.lo, current.hi)
            });
            Some(current)
        })
        .take(MAX_CLAMPS)
    }

    /// Whether clamps one after the other leave one number: `min(max(z, 6), 0)`.
    fn is_closed(&self, outermost: Clamp) -> bool {
        let innermost = self.clamps(outermost).last().unwrap_or(outermost);
        let inner = self
            .clamp(innermost.argument.root)
            .and_then(|inner| inner.then(innermost.argument.p, innermost.argument.q));
        let (lo, hi) = (innermost.lo, innermost.hi);
        inner.is_some_and(|inner| inner.lo.clamp(lo, hi) >= inner.hi.clamp(lo, hi))
    }

    /// The outermost clamp that has two bounds, each of which may come from an operator of its own: a clamp from 0 to 6 is one
    /// whether Clip, Relu and Min, or Max and Min spell it.
    pub(crate) fn two_sided(&self, outermost: Clamp) -> Option<Clamp> {
        let is_two_sided = |clamp: &Clamp| clamp.lo.is_finite() && clamp.hi.is_finite();
        self.clamps(outermost).find(is_two_sided)
    }

    /// ReLU and other clamps with an open end are everywhere and gate nothing.
    pub(crate) fn is_worth_explaining(&self, gate: Gate) -> bool {
        match gate {
            Gate::Logistic { .. } => true,
            Gate::Clamp(outermost) => self.two_sided(outermost).is_some(),
        }
    }

    /// Whether a gate is a function of what this value is a line of.
    pub(crate) fn is_gate_of(&self, gate: Value, partner: Value) -> bool {
        let root = self.linear(partner).root;
        match self.gate(gate) {
            Some(Gate::Logistic { argument, .. }) => argument.root == root,
            Some(Gate::Clamp(outermost)) => self
                .clamps(outermost)
                .any(|clamp| clamp.argument.root == root),
            // One with an offset that makes it none.
            None => match self.core(self.linear(gate).root) {
                Core::Sigmoid(z) | Core::Tanh(z) => self.linear(z).root == root,
                _ => false,
            },
        }
    }

    /// Why `value`, which is no gate, still deserves a sentence.
    pub(crate) fn almost_gate(&self, value: Value) -> Option<Almost> {
        let outer = self.linear(value);
        match self.core(outer.root) {
            Core::Sigmoid(_) | Core::Tanh(_) => Some(Almost::Offset),
            Core::Erf(_) => Some(Almost::Erf),
            Core::Closed(_) => Some(Almost::Closed),
            Core::Clamp(..) => match self.gate(value)? {
                Gate::Clamp(clamp) if self.is_closed(clamp) => Some(Almost::Closed),
                _ => None,
            },
            Core::Cast(inner) => self.is_gate_behind(inner).then_some(Almost::Cast),
            Core::Quantized(inner) => self.is_gate_behind(inner).then_some(Almost::Quantized),
            Core::Dropout(inner) => self.is_gate_behind(inner).then_some(Almost::Dropout),
            Core::Div(a, b) => self.is_overflowing(a, b).then_some(Almost::Overflowing),
            Core::Mul(a, b) => [(a, b), (b, a)]
                .into_iter()
                .any(|(a, b)| match self.core(self.linear(b).root) {
                    Core::Reciprocal(denominator, _) => self.is_overflowing(a, denominator),
                    _ => false,
                })
                .then_some(Almost::Overflowing),
            _ => None,
        }
    }

    /// Whether a value is a product of gates, or a power of one.
    pub(crate) fn is_power_of_gates(&self, value: Value) -> bool {
        let is_gate = |value| {
            self.gate(value)
                .is_some_and(|gate| self.is_worth_explaining(gate))
        };
        match self.core(self.linear(value).root) {
            Core::Mul(a, b) => is_gate(a) && is_gate(b),
            Core::Raised(base) => is_gate(base) || self.reciprocal_gate(base).is_some(),
            _ => false,
        }
    }

    /// Whether `over / under` is `e^z / (c + e^z)`.
    fn is_overflowing(&self, over: Value, under: Value) -> bool {
        self.is_exponential(over)
            && self.linear(over).root == self.linear(under).root
            && self.reciprocal_gate(under).is_some()
    }

    /// Whether `over / under` is `x·e^z / (c + e^z)`, an activation that overflows.
    pub(crate) fn is_overflowing_product(&self, over: Value, under: Value) -> bool {
        match self.core(self.linear(over).root) {
            Core::Mul(a, b) => [a, b].iter().any(|&e| self.is_overflowing(e, under)),
            _ => false,
        }
    }

    /// Whether `value` is `c + a·e^z·e^z`, or another power of an exponential: a gate's denominator that overflows early.
    pub(crate) fn is_power_denominator(&self, value: Value) -> bool {
        let Linear { root, p, q } = self.linear(value);
        let powers = match self.core(root) {
            Core::Mul(a, b) => self.is_exponential(a) && self.is_exponential(b),
            Core::Raised(base) => self.is_exponential(base),
            _ => false,
        };
        powers && p > 0.0 && q > 0.0
    }

    /// Whether `value` is a multiple of an exponential. It outgrows every gate: multiplied by a gate that was rounded
    /// to zero it is not what it was multiplied by the gate's own exponential.
    pub(crate) fn is_exponential(&self, value: Value) -> bool {
        matches!(self.core(self.linear(value).root), Core::Exp(_))
    }

    /// Whether `value` is a gate, or one that was quantised.
    fn is_gate_behind(&self, value: Value) -> bool {
        let source = match self.core(self.linear(value).root) {
            Core::Quantized(inner) => inner,
            _ => value,
        };
        self.gate(source)
            .is_some_and(|gate| self.is_worth_explaining(gate))
    }
}

/// `k·σ(z) + c`, when it is a multiple of one σ: `k·σ(z)` for c = 0, and `k·σ(z) - k = -k·σ(-z)`.
fn logistic(k: f64, c: f64, argument: Linear) -> Option<Gate> {
    if k == 0.0 || !k.is_finite() {
        None
    } else if c == 0.0 {
        Some(Gate::Logistic { k, argument })
    } else if c == -k {
        Some(Gate::Logistic {
            k: -k,
            argument: Linear {
                p: -argument.p,
                q: -argument.q,
                ..argument
            },
        })
    } else {
        None
    }
}
