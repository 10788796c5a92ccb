//! Places where two models differ: nodes that only one of them has, and that hang together.
//! Given: which nodes are in both.
//! Promises: linear time. Two nodes are of one group when a value between them is in one model only, or when both make the value of one name;
//! a value that both models have is where a group ends. Constants join nothing: they belong to every group that reads them.

use std::collections::{HashMap, HashSet};

use onnx_swish_model::NodeId;

use super::matching::{Matching, nodes};
use super::{Pair, Which};

/// A place that differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Group {
    /// Nodes that only the first model has, constants included, in the order of the file.
    pub(crate) removed: Vec<NodeId>,
    /// Nodes that only the second has.
    pub(crate) added: Vec<NodeId>,
}

/// A node that only one model has.
type Item = (Which, NodeId);

/// Numbers for items, and which of them hang together.
struct Union {
    number: HashMap<Item, u32>,
    items: Vec<Item>,
    parent: Vec<u32>,
}

impl Union {
    fn new(items: Vec<Item>) -> Self {
        Self {
            number: items.iter().copied().zip(0..).collect(),
            parent: (0..items.len() as u32).collect(),
            items,
        }
    }

    fn root(&mut self, mut at: u32) -> u32 {
        while let Some(&parent) = self.parent.get(at as usize) {
            if parent == at {
                break;
            }
            let above = self.parent.get(parent as usize).copied().unwrap_or(parent);
            if let Some(slot) = self.parent.get_mut(at as usize) {
                *slot = above;
            }
            at = above;
        }
        at
    }

    /// The smaller number wins, so that a root is the first of its group.
    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if let Some(slot) = self.parent.get_mut(a.max(b) as usize) {
            *slot = a.min(b);
        }
    }
}

pub(super) fn groups(pair: &Pair<'_>, matching: &Matching) -> Vec<Group> {
    let removed = matching.removed.iter().map(|&id| (Which::Before, id));
    let added = matching.added.iter().map(|&id| (Which::After, id));
    let mut union = Union::new(removed.chain(added).collect());
    let constants: HashSet<u32> = (0..union.items.len() as u32)
        .filter(|&item| is_constant(pair, &union, item))
        .collect();
    for &(a, b) in &matching.scopes {
        join_scope(pair, &mut union, &constants, a, b);
    }
    let mut groups: HashMap<u32, Group> = HashMap::new();
    for item in 0..union.items.len() as u32 {
        let readers = if constants.contains(&item) {
            readers(pair, &union, item)
        } else {
            Vec::new()
        };
        let mut roots: Vec<u32> = readers
            .into_iter()
            .filter(|reader| !constants.contains(reader))
            .map(|reader| union.root(reader))
            .collect();
        if roots.is_empty() {
            roots.push(union.root(item));
        }
        roots.sort_unstable();
        roots.dedup();
        let Some(&(which, id)) = union.items.get(item as usize) else {
            continue;
        };
        for root in roots {
            let group = groups.entry(root).or_default();
            match which {
                Which::Before => group.removed.push(id),
                Which::After => group.added.push(id),
            }
        }
    }
    let mut groups: Vec<(u32, Group)> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|&(root, _)| root);
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Joins the nodes of two graphs that correspond.
fn join_scope(pair: &Pair<'_>, union: &mut Union, constants: &HashSet<u32>, a: u32, b: u32) {
    let names = [(Which::Before, a), (Which::After, b)]
        .map(|(which, scope)| Names::new(pair, union, which, scope));
    let [before, after] = &names;
    for (own, other) in [(before, after), (after, before)] {
        for (&name, &item) in &own.made {
            if constants.contains(&item) {
                continue;
            }
            if let Some(&same) = other.made.get(name) {
                if !constants.contains(&same) {
                    union.join(item, same);
                }
            } else if !other.all.contains(name) {
                for reader in own.read.get(name).into_iter().flatten() {
                    union.join(item, *reader);
                }
            }
        }
    }
}

/// The names of a graph's values.
struct Names<'m> {
    /// Every value that something makes.
    all: HashSet<&'m [u8]>,
    /// Values that nodes make which only this model has.
    made: HashMap<&'m [u8], u32>,
    /// Values that such nodes read.
    read: HashMap<&'m [u8], Vec<u32>>,
}

impl<'m> Names<'m> {
    fn new(pair: &Pair<'m>, union: &Union, which: Which, scope: u32) -> Self {
        let model = pair.of(which).model;
        let mut names = Self {
            all: HashSet::new(),
            made: HashMap::new(),
            read: HashMap::new(),
        };
        if let Some(scope) = model.scopes().get(scope as usize) {
            let inputs = scope.inputs().iter().map(|input| input.name());
            let stored = scope.initializers().iter().map(|tensor| tensor.name());
            names
                .all
                .extend(inputs.chain(stored).map(|name| model.text(name)));
        }
        for (id, node) in nodes(model, scope) {
            let item = union.number.get(&(which, id)).copied();
            let outputs = model.outputs(node).iter().map(|&name| model.text(name));
            for name in outputs.filter(|name| !name.is_empty()) {
                names.all.insert(name);
                if let Some(item) = item {
                    names.made.insert(name, item);
                }
            }
            let inputs = model.inputs(node).iter().map(|&name| model.text(name));
            for (name, item) in inputs
                .filter(|name| !name.is_empty())
                .zip(std::iter::repeat(item))
            {
                if let Some(item) = item {
                    names.read.entry(name).or_default().push(item);
                }
            }
        }
        names
    }
}

/// Whether a node makes the same in every run.
fn is_constant(pair: &Pair<'_>, union: &Union, item: u32) -> bool {
    let Some(&(which, id)) = union.items.get(item as usize) else {
        return false;
    };
    let view = &pair.of(which).view;
    let outputs = view.outputs(id);
    let mut outputs = outputs.iter().flatten().peekable();
    outputs.peek().is_some() && outputs.all(|&output| view.is_constant(output))
}

/// Nodes of the same model that read what a node makes, of those that only this model has. Constants between are looked through.
fn readers(pair: &Pair<'_>, union: &Union, item: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let Some(&(which, id)) = union.items.get(item as usize) else {
        return found;
    };
    let view = &pair.of(which).view;
    let mut seen = HashSet::new();
    let mut stack = vec![id];
    while let Some(id) = stack.pop() {
        for output in view.outputs(id).into_iter().flatten() {
            for reader in view.consumers(output) {
                if !seen.insert(reader) || seen.len() > MOST_READERS {
                    continue;
                }
                if let Some(&number) = union.number.get(&(which, reader)) {
                    found.push(number);
                    if is_constant(pair, union, number) {
                        stack.push(reader);
                    }
                }
            }
        }
    }
    found
}

/// Of a constant that more nodes read than this, the others are not looked at, so that time stays linear.
const MOST_READERS: usize = 4096;
