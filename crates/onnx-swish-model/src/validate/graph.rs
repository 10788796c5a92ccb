//! Values: each is made once, before it is needed, and nothing waits for itself.
//!
//! Graphs are checked innermost first. What a nested graph reads from outside counts as read by the node it hangs in, so
//! that a circle through a nested graph is a circle like any other. Nodes may stand in any order that can be sorted.

use std::collections::HashMap;

use super::{Checker, Problem};
use crate::error::display;
use crate::scope::{Scope, ScopeKind};

/// What makes a value.
#[derive(Clone, Copy)]
enum Maker {
    /// An input.
    Input,
    /// A stored tensor.
    Stored,
    /// The node of that position.
    Node(u32),
}

/// A value that a nested graph reads from outside, and the node it hangs in.
struct Captured<'m> {
    node: u32,
    value: &'m [u8],
}

impl<'m> Checker<'m> {
    pub(super) fn graphs(&mut self) {
        let scopes = self.model.scopes();
        let mut captured: Vec<Vec<Captured<'m>>> = scopes.iter().map(|_| Vec::new()).collect();
        // Nested graphs come after those they hang in.
        for (id, scope) in scopes.iter().enumerate().rev() {
            self.place = Some(id);
            let inner = captured.get_mut(id).map(std::mem::take).unwrap_or_default();
            let outside = self.graph(scope, &inner);
            if let ScopeKind::Subgraph(subgraph) = scope.kind()
                && let Some(list) = captured.get_mut(subgraph.parent as usize)
            {
                let node = subgraph.node;
                list.extend(outside.into_iter().map(|value| Captured { node, value }));
            }
        }
        self.place = None;
    }

    /// Checks one graph; returns what it reads from outside.
    fn graph(&mut self, scope: &'m Scope, captured: &[Captured<'m>]) -> Vec<&'m [u8]> {
        let makers = self.makers(scope);
        let nested = matches!(scope.kind(), ScopeKind::Subgraph(_));
        let mut outside = HashMap::new();
        let mut edges = Edges::default();
        let model = self.model;
        let reads = scope.nodes().iter().enumerate().flat_map(|(i, node)| {
            let inputs = model.inputs(node).iter().map(|&span| model.text(span));
            inputs.map(move |value| (i as u32, value))
        });
        for (reader, value) in reads.chain(captured.iter().map(|c| (c.node, c.value))) {
            match makers.get(value) {
                _ if value.is_empty() => {}
                Some(&Maker::Node(maker)) => edges.add(maker, reader),
                Some(Maker::Input | Maker::Stored) => {}
                None if nested => drop(outside.insert(value, ())),
                None => {
                    let node = scope
                        .nodes()
                        .get(reader as usize)
                        .map(|node| model.node_ref(node).describe());
                    self.report(Problem::Undefined {
                        node: node.unwrap_or_default(),
                        value: display(value),
                    });
                }
            }
        }
        for output in scope.outputs() {
            let value = model.text(output.name());
            if makers.contains_key(value) {
                continue;
            }
            if nested && !value.is_empty() {
                outside.insert(value, ());
            } else {
                self.report(Problem::UndefinedOutput {
                    value: display(value),
                });
            }
        }
        if let Some(node) = edges.circle(scope.nodes().len()) {
            let node = scope
                .nodes()
                .get(node)
                .map(|node| model.node_ref(node).describe());
            self.report(Problem::Cycle {
                node: node.unwrap_or_default(),
            });
        }
        outside.into_keys().collect()
    }

    fn makers(&mut self, scope: &'m Scope) -> HashMap<&'m [u8], Maker> {
        let model = self.model;
        let mut makers = HashMap::with_capacity(scope.nodes().len() + scope.initializers().len());
        for input in scope.inputs() {
            let value = model.text(input.name());
            if value.is_empty() {
                self.report(Problem::Unnamed("an input"));
            } else if makers.insert(value, Maker::Input).is_some() {
                self.report(Problem::Redefined {
                    value: display(value),
                });
            }
        }
        let dense = scope.initializers().iter().map(|tensor| tensor.name());
        for name in dense.chain(
            scope
                .sparse_initializers()
                .iter()
                .map(|sparse| sparse.name()),
        ) {
            let value = model.text(name);
            if value.is_empty() {
                self.report(Problem::Unnamed("a stored tensor"));
            // One that is also an input is that input's default.
            } else if let Some(Maker::Stored) = makers.insert(value, Maker::Stored) {
                self.report(Problem::Redefined {
                    value: display(value),
                });
            }
        }
        for (i, node) in scope.nodes().iter().enumerate() {
            for &span in model.outputs(node) {
                let value = model.text(span);
                if !value.is_empty() && makers.insert(value, Maker::Node(i as u32)).is_some() {
                    self.report(Problem::Redefined {
                        value: display(value),
                    });
                }
            }
        }
        makers
    }
}

/// Which node needs which.
#[derive(Default)]
struct Edges {
    pairs: Vec<(u32, u32)>,
    /// Whether some node stands before one that it needs.
    unsorted: bool,
}

impl Edges {
    fn add(&mut self, maker: u32, reader: u32) {
        self.unsorted |= maker >= reader;
        self.pairs.push((maker, reader));
    }

    /// A node in a circle, if there is one: what is left when nodes that need nothing more are taken away.
    fn circle(mut self, nodes: usize) -> Option<usize> {
        if !self.unsorted {
            return None;
        }
        self.pairs.sort_unstable();
        let mut waits = vec![0u32; nodes];
        for &(_, reader) in &self.pairs {
            *waits.get_mut(reader as usize)? += 1;
        }
        let mut ready: Vec<u32> = (0..nodes as u32)
            .filter(|&i| waits.get(i as usize) == Some(&0))
            .collect();
        while let Some(maker) = ready.pop() {
            let start = self.pairs.partition_point(|&(m, _)| m < maker);
            for &(_, reader) in self
                .pairs
                .iter()
                .skip(start)
                .take_while(|&&(m, _)| m == maker)
            {
                let waiting = waits.get_mut(reader as usize)?;
                *waiting -= 1;
                if *waiting == 0 {
                    ready.push(reader);
                }
            }
        }
        waits.iter().position(|&waiting| waiting > 0)
    }
}
