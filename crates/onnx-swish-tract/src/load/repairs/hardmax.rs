//! Hardmax of nothing.
//!
//! At fault: tract-core, `ops/array/one_hot.rs` and `ops/nn/reduce.rs`, which panic at an axis without an element.

use tract_core::ops::identity::Identity;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};

pub(super) fn hardmax(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Hardmax", Hardmax)
}

#[derive(Debug, Clone)]
struct Hardmax;

impl Rewiring for Hardmax {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a Hardmax without an input")?;
        if model
            .outlet_fact(x)?
            .shape
            .iter()
            .any(|dim| *dim == 0.to_dim())
        {
            model.wire_node(prefix, Identity, &[x])
        } else {
            own.wire(prefix, model, inputs)
        }
    }
}
