//! What calls of the model's own functions mean for recognition.
//! Given: the graph.
//! Promises: functions whose result is a gate, and operators of our domain that the file defines otherwise than we do, each
//! found once for the whole model.

use std::collections::HashSet;

use crate::graph::{Graph, Node};
use crate::ops::Op;

pub(super) struct Calls<'m> {
    /// Domain and name of functions whose output is made by a Sigmoid or its like.
    gates: HashSet<(&'m [u8], &'m [u8])>,
    /// Whether the file redefines an operator of ours.
    edited: bool,
}

impl<'m> Calls<'m> {
    pub(super) fn new(graph: &Graph<'m>) -> Self {
        let model = graph.model();
        let makes_gate = |node: &Node| {
            let makes_output = graph.outputs(*node).iter().any(|&v| graph.is_output(v));
            makes_output && graph.op(*node).makes_gates()
        };
        let functions = model.functions().iter();
        let gates = functions
            .filter(|function| graph.order(function.scope()).any(|node| makes_gate(&node)))
            .map(|function| (model.text(function.domain()), model.text(function.name())))
            .collect();
        let edited = Op::OURS.into_iter().any(|op| graph.is_redefined(op));
        Self { gates, edited }
    }

    /// Whether a node calls a function that makes a gate.
    pub(super) fn makes_gate(&self, graph: &Graph<'m>, node: Node) -> bool {
        !self.gates.is_empty()
            && graph
                .node(node)
                .is_some_and(|node| self.gates.contains(&(node.domain(), node.op_type())))
    }

    /// Whether a node names an operator of ours that means something else in this file.
    pub(super) fn is_edited(&self, graph: &Graph<'m>, node: Node) -> bool {
        self.edited
            && graph.node(node).is_some_and(|node| {
                let op = Op::parse(node.domain(), node.op_type());
                op.is_ours() && graph.is_redefined(op)
            })
    }
}
