//! Our kernel behind tract's softmax of f32.
//!
//! Given a graph; promises that every softmax over one axis, or over several neighbouring ones, is ours, and that log-softmax,
//! other element types and quantised ones stay as they are.
//!
//! tract 0.23.9 is fast over last axes. Over others it collapses a view per sum, and takes each exponential twice, one element at a
//! time: eighty nanoseconds an element.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::nn::{Softmax, SoftmaxKind};

use crate::ops;

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Softmax>("softmax", |_, model, node, _, op| {
            let fact = model.node_input_facts(node.id)?[0];
            let covered = op.kind == SoftmaxKind::Softmax
                && op.quant_output_dt.is_none()
                && fact.datum_type == DatumType::F32
                && fact.is_plain();
            match ops::Softmax::over(&op.axes).filter(|_| covered) {
                Some(ours) => {
                    TypedModelPatch::replace_single_op(model, node, &node.inputs, ours).map(Some)
                }
                None => Ok(None),
            }
        })
        .rewrite(&(), model)
}

#[cfg(test)]
mod tests;
