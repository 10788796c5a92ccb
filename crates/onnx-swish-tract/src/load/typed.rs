//! A model with its inputs' shapes settled, as tract's decluttered typed graph.
//!
//! Given concrete shapes for all inputs; promises a graph in which every Swish is ours where `Operators::OnnxSwish` says so.

use std::path::Path;

use tract_core::optim::Optimizer;
use tract_hir::internal::*;
use tract_onnx::pb::ModelProto;

use super::{Operators, Signature, Widening, concatenations, dequantized, limits, planes, weights};
use crate::conv::{Convolutions, keeps_planes};
use crate::error::Error;
use crate::passes;

/// What is known of the inputs before the model runs, in their order.
pub(super) struct Inputs<'a> {
    pub shapes: &'a [Vec<usize>],
    /// As many as shapes, or none.
    pub values: &'a [Option<crate::tensor::Tensor>],
}

/// Of an ONNX model.
pub(super) fn from_onnx(
    proto: ModelProto,
    base_dir: Option<&Path>,
    (operators, convolutions): (Operators, Convolutions),
    widening: Widening,
    signature: &Signature,
    inputs: Inputs<'_>,
) -> TractResult<TypedModel> {
    let base_dir = base_dir
        .map(|dir| {
            dir.to_str().with_context(|| {
                format!("the path {} is not UTF-8, which tract needs", dir.display())
            })
        })
        .transpose()?;
    limits::check_constants(&proto)?;
    let parsed = weights::parse(&operators.loader(), proto, base_dir)?;
    if let Some(name) = parsed.unresolved_inputs.first() {
        bail!(Error::UnknownValue(name.clone()));
    }
    let mut model = parsed.model;
    for (at, (port, shape)) in signature.inputs.iter().zip(inputs.shapes).enumerate() {
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
        let fact = match inputs.values.get(at) {
            Some(Some(value)) => InferenceFact::from(value.clone().into_tract().into_tensor()),
            _ => {
                let computed = widening.computed(element_type);
                computed.datum_type().fact(shape.as_slice()).into()
            }
        };
        model.set_input_fact(index, fact)?;
    }
    let model = dequantized::remembering(|| model.into_typed())?;
    finished(model, operators, convolutions)
}

/// Of an NNEF archive, its symbols replaced by sizes.
pub(super) fn from_archive(
    model: TypedModel,
    (operators, convolutions): (Operators, Convolutions),
    shapes: &[Vec<usize>],
) -> TractResult<TypedModel> {
    let mut sizes = HashMap::new();
    for (index, shape) in shapes.iter().enumerate() {
        for (dim, size) in model.input_fact(index)?.shape.iter().zip(shape) {
            if let TDim::Sym(symbol) = dim {
                sizes.insert(symbol.clone(), size.to_dim());
            }
        }
    }
    let model = if sizes.is_empty() {
        model
    } else {
        model.set_symbols(&sizes)?
    };
    finished(model, operators, convolutions)
}

/// tract's declutter with our passes before and after it.
pub(crate) fn finished(
    model: TypedModel,
    operators: Operators,
    convolutions: Convolutions,
) -> TractResult<TypedModel> {
    let mut model = model;
    if operators != Operators::Stock {
        passes::raw(&mut model)?;
    }
    let ours = operators == Operators::OnnxSwish && keeps_planes(convolutions);
    declutter_with(&mut model, ours)?;
    if operators == Operators::OnnxSwish {
        passes::loaded(&mut model)?;
    }
    Ok(model)
}

/// tract's declutter, with constants folded once more before axes are moved.
///
/// At fault: tract-core, `ops/cnn/conv/conv.rs`, `Conv::change_axes`, which takes a change of the bias for one of the image. It
/// comes to that while a constant that belongs to the bias is not folded yet.
///
/// Of a body of If, Loop or Scan, whose convolutions are tract's.
pub(crate) fn declutter(model: &mut TypedModel) -> TractResult<()> {
    declutter_with(model, false)
}

/// `ours`: whether our kernels compute convolutions, whose channels then stay before their pixels, and whose concatenations stay whole.
fn declutter_with(model: &mut TypedModel, ours: bool) -> TractResult<()> {
    passes::rewrite_bodies(model, &mut declutter)?;
    let mut optimizer = Optimizer::declutter();
    if let Some(fold) = Optimizer::prop_consts().passes.pop() {
        let before_axes = optimizer.passes.len().saturating_sub(1);
        optimizer.add_pass(before_axes, fold);
    }
    if ours {
        planes::keep(&mut optimizer);
        concatenations::keep(&mut optimizer);
    }
    super::watch_passes(&mut optimizer);
    optimizer.optimize(model)
}
