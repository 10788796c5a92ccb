//! Equal of truths.
//!
//! At fault: tract-core, `ops/logic/comparison.rs`, `comp_bin_mini_op`, which compares what it takes for numbers, and boolean is none of
//! them.

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};

pub(super) fn equal(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Equal", Equal)
}

#[derive(Debug, Clone)]
struct Equal;

impl Rewiring for Equal {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut numbers: TVec<OutletId> = inputs.into();
        for (at, number) in numbers.iter_mut().enumerate() {
            if model.outlet_fact(*number)?.datum_type == DatumType::Bool {
                let name = format!("{prefix}.number-{at}");
                *number = model.wire_node(name, cast(DatumType::U8), &[*number])?[0];
            }
        }
        own.wire(prefix, model, &numbers)
    }
}
