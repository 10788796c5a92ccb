//! Products of two tensors of the model, as attention has them.
//!
//! Given a graph whose linear layers are ours already; promises that products of known sizes are ours on the processors on which
//! dense convolutions are, with the same numbers to rounding, and that all others stay as tract has them.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::einsum::EinSum;

use crate::conv::Convolutions;
use crate::conv::policy::Policy;
use crate::ops::BatchedMatMul;

pub(super) fn take_over(model: &mut TypedModel, asked: Convolutions) -> TractResult<()> {
    if Policy::new(asked).left(false).is_some() {
        return Ok(());
    }
    Rewriter::default()
        .with_rule_for::<EinSum>("products", |_, model, node, _, op| ours(model, node, op))
        .rewrite(&(), model)
}

fn ours(model: &TypedModel, node: &TypedNode, op: &EinSum) -> TractResult<Option<TypedModelPatch>> {
    let facts = model.node_input_facts(node.id)?;
    let &[left, right] = &*facts else {
        return Ok(None);
    };
    let is_ours = |fact: &TypedFact| {
        // What is constant is packed once, by others.
        fact.datum_type == DatumType::F32 && fact.is_plain() && fact.konst.is_none()
    };
    let of_floats = op.operating_dt == DatumType::F32 && op.q_params.is_none();
    if !of_floats || !is_ours(left) || !is_ours(right) {
        return Ok(None);
    }
    let output = &node.outputs[0].fact.shape;
    let (Some(left), Some(right), Some(output)) = (
        left.shape.as_concrete(),
        right.shape.as_concrete(),
        output.as_concrete(),
    ) else {
        return Ok(None);
    };
    match BatchedMatMul::of(op, [left, right], output) {
        Some(ours) => TypedModelPatch::replace_single_op(model, node, &node.inputs, ours).map(Some),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
