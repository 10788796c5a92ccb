//! The version of the file format that a plan needs, and what follows from raising it.
//! Given: a plan.
//! Promises: one answer for who writes the file and who reports on it.

use crate::graph::Value;
use crate::ops::Op;
use crate::plan::Plan;

/// Model-local functions came with version 8 of the format.
const WITH_FUNCTIONS: i64 = 8;
/// From version 4, a graph input with a stored value is a default that callers may override; before, it is a constant.
pub(crate) const WITH_OVERRIDES: i64 = 4;

impl Plan<'_> {
    /// The version that the file is written in.
    pub(crate) fn ir_version(&self) -> i64 {
        let old = self.graph.model().ir_version();
        let mut targets = self.fusions.iter().map(|fusion| fusion.target.op());
        let functions = targets.any(Op::is_ours) || !self.calls.functions.is_empty();
        if functions {
            old.max(WITH_FUNCTIONS)
        } else {
            old
        }
    }

    /// Graph inputs that were constants and would become overridable: they leave the inputs and stay what they are.
    pub(crate) fn settled_inputs(&self) -> impl Iterator<Item = Value> + '_ {
        let raised =
            self.graph.model().ir_version() < WITH_OVERRIDES && self.ir_version() >= WITH_OVERRIDES;
        self.graph.values().filter(move |&value| {
            raised
                && self.graph.initializer_position(value).is_some()
                && matches!(self.graph.input_position(value), Some((0, _)))
        })
    }

    /// What the user should know of this, in sentences.
    pub(crate) fn version_notes(&self) -> Vec<String> {
        let names: Vec<String> = self
            .settled_inputs()
            .map(|value| format!("`{}`", self.graph.display(value)))
            .collect();
        let Some((shown, rest)) = names.split_at_checked(names.len().min(3)) else {
            return Vec::new();
        };
        let (old, new) = (self.graph.model().ir_version(), self.ir_version());
        if shown.is_empty() {
            return if new > old {
                vec![format!(
                    "the file format rises from version {old} to {new}, the first with functions"
                )]
            } else {
                Vec::new()
            };
        }
        let more = match rest.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        vec![format!(
            "the file format rises from version {old} to {new}, in which callers could override an input with a stored value: {}{more} \
             no longer count as inputs of the graph and stay the constants that they were",
            shown.join(", "),
        )]
    }
}
