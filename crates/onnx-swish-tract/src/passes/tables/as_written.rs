//! What stands between 8-bit codes, kept as the file has it until tables are made of it.
//!
//! Given a graph that tract has not decluttered; promises that declutter changes no rounding where codes are computed from codes and
//! constants, element by element, wherever the elements move in between, the branches of If and the bodies of Loop among them.

mod borders;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::array::{MultiBroadcastTo, Slice, TypedConcat};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::cnn::MaxPool;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;

use super::regions::is_element_wise;
use crate::load::Half;
use crate::ops::{Exact, ExactRoot, HalfByCodes, QuantizeBy, Round, Stepwise, is_code};
use crate::passes;
use borders::Given;

/// How many levels of graphs within graphs are told what comes in from outside.
const DEEPEST: usize = 3;

/// Puts operators in disguise.
pub(in crate::passes) fn keep(model: &mut TypedModel) -> TractResult<()> {
    keep_within(model, &Given::default(), false, DEEPEST)
}

/// As [`keep`], also of bodies, by what is given to them, and whether codes are made of what they give.
fn keep_within(
    model: &mut TypedModel,
    given: &Given,
    is_wanted: bool,
    depth: usize,
) -> TractResult<()> {
    let order = model.eval_order()?;
    let codes = borders::of_codes(model, &order, given, depth)?;
    let mut inside: HashSet<usize> = HashSet::new();
    if is_wanted {
        let outputs = model.output_outlets()?.iter();
        inside.extend(outputs.filter(|it| codes.contains(it)).map(|it| it.node));
    }
    for id in order.iter().rev() {
        let node = model.node(*id);
        let makes_codes = node.outputs.iter().any(|it| is_code(it.fact.datum_type));
        if makes_codes || inside.contains(id) || borders::hold_codes(node, depth) {
            let computed = node.inputs.iter().filter(|input| codes.contains(input));
            inside.extend(computed.map(|input| input.node));
        }
    }
    for id in order {
        let within = borders::given_to(model, id, &codes, given, depth)?;
        let mut within = within.iter();
        borders::rewrite(model.node_mut(id), &mut |body| match within.next() {
            Some(given) => keep_within(body, given, inside.contains(&id), depth - 1),
            None => Ok(()),
        })?;
    }
    for id in inside {
        let op = &model.node(id).op;
        let facts = model.node_input_facts(id)?;
        let floats = facts.iter().all(|fact| fact.datum_type.is_float());
        let single = facts.iter().all(|fact| fact.datum_type == DatumType::F32);
        drop(facts);
        let kept: Option<Box<dyn TypedOp>> = if !floats {
            None
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            Exact::of(op).map(Into::into)
        } else {
            let op = op.downcast_ref::<ElementWiseOp>();
            op.and_then(|op| {
                let half = op.0.is::<HalfByCodes>();
                let half = half.then(|| Round(Half::Float16).into_op());
                let stepwise = || Stepwise::of(op).filter(|_| single);
                half.or_else(|| ExactRoot::of(op)).or_else(stepwise)
            })
            .map(Into::into)
        };
        if let Some(kept) = kept {
            model.node_mut(id).op = kept;
        }
    }
    Ok(())
}

/// Takes out what rounds to float16 where no codes depend on it.
pub(in crate::passes) fn drop_halves(model: &mut TypedModel) -> TractResult<()> {
    for node in &mut model.nodes {
        let op = node.op_as::<ElementWiseOp>();
        if op.is_some_and(|op| op.0.is::<HalfByCodes>()) {
            node.op = Box::new(Identity);
        }
    }
    passes::rewrite_bodies(model, &mut drop_halves)
}

/// Puts tract's operators back.
pub(in crate::passes) fn give_back(model: &mut TypedModel) {
    for node in &mut model.nodes {
        let plain: Option<Box<dyn TypedOp>> = if let Some(op) = node.op_as::<TypedBinOp>() {
            Exact::undone(op).map(Into::into)
        } else {
            let op = node.op_as::<ElementWiseOp>();
            op.and_then(ExactRoot::undone).map(Into::into)
        };
        if let Some(plain) = plain {
            node.op = plain;
        }
    }
}

/// Puts back what archives can hold, too.
pub(in crate::passes) fn give_all_back(model: &mut TypedModel) {
    give_back(model);
    for node in &mut model.nodes {
        if let Some(plain) = node.op_as::<ElementWiseOp>().and_then(Stepwise::undone) {
            node.op = plain.into();
        }
    }
}

/// Whether an element of the output is computed from those at its place, whichever scales codes have.
fn computes(node: &TypedNode) -> bool {
    is_element_wise(node) || node.op_is::<QuantizeBy>()
}

/// Whether each element of the output is one of the inputs'.
fn moves(node: &TypedNode) -> bool {
    node.op_is::<AxisOp>()
        || node.op_is::<Slice>()
        || node.op_is::<MultiBroadcastTo>()
        || node.op_is::<TypedConcat>()
        || node.op_is::<MaxPool>()
}
