//! A convolution with its activation and residual as a tract operator.
//!
//! Given the images, whose channels may lie in several tensors, and, if the operator adds one, the residual; promises what the nodes it
//! replaced computed, to rounding: scales are multiplied into the weights, and sums are taken in another order.

use std::sync::Arc;

use bytemuck::cast_slice;
use onnx_swish_conv::{Conv2d, Frame, Isa, Method, Operands, Outputs, Residual, Spec};
use onnx_swish_threads::Workers;
use tract_core::internal::*;
use tract_core::ops::nn::DataFormat;

use super::chain::Chain;
use super::describe;
use super::place::Place;
use super::root::{Root, Rows};
use crate::arena::{Arena, elements, uninitialized};
use crate::shared;
use crate::workers::with_workers;

/// A convolution, its bias, its activation and a residual in one pass.
#[derive(Debug, Clone)]
pub struct FusedConv {
    conv: Arc<Conv2d>,
    place: Place,
    /// How many tensors the images' channels lie in, one behind the other: the first operands.
    parts: usize,
    /// What tables of codes in it compute.
    tables: Vec<String>,
}

impl PartialEq for FusedConv {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.conv, &other.conv)
            && self.place == other.place
            && self.parts == other.parts
    }
}

impl Eq for FusedConv {}

impl FusedConv {
    /// For such images. Where their size is known, and with it the method, weights are packed for that one alone.
    pub(super) fn new(
        root: &Root,
        chain: &Chain,
        images: &TypedFact,
        (gated, sums, exact): (bool, bool, bool),
    ) -> TractResult<FusedConv> {
        let spec = Spec {
            window: root.window,
            in_channels: root.in_channels,
            out_channels: root.out_channels,
            groups: root.groups,
            activation: chain.activation,
            residual: chain.residual_at,
            line: chain.line,
            requantize: chain.requantize,
            gated,
            plane_sums: sums,
            exact,
            rows: root.rows == Rows::Many,
        };
        let frame = frame(&root.place, spec.out_channels, images)?;
        let method = frame.map(|frame| Method::of(&spec, Isa::best(), &frame));
        let (weights, bias) = chain.weights_and_bias(root);
        let parts = [cast_slice(&weights), cast_slice(&bias)];
        Ok(FusedConv {
            conv: shared::once(&(spec, method), &parts, || match &frame {
                Some(frame) => Conv2d::for_frame(spec, &weights, &bias, frame),
                None => Conv2d::new(spec, &weights, &bias),
            })?,
            place: root.place.clone(),
            parts: 1,
            tables: chain.tables.clone(),
        })
    }

    /// The same of the concatenation of so many tensors along this axis, without the concatenation, if it copies its input anyway and
    /// so may as well read them where they are.
    pub(super) fn of_parts(&self, axis: usize, parts: usize) -> Option<FusedConv> {
        let spec = self.conv.spec();
        let copies = !spec.is_depthwise() && !spec.rows;
        let along = self.parts == 1 && self.place.input_channel_axis() == axis;
        (copies && along).then(|| FusedConv {
            parts,
            ..self.clone()
        })
    }

    /// The shape of the images, joined.
    fn images_shape<'a, D: DimLike + 'a>(
        &self,
        mut parts: impl Iterator<Item = &'a [D]>,
    ) -> TractResult<TVec<D>> {
        let axis = self.place.input_channel_axis();
        let first = parts.next().context("a convolution without an input")?;
        let mut shape: TVec<D> = first.into();
        for part in parts {
            let same = |(at, (size, other)): (usize, (&D, &D))| at == axis || size == other;
            ensure!(
                part.len() == shape.len() && part.iter().zip(&shape).enumerate().all(same),
                "channels of images of {shape:?} in a tensor of {part:?}"
            );
            let (Some(sum), Some(own)) = (shape.get_mut(axis), part.get(axis)) else {
                bail!("images of {part:?} without channels");
            };
            *sum = sum.clone() + own;
        }
        Ok(shape)
    }

    /// Where its packed weights are.
    #[cfg(test)]
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.conv).addr()
    }

    /// The shape of the planes' sums: the output's with one element for each plane.
    fn sums_shape<D: DimLike>(&self, output: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = output.into();
        let channels = match &self.place {
            Place::Pool(spec) => usize::from(spec.data_format == DataFormat::NCHW),
            // Depthwise convolutions read more than one tap.
            Place::Pointwise { .. } => shape.len(),
        };
        for size in shape.iter_mut().skip(channels + 1) {
            *size = 1.into();
        }
        shape
    }

    /// The tensors of the images, and the other operands.
    fn operands<'a, T>(&self, inputs: &'a [T]) -> TractResult<(&'a [T], &'a [T])> {
        let split = inputs.split_at_checked(self.parts);
        split.context("a convolution without an input")
    }

    /// What it does, without sizes.
    pub(super) fn kind(&self) -> String {
        describe::kind(self.conv.spec(), self.parts, &self.tables)
    }

    /// What it does.
    pub(super) fn details(&self) -> String {
        describe::info(self.conv.spec(), self.parts, &self.tables)
    }

    /// By which method, where the size of the images is known and decides it.
    pub(super) fn method(&self, images: &TypedFact) -> TractResult<Option<Method>> {
        let frame = frame(&self.place, self.conv.spec().out_channels, images)?;
        let method = frame.map(|frame| self.conv.method(&frame));
        Ok(method.filter(Method::is_winograd))
    }
}

/// The sizes of such images and of what becomes of them, if they are known.
fn frame(place: &Place, channels: usize, images: &TypedFact) -> TractResult<Option<Frame>> {
    let Some(shape) = images.shape.as_concrete() else {
        return Ok(None);
    };
    let (_, frame, _) = place.geometry(shape, channels)?;
    Ok(Some(frame))
}

impl Op for FusedConv {
    fn name(&self) -> StaticName {
        match describe::method(self.conv.spec()) {
            "depthwise" => "FusedConvDepthwise",
            "pointwise" => "FusedConvPointwise",
            "linear" => "FusedLinear",
            _ => "FusedConv",
        }
        .into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![self.details()])
    }

    op_as_typed_op!();
}

impl EvalOp for FusedConv {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (parts, given) = self.operands(&inputs)?;
        let spec = self.conv.spec();
        let input = self.images_shape(parts.iter().map(|part| part.shape()))?;
        let (images, frame, shape) = self.place.geometry(&input, spec.out_channels)?;
        let parts = parts.iter().map(|part| elements(part));
        let parts: TVec<&[f32]> = parts.collect::<TractResult<_>>()?;
        let (input, more) = parts
            .split_first()
            .context("a convolution without an input")?;
        let mut given = given.iter();
        let mut optional = |wanted: bool| {
            let tensor = if wanted { given.next() } else { None };
            tensor.map(|tensor| elements(tensor)).transpose()
        };
        let operands = Operands {
            input,
            more,
            residual: optional(spec.residual != Residual::None)?,
            gate: optional(spec.gated)?,
        };
        let mut sums = if spec.plane_sums {
            Some(uninitialized::<f32>(&self.sums_shape(&shape))?)
        } else {
            None
        };
        let mut plain = sums
            .as_mut()
            .map(Tensor::try_as_plain_ram_mut)
            .transpose()?;
        let totals = plain.as_mut().map(|sums| sums.as_slice_mut::<f32>());
        let mut plane_sums = totals.transpose()?;
        // Every element of what is given is written; the tests of `onnx-swish-conv` prefill it with NaN.
        let output = Arena::output(ctx, &shape, |output| {
            let run = |workers: &dyn Workers| {
                let outputs = Outputs {
                    output,
                    plane_sums: plane_sums.take(),
                };
                self.conv.run(images, &frame, operands, outputs, workers)
            };
            Ok(with_workers(run)?)
        })?;
        let outputs = std::iter::once(output).chain(sums);
        Ok(outputs.map(Tensor::into_tvalue).collect())
    }
}

impl TypedOp for FusedConv {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let (parts, _) = self.operands(inputs)?;
        let input = self.images_shape(parts.iter().map(|part| &*part.shape))?;
        let channels = self.conv.spec().out_channels.to_dim();
        let shape: TVec<TDim> = self.place.output_shape(&input, channels)?;
        let mut facts = tvec!(DatumType::F32.fact(&shape));
        if self.conv.spec().plane_sums {
            facts.push(DatumType::F32.fact(self.sums_shape(&shape)));
        }
        Ok(facts)
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let spec = self.conv.spec();
        let outputs: TDim = self.output_facts(inputs)?[0].shape.iter().product();
        let terms = spec.in_channels / spec.groups * spec.window.taps();
        Ok(tvec!((Cost::FMA(DatumType::F32), outputs * terms)))
    }

    as_op!();
}
