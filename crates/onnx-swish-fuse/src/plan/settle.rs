//! Which fusions can stand together.
//! Given: fusions that each may replace nodes that others replace, too, or whose values others read.
//! Promises: what remains can all be applied at once: every value that vanishes is read by nodes that vanish only. Two
//! products may share one Sigmoid if both are fused; if one is not, the Sigmoid stays and so does the other. A fusion that cannot
//! stand makes way for another reading of the same product, which takes less or other nodes with it.

use std::collections::{HashMap, VecDeque};

use super::guards::Block;
use super::{Fusion, Miss, Plan, Why};
use crate::forms::products::{Activation, Beta};
use crate::graph::{Graph, Node, Value};

struct Settle<'a, 'm> {
    graph: &'a Graph<'m>,
    /// For each node, how many living fusions replace it.
    owners: Vec<u32>,
    /// For each value, how many reads by nodes that stay.
    reads: Vec<u32>,
    /// Pairs of node and fusion, sorted.
    owned: Vec<(Node, u32)>,
    alive: Vec<bool>,
    queue: Vec<u32>,
}

/// Values that the new nodes read.
fn inputs(fusion: &Fusion) -> impl Iterator<Item = Value> {
    let tensor = match fusion.activation {
        Activation::Swish(Beta::Times(_, tensor) | Beta::Over(_, tensor)) => Some(tensor),
        _ => None,
    };
    [Some(fusion.root), tensor, fusion.other]
        .into_iter()
        .flatten()
}

/// Drops fusions that cannot stand, and misses that fusions have swallowed. `instead` has other readings of their ends.
pub(super) fn settle(plan: &mut Plan<'_>, mut instead: HashMap<Value, VecDeque<Fusion>>) {
    let mut state = Settle {
        graph: &plan.graph,
        owners: vec![0; plan.graph.node_count()],
        reads: vec![0; plan.graph.value_count()],
        owned: Vec::new(),
        alive: vec![true; plan.fusions.len()],
        queue: (0..plan.fusions.len() as u32).collect(),
    };
    for value in plan.graph.values() {
        if let Some(reads) = state.reads.get_mut(value.index()) {
            *reads = plan.graph.consumers(value).len() as u32;
        }
    }
    for (index, fusion) in plan.fusions.iter().enumerate() {
        let others = instead.get(&fusion.end).into_iter().flatten();
        let patterns = std::iter::once(fusion).chain(others);
        // The first node first: in a file in order the list is nearly sorted as it stands.
        let nodes = patterns.flat_map(|fusion| fusion.pattern.nodes.iter().rev());
        state.owned.extend(nodes.map(|&node| (node, index as u32)));
        state.enter(fusion);
    }
    state.owned.sort_unstable();
    state.owned.dedup();
    // Why the best reading of each does not stand; the next one may.
    let mut failed: HashMap<Value, Miss> = HashMap::new();
    while let Some(index) = state.queue.pop() {
        let (Some(fusion), Some(true)) = (
            plan.fusions.get_mut(index as usize),
            state.alive.get(index as usize).copied(),
        ) else {
            continue;
        };
        let Some(value) = state.needed(fusion) else {
            continue;
        };
        let miss = shared(&plan.graph, fusion, value);
        let others = instead.get_mut(&fusion.end);
        if let Some(other) = others.and_then(VecDeque::pop_front) {
            // The new one first: nodes of both stay replaced in between.
            state.enter(&other);
            state.leave(fusion);
            failed.entry(fusion.end).or_insert(miss);
            *fusion = other;
            state.queue.push(index);
            continue;
        }
        if let Some(alive) = state.alive.get_mut(index as usize) {
            *alive = false;
        }
        state.leave(fusion);
        plan.misses.push(failed.remove(&fusion.end).unwrap_or(miss));
    }
    let Settle { owners, alive, .. } = state;
    let mut next = alive.into_iter();
    plan.fusions.retain(|_| next.next().unwrap_or(false));
    let graph = &plan.graph;
    plan.misses.retain(|miss| {
        graph
            .producer(miss.output)
            .is_none_or(|node| owners.get(node.index()).is_none_or(|&owners| owners == 0))
    });
    // By where they stand: the order of arenas is the order of scopes and, within, of the file.
    plan.fusions
        .sort_by_key(|fusion| graph.producer(fusion.end));
    plan.misses.sort_by_key(|miss| graph.producer(miss.output));
}

/// A value that would vanish is read by a node that stays.
fn shared(graph: &Graph<'_>, fusion: &Fusion, value: Value) -> Miss {
    let readers = graph.consumers(value).iter();
    let reader = readers
        .filter(|node| !fusion.pattern.nodes.contains(node))
        .find_map(|&node| graph.outputs(node).first().copied());
    Miss {
        output: fusion.end,
        gate: value,
        partner: fusion.root,
        why: Why::Blocked(Block::Shared(value, reader)),
    }
}

impl Settle<'_, '_> {
    /// A fusion replaces its nodes from now on.
    fn enter(&mut self, fusion: &Fusion) {
        for &node in fusion.pattern.nodes.iter().rev() {
            self.own(node);
        }
        for value in inputs(fusion) {
            self.read(value);
        }
    }

    /// A fusion does not stand: its nodes stay, and what it would have read is read by them.
    fn leave(&mut self, fusion: &Fusion) {
        for &node in &fusion.pattern.nodes {
            self.disown(node);
        }
        for value in inputs(fusion) {
            if let Some(reads) = self.reads.get_mut(value.index()) {
                *reads = reads.saturating_sub(1);
            }
        }
    }

    fn own(&mut self, node: Node) {
        let Some(owners) = self.owners.get_mut(node.index()) else {
            return;
        };
        *owners += 1;
        if *owners == 1 {
            for &input in self.graph.inputs(node) {
                if let Some(reads) = self.reads.get_mut(input.index()) {
                    *reads = reads.saturating_sub(1);
                }
            }
        }
    }

    fn disown(&mut self, node: Node) {
        let Some(owners) = self.owners.get_mut(node.index()) else {
            return;
        };
        *owners = owners.saturating_sub(1);
        if *owners == 0 {
            for &input in self.graph.inputs(node) {
                self.read(input);
            }
        }
    }

    /// A node that stays, or is new, reads a value: whoever wanted it gone must look again.
    fn read(&mut self, value: Value) {
        let Some(reads) = self.reads.get_mut(value.index()) else {
            return;
        };
        *reads += 1;
        if *reads > 1 {
            return;
        }
        if let Some(node) = self.graph.producer(value) {
            let start = self.owned.partition_point(|&(owned, _)| owned < node);
            let owners = self.owned.get(start..).unwrap_or_default().iter();
            self.queue.extend(
                owners
                    .take_while(|&&(owned, _)| owned == node)
                    .map(|&(_, fusion)| fusion),
            );
        }
    }

    /// A value that a fusion would make vanish and that something reads.
    fn needed(&self, fusion: &Fusion) -> Option<Value> {
        fusion
            .pattern
            .nodes
            .iter()
            .flat_map(|&node| self.graph.outputs(node))
            .copied()
            .filter(|&value| !value.is_absent() && value != fusion.end)
            .find(|value| {
                self.reads
                    .get(value.index())
                    .is_some_and(|&reads| reads > 0)
            })
    }
}
