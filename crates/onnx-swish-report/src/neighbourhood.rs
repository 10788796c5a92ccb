//! The nodes around an entry: what makes what it reads, and what reads what it makes.
//! Given: the entry's own nodes, in one of the two models.
//! Promises: a picture that people can take in: where there is more, it says how much more.

use std::collections::HashSet;

use onnx_swish_fuse::{Origin, View};
use onnx_swish_model::NodeId;

use crate::diff::{Pair, Which};
use crate::document::Side;
use crate::tables::Filler;

/// Most nodes of an entry that are shown. The longest spelling has nine, and chains of Identity come on top.
const OWN: usize = 48;
/// Most nodes around them.
const AROUND: usize = 12;
/// Most nodes that are looked at on the way back from a product to its gate.
const WALK: usize = 64;

/// The picture of some nodes of one model.
pub(crate) fn side(
    pair: &Pair<'_>,
    filler: &mut Filler<'_, '_>,
    which: Which,
    own: &[NodeId],
) -> Side {
    let view = &pair.of(which).view;
    let shown = own.get(..OWN).unwrap_or(own);
    let mut seen: HashSet<NodeId> = own.iter().copied().collect();
    let mut around = Vec::new();
    let mut beyond = own.len() - shown.len();
    let mut meet = |node: NodeId| {
        if seen.insert(node) {
            if around.len() < AROUND {
                around.push(node);
            } else {
                beyond += 1;
            }
        }
    };
    for &node in shown {
        for input in view.inputs(node).into_iter().flatten() {
            if let Origin::Node(maker) = view.origin(input)
                && !view.is_constant(input)
            {
                meet(maker);
            }
        }
    }
    for &node in shown {
        for output in view.outputs(node).into_iter().flatten() {
            if !view.is_constant(output) {
                view.consumers(output).into_iter().for_each(&mut meet);
            }
        }
    }
    let mut positions =
        |nodes: &[NodeId]| nodes.iter().map(|&node| filler.node(which, node)).collect();
    Side {
        nodes: positions(shown),
        around: positions(&around),
        omitted: beyond,
    }
}

/// The nodes on the way from a product back to its gate, both included; only the two where the way is long.
pub(crate) fn way(view: &View<'_>, product: NodeId, gate: NodeId) -> Vec<NodeId> {
    // Breadth first, so that what is found is the shortest way.
    let mut met = vec![(product, 0)];
    let mut seen = HashSet::from([product]);
    let mut at = 0;
    while let Some(&(node, _)) = met.get(at) {
        if node == gate {
            break;
        }
        for input in view.inputs(node).into_iter().flatten() {
            if let Origin::Node(maker) = view.origin(input)
                && met.len() < WALK
                && seen.insert(maker)
            {
                met.push((maker, at));
            }
        }
        at += 1;
    }
    let mut way = Vec::new();
    while let Some(&(node, from)) = met.get(at) {
        way.push(node);
        if at == from {
            break;
        }
        at = from;
    }
    if way.is_empty() {
        way = vec![product, gate];
    }
    way.sort_unstable();
    way.dedup();
    way
}

/// Of the nodes that only the second model has in one place, those that lead to the value of a name.
pub(crate) fn leading_to(pair: &Pair<'_>, added: &[NodeId], name: &str) -> Vec<NodeId> {
    let view = &pair.after.view;
    let makes = |&&node: &&NodeId| {
        let outputs = view.outputs(node);
        outputs
            .into_iter()
            .flatten()
            .any(|output| view.name(output) == name)
    };
    let Some(&end) = added.iter().find(makes) else {
        return Vec::new();
    };
    let mut rest: HashSet<NodeId> = added.iter().copied().collect();
    rest.remove(&end);
    let (mut found, mut at) = (vec![end], 0);
    while let Some(&node) = found.get(at) {
        for input in view.inputs(node).into_iter().flatten() {
            if let Origin::Node(maker) = view.origin(input)
                && rest.remove(&maker)
            {
                found.push(maker);
            }
        }
        at += 1;
    }
    found.sort_unstable();
    found
}
