//! What is computed from one 8-bit code alone, element by element, and what of it becomes codes again.
//! Given: the graph and its facts.
//! Promises: true for every run, and linear in the file. Between the two lies what engines make a table of, whatever it is; fusing there
//! would move codes.

use std::collections::{HashMap, HashSet};

use crate::facts::Facts;
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;
use crate::quantised::params::{Quantiser, code_type};

/// Where values come from and go to.
#[derive(Default)]
pub(super) struct Between {
    /// The code that a value is computed from.
    origins: HashMap<Value, Value>,
    /// Values that become codes, and nothing else.
    ending: HashSet<Value>,
}

impl Between {
    pub(super) fn new(graph: &Graph<'_>, facts: &mut Facts) -> Self {
        let mut between = Self::default();
        let scopes = 0..graph.scope_count();
        // Whoever reads a value of a graph outside stands behind it there.
        for node in scopes.clone().flat_map(|scope| graph.order(scope)) {
            between.come(graph, facts, node);
        }
        for scope in scopes.rev() {
            let nodes: Vec<Node> = graph.order(scope).collect();
            for &node in nodes.iter().rev() {
                between.go(graph, node);
            }
        }
        between
    }

    /// Whether one 8-bit code alone decides about a value, which becomes codes only.
    pub(super) fn holds(&self, value: Value) -> bool {
        self.origins.contains_key(&value) && self.ending.contains(&value)
    }

    fn come(&mut self, graph: &Graph<'_>, facts: &mut Facts, node: Node) {
        let op = graph.op(node);
        let Some(&output) = graph.outputs(node).first() else {
            return;
        };
        let data = op.data_inputs().map_or(usize::MAX, |data| data.end);
        let mut origin = None;
        for &input in graph.inputs(node).iter().take(data) {
            if input.is_absent() || facts.number(graph, input).is_some() {
                continue;
            }
            let own = match self.origins.get(&input) {
                Some(&own) => own,
                None if op == Op::DequantizeLinear => facts.numbering.of(input),
                None => return,
            };
            if origin.is_some_and(|origin| origin != own) {
                return;
            }
            origin = Some(own);
        }
        let Some(origin) = origin else { return };
        let quantiser = match op {
            Op::QuantizeLinear => Quantiser::of_node(graph, facts, node),
            Op::DequantizeLinear => number_behind(graph, facts, node),
            _ if is_element_wise(op) => None,
            _ => return,
        };
        if quantiser.is_none_or(|quantiser| quantiser.flaw.is_none()) {
            self.origins.insert(output, origin);
        }
    }

    fn go(&mut self, graph: &Graph<'_>, node: Node) {
        for &output in graph.outputs(node) {
            let readers = graph.consumers(output);
            // A code of 16 bits is one more reader that wants no floats.
            let ends = |node: &Node| {
                let result = graph.outputs(*node).first();
                graph.op(*node) == Op::QuantizeLinear
                    || result.is_some_and(|value| self.ending.contains(value))
            };
            let is_code = |node: &Node| {
                let result = graph.outputs(*node).first();
                result.is_some_and(|value| {
                    self.origins.contains_key(value) || self.ending.contains(value)
                })
            };
            if !graph.is_output(output) && readers.iter().all(ends) && readers.iter().any(is_code) {
                self.ending.insert(output);
            }
        }
    }
}

/// What a DequantizeLinear does.
fn number_behind(graph: &Graph<'_>, facts: &mut Facts, node: Node) -> Option<Quantiser> {
    let &[code, scale, ..] = graph.inputs(node) else {
        return None;
    };
    let zero = graph.inputs(node).get(2).copied();
    let zero = zero.filter(|zero| !zero.is_absent());
    let code = code_type(graph, code);
    Some(Quantiser::new(graph, facts, scale, zero, code))
}

/// Whether an element of the result depends on one element of each operand.
fn is_element_wise(op: Op) -> bool {
    op.is_element_wise()
        || op.is_fused()
        || op.keeps_order()
        || matches!(
            op,
            Op::Mul | Op::Identity | Op::Dropout | Op::Transpose | Op::Slice
        )
}
