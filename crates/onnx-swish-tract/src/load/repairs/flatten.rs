//! Flatten of nothing.
//!
//! At fault: tract-core, `ops/change_axes.rs`, `to_axis_ops_with_tf_rules`, which tells dimensions apart by products, and of a size 0
//! everything is 0.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::resolved_axis;

pub(super) fn flatten(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let axis = node.get_attr_opt("axis")?.unwrap_or(1);
    rewired(ctx, node, "tract::Flatten", Flatten { axis })
}

#[derive(Debug, Clone)]
struct Flatten {
    axis: i64,
}

impl Rewiring for Flatten {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a Flatten without an input")?;
        let fact = model.outlet_fact(x)?.clone();
        let nothing = |dim: &TDim| *dim == 0.to_dim();
        if !fact.shape.iter().any(nothing) {
            return own.wire(prefix, model, inputs);
        }
        // The axis may be the rank itself.
        let axis = match usize::try_from(self.axis) {
            Ok(axis) => axis.min(fact.rank()),
            Err(_) => resolved_axis(self.axis, fact.rank())?,
        };
        let size = |dims: &[TDim]| -> TractResult<usize> {
            let sizes = dims.iter().map(|dim| Ok(dim.to_usize()?));
            sizes.product()
        };
        let (before, behind) = fact.shape.dims().split_at(axis);
        let empty = Tensor::zero_dt(fact.datum_type, &[size(before)?, size(behind)?])?;
        Ok(tvec!(model.add_const(prefix, empty)?))
    }
}
