//! Products of a gate and a partner: which activation they are, and of which value.
//! Given: a gate and the value it multiplies, as forms.
//! Promises: `y = k · activation(root)`, exact on paper, for every root that a fused node could read.

use super::gates::Gate;
use super::{Core, Forms, Linear};
use crate::element::Element;
use crate::graph::Value;

/// The beta of a Swish.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Beta {
    /// A number.
    Number(f64),
    /// A number times a tensor: learned, per channel or computed at run time.
    Times(f64, Value),
    /// A number divided by a tensor.
    Over(f64, Value),
}

/// What a product is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// `x · σ(beta · x)`
    Swish(Beta),
    /// `x · clamp(alpha · x + beta, 0, 1)`
    HardSwish {
        /// Slope.
        alpha: f64,
        /// Offset.
        beta: f64,
    },
}

/// One reading of a product: `k · activation(root)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Reading {
    /// The value that the activation is applied to.
    pub(crate) root: Value,
    /// Factor that stays behind.
    pub(crate) k: f64,
    /// What it is.
    pub(crate) activation: Activation,
}

/// Why a gate times its partner is no activation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mismatch {
    /// The gate is a function of something else than its partner.
    AnotherTensor,
    /// `x · σ(b·x + d)`
    Offset(f64),
    /// `x · clamp(.., lo, hi)` where neither bound is zero.
    Bounds(f64, f64),
    /// A bound is missing.
    HalfOpen,
    /// `x · σ(x · y)` where y is no parameter of x but its equal, or the same with a quotient.
    Entangled(Beta),
    /// `x · σ(beta · x)` with a beta that is infinite or not a number.
    NotFinite(f64),
    /// `x · σ(beta · x)` with a tensor as beta of which an element is infinite or not a number.
    NotFiniteIn(Beta, f64),
    /// `x · clamp(0 · x + d, lo, hi)`, or infinity or not a number in the place of 0.
    Flat(f64),
    /// The gate is a function of what the partner was before it was quantised.
    Unquantised(Value),
    /// Gate and partner are functions of one value that was quantised in two ways.
    TwoQuantisers(Value),
}

/// A value that a fused node could read, as a function of the value that the gate is a function of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate {
    pub(crate) value: Value,
    pub(crate) linear: Linear,
}

impl Forms {
    /// Every reading of `gate · partner`, the one with the root farthest back first.
    ///
    /// `gate` and `partner` are forms over untransposed values; `candidates` says what could be read instead.
    fn readings(
        &self,
        gate: Gate,
        partner: Linear,
        candidates: &[Candidate],
        element: Element,
    ) -> Result<Vec<Reading>, Mismatch> {
        match gate {
            Gate::Logistic { k, argument } => self.swish(k, argument, partner, candidates, element),
            Gate::Clamp(outermost) => {
                let Some(clamp) = self
                    .clamps(outermost)
                    .find(|clamp| clamp.argument.root == partner.root)
                else {
                    if let Some(factor) = self.flat(outermost, partner) {
                        return Err(Mismatch::Flat(factor));
                    }
                    let before = self.before_quantiser(partner.root);
                    let is_before =
                        |clamp: super::gates::Clamp| Some(clamp.argument.root) == before;
                    return Err(match before {
                        Some(value) if self.clamps(outermost).any(is_before) => {
                            Mismatch::Unquantised(value)
                        }
                        _ => Mismatch::AnotherTensor,
                    });
                };
                let (lo, hi) = (clamp.lo, clamp.hi);
                if lo.is_infinite() || hi.is_infinite() {
                    return Err(Mismatch::HalfOpen);
                }
                let unit = match (lo == 0.0, hi == 0.0) {
                    (true, false) => hi,
                    (false, true) => lo,
                    _ => return Err(Mismatch::Bounds(lo, hi)),
                };
                let readings = candidates.iter().filter_map(|candidate| {
                    let factor = proportion(partner, candidate.linear, element)?;
                    let (p, q) = substitute(clamp.argument, candidate.linear);
                    let activation = Activation::HardSwish {
                        alpha: p / unit,
                        beta: q / unit,
                    };
                    Some(Reading {
                        root: candidate.value,
                        k: factor * unit,
                        activation,
                    })
                });
                Ok(readings.collect())
            }
        }
    }

    /// What a clamp multiplies the partner by, where that is no slope.
    fn flat(&self, outermost: super::gates::Clamp, partner: Linear) -> Option<f64> {
        self.clamps(outermost).find_map(|clamp| {
            let Core::Degenerate(of, factor) = self.core(clamp.argument.root) else {
                return None;
            };
            let of_partner = self.linear(of).root == partner.root;
            of_partner.then(|| self.numerator(factor))
        })
    }

    pub(crate) fn swish(
        &self,
        k: f64,
        argument: Linear,
        partner: Linear,
        candidates: &[Candidate],
        element: Element,
    ) -> Result<Vec<Reading>, Mismatch> {
        let inner = self.behind_quantisers(argument, partner.root);
        if inner.root != partner.root && self.before_quantiser(partner.root) == Some(inner.root) {
            return Err(if inner.root == argument.root {
                Mismatch::Unquantised(inner.root)
            } else {
                Mismatch::TwoQuantisers(inner.root)
            });
        }
        let argument = inner;
        if argument.root == partner.root {
            let mut offset = argument.q;
            let readings: Vec<Reading> = candidates
                .iter()
                .filter_map(|candidate| {
                    let factor = proportion(partner, candidate.linear, element)?;
                    let slope = argument.p / candidate.linear.p;
                    let (there, here) = (argument.q, slope * candidate.linear.q);
                    if there != here && !(there != 0.0 && here != 0.0 && element.same(there, here))
                    {
                        offset = there - here;
                        return None;
                    }
                    let activation = Activation::Swish(Beta::Number(slope));
                    Some(Reading {
                        root: candidate.value,
                        k: k * factor,
                        activation,
                    })
                })
                .collect();
            return if readings.is_empty() {
                Err(Mismatch::Offset(offset))
            } else {
                Ok(readings)
            };
        }
        if let Core::Degenerate(of, factor) = self.core(argument.root) {
            return self.degenerate(k, argument, of, self.numerator(factor), partner, candidates);
        }
        // beta is a tensor: the argument is a product of the partner and something else.
        let (a, b, over) = match self.core(argument.root) {
            Core::Mul(a, b) => (a, b, false),
            Core::Div(a, b) => (a, b, true),
            _ => return Err(Mismatch::AnotherTensor),
        };
        for (factor, tensor) in [(a, b), (b, a)].into_iter().take(if over { 1 } else { 2 }) {
            let inner = self.linear(factor);
            if inner.root != partner.root {
                continue;
            }
            if argument.q != 0.0 {
                return Err(Mismatch::Offset(argument.q));
            }
            if self.linear(tensor).root == partner.root {
                let scale = argument.p * inner.p;
                return Err(Mismatch::Entangled(if over {
                    Beta::Over(scale, tensor)
                } else {
                    Beta::Times(scale, tensor)
                }));
            }
            let readings: Vec<Reading> = candidates
                .iter()
                .filter_map(|candidate| {
                    let scale = argument.p * proportion(inner, candidate.linear, element)?;
                    let beta = if over {
                        Beta::Over(scale, tensor)
                    } else {
                        Beta::Times(scale, tensor)
                    };
                    let k = k * proportion(partner, candidate.linear, element)?;
                    Some(Reading {
                        root: candidate.value,
                        k,
                        activation: Activation::Swish(beta),
                    })
                })
                .collect();
            if !readings.is_empty() {
                return Ok(readings);
            }
        }
        Err(Mismatch::AnotherTensor)
    }

    /// `x · σ(0 · x)`, a Swish as good as any, and `x · σ(∞ · x)`, which is none.
    fn degenerate(
        &self,
        k: f64,
        argument: Linear,
        of: Value,
        factor: f64,
        partner: Linear,
        candidates: &[Candidate],
    ) -> Result<Vec<Reading>, Mismatch> {
        let inner = self.linear(of);
        if inner.root != partner.root {
            return Err(Mismatch::AnotherTensor);
        }
        if factor != 0.0 {
            return Err(Mismatch::NotFinite(factor));
        }
        if argument.q != 0.0 {
            return Err(Mismatch::Offset(argument.q));
        }
        // Zero times an offset is zero, too: what the argument is a function of may be any of the candidates.
        let readings = candidates.iter().filter_map(|candidate| {
            Some(Reading {
                root: candidate.value,
                k: k * proportion(partner, candidate.linear, Element::F64)?,
                activation: Activation::Swish(Beta::Number(0.0)),
            })
        });
        Ok(readings.collect())
    }

    /// Every reading of `gate · partner`, both as values of the graph. `inverted` means `partner / gate`; `before` are the
    /// values on the way from the partner back to its root, which may be what the gate was computed from.
    pub(crate) fn activation(
        &self,
        gate: Value,
        inverted: bool,
        partner: Value,
        before: &[Value],
        element: Element,
        same_permutation: impl Fn(Value, Value) -> bool,
    ) -> Option<Result<Vec<Reading>, Mismatch>> {
        let here = self.linear(partner);
        let read = |value| {
            if inverted {
                self.reciprocal_gate(value)
            } else {
                self.gate_before(value, here.root)
            }
        };
        if let Some(form) = read(gate) {
            let candidates: Vec<Candidate> = before
                .iter()
                .rev()
                .chain([&partner])
                .map(|&value| Candidate {
                    value,
                    linear: self.linear(value),
                })
                .collect();
            return Some(self.readings(form, here, &candidates, element));
        }
        // A permutation of dimensions changes no number: compare what was permuted.
        let outer = self.linear(gate);
        let Core::Transpose(inner) = self.core(outer.root) else {
            return None;
        };
        if outer.p != 1.0 || outer.q != 0.0 {
            return None;
        }
        let form = read(inner)?;
        let (Core::Transpose(source), true) = (
            self.core(here.root),
            same_permutation(outer.root, here.root),
        ) else {
            return Some(Err(Mismatch::AnotherTensor));
        };
        let source = self.linear(source);
        let moved = Candidate {
            value: here.root,
            linear: source,
        };
        let Some(partner_inside) = source.then(here.p, here.q) else {
            return Some(Err(Mismatch::AnotherTensor));
        };
        let mut candidates = Vec::with_capacity(2);
        if here.root != partner {
            candidates.push(moved);
        }
        candidates.push(Candidate {
            value: partner,
            linear: partner_inside,
        });
        let readings = self
            .readings(form, partner_inside, &candidates, element)
            .map(|mut readings| {
                // A tensor beta would have to be permuted, too.
                readings.retain(|reading| {
                    !matches!(
                        reading.activation,
                        Activation::Swish(Beta::Times(..) | Beta::Over(..))
                    )
                });
                readings
            });
        Some(match readings {
            Ok(readings) if readings.is_empty() => Err(Mismatch::AnotherTensor),
            other => other,
        })
    }
}

/// The `s` with `a = s · b`, if there is one.
pub(crate) fn proportion(a: Linear, b: Linear, element: Element) -> Option<f64> {
    if a.root != b.root {
        return None;
    }
    let s = a.p / b.p;
    let q = s * b.q;
    let same = a.q == q || (a.q != 0.0 && q != 0.0 && element.same(a.q, q));
    (same && s.is_finite()).then_some(s)
}

/// `p · r + q` for `r = (x - offset) / slope`, as slope and offset over x.
pub(crate) fn substitute(form: Linear, x: Linear) -> (f64, f64) {
    let p = form.p / x.p;
    (p, form.q - p * x.q)
}
