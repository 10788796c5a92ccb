//! Values that are one: what two equal nodes make of equal values.
//! Given: nodes in topological order, each with all facts about what comes before.
//! Promises: values with one number are equal in every run; a bounded number of looks at each node, so that a value may have any
//! number of readers. Exporters and quantisers write a DequantizeLinear for each reader of one code.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;

/// How many readers of a value are compared with one more.
const MAX_READERS: usize = 16;

/// Each value that is another one, by the first of them.
#[derive(Debug, Default)]
pub(crate) struct Numbering {
    first: HashMap<Value, Value>,
}

impl Numbering {
    /// The first value that is this one.
    pub(crate) fn of(&self, value: Value) -> Value {
        if self.first.is_empty() {
            return value;
        }
        self.first.get(&value).copied().unwrap_or(value)
    }

    /// Whether two values are one.
    pub(crate) fn same(&self, a: Value, b: Value) -> bool {
        a == b || self.of(a) == self.of(b)
    }

    /// Whether no value is another one.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    fn set(&mut self, value: Value, first: Value) {
        if !value.is_absent() && !first.is_absent() {
            self.first.insert(value, first);
        }
    }
}

/// The earlier node that is equal to this one; what they make is one from now on.
pub(crate) fn number(graph: &Graph<'_>, facts: &mut Facts, node: Node) -> Option<Node> {
    // An equal node reads all that this one reads: those that read what is read least are few.
    let is_stored = |value: Value| {
        matches!(graph.source(value), Source::Initializer(_))
            || facts.known_constant(value).is_some()
    };
    let varying = graph.inputs(node).iter().copied();
    let varying = varying.filter(|&input| !input.is_absent() && !is_stored(input));
    let input = varying.min_by_key(|&input| graph.consumers(facts.numbering.of(input)).len())?;
    let of = facts.numbering.of(input);
    let readers = graph.consumers(of);
    let is_only_reader = readers.len() < 2 && input == of;
    // In a file out of order an earlier node may not have been looked at yet.
    let is_in_order = graph.is_in_order(graph.scope(node));
    // What a node of unknown operation makes may differ from run to run, and so may what training drops. Activations that are
    // fused were two different products where they came from: what reads both was not one then, and stays as it is.
    let op = graph.op(node);
    if is_only_reader || !is_in_order || matches!(op, Op::Unknown | Op::Dropout) || op.is_fused() {
        return None;
    }
    let earlier = readers.iter().copied().take(MAX_READERS);
    let mut alike = earlier
        .filter(|&other| other < node)
        .filter(|&other| graph.op(other) == op && graph.scope(other) == graph.scope(node));
    let first = alike.find(|&other| is_equal(graph, facts, other, node))?;
    for (&value, &known) in graph.outputs(node).iter().zip(graph.outputs(first)) {
        let known = facts.numbering.of(known);
        facts.numbering.set(value, known);
    }
    Some(first)
}

fn is_equal(graph: &Graph<'_>, facts: &mut Facts, a: Node, b: Node) -> bool {
    let mut outputs = graph.outputs(a).iter().chain(graph.outputs(b));
    if outputs.any(|&output| graph.is_ambiguous(output))
        || graph.outputs(a).len() != graph.outputs(b).len()
    {
        return false;
    }
    let count = graph.inputs(a).len().max(graph.inputs(b).len());
    let input = |node: Node, index: usize| {
        let input = graph.inputs(node).get(index).copied();
        input.unwrap_or(Value::ABSENT)
    };
    (0..count).all(|index| is_one(graph, facts, input(a, index), input(b, index)))
        && match (graph.node(a), graph.node(b)) {
            (Some(a), Some(b)) => a.has_attributes_of(&b),
            _ => false,
        }
}

/// Whether two operands are one value, or one number in one type and shape.
fn is_one(graph: &Graph<'_>, facts: &mut Facts, a: Value, b: Value) -> bool {
    if facts.numbering.same(a, b) {
        return true;
    }
    let (Some(number), Some(other)) = (facts.number(graph, a), facts.number(graph, b)) else {
        return false;
    };
    number.to_bits() == other.to_bits()
        && facts.data_type(a) == facts.data_type(b)
        && facts.same_shape(a, b)
}
