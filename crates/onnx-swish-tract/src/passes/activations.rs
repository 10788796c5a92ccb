//! Our kernels behind the activations that tract finds by itself, and a sigmoid where it has none.
//!
//! Given a graph in which tract's declutter has turned `x * sigmoid(x)` into its own SiLU; promises that none is left, and
//! that sigmoids of f64 run.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::nn::{HardSwish, Sigmoid, Silu};

use crate::ops::{Activation, UnfusedSigmoid};

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<ElementWiseOp>("activations", |_, model, node, _, op| {
            let ours = if op.0.is::<Silu>() {
                Activation::Silu.into_op()
            } else if op.0.is::<HardSwish>() {
                Activation::HardSwish.into_op()
            } else if op.0.is::<Sigmoid>() && is_f64(model, node)? {
                UnfusedSigmoid.into_op()
            } else {
                return Ok(None);
            };
            TypedModelPatch::replace_single_op(model, node, &node.inputs, ours).map(Some)
        })
        .rewrite(&(), model)
}

fn is_f64(model: &TypedModel, node: &TypedNode) -> TractResult<bool> {
    let facts = model.node_input_facts(node.id)?;
    Ok(facts.iter().any(|fact| fact.datum_type == DatumType::F64))
}
