//! Transposed convolutions, with what follows them.
//!
//! Given a decluttered graph; promises that those of f32 over one or two spatial axes, with constant weights and sizes that are known, become
//! ordinary convolutions of stride 1 and one operator that puts their outputs next to each other, where strides are more than 1.

use std::sync::Arc;

use bytemuck::cast_slice;
use onnx_swish_conv::{ConvTranspose2d, TransposedSpec, Window, is_depthwise};
use tract_core::internal::*;
use tract_core::ops::cnn::{Deconv, KernelFormat, PoolSpec};
use tract_core::ops::nn::DataFormat;

use super::chain::{Chain, Residuals};
use super::describe;
use super::f32_constant;
use super::place::Place;
use super::root::{Root, Rows, pair};
use super::{Convolution, Convolutions, left};
use crate::arena::{Arena, elements};
use crate::cost::macs;
use crate::shared;
use crate::workers::with_workers;

/// The sizes of a transposed convolution's tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sizes {
    images: usize,
    input: [usize; 2],
    output: [usize; 2],
    /// The output's, as tract has it.
    shape: TVec<usize>,
}

/// Transposed convolutions of one node, as ordinary ones: the planes of their phases, one behind the other.
#[derive(Debug, Clone)]
pub(crate) struct FusedConvTransposed {
    conv: Arc<ConvTranspose2d>,
    sizes: Sizes,
    /// What tables of codes in it compute.
    tables: Vec<String>,
}

/// The phases of a transposed convolution, next to each other.
#[derive(Debug, Clone)]
pub(crate) struct Interleave(FusedConvTransposed);

impl PartialEq for FusedConvTransposed {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.conv, &other.conv) && self.sizes == other.sizes
    }
}

impl Eq for FusedConvTransposed {}

impl PartialEq for Interleave {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Interleave {}

/// Replaces the transposed convolution at `id` and what it takes along, or says why not. `policy` is why such convolutions stay on
/// tract on this machine.
pub(super) fn take_over(
    model: &mut TypedModel,
    (id, op): (usize, &Deconv),
    policy: Option<&str>,
    asked: Convolutions,
) -> TractResult<Convolution> {
    let (root, spec, sizes) = match found(model, id, op)? {
        Ok(found) => found,
        Err(why) => return Ok(left(model, id, format!("transposed{why}"))),
    };
    if let Some(why) = policy {
        return Ok(left(model, id, why.to_owned()));
    }
    let chain = Chain::after(model, &root, Residuals::Left)?;
    let spec = TransposedSpec {
        activation: chain.activation,
        line: chain.line,
        requantize: chain.requantize,
        exact: asked.exact(),
        ..spec
    };
    let (weights, bias) = chain.weights_and_bias(&root);
    let parts = [cast_slice(&weights), cast_slice(&bias)];
    let conv = shared::once(&spec, &parts, || {
        ConvTranspose2d::new(spec, &weights, &bias)
    })?;
    conv.prepare(sizes.input, sizes.output);
    let op = FusedConvTransposed {
        conv,
        sizes,
        tables: chain.tables,
    };
    let convolution = Convolution {
        node: model.node(id).name.clone(),
        op: op.name().into_owned(),
        ours: true,
        kind: Some(describe::kind_of_transposed(&spec, &op.tables)),
        info: Some(describe::info_of_transposed(&spec, &op.tables)),
        left: None,
        codes: false,
        floats: None,
        nodes: chain
            .nodes
            .iter()
            .map(|node| model.node(*node).name.clone())
            .collect(),
        macs: macs(&op, &[model.outlet_fact(root.input)?]),
    };
    let name = model.node(chain.last.node).name.clone();
    let mut patch = TypedModelPatch::new("onnx-swish transposed convolution");
    let taps = patch.taps(model, &[root.input])?;
    let wires = if spec.phases() == 1 {
        patch.wire_node(name, op, &taps)?
    } else {
        let phases = patch.wire_node(format!("{name}.phases"), op.clone(), &taps)?;
        patch.wire_node(name, Interleave(op), &phases)?
    };
    patch.shunt_outside(model, chain.last, wires[0])?;
    for node in chain.nodes {
        patch.obliterate(node)?;
    }
    patch.apply(model)?;
    Ok(convolution)
}

/// What a transposed convolution computes, or what is special about it, behind "transposed".
#[allow(clippy::type_complexity)]
fn found(
    model: &TypedModel,
    id: usize,
    op: &Deconv,
) -> TractResult<Result<(Root, TransposedSpec, Sizes), String>> {
    let node = model.node(id);
    let &[input, kernel, bias] = &*node.inputs else {
        return Ok(Err(", quantised".to_owned()));
    };
    let pool = &op.pool_spec;
    let fact = model.outlet_fact(input)?;
    let left = |why: &str| Ok(Err(why.to_owned()));
    if fact.datum_type != DatumType::F32 || !fact.is_plain() {
        return Ok(Err(format!(", of {:?}", fact.datum_type).to_lowercase()));
    }
    if is_depthwise(pool.input_channels, op.group) {
        return left(", depthwise");
    }
    let constant = |outlet: OutletId| {
        let constant = &model.outlet_fact(outlet)?.konst;
        let values = constant.as_ref().and_then(|it| f32_constant(it));
        TractResult::Ok(values.map(<[f32]>::to_vec))
    };
    let (Some(weights), Some(bias)) = (constant(kernel)?, constant(bias)?) else {
        return left(", with weights that the model computes");
    };
    let bias = match *bias {
        [bias] => vec![bias; pool.output_channels],
        _ if bias.len() == pool.output_channels => bias,
        _ => return left(", with a bias that is not one of each channel"),
    };
    let (Some(shape), Some(output)) = (
        fact.shape.as_concrete(),
        model.outlet_fact(id.into())?.shape.as_concrete(),
    ) else {
        return left(", over sizes that are not known");
    };
    let Some((window, pad, sizes)) = geometry(pool, op, shape, output)? else {
        return left(", of an unusual window");
    };
    let spec = TransposedSpec {
        window,
        pad,
        in_channels: pool.input_channels,
        out_channels: pool.output_channels,
        groups: op.group,
        activation: onnx_swish_conv::Activation::None,
        line: None,
        requantize: None,
        exact: false,
    };
    if let Err(why) = spec.check() {
        return Ok(Err(format!("; {why}")));
    }
    let root = Root {
        node: id,
        input,
        place: Place::Pool(pool.clone()),
        window,
        in_channels: pool.input_channels,
        out_channels: pool.output_channels,
        groups: op.group,
        weights,
        bias,
        rows: Rows::No,
    };
    Ok(Ok((root, spec, sizes)))
}

/// The window, what is cut off before the output, and the sizes; `None` over more than two axes or in another order of axes.
fn geometry(
    pool: &PoolSpec,
    op: &Deconv,
    shape: &[usize],
    output: &[usize],
) -> TractResult<Option<(Window, [usize; 2], Sizes)>> {
    let planes = matches!(pool.data_format, DataFormat::NCHW | DataFormat::CHW);
    if op.kernel_format != KernelFormat::OIHW || !planes {
        return Ok(None);
    }
    let (images, whole) = (
        pool.data_format.shape(shape)?,
        pool.data_format.shape(output)?,
    );
    let axes = pool.padding.compute_for_deconv(
        images.hw_dims(),
        &pool.kernel_shape,
        &pool.dilations(),
        &pool.strides(),
        &op.adjustments,
    )?;
    let before: TVec<usize> = axes.iter().map(|axis| axis.pad_before).collect();
    // An axis that is not there has one element, which one tap reads.
    let sizes = |of: &[usize]| pair(of, 1);
    let (Some(kernel), Some(stride), Some(dilation), Some(pad), Some(input), Some(output_size)) = (
        sizes(&pool.kernel_shape),
        sizes(&pool.strides()),
        sizes(&pool.dilations()),
        pair(&before, 0),
        sizes(images.hw_dims()),
        sizes(whole.hw_dims()),
    ) else {
        return Ok(None);
    };
    let window = Window {
        kernel,
        stride,
        dilation,
    };
    let sizes = Sizes {
        images: *images.n().unwrap_or(&1),
        input,
        output: output_size,
        shape: output.into(),
    };
    Ok(Some((window, pad, sizes)))
}

impl FusedConvTransposed {
    /// Where its packed weights are.
    #[cfg(test)]
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.conv).addr()
    }

    /// Of what it gives: the output, if there is only one phase.
    fn shape(&self) -> TractResult<TVec<usize>> {
        let Sizes {
            images,
            output,
            shape,
            ..
        } = &self.sizes;
        if self.conv.spec().phases() == 1 {
            return Ok(shape.clone());
        }
        Ok(tvec!(self.conv.spec().elements(*images, *output)?))
    }
}

impl Op for FusedConvTransposed {
    fn name(&self) -> StaticName {
        "FusedConvTransposed".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![describe::info_of_transposed(
            self.conv.spec(),
            &self.tables,
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for FusedConvTransposed {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs.first().context("a convolution without an input")?;
        let input = elements::<f32>(input)?;
        let Sizes {
            images,
            input: size,
            output,
            ..
        } = self.sizes;
        let phases = Arena::output(ctx, &self.shape()?, |phases| {
            Ok(with_workers(|workers| {
                self.conv.run(images, size, output, input, phases, workers)
            })?)
        })?;
        Ok(tvec!(phases.into_tvalue()))
    }
}

impl TypedOp for FusedConvTransposed {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::F32.fact(self.shape()?)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let spec = self.conv.spec();
        let input = inputs.first().context("a convolution without an input")?;
        let inputs: TDim = input.shape.iter().product();
        let terms = spec.out_channels / spec.groups * spec.window.taps();
        Ok(tvec!((Cost::FMA(DatumType::F32), inputs * terms)))
    }

    as_op!();
}

impl Op for Interleave {
    fn name(&self) -> StaticName {
        "Interleave".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let [rows, columns] = self.0.conv.spec().window.stride;
        Ok(vec![format!(
            "{rows}x{columns} phases of a transposed convolution"
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for Interleave {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let phases = inputs.first().context("an interleaving without an input")?;
        let phases = elements::<f32>(phases)?;
        let FusedConvTransposed { conv, sizes, .. } = &self.0;
        let output = Arena::output(ctx, &sizes.shape, |output| {
            Ok(with_workers(|workers| {
                conv.interleave(sizes.images, sizes.output, phases, output, workers)
            })?)
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for Interleave {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::F32.fact(&self.0.sizes.shape)))
    }

    as_op!();
}
