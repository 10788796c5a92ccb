//! Softmax: its axes told apart for tract's rewrites, and our kernel behind that of f32.
//!
//! Given a graph; promises that no rewrite takes a softmax for element-wise, that every softmax of f32 over one axis, or over
//! several neighbouring ones, is ours, and that log-softmax, other element types and quantised ones are computed by tract.
//!
//! tract 0.23.9 is fast over last axes. Over others it collapses a view per sum, and takes each exponential twice, one element at a
//! time: eighty nanoseconds an element.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::nn::{Softmax, SoftmaxKind};

use crate::ops::{self, BatchedMatMul, OwnAxes};

/// Before tract's declutter: its softmax as one whose axes are told apart.
pub(super) fn tell_axes_apart(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Softmax>("softmax", |_, model, node, _, op| {
            let op = OwnAxes(op.clone());
            TypedModelPatch::replace_single_op(model, node, &node.inputs, op).map(Some)
        })
        .rewrite(&(), model)
}

/// For archives, in which it is tract's operator.
pub(super) fn give_back(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<OwnAxes>("softmax", |_, model, node, _, op| {
            TypedModelPatch::replace_single_op(model, node, &node.inputs, op.0.clone()).map(Some)
        })
        .rewrite(&(), model)
}

/// For graphs that are about to run.
pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Softmax>("softmax", |_, model, node, _, op| ours(model, node, op))
        .with_rule_for::<OwnAxes>("softmax", |_, model, node, _, op| ours(model, node, &op.0))
        .rewrite(&(), model)
}

/// After products are ours: those whose rows only a softmax reads, as attention's scores, are one operator with it.
pub(super) fn join_products(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<ops::Softmax>("softmax of a product", |_, model, node, _, op| {
            behind_product(model, node, op)
        })
        .rewrite(&(), model)
}

fn behind_product(
    model: &TypedModel,
    node: &TypedNode,
    op: &ops::Softmax,
) -> TractResult<Option<TypedModelPatch>> {
    let Some(&scores) = node.inputs.first() else {
        return Ok(None);
    };
    let product = model.node(scores.node);
    let is_read_by_others =
        model.output_outlets()?.contains(&scores) || model.outlet_successors(scores).len() != 1;
    let joined = product
        .op_as::<BatchedMatMul>()
        .filter(|_| !is_read_by_others)
        .and_then(|product| product.with_softmax(op.axes()));
    let Some(joined) = joined else {
        return Ok(None);
    };
    let mut patch = TypedModelPatch::default();
    let taps = patch.taps(model, &product.inputs)?;
    let rows = patch.wire_node(&node.name, joined, &taps)?;
    patch.shunt_outside(model, node.id.into(), rows[0])?;
    Ok(Some(patch))
}

fn ours(
    model: &TypedModel,
    node: &TypedNode,
    op: &Softmax,
) -> TractResult<Option<TypedModelPatch>> {
    let fact = model.node_input_facts(node.id)?[0];
    let covered = op.kind == SoftmaxKind::Softmax
        && op.quant_output_dt.is_none()
        && fact.datum_type == DatumType::F32
        && fact.is_plain();
    match ops::Softmax::over(&op.axes).filter(|_| covered) {
        Some(ours) => TypedModelPatch::replace_single_op(model, node, &node.inputs, ours).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
