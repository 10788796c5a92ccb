//! Elementary functions of float32 by [`Elementary`], where tract's lose their digits.
//!
//! Given a graph that tract has lowered to its machine's operators; promises that no erf, asinh and acosh of f32 is tract's.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::element_wise::ElementWiseOp;

use crate::ops::Elementary;
use crate::ops::function::Plain;

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<ElementWiseOp>("elementary functions", |_, model, node, _, op| {
            let fact = model.node_input_facts(node.id)?[0];
            match Elementary::of(op).filter(|_| fact.datum_type == DatumType::F32 && op.1.is_none())
            {
                Some(ours) => {
                    TypedModelPatch::replace_single_op(model, node, &node.inputs, Plain(ours))
                        .map(Some)
                }
                None => Ok(None),
            }
        })
        .rewrite(&(), model)
}
