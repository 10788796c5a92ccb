//! The nodes that a fusion would replace.
//! Given: the value at the end of a match and the values that the fused node would read.
//! Promises: the walk ends exactly at those values and constants, or says what stands in the way; bounded work.

use crate::facts::Facts;
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;

/// Most nodes of one match. The longest spelling in the wild has nine; chains of Identity come on top.
pub(crate) const MAX_NODES: usize = 48;

/// The nodes between the end of a match and its inputs.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// The nodes, the last one first.
    pub(crate) nodes: Vec<Node>,
    /// Constants that they read.
    pub(crate) constants: Vec<Value>,
}

/// Why there is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The walk reached a value that the fused node does not read.
    Foreign,
    /// A part of it stands in an outer graph.
    Captured(Value),
    /// More nodes than anybody writes.
    TooLong,
}

/// Whether two Transpose nodes permute alike.
pub(crate) fn same_permutation(graph: &Graph<'_>, a: Value, b: Value) -> bool {
    match (graph.producer(a), graph.producer(b)) {
        (Some(a), Some(b)) => {
            graph.op(a) == Op::Transpose
                && graph.op(b) == Op::Transpose
                && graph.ints(a, b"perm") == graph.ints(b, b"perm")
        }
        _ => false,
    }
}

/// The pattern from `end` back to `root`, where `also` are further values that may be read.
pub(crate) fn walk(
    graph: &Graph<'_>,
    facts: &Facts,
    end: Value,
    root: Value,
    also: &[Value],
) -> Result<Pattern, Broken> {
    let mut pattern = Pattern {
        nodes: Vec::new(),
        constants: Vec::new(),
    };
    let scope = graph.producer(end).map(|node| graph.scope(node));
    let mut stack = vec![(end, root)];
    while let Some((value, root)) = stack.pop() {
        if value == root || also.contains(&value) {
            continue;
        }
        if facts.known_constant(value).is_some() {
            if !pattern.constants.contains(&value) {
                pattern.constants.push(value);
            }
            continue;
        }
        let Some(node) = graph.producer(value) else {
            return Err(Broken::Foreign);
        };
        if Some(graph.scope(node)) != scope {
            return Err(Broken::Captured(value));
        }
        if pattern.nodes.contains(&node) {
            continue;
        }
        if pattern.nodes.len() == MAX_NODES {
            return Err(Broken::TooLong);
        }
        pattern.nodes.push(node);
        let inputs = graph
            .inputs(node)
            .iter()
            .copied()
            .filter(|input| !input.is_absent());
        match graph.op(node) {
            // On the other side of a permutation the root is what the root was permuted from.
            Op::Transpose => {
                let moved = graph
                    .producer(root)
                    .filter(|_| same_permutation(graph, value, root));
                let source = moved
                    .and_then(|node| graph.inputs(node).first().copied())
                    .ok_or(Broken::Foreign)?;
                stack.extend(inputs.map(|input| (input, source)));
            }
            // Ratio, mode and shape are not part of the value.
            op if op == Op::Dropout || op.keeps_order() => {
                stack.extend(inputs.take(1).map(|input| (input, root)))
            }
            _ => stack.extend(inputs.map(|input| (input, root))),
        }
    }
    Ok(pattern)
}
