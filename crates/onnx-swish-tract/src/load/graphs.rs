//! All graphs of a decoded model, nested ones too, and the domains of their nodes.
//!
//! Given a model of any depth; promises each graph once, without recursion.

use std::convert::Infallible;

use tract_onnx::pb::{GraphProto, ModelProto};

/// Every graph: the model's own, then those in attributes, each after the graph that it is in.
pub(super) fn graphs(model: &ModelProto) -> Vec<&GraphProto> {
    let mut open: Vec<&GraphProto> = model.graph.iter().collect();
    let mut all = Vec::new();
    while let Some(graph) = open.pop() {
        all.push(graph);
        for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
            open.extend(attribute.g.iter().chain(&attribute.graphs));
        }
    }
    all
}

/// Calls `work` with every graph, in the order of [`graphs`], and ends at its first error. What `work` adds is visited, too.
pub(super) fn try_for_each_graph<E>(
    model: &mut ModelProto,
    mut work: impl FnMut(&mut GraphProto) -> Result<(), E>,
) -> Result<(), E> {
    let mut open: Vec<&mut GraphProto> = model.graph.iter_mut().collect();
    while let Some(graph) = open.pop() {
        work(graph)?;
        for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
            open.extend(attribute.g.iter_mut().chain(&mut attribute.graphs));
        }
    }
    Ok(())
}

/// As [`try_for_each_graph`], for what cannot fail.
pub(super) fn for_each_graph(model: &mut ModelProto, mut work: impl FnMut(&mut GraphProto)) {
    let never_fails = try_for_each_graph(model, |graph| {
        work(graph);
        Ok::<(), Infallible>(())
    });
    let Ok(()) = never_fails;
}

/// `ai.onnx` is another way of writing the empty domain.
pub(super) fn plain_domain(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}
