//! Which graphs and nodes of one model are in another.
//! Given: two indexed models.
//! Promises: linear time. A node is in both when its bytes are, in graphs that correspond; or its message is, encoded otherwise; or all but
//! the graphs inside it is. Functions correspond by name, graphs in nodes by the node's operator and first output.

use std::collections::{HashMap, HashSet};

use onnx_swish_model::{Model, Node, NodeId, NodeRef, ScopeKind};

/// What is in both models.
#[derive(Default)]
pub(crate) struct Matching {
    /// Graphs that correspond, outer ones first.
    pub(crate) scopes: Vec<(u32, u32)>,
    /// Nodes of the second model, with the same of the first.
    pub(crate) kept: HashMap<NodeId, NodeId>,
    /// Nodes that only the first has, and that only the second has.
    pub(crate) removed: Vec<NodeId>,
    pub(crate) added: Vec<NodeId>,
    /// Bytes of the nodes that are the same.
    pub(crate) bytes: u64,
}

impl Matching {
    pub(crate) fn new(before: &Model, after: &Model) -> Self {
        let mut matching = Self::default();
        let partners = Partners::new(before, after);
        // An inner graph comes after the graph it hangs in: its holder's partner is known by then.
        let mut of_before: HashMap<u32, u32> = HashMap::new();
        for (index, scope) in before.scopes().iter().enumerate() {
            let index = index as u32;
            let partner = match scope.kind() {
                ScopeKind::Main => Some(0),
                ScopeKind::Function(function) => partners.function(before, function),
                ScopeKind::Subgraph(subgraph) => {
                    let outer = of_before.get(&subgraph.parent);
                    outer.and_then(|&outer| partners.subgraph(before, index, outer))
                }
            };
            if let Some(partner) = partner {
                of_before.insert(index, partner);
                matching.scope(before, after, index, partner);
            } else if !matches!(scope.kind(), ScopeKind::Function(_)) {
                matching.removed.extend(ids(index, scope.nodes().len()));
            }
        }
        matching.graphs_that_only_the_second_has(after);
        matching
    }

    fn graphs_that_only_the_second_has(&mut self, after: &Model) {
        let mut known = vec![false; after.scopes().len()];
        for &(_, partner) in &self.scopes {
            if let Some(known) = known.get_mut(partner as usize) {
                *known = true;
            }
        }
        for (index, scope) in after.scopes().iter().enumerate() {
            let is_function = matches!(scope.kind(), ScopeKind::Function(_));
            if !is_function && known.get(index) == Some(&false) {
                self.added.extend(ids(index as u32, scope.nodes().len()));
            }
        }
        self.removed.sort_unstable();
        self.added.sort_unstable();
    }

    /// Matches the nodes of two graphs.
    fn scope(&mut self, before: &Model, after: &Model, a: u32, b: u32) {
        self.scopes.push((a, b));
        let nodes = |model: &Model, scope: u32| {
            let scope = model.scopes().get(scope as usize);
            scope.map_or(0, |scope| scope.nodes().len())
        };
        let (len_a, len_b) = (nodes(before, a), nodes(after, b));
        let mut by_bytes: HashMap<&[u8], Vec<NodeId>> = HashMap::with_capacity(len_a);
        // Backwards, so that `pop` gives the first of several that are alike.
        for id in ids(a, len_a).rev() {
            if let Some(node) = before.node(id) {
                let bytes = before.text(node.node().span());
                by_bytes.entry(bytes).or_default().push(id);
            }
        }
        let mut left = Vec::new();
        for id in ids(b, len_b) {
            let Some(node) = after.node(id) else {
                continue;
            };
            let bytes = after.text(node.node().span());
            match by_bytes.get_mut(bytes).and_then(Vec::pop) {
                Some(same) => {
                    self.bytes = self.bytes.saturating_add(bytes.len() as u64);
                    self.kept.insert(id, same);
                }
                None => left.push(id),
            }
        }
        let mut rest: Vec<NodeId> = by_bytes.into_values().flatten().collect();
        rest.sort_unstable();
        self.by_message(before, after, rest, left);
    }

    /// Matches what is left of two graphs by what the messages say.
    fn by_message(&mut self, before: &Model, after: &Model, a: Vec<NodeId>, b: Vec<NodeId>) {
        let mut by_output: HashMap<&[u8], NodeId> = HashMap::new();
        for &id in &a {
            if let Some(node) = before.node(id) {
                by_output.insert(first_output(node), id);
            }
        }
        let mut found = HashSet::new();
        for id in b {
            let node = after.node(id);
            let same = node.and_then(|node| by_output.get(first_output(node)).copied());
            let other = same.and_then(|same| before.node(same));
            let (Some(node), Some(other), Some(same)) = (node, other, same) else {
                self.added.push(id);
                continue;
            };
            if says_the_same(other, node) {
                by_output.remove(first_output(node));
                self.kept.insert(id, same);
                found.insert(same);
            } else {
                self.added.push(id);
            }
        }
        self.removed
            .extend(a.into_iter().filter(|id| !found.contains(id)));
    }
}

fn ids(scope: u32, len: usize) -> impl DoubleEndedIterator<Item = NodeId> {
    (0..len as u32).map(move |node| NodeId { scope, node })
}

fn first_output<'m>(node: NodeRef<'m>) -> &'m [u8] {
    node.outputs().next().unwrap_or_default()
}

/// Whether two nodes of other bytes are the same: encoded otherwise, or with other graphs inside, which are compared by themselves.
fn says_the_same(a: NodeRef<'_>, b: NodeRef<'_>) -> bool {
    let is_same_call = a.op_type() == b.op_type()
        && a.domain() == b.domain()
        && a.inputs().eq(b.inputs())
        && a.outputs().eq(b.outputs());
    if !is_same_call {
        return false;
    }
    if a.node().has_subgraphs() || b.node().has_subgraphs() {
        return a.node().has_subgraphs() == b.node().has_subgraphs();
    }
    matches!((a.decode(), b.decode()), (Ok(a), Ok(b)) if a == b)
}

/// A graph in a node: the outer graph, operator and first output of the node, and which of its graphs.
type Inner<'m> = (u32, &'m [u8], &'m [u8], u32);

/// Graphs of the second model, by what they correspond by.
struct Partners<'m> {
    functions: HashMap<String, u32>,
    subgraphs: HashMap<Inner<'m>, u32>,
    /// For each graph in a node of the first model, which of the node's graphs it is.
    ordinals: HashMap<u32, u32>,
}

impl<'m> Partners<'m> {
    fn new(before: &Model, after: &'m Model) -> Self {
        let functions = after.functions().iter();
        let mut subgraphs = HashMap::new();
        let ordinals = ordinals(after);
        for (&scope, &ordinal) in &ordinals {
            if let Some((parent, node)) = holder(after, scope) {
                let key = (parent, node.op_type(), first_output(node), ordinal);
                subgraphs.insert(key, scope);
            }
        }
        Self {
            functions: functions
                .map(|function| (after.function_name(function), function.scope() as u32))
                .collect(),
            subgraphs,
            ordinals: self::ordinals(before),
        }
    }

    fn function(&self, before: &Model, function: u32) -> Option<u32> {
        let function = before.functions().get(function as usize)?;
        self.functions.get(&before.function_name(function)).copied()
    }

    /// The partner of a graph in a node of the graph whose partner is `outer`.
    fn subgraph(&self, before: &Model, scope: u32, outer: u32) -> Option<u32> {
        let (_, node) = holder(before, scope)?;
        let ordinal = *self.ordinals.get(&scope)?;
        let key = (outer, node.op_type(), first_output(node), ordinal);
        self.subgraphs.get(&key).copied()
    }
}

/// The node that a graph hangs in, and the graph of that node.
fn holder(model: &Model, scope: u32) -> Option<(u32, NodeRef<'_>)> {
    let ScopeKind::Subgraph(subgraph) = model.scopes().get(scope as usize)?.kind() else {
        return None;
    };
    let node = model.node(NodeId {
        scope: subgraph.parent,
        node: subgraph.node,
    })?;
    Some((subgraph.parent, node))
}

/// Which of its node's graphs each graph in a node is.
fn ordinals(model: &Model) -> HashMap<u32, u32> {
    let mut next: HashMap<(u32, u32), u32> = HashMap::new();
    let mut ordinals = HashMap::new();
    for (index, scope) in model.scopes().iter().enumerate() {
        if let ScopeKind::Subgraph(subgraph) = scope.kind() {
            let next = next.entry((subgraph.parent, subgraph.node)).or_default();
            ordinals.insert(index as u32, *next);
            *next += 1;
        }
    }
    ordinals
}

/// Nodes of a graph, with their numbers.
pub(crate) fn nodes(model: &Model, scope: u32) -> impl Iterator<Item = (NodeId, &Node)> {
    let nodes = model.scopes().get(scope as usize);
    let nodes = nodes.map_or(&[][..], |scope| scope.nodes());
    ids(scope, nodes.len()).zip(nodes)
}
