//! A decoded model with its inputs' shapes settled, as tract's decluttered typed graph.
//!
//! Given concrete shapes for all inputs; promises a graph in which every Swish is ours where `Operators::OnnxSwish` says so.

use std::path::Path;

use tract_core::model::Rewriter;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::nn::{HardSwish, Silu};
use tract_hir::internal::*;
use tract_onnx::pb::ModelProto;

use super::{Operators, Signature};
use crate::ops::Activation;

/// Loads, types and declutters. Call it under `guard`.
pub(crate) fn typed_model(
    proto: &ModelProto,
    base_dir: Option<&Path>,
    operators: Operators,
    signature: &Signature,
    shapes: &[Vec<usize>],
) -> TractResult<TypedModel> {
    let base_dir = base_dir
        .map(|dir| {
            dir.to_str().with_context(|| {
                format!("the path {} is not UTF-8, which tract needs", dir.display())
            })
        })
        .transpose()?;
    let parsed = operators.loader().parse(proto, base_dir)?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        bail!("value `{name}` is read and produced nowhere");
    }
    let mut model = parsed.model;
    for (port, shape) in signature.inputs.iter().zip(shapes) {
        let outlet = *parsed
            .outlets_by_name
            .get(&port.name)
            .with_context(|| format!("tract has no input named `{}`", port.name))?;
        let index = model
            .input_outlets()?
            .iter()
            .position(|input| *input == outlet)
            .with_context(|| format!("`{}` is no input to tract", port.name))?;
        let element_type = port
            .element_type
            .with_context(|| format!("input `{}` has no type", port.name))?;
        model.set_input_fact(
            index,
            element_type.datum_type().fact(shape.as_slice()).into(),
        )?;
    }
    let mut model = model.into_typed()?.into_decluttered()?;
    if operators == Operators::OnnxSwish {
        take_over(&mut model)?;
    }
    Ok(model)
}

/// Puts our kernels behind the activations that tract found by itself.
fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<ElementWiseOp>("onnx-swish kernels", |_, model, node, _, op| {
            let ours = if op.0.is::<Silu>() {
                Activation::Silu
            } else if op.0.is::<HardSwish>() {
                Activation::HardSwish
            } else {
                return Ok(None);
            };
            TypedModelPatch::replace_single_op(model, node, &node.inputs, ours.into_op()).map(Some)
        })
        .rewrite(&(), model)
}
