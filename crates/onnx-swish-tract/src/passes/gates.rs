//! Our kernel behind tract's sigmoid, where it stands alone.
//!
//! Given a graph whose activations are ours already; promises that no sigmoid of floats is tract's. Archives hold tract's operator.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::nn::Sigmoid;

use crate::ops::Gate;

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<ElementWiseOp>("gates", |_, model, node, _, op| {
            let facts = model.node_input_facts(node.id)?;
            let floats = facts.iter().all(|fact| fact.datum_type.is_float());
            if !op.0.is::<Sigmoid>() || !floats || op.1.is_some() {
                return Ok(None);
            }
            let ours = Gate::Sigmoid.into_op();
            TypedModelPatch::replace_single_op(model, node, &node.inputs, ours).map(Some)
        })
        .rewrite(&(), model)
}
