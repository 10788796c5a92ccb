//! Which nodes call which function of the file.
//! Given: the model, and the arena's nodes as they are numbered.
//! Promises: both directions in linear time; in a file whose functions call themselves nothing calls anything.

use std::ops::Range;

use onnx_swish_model::{Calls, Model};

use super::{Graph, Node};

/// Calls of functions, both ways.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// Callees come first.
    order: Vec<usize>,
    /// For each function, the scopes that are part of it.
    scopes: Vec<Vec<usize>>,
    /// For each function, the nodes that call it.
    callers: Vec<Vec<Node>>,
    /// Nodes with the function that each calls, sorted.
    callees: Vec<(Node, u32)>,
}

impl Called {
    /// Reads the calls of a graph whose nodes and scopes are in place.
    pub(super) fn new(model: &Model, graph: &Graph<'_>) -> Self {
        let count = model.functions().len();
        if count == 0 {
            return Self::default();
        }
        let calls = Calls::new(model);
        let Ok(order) = calls.order() else {
            return Self::default();
        };
        let mut called = Self {
            order,
            scopes: vec![Vec::new(); count],
            callers: vec![Vec::new(); count],
            callees: Vec::new(),
        };
        for (index, scope) in model.scopes().iter().enumerate() {
            let function = graph.function_of(index as u32);
            if let Some(scopes) = function.and_then(|f| called.scopes.get_mut(f as usize)) {
                scopes.push(index);
            }
            let nodes = graph.scopes.get(index).map_or(0..0, |s| s.nodes.clone());
            for (node, id) in scope.nodes().iter().zip(nodes.map(Node)) {
                // One of our own functions is an operator.
                let own = graph.op(id).is_ours();
                let callee = calls.callee(node).filter(|_| !own);
                if let Some(callers) = callee.and_then(|f| called.callers.get_mut(f)) {
                    callers.push(id);
                    called.callees.push((id, callee.unwrap_or(0) as u32));
                }
            }
        }
        called
    }
}

impl Graph<'_> {
    /// Whether the file has functions of its own whose calls are known.
    pub(crate) fn has_calls(&self) -> bool {
        !self.calls.callees.is_empty()
    }

    /// The functions, callees first.
    pub(crate) fn functions(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.calls.order.iter().copied()
    }

    /// The scopes of a function, its body first.
    pub(crate) fn function_scopes(&self, function: usize) -> &[usize] {
        self.calls.scopes.get(function).map_or(&[], Vec::as_slice)
    }

    /// The nodes that call a function.
    pub(crate) fn callers(&self, function: usize) -> &[Node] {
        self.calls.callers.get(function).map_or(&[], Vec::as_slice)
    }

    /// The function that a node calls.
    pub(crate) fn callee(&self, node: Node) -> Option<usize> {
        let callees = &self.calls.callees;
        let at = callees
            .binary_search_by_key(&node, |&(node, _)| node)
            .ok()?;
        callees.get(at).map(|&(_, function)| function as usize)
    }
}

/// The nodes that hold graphs, each with one of its graphs.
pub(super) fn bodies(model: &Model, nodes: impl Fn(u32) -> Range<u32>) -> Vec<(Node, u32)> {
    let mut bodies = Vec::new();
    for (index, scope) in model.scopes().iter().enumerate() {
        if let onnx_swish_model::ScopeKind::Subgraph(subgraph) = scope.kind() {
            let parent = nodes(subgraph.parent);
            let node = parent.start.saturating_add(subgraph.node);
            if parent.contains(&node) {
                bodies.push((Node(node), index as u32));
            }
        }
    }
    bodies.sort_unstable();
    bodies
}
