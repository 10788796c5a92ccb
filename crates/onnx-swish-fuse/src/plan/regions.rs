//! What becomes of fusions and near misses where a quantised region stands.
//! Given: regions, and everything else that was found in the same graph.
//! Promises: each activation is in one list. A region is a table, and the file keeps it; a float activation between two
//! quantisers whose result something else reads, too, is fused, because that reader wants it in floats.

use std::collections::{HashMap, HashSet};

use super::{Already, Miss, Plan, Why};
use crate::emit::quantised::is_named_so;
use crate::graph::{Node, Value};
use crate::quantised::{Obstacle, Region, Unfinished};

/// Puts the regions into the plan.
pub(super) fn settle(plan: &mut Plan<'_>, mut regions: Vec<Region>, unfinished: Vec<Unfinished>) {
    let mut owner: HashMap<Node, usize> = HashMap::new();
    for (index, region) in regions.iter().enumerate() {
        owner.extend(region.nodes.iter().map(|&node| (node, index)));
    }
    let mut dropped = HashSet::new();
    let graph = &plan.graph;
    plan.fusions.retain(|fusion| {
        let mut nodes = fusion.pattern.nodes.iter();
        let Some(&region) = nodes.find_map(|node| owner.get(node)) else {
            return true;
        };
        let is_outside = |node: &Node| owner.get(node) != Some(&region);
        let end = fusion.end;
        let is_read = graph.consumers(end).iter().any(is_outside)
            || graph.is_output(end)
            || graph.is_captured(end);
        if is_read {
            dropped.insert(region);
        }
        is_read
    });
    owner.retain(|_, region| !dropped.contains(region));
    let mut index = 0..;
    regions.retain(|_| index.next().is_some_and(|index| !dropped.contains(&index)));
    let is_inside = |value: Value| {
        graph
            .producer(value)
            .is_some_and(|node| owner.contains_key(&node))
    };
    plan.misses.retain(|miss| !is_inside(miss.output));
    plan.already
        .retain(|already| !owner.contains_key(&already.node));
    let fused: HashSet<Value> = plan.fusions.iter().map(|fusion| fusion.end).collect();
    let kept: HashSet<Node> = plan.already.iter().map(|already| already.node).collect();
    let known: HashMap<Value, Obstacle> = unfinished
        .iter()
        .filter(|one| !fused.contains(&one.output))
        .filter(|one| {
            graph
                .producer(one.output)
                .is_none_or(|node| !kept.contains(&node))
        })
        .map(|one| (one.output, one.obstacle))
        .collect();
    plan.misses.retain(|miss| !known.contains_key(&miss.output));
    plan.misses.extend(
        unfinished
            .iter()
            .filter(|one| known.contains_key(&one.output))
            .map(|one| Miss {
                output: one.output,
                gate: one.gate,
                partner: one.partner,
                why: Why::Quantised(one.obstacle),
            }),
    );
    plan.regions = regions;
}

/// Regions that stand in functions which we wrote for them: what calls these is one operator already.
pub(super) fn settle_functions(plan: &mut Plan<'_>) {
    let graph = &plan.graph;
    let model = graph.model();
    let mut already = Vec::new();
    plan.regions.retain(|region| {
        let scope = graph.producer(region.output).map(|node| graph.scope(node));
        let Some((scope, index)) = scope.and_then(|scope| Some((scope, graph.function_of(scope)?)))
        else {
            return true;
        };
        let scope = scope as usize;
        // The body is what it says: from the one code to the other.
        let ends = graph.scope_inputs(scope).first() == Some(&region.input)
            && graph.scope_outputs(scope) == [region.output];
        let function = model.functions().get(index as usize);
        if !ends || !function.is_some_and(|function| is_named_so(model, function)) {
            return true;
        }
        let callers = graph.callers(index as usize).iter();
        already.extend(callers.map(|&node| Already {
            node,
            as_pair: false,
        }));
        false
    });
    plan.already.extend(already);
    plan.already.sort_by_key(|already| already.node);
}
