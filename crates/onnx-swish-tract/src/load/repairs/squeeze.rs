//! Squeeze without axes, or with none among them, which removes every axis of size one.
//!
//! At fault: tract-onnx, `ops/array/squeeze.rs`, `squeeze`, which insists on the attribute before opset 13; and tract-hir,
//! `ops/array/squeeze.rs`, `Squeeze::output_shape`, which removes axes in the order they are named.

use tract_hir::internal::*;
use tract_hir::ops::array::RmDims;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::error::demand;
use crate::ops::function::{constant_integers, integers, resolved_axes};

pub(super) fn squeeze(_: &ParsingContext, node: &NodeProto) -> Built {
    let axes = node.get_attr_opt_vec::<i64>("axes")?;
    Ok((expand(Squeeze { axes }), vec![]))
}

#[derive(Debug, Clone)]
struct Squeeze {
    axes: Option<Vec<i64>>,
}

impl Squeeze {
    fn removed(&self, shape: &[TDim], axes: Option<&[i64]>) -> TractResult<Vec<usize>> {
        let named = axes.or(self.axes.as_deref());
        let Some(axes) = named.filter(|axes| !axes.is_empty()) else {
            let ones = shape.iter().enumerate().filter(|(_, dim)| dim.is_one());
            return Ok(ones.map(|(axis, _)| axis).collect());
        };
        let axes = resolved_axes(axes, shape.len())?;
        for dim in axes.iter().filter_map(|&axis| shape.get(axis)) {
            demand!(
                dim.is_one() || dim.as_i64().is_none(),
                "it would remove an axis of {dim} elements"
            );
        }
        Ok(axes)
    }
}

impl Expansion for Squeeze {
    fn name(&self) -> StaticName {
        "Squeeze".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        ensure!(!inputs.is_empty(), "Squeeze without an input");
        s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        s.given(&inputs[0].shape, move |s, shape| {
            let values = inputs.get(1).map(|axes| &axes.value);
            s.given_all(values, move |s, values| {
                let axes = values.first().map(|axes| integers(axes)).transpose()?;
                let removed = self.removed(&shape, axes.as_deref())?;
                let left = shape.iter().enumerate();
                let left = left.filter(|(axis, _)| !removed.contains(axis));
                let left: TVec<TDim> = left.map(|(_, dim)| dim.clone()).collect();
                s.equals(&outputs[0].shape, ShapeFactoid::from(left))
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let axes = inputs
            .get(1)
            .map(|axes| constant_integers(model.outlet_fact(*axes)?, "the axes of a Squeeze"))
            .transpose()?;
        let x = *inputs.first().context("Squeeze without an input")?;
        let shape = model.outlet_fact(x)?.shape.to_tvec();
        let removed = self.removed(&shape, axes.as_deref())?;
        if removed.is_empty() {
            return model.wire_node(prefix, tract_core::ops::identity::Identity, &[x]);
        }
        let removed = removed.into_iter().map(|axis| axis as isize).collect();
        RmDims::new(removed).wire(prefix, model, &[x])
    }
}
