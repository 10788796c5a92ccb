//! Casts to 16 bits in a model that is computed in float32.
//!
//! Given a node that [`super::super::widen`] made of a Cast; promises the value in float32, rounded to the 16 bits.

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::load::widen::{Half, ROUNDINGS};
use crate::ops::Round;

pub(in crate::load) fn round(_: &ParsingContext, node: &NodeProto) -> Built {
    let known = ROUNDINGS
        .into_iter()
        .find(|(name, _)| *name == node.op_type);
    let (_, half) = known.with_context(|| format!("{} is no rounding", node.op_type))?;
    Ok((expand(CastAndRound(half)), vec![]))
}

#[derive(Debug, Clone)]
struct CastAndRound(Half);

impl Expansion for CastAndRound {
    fn name(&self) -> StaticName {
        "CastAndRound".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, DatumType::F32)?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let wide = model.wire_node(format!("{prefix}.float32"), cast(DatumType::F32), inputs)?;
        model.wire_node(prefix, Round(self.0).into_op(), &wide)
    }
}
