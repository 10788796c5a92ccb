//! Words for gates that do not multiply at once: something moved or changed their elements before.
//! Given: the gate that flows into a factor of a product.
//! Promises: what the gate is, if that says more; else the operator that stands in between.

use super::{Explainer, Words, ancestry};
use crate::forms::gates::Almost;
use crate::graph::{Node, Value};
use crate::ops::Op;

impl Explainer<'_, '_> {
    pub(super) fn carried(&self, gate: Value) -> Words {
        let mut between = self.between(gate);
        if between.is_empty() && gate != self.miss.gate {
            between.extend(self.graph.producer(self.miss.gate));
        }
        let ops = || between.iter().map(|&node| self.graph.op(node));
        let is_cast = |op: Op| matches!(op, Op::Cast | Op::CastLike);
        let is_quantiser = |op: Op| matches!(op, Op::QuantizeLinear | Op::DequantizeLinear);
        let (of_partner, of_itself) = (self.ancestry().meets_partner, self.is_of_gate(gate));
        if of_partner && !between.is_empty() && ops().all(is_cast) {
            return self.almost(Almost::Cast);
        }
        if of_partner
            && ops().any(is_quantiser)
            && ops().all(|op| is_quantiser(op) || op.keeps_order())
        {
            return self.almost(Almost::Quantized);
        }
        if self.divides() && between.is_empty() {
            return Words::new(
                "gate_divisor",
                format!(
                    "{}: a Swish or HardSwish multiplies by its gate",
                    self.product()
                ),
                "nothing: it is another function",
            );
        }
        if of_itself {
            return self.powers();
        }
        if !of_partner {
            return self.another_tensor();
        }
        let computing = ops().find(|op| !op.moves_elements());
        let moving = ops().find(|op| !op.keeps_order()).or(ops().next());
        match (computing, moving) {
            (Some(op), _) => Words::new(
                "changed_gate",
                format!(
                    "{}: {} in between makes another function of it, which is no gate of a Swish or HardSwish",
                    self.product(),
                    op.name()
                ),
                "nothing: it is another function",
            ),
            (None, Some(op)) => Words::new(
                "moved_gate",
                format!(
                    "{}: {} in between may give its elements other places than those of {}",
                    self.product(),
                    op.name(),
                    self.name(self.miss.partner)
                ),
                format!("multiply by the gate before {}", op.name()),
            ),
            (None, None) => self.another_tensor(),
        }
    }

    /// The gate comes out of an If, a Loop or a Scan.
    pub(super) fn inside(&self) -> Words {
        Words::new(
            "captured",
            format!(
                "{}, which a graph inside of an If, a Loop or a Scan computes: gate and product stand in different graphs",
                self.product()
            ),
            "compute the gate in the graph that uses it",
        )
    }

    /// The nodes on one way from the gate to the factor, the last one first, as far as anybody would look.
    fn between(&self, gate: Value) -> Vec<Node> {
        // Each value with the number of the value before it on the way.
        let mut seen = vec![(self.miss.gate, None)];
        let mut next = 0;
        while let Some(&(value, _)) = seen.get(next) {
            if value == gate {
                break;
            }
            if let Some(node) = self.graph.producer(value) {
                for input in ancestry::data_inputs(self.graph, node) {
                    let is_new = seen.iter().all(|&(known, _)| known != input);
                    if is_new && seen.len() < ancestry::MAX_STEPS {
                        seen.push((input, Some(next)));
                    }
                }
            }
            next += 1;
        }
        let mut way = Vec::new();
        let mut at = seen.get(next).and_then(|&(_, before)| before);
        while let Some(&(value, before)) = at.and_then(|index| seen.get(index)) {
            way.extend(self.graph.producer(value));
            at = before;
        }
        way.reverse();
        way
    }

    /// Whether the other factor is made from the gate, too, or from its values before it was a gate's product.
    pub(super) fn is_of_gate(&self, gate: Value) -> bool {
        let partner = self.miss.partner;
        let producer = self.graph.producer(partner);
        let is_product =
            producer.is_some_and(|node| matches!(self.graph.op(node), Op::Mul | Op::Div));
        partner == gate
            || is_product && producer.is_some_and(|node| self.graph.inputs(node).contains(&gate))
    }

    pub(super) fn powers(&self) -> Words {
        Words::new(
            "gate_power",
            format!(
                "{}, which is a factor of {} already: a power or a product of gates is no Swish, whose gate stands alone",
                self.product(),
                self.name(self.miss.partner)
            ),
            "nothing: it is another function",
        )
    }
}
