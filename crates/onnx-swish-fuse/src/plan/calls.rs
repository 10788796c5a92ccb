//! Operators of our domain that a file gives another meaning.
//! Given: the graph.
//! Promises: asked once for the whole model; files without pay nothing.

use crate::graph::{Graph, Node};
use crate::ops::Op;

pub(super) struct Calls {
    /// Whether the file redefines an operator of ours.
    edited: bool,
}

impl Calls {
    pub(super) fn new(graph: &Graph<'_>) -> Self {
        let edited = Op::OURS.into_iter().any(|op| graph.is_redefined(op));
        Self { edited }
    }

    /// Whether a node names an operator of ours that means something else in this file.
    pub(super) fn is_edited(&self, graph: &Graph<'_>, node: Node) -> bool {
        self.edited
            && graph.node(node).is_some_and(|node| {
                let op = Op::parse(node.domain(), node.op_type());
                op.is_ours() && graph.is_redefined(op)
            })
    }
}
