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
        let calls = |&node: &Node| self.graph.callee(node).is_some();
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
            return match self.moved_alike(&between, gate) {
                Some(node) => self.both_moved(node),
                None => self.another_tensor(),
            };
        }
        if let Some(call) = between.iter().copied().find(calls) {
            return self.function(Some(call));
        }
        if ops().any(|op| matches!(op, Op::Where | Op::QLinearWhere)) {
            return self.almost(Almost::Where);
        }
        let operator = |wanted: &dyn Fn(Op) -> bool| {
            let mut nodes = between.iter().copied();
            nodes.find(|&node| wanted(self.graph.op(node)))
        };
        let computing = operator(&|op| !op.moves_elements());
        let moving = operator(&|op| !op.keeps_order()).or(between.first().copied());
        match (computing, moving) {
            (Some(node), _) => Words::new(
                "changed_gate",
                format!(
                    "{}: {} in between makes another function of it, which is no gate of a Swish or HardSwish",
                    self.product(),
                    self.operator(node)
                ),
                "nothing: it is another function",
            ),
            (None, Some(node)) => self.moved(node),
            (None, None) => self.another_tensor(),
        }
    }

    fn moved(&self, node: Node) -> Words {
        let operator = self.operator(node);
        Words::new(
            "moved_gate",
            format!(
                "{}: {operator} in between may give its elements other places than those of {}",
                self.product(),
                self.name(self.miss.partner)
            ),
            format!("multiply before {operator}"),
        )
    }

    fn both_moved(&self, node: Node) -> Words {
        let operator = self.operator(node);
        Words::new(
            "moved_gate",
            format!(
                "{}: {operator} stands between the gate and the product, and does the same to what the gate is a function of",
                self.product()
            ),
            format!("multiply before {operator}, so that there is one of it"),
        )
    }

    /// What moves gate and partner alike, if the gate is one of what the partner was before.
    fn moved_alike(&self, between: &[Node], gate: Value) -> Option<Node> {
        let (mut at, mut moved) = (self.miss.gate, self.miss.partner);
        for &node in between {
            let other = self.graph.producer(moved)?;
            if !self.graph.op(node).moves_elements() || !self.is_alike((node, at), (other, moved)) {
                return None;
            }
            at = *self.graph.inputs(node).first()?;
            moved = *self.graph.inputs(other).first()?;
        }
        let meets = at == gate && self.ancestry_of(gate, &[moved], None).meets_partner;
        between.first().copied().filter(|_| meets)
    }

    /// Whether two nodes do the same with what they read first; each with which of its outputs it is about.
    fn is_alike(&self, (a, of_a): (Node, Value), (b, of_b): (Node, Value)) -> bool {
        let others = |node| self.graph.inputs(node).iter().skip(1);
        let position = |node, value| {
            let mut outputs = self.graph.outputs(node).iter();
            outputs.position(|&output| output == value)
        };
        let is_one = |(&a, &b): (&Value, &Value)| {
            let stored = |value| self.graph.initializer_values(value, ancestry::MAX_STEPS);
            self.plan.facts.numbering.same(a, b) || stored(a).is_some() && stored(a) == stored(b)
        };
        self.graph.op(a) == self.graph.op(b)
            && position(a, of_a) == position(b, of_b)
            && others(a).len() == others(b).len()
            && others(a).zip(others(b)).all(is_one)
            && match (self.graph.node(a), self.graph.node(b)) {
                (Some(a), Some(b)) => a.has_attributes_of(&b),
                _ => false,
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
