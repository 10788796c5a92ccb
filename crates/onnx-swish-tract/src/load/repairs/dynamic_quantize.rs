//! DynamicQuantizeLinear of nothing but zeros, whose scale is 1.
//!
//! At fault: tract-onnx, `ops/quant.rs`, `scale_and_zero_point`, whose scale of an empty range is 0: what is divided by it is NaN.
//! ONNX Runtime takes 1.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

pub(super) fn dynamic_quantize_linear(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let saved = "tract::DynamicQuantizeLinear";
    rewired(ctx, node, saved, DynamicQuantizeLinear)
}

#[derive(Debug, Clone)]
struct DynamicQuantizeLinear;

impl Rewiring for DynamicQuantizeLinear {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut outputs = own.wire(prefix, model, inputs)?;
        if let Some(scale) = outputs.get_mut(1) {
            let name = format!("{prefix}.scale");
            let wired = model.wire_node(name, Plain(ScaleOfRange), &[*scale])?;
            *scale = *wired.first().context("a scale")?;
        }
        Ok(outputs)
    }
}

#[derive(Debug, Clone, PartialEq)]
struct ScaleOfRange;

impl Function for ScaleOfRange {
    fn name(&self) -> &'static str {
        "ScaleOfRange"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let scale = inputs.first().context("no scale")?;
        Ok(tvec!(scale.without_value()))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let scale = args_1!(inputs).cast_to_scalar::<f32>()?;
        let scale = if scale == 0.0 { 1.0 } else { scale };
        Ok(tvec!(tensor0(scale).into_tvalue()))
    }
}
