//! The values that codes alone decide about, in a graph and in the branches of If and the bodies of Loop.
//!
//! Given a graph and what comes into it; promises values that are computed from nothing but codes and constants, element by element,
//! wherever the elements move in between. What a body is given over too many levels counts as floats.

use std::collections::HashSet;

use tract_core::internal::*;

use super::{computes, moves};
use crate::load::{Choice, Turns};
use crate::ops::is_code;

/// The number of the turn and the condition, which the body of a Loop is given first.
const BEFORE_CARRIED: usize = 2;

/// What the inputs of a body are.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Computed from codes.
    codes: HashSet<OutletId>,
    /// The same in every run.
    constants: HashSet<OutletId>,
}

/// A body, and where its inputs and outputs are those of its node.
struct Border<'a> {
    body: &'a TypedModel,
    /// For each input of the body one of the node's.
    inputs: Vec<Option<usize>>,
    /// For each output of the node one of the body's.
    outputs: Vec<usize>,
    /// Pairs of an output and of the input that it is in the next turn.
    carried: Vec<(usize, usize)>,
}

/// The bodies of a node.
fn of(node: &TypedNode) -> Vec<Border<'_>> {
    if let Some(choice) = node.op.downcast_ref::<Choice>() {
        let bodies = choice.bodies().map(|(body, slots)| Border {
            body: body.graph(),
            inputs: slots.iter().copied().map(Some).collect(),
            outputs: (0..node.outputs.len()).collect(),
            carried: Vec::new(),
        });
        return bodies.collect();
    }
    let Some(turns) = node.op.downcast_ref::<Turns>() else {
        return Vec::new();
    };
    let given = (0..turns.carried + turns.captured).map(|at| Some(turns.first_carried + at));
    // Behind the condition.
    let made = turns.named.iter().enumerate().filter(|(_, named)| **named);
    vec![Border {
        body: turns.body.graph(),
        inputs: [None; BEFORE_CARRIED].into_iter().chain(given).collect(),
        outputs: made.map(|(at, _)| at + 1).collect(),
        carried: (0..turns.carried)
            .map(|at| (at + 1, at + BEFORE_CARRIED))
            .collect(),
    }]
}

/// Calls a rewrite with the bodies of a node, in their order.
pub(super) fn rewrite(
    node: &mut TypedNode,
    work: &mut dyn FnMut(&mut TypedModel) -> TractResult<()>,
) -> TractResult<()> {
    if let Some(choice) = node.op.downcast_mut::<Choice>() {
        choice.bodies_mut().try_for_each(|body| body.rewrite(work))
    } else if let Some(turns) = node.op.downcast_mut::<Turns>() {
        turns.body.rewrite(work)
    } else {
        Ok(())
    }
}

/// Whether codes are made within a node.
pub(super) fn hold_codes(node: &TypedNode, depth: usize) -> bool {
    let makes = |node: &TypedNode| {
        let mut outputs = node.outputs.iter();
        outputs.any(|it| is_code(it.fact.datum_type)) || hold_codes(node, depth - 1)
    };
    depth > 0
        && of(node)
            .iter()
            .any(|border| border.body.nodes.iter().any(makes))
}

/// What the bodies of a node are given; nothing where they are too deep.
pub(super) fn given_to(
    model: &TypedModel,
    id: usize,
    codes: &HashSet<OutletId>,
    given: &Given,
    depth: usize,
) -> TractResult<Vec<Given>> {
    if depth == 0 {
        return Ok(Vec::new());
    }
    let bodies = of(model.node(id));
    let bodies = bodies
        .iter()
        .map(|border| border.given(model, id, (codes, given), depth));
    bodies.collect()
}

/// The values of a graph that codes alone decide about, with constants.
pub(super) fn of_codes(
    model: &TypedModel,
    order: &[usize],
    given: &Given,
    depth: usize,
) -> TractResult<HashSet<OutletId>> {
    let mut of_codes = given.codes.clone();
    // What is computed of constants alone, such as one that gets axes to have as many as what it is added to.
    let mut constants: HashSet<OutletId> = HashSet::new();
    for id in order {
        let node = model.node(*id);
        let (mut any, mut all) = (false, computes(node) || moves(node));
        for input in &node.inputs {
            let is_of_codes = of_codes.contains(input);
            any |= is_of_codes;
            let known = is_of_codes || constants.contains(input);
            all &= known || is_constant(model, *input, given)?;
        }
        if all && !any && !node.inputs.is_empty() {
            constants.extend((0..node.outputs.len()).map(|slot| OutletId::new(*id, slot)));
        }
        let from_bodies = from_bodies(model, *id, (&of_codes, given), depth)?;
        for (slot, output) in node.outputs.iter().enumerate() {
            let is_code = is_code(output.fact.datum_type) && output.fact.konst.is_none();
            if is_code || any && all || from_bodies.contains(&slot) {
                of_codes.insert(OutletId::new(*id, slot));
            }
        }
    }
    Ok(of_codes)
}

fn is_constant(model: &TypedModel, outlet: OutletId, given: &Given) -> TractResult<bool> {
    Ok(given.constants.contains(&outlet) || model.outlet_fact(outlet)?.konst.is_some())
}

/// The outputs of a node that all its bodies compute from codes.
fn from_bodies(
    model: &TypedModel,
    id: usize,
    known: (&HashSet<OutletId>, &Given),
    depth: usize,
) -> TractResult<HashSet<usize>> {
    let mut all: Option<HashSet<usize>> = None;
    if depth == 0 {
        return Ok(HashSet::new());
    }
    for border in of(model.node(id)) {
        let given = border.given(model, id, known, depth)?;
        let codes = border.codes(&given, depth)?;
        let made = border.body.output_outlets()?;
        let slots = border.outputs.iter().enumerate();
        let slots = slots.filter(|(_, at)| made.get(**at).is_some_and(|it| codes.contains(it)));
        let slots: HashSet<usize> = slots.map(|(slot, _)| slot).collect();
        all = Some(match all {
            Some(all) => &all & &slots,
            None => slots,
        });
    }
    Ok(all.unwrap_or_default())
}

impl Border<'_> {
    fn codes(&self, given: &Given, depth: usize) -> TractResult<HashSet<OutletId>> {
        of_codes(self.body, &self.body.eval_order()?, given, depth - 1)
    }

    /// What comes in: of what goes from turn to turn, what is of codes before the first and behind each.
    fn given(
        &self,
        model: &TypedModel,
        id: usize,
        (codes, outside): (&HashSet<OutletId>, &Given),
        depth: usize,
    ) -> TractResult<Given> {
        let node = model.node(id);
        let mut given = Given::default();
        for (at, (own, slot)) in self
            .body
            .input_outlets()?
            .iter()
            .zip(&self.inputs)
            .enumerate()
        {
            let Some(outer) = slot.and_then(|slot| node.inputs.get(slot)) else {
                continue;
            };
            let is_carried = self.carried.iter().any(|(_, input)| *input == at);
            let is_constant = is_constant(model, *outer, outside)?;
            if codes.contains(outer) || is_carried && is_constant {
                given.codes.insert(*own);
            } else if is_constant {
                given.constants.insert(*own);
            }
        }
        // What does not stay so leads to others that do not: the second time none is left.
        for is_last in [false, true] {
            if self.carried.is_empty() {
                break;
            }
            let codes = self.codes(&given, depth)?;
            let (made, taken) = (self.body.output_outlets()?, self.body.input_outlets()?);
            let pairs = self.carried.iter();
            let pairs = pairs.filter_map(|&(from, to)| Some((made.get(from)?, taken.get(to)?)));
            let pairs: Vec<_> = pairs.filter(|(_, to)| given.codes.contains(to)).collect();
            let stays = |from: &OutletId| codes.contains(from);
            if pairs.iter().all(|(from, _)| stays(from)) {
                break;
            }
            for (from, to) in pairs {
                if is_last || !stays(from) {
                    given.codes.remove(to);
                }
            }
        }
        Ok(given)
    }
}
