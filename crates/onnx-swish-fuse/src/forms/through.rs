//! Forms read through quantisers.
//! Given: forms in which codes are roots (`Core::Code`); elsewhere there are none, and lines are what they are.
//! Promises: what a line is over what was quantised, in a bounded number of steps.

use super::gates::MAX_CLAMPS;
use super::{Core, Forms, Linear};
use crate::graph::Value;

impl Forms {
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
    pub(super) fn before_quantiser(&self, code: Value) -> Option<Value> {
        match self.core(code) {
            Core::Code(of, _) => Some(self.linear(of).root),
            _ => None,
        }
    }

    /// Whether an operator, not only a quantiser, makes a gate of this before `end` is reached.
    pub(crate) fn has_gate_operator(&self, value: Value, end: Value) -> bool {
        let line = self.behind_quantisers(self.linear(value), end);
        matches!(
            self.core(line.root),
            Core::Sigmoid(_)
                | Core::Tanh(_)
                | Core::Reciprocal(..)
                | Core::Clamp(..)
                | Core::Exp(_)
        )
    }
}
