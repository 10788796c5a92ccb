//! Our kernels behind the activations that tract finds by itself.
//!
//! Given a graph in which tract's declutter has turned `x * sigmoid(x)` into its own SiLU; promises that none is left.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::nn::{HardSwish, Silu};

use crate::ops::Activation;

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<ElementWiseOp>("activations", |_, model, node, _, op| {
            let ours = if op.0.is::<Silu>() {
                Activation::Silu
            } else if op.0.is::<HardSwish>() {
                Activation::HardSwish
            } else {
                return Ok(None);
            };
            TypedModelPatch::replace_single_op(model, node, &node.inputs, ours.into_op()).map(Some)
        })
        .rewrite(&(), model)
}
