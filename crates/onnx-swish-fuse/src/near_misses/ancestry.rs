//! What a gate is made of.
//! Given: a gate and what it multiplies.
//! Promises: a bounded look back, enough to tell a squeeze gate from Mish.

use super::Explainer;
use crate::graph::{Node, Source, Value};
use crate::ops::Op;

/// How far back a gate is followed in order to say what it is made of.
pub(super) const MAX_STEPS: usize = 40;

/// What lies behind a gate.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    pub(super) meets_partner: bool,
    pub(super) softplus: bool,
    pub(super) cubic: bool,
    pub(super) pooled: bool,
    pub(super) tanh: bool,
    pub(super) legacy_axis: bool,
    pub(super) overridable: Option<Value>,
    pub(super) unreadable: Option<Value>,
    pub(super) through: Option<Op>,
}

impl Explainer<'_, '_> {
    /// What the gate is made of, as far back as anybody would look.
    pub(super) fn ancestry(&self) -> Ancestry {
        let mut found = Ancestry::default();
        let mut seen: Vec<Value> = vec![self.miss.gate];
        let mut next = 0;
        while let Some(&value) = seen.get(next) {
            next += 1;
            if value == self.miss.partner {
                found.meets_partner = true;
                continue;
            }
            match self.graph.source(value) {
                Source::Initializer(_) => {
                    if self.graph.is_overridable(value) {
                        found.overridable.get_or_insert(value);
                    } else if self.graph.is_unreadable(value) {
                        found.unreadable.get_or_insert(value);
                    }
                }
                Source::Node(node) => {
                    self.look(&mut found, node);
                    if matches!(
                        self.graph.op(node),
                        Op::Conv | Op::MatMul | Op::Gemm | Op::Unknown
                    ) {
                        // Another layer; behind it lies the rest of the network, but pooling still says what this is.
                        found.pooled |= self.pooled_before(node);
                        continue;
                    }
                    for &input in self.graph.inputs(node) {
                        if !input.is_absent() && seen.len() < MAX_STEPS && !seen.contains(&input) {
                            seen.push(input);
                        }
                    }
                }
                Source::Input | Source::Sparse | Source::Nowhere => {}
            }
        }
        found
    }

    fn look(&self, found: &mut Ancestry, node: Node) {
        let op = self.graph.op(node);
        found.legacy_axis |= self.graph.is_legacy_axis(node);
        match op {
            Op::Softplus => found.softplus = true,
            Op::Tanh => found.tanh = true,
            Op::Pow => found.cubic = true,
            Op::Mul => {
                let inputs = self.graph.inputs(node);
                found.cubic |= matches!(inputs, [a, b] if a == b);
            }
            Op::GlobalAveragePool | Op::GlobalMaxPool | Op::ReduceMean | Op::ReduceMax => {
                found.pooled = true
            }
            _ => {}
        }
        let known = matches!(
            op,
            Op::Sigmoid
                | Op::HardSigmoid
                | Op::Clip
                | Op::Mul
                | Op::Add
                | Op::Sub
                | Op::Div
                | Op::Identity
        );
        if !known && found.through.is_none() && op != Op::Unknown && op != Op::Constant {
            found.through = Some(op);
        }
    }

    /// Whether a few layers back there is a pooling over all positions.
    fn pooled_before(&self, node: Node) -> bool {
        let mut at = self.graph.inputs(node).first().copied();
        for _ in 0..MAX_STEPS {
            let Some(node) = at.and_then(|value| self.graph.producer(value)) else {
                return false;
            };
            if matches!(
                self.graph.op(node),
                Op::GlobalAveragePool
                    | Op::GlobalMaxPool
                    | Op::ReduceMean
                    | Op::ReduceMax
                    | Op::ReduceSum
            ) {
                return true;
            }
            if self.graph.op(node).is_fused()
                || matches!(self.graph.op(node), Op::Concat | Op::MaxPool | Op::Unknown)
            {
                return false;
            }
            at = self.graph.inputs(node).first().copied();
        }
        false
    }
}
