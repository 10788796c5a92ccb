//! What becomes of fusions and near misses where a quantised region stands.
//! Given: regions, and everything else that was found in the same graph.
//! Promises: each activation is in one list. A region is a table, and the file keeps it, as it keeps whatever else lies between two codes;
//! a float activation between two quantisers whose result something else reads, too, is fused, because that reader wants it in floats.

use std::collections::{HashMap, HashSet};

use super::between::Between;
use super::{Already, Fusion, Miss, Plan, Why};
use crate::emit::quantised::is_named_so;
use crate::graph::{Graph, Node, Value};
use crate::quantised::{Obstacle, Region, Unfinished};

/// Puts the regions into the plan.
pub(super) fn settle(plan: &mut Plan<'_>, mut regions: Vec<Region>, unfinished: Vec<Unfinished>) {
    let left = leave(plan, &mut regions);
    let graph = &plan.graph;
    let owned = regions.iter().flat_map(|region| &region.nodes);
    let owned: HashSet<Node> = owned.copied().collect();
    let is_inside = |value: Value| {
        let producer = graph.producer(value);
        producer.is_some_and(|node| owned.contains(&node))
    };
    plan.misses.retain(|miss| !is_inside(miss.output));
    plan.already
        .retain(|already| !owned.contains(&already.node));
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
    let explained: HashSet<Value> = plan.misses.iter().map(|miss| miss.output).collect();
    let unexplained = left.into_iter().filter(|fusion| {
        let mut nodes = fusion.pattern.nodes.iter();
        !nodes.any(|node| {
            let outputs = graph.outputs(*node).iter();
            owned.contains(node) || outputs.clone().any(|value| explained.contains(value))
        })
    });
    let unexplained: Vec<Miss> = unexplained.map(|fusion| between(graph, &fusion)).collect();
    plan.misses.extend(unexplained);
    plan.regions = regions;
}

/// Takes the fusions out that would move codes, and the regions of which something stays that reads floats. Gives back the fusions.
fn leave(plan: &mut Plan<'_>, regions: &mut Vec<Region>) -> Vec<Fusion> {
    if plan.fusions.is_empty() {
        return Vec::new();
    }
    let between = Between::new(&plan.graph, &mut plan.facts);
    let graph = &plan.graph;
    let owned = regions.iter().flat_map(|region| &region.nodes);
    let owned: HashSet<Node> = owned.copied().collect();
    let is_read = |fusion: &Fusion| {
        let mut nodes = fusion.pattern.nodes.iter();
        let mut readers = graph.consumers(fusion.end).iter();
        !nodes.any(|node| owned.contains(node))
            || readers.any(|node| !owned.contains(node))
            || graph.is_output(fusion.end)
    };
    let fusions = std::mem::take(&mut plan.fusions).into_iter();
    let (fused, left): (Vec<Fusion>, Vec<Fusion>) =
        fusions.partition(|fusion| !between.holds(fusion.end) && is_read(fusion));
    let nodes = fused.iter().flat_map(|fusion| &fusion.pattern.nodes);
    let nodes: HashSet<Node> = nodes.copied().collect();
    regions.retain(|region| !region.nodes.iter().any(|node| nodes.contains(node)));
    plan.fusions = fused;
    left
}

/// Why a float activation between two codes stays, where it is no region of its own.
fn between(graph: &Graph<'_>, fusion: &Fusion) -> Miss {
    let nodes = fusion.pattern.nodes.iter();
    let mut gates = nodes.filter(|&&node| graph.op(node).makes_gates());
    let gate = gates.find_map(|&node| graph.outputs(node).first().copied());
    Miss {
        output: fusion.end,
        gate: gate.unwrap_or(fusion.end),
        partner: fusion.root,
        why: Why::Quantised(Obstacle::Between),
    }
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
