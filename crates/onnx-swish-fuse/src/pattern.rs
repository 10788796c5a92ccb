//! The nodes that a fusion would replace.
//! Given: the value at the end of a match and the values that the fused node would read.
//! Promises: the walk ends exactly at those values and constants, or says what stands in the way; bounded work.

use crate::facts::Facts;
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;
use crate::permutation::Permutation;

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

/// Where a walk ends.
struct Root {
    value: Value,
    /// What the value was before a Transpose, and how that permutes.
    source: Option<(Value, Permutation)>,
}

impl Root {
    fn new(graph: &Graph<'_>, value: Value) -> Self {
        let transpose = graph.producer(value);
        let transpose = transpose.filter(|&node| graph.op(node) == Op::Transpose);
        let source = transpose.and_then(|node| {
            let source = *graph.inputs(node).first()?;
            Some((source, Permutation::of(graph, node)?))
        });
        Self { value, source }
    }

    /// Whether a value, permuted like this, is the root.
    fn is(&self, value: Value, moved: &Permutation, same: impl Fn(Value, Value) -> bool) -> bool {
        if moved.is_identity() {
            return same(value, self.value);
        }
        let source = self.source.as_ref();
        source.is_some_and(|(source, permutation)| moved == permutation && same(value, *source))
    }
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
    let root = Root::new(graph, root);
    // Each value with the permutation that lies between it and the end.
    let mut stack = vec![(end, Permutation::Identity)];
    let same = |a, b| facts.numbering.same(a, b);
    while let Some((value, moved)) = stack.pop() {
        if root.is(value, &moved, same)
            || moved.is_identity() && also.iter().any(|&read| same(value, read))
        {
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
            Op::Transpose => {
                let permutation = Permutation::of(graph, node).ok_or(Broken::Foreign)?;
                let moved = permutation.then(&moved).ok_or(Broken::Foreign)?;
                stack.extend(inputs.map(|input| (input, moved.clone())));
            }
            // Ratio, mode and shape are not part of the value.
            op if op == Op::Dropout || op.keeps_order() => {
                stack.extend(inputs.take(1).map(|input| (input, moved.clone())))
            }
            _ => stack.extend(inputs.map(|input| (input, moved.clone()))),
        }
    }
    Ok(pattern)
}
