//! Codes instead of floats where values only change places.
//!
//! Given a decluttered graph; promises the same bits: what moves elements, or takes the largest of some, does the same to codes as to what
//! they are dequantised to. DequantizeLinear goes behind it and QuantizeLinear before it, to where they meet what computes.

use tract_core::internal::*;
use tract_core::ops::array::{Slice, TypedConcat};
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::cnn::MaxPool;

use super::{dequantized, only_reader};
use crate::ops::Quantize;
use crate::passes::tables::{element_wise, is_sane};

/// Rewrites the graph; says nothing of it, for it computes nothing else.
pub(in crate::passes) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    let order = model.eval_order()?;
    for id in &order {
        if let Some(patch) = dequantize_later(model, model.node(*id))? {
            patch.apply(model)?;
        }
    }
    // From the end on, so that one goes all the way.
    for id in order.iter().rev() {
        if let Some(patch) = quantize_earlier(model, model.node(*id))? {
            patch.apply(model)?;
        }
    }
    model.compact()
}

/// Whether an operator does the same to codes as to floats: it chooses among elements, by their places or by their order.
fn moves(node: &TypedNode) -> bool {
    let maximum = node.op_as::<MaxPool>();
    node.op_is::<AxisOp>()
        || node.op_is::<Slice>()
        || maximum.is_some_and(|op| op.with_index_outputs.is_none())
}

fn dequantize_later(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let &[input] = &*node.inputs else {
        return Ok(None);
    };
    if !moves(node) || node.outputs.len() != 1 {
        return Ok(None);
    }
    let Some((codes, _)) = dequantized(model, input)? else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::new("codes move");
    let tap = patch.tap_model(model, codes)?;
    let name = model.unique_name(format!("{}.codes", node.name));
    let moved = patch.wire_node(name, node.op.clone(), &[tap])?;
    let dequantize = model.node(input.node).op.clone();
    let wire = patch.wire_node(&*node.name, dequantize, &moved)?[0];
    patch.shunt_outside(model, node.id.into(), wire)?;
    patch.obliterate(node.id)?;
    Ok(Some(patch))
}

fn quantize_earlier(model: &TypedModel, node: &TypedNode) -> TractResult<Option<TypedModelPatch>> {
    let (Some(op), &[input]) = (element_wise::<Quantize>(node), &*node.inputs) else {
        return Ok(None);
    };
    let before = model.node(input.node);
    let moves = before.op_is::<AxisOp>() || before.op_is::<TypedConcat>();
    if !moves || op.linear().is_none() || !is_sane(op.scale) {
        return Ok(None);
    }
    let facts = model.node_input_facts(before.id)?;
    let floats = |fact: &&TypedFact| fact.datum_type == DatumType::F32 && fact.konst.is_none();
    if !facts.iter().all(floats) || only_reader(model, input)? != Some(node.id) {
        return Ok(None);
    }
    let mut patch = TypedModelPatch::new("codes move");
    let mut codes: TVec<OutletId> = tvec!();
    for (i, floats) in before.inputs.iter().enumerate() {
        let tap = patch.tap_model(model, *floats)?;
        let name = model.unique_name(format!("{}.{i}", node.name));
        codes.extend(patch.wire_node(name, node.op.clone(), &[tap])?);
    }
    let wire = patch.wire_node(&*node.name, before.op.clone(), &codes)?[0];
    patch.shunt_outside(model, node.id.into(), wire)?;
    patch.obliterate(node.id)?;
    patch.obliterate(before.id)?;
    Ok(Some(patch))
}
