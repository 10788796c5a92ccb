//! PRelu with one slope for each channel, as opset 6 and below broadcast it.
//!
//! At fault: tract-onnx, `ops/nn/mod.rs`, `Prelu::wire`, which lines a vector of slopes up with the last axis.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::wire::Wire;
use super::{Built, Delegate, Rewiring, builtin_op, rewired};

pub(super) fn prelu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if ctx.onnx_operator_set_version > 6 {
        return builtin_op(ctx, node, "tract::PRelu");
    }
    rewired(ctx, node, "tract::PRelu", PreluOfChannels)
}

#[derive(Debug, Clone)]
struct PreluOfChannels;

impl Rewiring for PreluOfChannels {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[x, slope] = inputs else {
            bail!("PRelu takes two inputs");
        };
        let rank = model.outlet_fact(x)?.rank();
        let vector = model.outlet_fact(slope)?.rank() == 1;
        let slope = if vector && rank > 1 {
            Wire { prefix, model }.along("slope", slope, 1, rank)?
        } else {
            slope
        };
        own.wire(prefix, model, &[x, slope])
    }
}
