//! Topological order.
//! Given: the nodes of one scope and who makes what.
//! Promises: linear time; the file's own order when it is topological; nodes on a cycle are left out.

use std::ops::Range;

use super::{Graph, Node, Source};

/// An order of these nodes, or nothing if the file's own will do.
pub(super) fn order(graph: &Graph<'_>, nodes: Range<u32>) -> Option<Box<[u32]>> {
    let local = |value| match graph.source(value) {
        Source::Node(producer) if nodes.contains(&producer.0) => Some(producer),
        _ => None,
    };
    let sorted = nodes.clone().all(|node| {
        graph
            .inputs(Node(node))
            .iter()
            .all(|&input| local(input).is_none_or(|producer| producer.0 < node))
    });
    if sorted {
        return None;
    }
    let at = |node: Node| (node.0 - nodes.start) as usize;
    let mut missing = vec![0u32; nodes.len()];
    for node in nodes.clone().map(Node) {
        if let Some(count) = missing.get_mut(at(node)) {
            *count = graph
                .inputs(node)
                .iter()
                .filter(|&&input| local(input).is_some())
                .count() as u32;
        }
    }
    let mut ready: Vec<u32> = nodes
        .clone()
        .filter(|&node| missing.get(at(Node(node))) == Some(&0))
        .collect();
    let mut next = 0;
    while let Some(&node) = ready.get(next) {
        next += 1;
        for &output in graph.outputs(Node(node)) {
            if graph.producer(output) != Some(Node(node)) {
                continue;
            }
            for &consumer in graph.consumers(output) {
                if !nodes.contains(&consumer.0) {
                    continue;
                }
                if let Some(count) = missing.get_mut(at(consumer)) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        ready.push(consumer.0);
                    }
                }
            }
        }
    }
    Some(ready.into_boxed_slice())
}
