//! Forms read through quantisers.
//! Given: forms in which codes are roots (`Core::Code`); elsewhere there are none, and lines are what they are.
//! Promises: what a line is over what was quantised, in a bounded number of steps.

use super::gates::MAX_CLAMPS;
use super::{Core, Forms, Linear, Quantisation};
use crate::graph::Value;

/// A value that is a line but for what bounds it, operators and quantisers.
#[derive(Debug, Clone)]
pub(crate) struct Bounded {
    /// The line inside.
    pub(crate) line: Linear,
    /// What operators bound it to; infinite where none does.
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    /// The quantisers on the way with what they bound it to, the outermost first.
    pub(crate) codes: Vec<(Value, f64, f64)>,
    /// Whether what the line is of was quantised before anything bounded it.
    pub(crate) is_quantised_first: bool,
}

impl Bounded {
    /// Whether a Clip or a HardSigmoid bounds it on both sides.
    pub(crate) fn is_by_operator(&self) -> bool {
        self.lo.is_finite() && self.hi.is_finite()
    }
}

impl Forms {
    /// `value` as a line over `end`, or over the first value that is neither clamped nor quantised, with its bounds.
    pub(crate) fn bounded(&self, value: Value, end: Value) -> Option<Bounded> {
        let mut found = Bounded {
            line: self.linear(value),
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
            codes: Vec::new(),
            is_quantised_first: false,
        };
        for _ in 0..MAX_CLAMPS {
            let Linear { root, p, q } = found.line;
            if root == end {
                break;
            }
            let outward = |lo: f64, hi: f64| {
                let (a, b) = (p * lo + q, p * hi + q);
                (a.min(b), a.max(b))
            };
            found.line = match self.core(root) {
                Core::Code(of, index) => {
                    let Quantisation { lo, hi, .. } = self.quantisation(index)?;
                    let (lo, hi) = outward(lo, hi);
                    found.codes.push((root, lo, hi));
                    found.is_quantised_first = true;
                    self.linear(of).then(p, q)?
                }
                Core::Clamp(of, index) => {
                    let bounds = self.bounds(index)?;
                    let (lo, hi) = outward(bounds.lo, bounds.hi);
                    found.is_quantised_first = false;
                    found.lo = found.lo.max(lo);
                    found.hi = found.hi.min(hi);
                    self.linear(of).then(bounds.p, bounds.q)?.then(p, q)?
                }
                _ => break,
            };
        }
        Some(found)
    }

    /// A line over a root that no quantiser made, or over `end`, as if quantisers did nothing.
    pub(crate) fn behind_quantisers(&self, mut line: Linear, end: Value) -> Linear {
        for _ in 0..MAX_CLAMPS {
            let Core::Code(of, _) = self.core(line.root) else {
                break;
            };
            if line.root == end {
                break;
            }
            let Some(inner) = self.linear(of).then(line.p, line.q) else {
                break;
            };
            line = inner;
        }
        line
    }

    /// What a code was before it was quantised.
    pub(crate) fn before_quantiser(&self, code: Value) -> Option<Value> {
        match self.core(code) {
            Core::Code(of, _) => Some(self.linear(of).root),
            _ => None,
        }
    }
}
