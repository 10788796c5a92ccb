//! What stands between 8-bit codes, kept as the file has it until tables are made of it.
//!
//! Given a graph that tract has not decluttered; promises that declutter changes no rounding where codes are computed from codes and
//! constants, element by element, wherever the elements move in between.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::array::{MultiBroadcastTo, Slice, TypedConcat};
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::cnn::MaxPool;
use tract_core::ops::element_wise::ElementWiseOp;

use super::regions::is_element_wise;
use crate::ops::{Exact, ExactRoot, QuantizeBy, Stepwise, is_code};

/// Puts operators in disguise.
pub(in crate::passes) fn keep(model: &mut TypedModel) -> TractResult<()> {
    let order = model.eval_order()?;
    let codes = of_codes(model, &order)?;
    let mut inside: HashSet<usize> = HashSet::new();
    for id in order.iter().rev() {
        let node = model.node(*id);
        let makes_codes = node.outputs.iter().any(|it| is_code(it.fact.datum_type));
        if makes_codes || inside.contains(id) {
            let computed = node.inputs.iter().filter(|input| codes.contains(input));
            inside.extend(computed.map(|input| input.node));
        }
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
            op.and_then(|op| ExactRoot::of(op).or_else(|| Stepwise::of(op).filter(|_| single)))
                .map(Into::into)
        };
        if let Some(kept) = kept {
            model.node_mut(id).op = kept;
        }
    }
    Ok(())
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

/// The values that codes alone decide about, with constants: the codes themselves, and what is computed from them element by element,
/// wherever the elements move in between.
fn of_codes(model: &TypedModel, order: &[usize]) -> TractResult<HashSet<OutletId>> {
    let mut of_codes: HashSet<OutletId> = HashSet::new();
    for id in order {
        let node = model.node(*id);
        let (mut any, mut all) = (false, computes(node) || moves(node));
        for input in &node.inputs {
            let is_of_codes = of_codes.contains(input);
            any |= is_of_codes;
            all &= is_of_codes || model.outlet_fact(*input)?.konst.is_some();
        }
        for (slot, output) in node.outputs.iter().enumerate() {
            let is_code = is_code(output.fact.datum_type) && output.fact.konst.is_none();
            if is_code || any && all {
                of_codes.insert(OutletId::new(*id, slot));
            }
        }
    }
    Ok(of_codes)
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
