//! Constants that nothing reads any more once the patterns are gone.
//! Given: which nodes go and what the new ones read.
//! Promises: only constants that a replaced node has read, and what those were made from; never a value that was unused
//! before, is an output, or is named by an annotation.

use crate::facts::Facts;
use crate::graph::{Graph, Node, Source, Value};

/// What becomes useless.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// Nodes that make constants.
    pub(crate) nodes: Vec<Node>,
    /// Initializers.
    pub(crate) initializers: Vec<Value>,
}

/// Finds what becomes useless when these nodes go. `removed` says which nodes do and is extended.
pub(crate) fn sweep(
    graph: &Graph<'_>,
    facts: &Facts,
    removed: &mut [bool],
    new_reads: &[Value],
) -> Sweep {
    let mut sweep = Sweep::default();
    let mut reads = vec![0u32; graph.value_count()];
    for value in graph.values() {
        let consumers = graph.consumers(value).iter();
        let staying = consumers
            .filter(|node| !removed.get(node.index()).copied().unwrap_or(false))
            .count();
        if let Some(reads) = reads.get_mut(value.index()) {
            *reads = staying as u32;
        }
    }
    for value in new_reads {
        if let Some(reads) = reads.get_mut(value.index()) {
            *reads += 1;
        }
    }
    let gone: Vec<Node> = (0..removed.len() as u32)
        .map(Node)
        .filter(|node| removed.get(node.index()) == Some(&true))
        .collect();
    let mut stack: Vec<Value> = gone
        .iter()
        .flat_map(|&node| graph.inputs(node))
        .copied()
        .collect();
    while let Some(value) = stack.pop() {
        let unread = reads.get(value.index()) == Some(&0);
        if value.is_absent()
            || !unread
            || !graph.is_free(value)
            || facts.known_constant(value).is_none()
        {
            continue;
        }
        match graph.source(value) {
            Source::Initializer(_) => {
                // Marked as read, so that it is taken once.
                if let Some(reads) = reads.get_mut(value.index()) {
                    *reads = u32::MAX;
                }
                sweep.initializers.push(value);
            }
            Source::Node(node) => {
                let alone = graph
                    .outputs(node)
                    .iter()
                    .filter(|output| !output.is_absent())
                    .count()
                    == 1;
                let safe = graph.node(node).is_some_and(|node| {
                    !node.node().has_unknown_fields() && !node.node().has_device_configurations()
                });
                let Some(slot) = removed
                    .get_mut(node.index())
                    .filter(|removed| !**removed && alone && safe)
                else {
                    continue;
                };
                *slot = true;
                sweep.nodes.push(node);
                for &input in graph.inputs(node) {
                    if let Some(reads) = reads.get_mut(input.index()) {
                        *reads = reads.saturating_sub(1);
                    }
                    stack.push(input);
                }
            }
            Source::Input | Source::Sparse | Source::Nowhere => {}
        }
    }
    sweep
}
