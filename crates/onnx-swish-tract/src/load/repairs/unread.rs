//! Attributes that tract's builders do not read although they change the result.
//!
//! At fault: the builders named below, in tract-onnx. A node with another value than the usual one is refused, because it would
//! run and give other numbers.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, builtin_op, rewired};
use crate::error::decline;

/// `ops/s2d.rs` and `ops/d2s.rs`: the order of opset 28.
pub(super) fn space_to_depth(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mode = node.get_attr_opt("mode")?.unwrap_or("DCR");
    if mode != "DCR" {
        decline!("the order {mode} is not implemented, only DCR is");
    }
    builtin_op(ctx, node, "tract::SpaceToDepth")
}

/// `ops/nn/attention.rs`: windows, and where the past ends for a causal mask.
pub(super) fn attention(ctx: &ParsingContext, node: &NodeProto) -> Built {
    for window in ["left_window_size", "right_window_size"] {
        let size = node.get_attr_opt::<i64>(window)?.unwrap_or(-1);
        if size >= 0 {
            decline!("attention within a window ({window}) is not implemented");
        }
    }
    let causal = node.get_attr_opt::<i64>("is_causal")?.unwrap_or(0) != 0;
    let past = node.input.get(4).is_some_and(|name| !name.is_empty());
    if causal && past && ctx.onnx_operator_set_version > 23 {
        decline!("causal attention over past keys is not implemented from opset 24 on");
    }
    let masked = node.input.get(3).is_some_and(|name| !name.is_empty());
    rewired(ctx, node, "tract::Attention", Attention { masked })
}

#[derive(Debug, Clone)]
struct Attention {
    /// Whether the fourth input is a mask.
    masked: bool,
}

impl Rewiring for Attention {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mask = inputs.get(3).filter(|_| self.masked);
        if let Some(mask) = mask {
            // It is combined with others in float32.
            let dt = model.outlet_fact(*mask)?.datum_type;
            if dt != DatumType::F32 {
                decline!("a mask of {dt:?} is not implemented, only one of float32 is");
            }
        }
        own.wire(prefix, model, inputs)
    }
}
