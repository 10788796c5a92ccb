//! ConvTranspose whose node says how large the output is, as a shape or as the input's size times the stride.
//!
//! At fault: tract-core, `ops/cnn/deconv/mod.rs`, `adjustments`, which lengthens the output at its end and never pads, so that a
//! shorter one wraps around, and panics for `auto_pad` of SAME_UPPER and SAME_LOWER; and `ops/cnn/padding.rs`, `same_for_deconv`, which refuses
//! kernels that are no larger than their stride, and makes the output longer by what `output_padding` says.

use tract_core::ops::cnn::deconv::Deconv;
use tract_core::ops::cnn::{KernelFormat, PaddingSpec, PoolSpec};
use tract_hir::internal::*;
use tract_hir::ops::nn::DataFormat;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::wire::Wire;
use super::{Built, Delegate, Rewiring, builtin_op, rewired};

pub(super) fn conv_transpose(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let output = node.get_attr_opt_vec::<usize>("output_shape")?;
    let output = output.filter(|sizes| !sizes.is_empty());
    let auto_pad = node.get_attr_opt::<&str>("auto_pad")?.unwrap_or_default();
    let same = matches!(auto_pad, "SAME_UPPER" | "SAME_LOWER");
    if output.is_none() && !same {
        return builtin_op(ctx, node, "tract::ConvTranspose");
    }
    let op = ConvTranspose {
        output,
        added: node.get_attr_opt_vec("output_padding")?,
        strides: node.get_attr_opt_vec("strides")?,
        dilations: node.get_attr_opt_vec("dilations")?,
        group: node.get_attr_opt("group")?.unwrap_or(1),
        same_upper: auto_pad == "SAME_UPPER",
    };
    if op.output.is_none() {
        return Ok((expand(op), vec![]));
    }
    rewired(ctx, node, "tract::ConvTranspose", op)
}

#[derive(Debug, Clone)]
struct ConvTranspose {
    /// Of each axis; without it, the input's size times the stride.
    output: Option<Vec<usize>>,
    added: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    group: usize,
    same_upper: bool,
}

/// The value for an axis, where a node gives one.
fn at(values: &Option<Vec<usize>>, axis: usize, default: usize) -> usize {
    let value = values.as_ref().and_then(|values| values.get(axis));
    value.copied().unwrap_or(default)
}

impl ConvTranspose {
    /// What is cut at the beginning and at the end of each axis, as the specification parts it (the pads that a node names count for
    /// nothing): the odd element at the beginning, but for SAME_UPPER. And what is added at the end: `output_padding`, and what
    /// `output_shape` asks for beyond that, where ONNX Runtime has nothing but the bias, too.
    fn cuts(&self, image: &[usize], kernel: &[usize]) -> TractResult<[TVec<usize>; 3]> {
        let mut cuts = [tvec!(), tvec!(), tvec!()];
        for (axis, (size, window)) in image.iter().zip(kernel).enumerate() {
            let moved = size
                .saturating_sub(1)
                .checked_mul(at(&self.strides, axis, 1));
            let reach = window
                .saturating_sub(1)
                .checked_mul(at(&self.dilations, axis, 1));
            let whole = moved
                .zip(reach)
                .and_then(|(moved, reach)| moved.checked_add(reach)?.checked_add(1))
                .and_then(|whole| whole.checked_add(at(&self.added, axis, 0)))
                .context("a ConvTranspose of too many pixels")?;
            let (cut, beyond) = match &self.output {
                Some(output) => {
                    let output = *output.get(axis).context("an output_shape too short")?;
                    let beyond = output.saturating_sub(whole);
                    let stride = at(&self.strides, axis, 1);
                    ensure!(
                        beyond < stride.max(1),
                        "output_shape asks for {output} elements along axis {}: {whole} come out, and less than a stride of {stride} can be added",
                        axis + 2
                    );
                    (whole.saturating_sub(output), beyond)
                }
                // A kernel that is smaller than its stride does not reach so far, and nothing is added.
                None => {
                    let output = size.saturating_mul(at(&self.strides, axis, 1));
                    (whole.saturating_sub(output), 0)
                }
            };
            let (less, more) = (cut / 2, cut - cut / 2);
            let (begin, end) = if self.same_upper {
                (less, more)
            } else {
                (more, less)
            };
            let added = at(&self.added, axis, 0).saturating_add(beyond);
            for (cuts, cut) in cuts.iter_mut().zip([begin, end, added]) {
                cuts.push(cut);
            }
        }
        Ok(cuts)
    }
}

impl Rewiring for ConvTranspose {
    fn wire(
        &self,
        _: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.wired(prefix, model, inputs)
    }
}

/// By itself where tract does not know the output's shape.
impl Expansion for ConvTranspose {
    fn name(&self) -> StaticName {
        "ConvTranspose".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let [x, weights, ..] = inputs else {
            bail!("a ConvTranspose without weights");
        };
        s.equals(&x.datum_type, &outputs[0].datum_type)?;
        s.equals(&x.rank, &weights.rank)?;
        s.equals(&x.rank, &outputs[0].rank)?;
        s.given_2(&x.shape, &weights.shape, move |s, image, weights| {
            let known = |sizes: &[TDim]| {
                sizes
                    .iter()
                    .map(|size| Ok(size.to_usize()?))
                    .collect::<TractResult<TVec<_>>>()
            };
            let (Ok(image), Ok(weights)) = (known(&image), known(&weights)) else {
                return Ok(());
            };
            let ([batch, _, pixels @ ..], [_, columns, kernel @ ..]) = (&*image, &*weights) else {
                bail!("a ConvTranspose of an image without channels");
            };
            let [begin, end, added] = self.cuts(pixels, kernel)?;
            let mut shape = tvec!(batch.to_dim(), (self.group * columns).to_dim());
            for (axis, (size, window)) in pixels.iter().zip(kernel).enumerate() {
                // In numbers that may be negative on the way: tract refuses what is left of nothing.
                let whole = (size.to_dim() - 1) * at(&self.strides, axis, 1)
                    + (window.to_dim() - 1) * at(&self.dilations, axis, 1)
                    + 1
                    + added[axis];
                shape.push(whole - begin[axis] - end[axis]);
            }
            s.equals(&outputs[0].shape, shape)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        self.wired(prefix, model, inputs)
    }
}

impl ConvTranspose {
    fn wired(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let [x, weights, ref bias @ ..] = *inputs else {
            bail!("a ConvTranspose without weights");
        };
        let mut wire = Wire { prefix, model };
        let sizes = |fact: &TypedFact| fact.shape.as_concrete().map(<[usize]>::to_vec);
        let image = sizes(wire.fact(x)?).context("a ConvTranspose of an image of unknown size")?;
        let shape = sizes(wire.fact(weights)?).context("weights of unknown size")?;
        let [rows, columns, ref kernel @ ..] = *shape.as_slice() else {
            bail!("weights without channels");
        };
        let spatial = image.get(2..).context("an image without channels")?;
        let [begin, end, added] = self.cuts(spatial, kernel)?;
        // From [groups × in, out, ...] to [groups × out, in, ...].
        let parted = [&[self.group, rows / self.group.max(1), columns], kernel].concat();
        let parted: TVec<TDim> = parted.iter().map(|size| size.to_dim()).collect();
        let channels = self.group * columns;
        let merged = [&[channels, rows / self.group.max(1)], kernel].concat();
        let merged: TVec<TDim> = merged.iter().map(|size| size.to_dim()).collect();
        let weights = wire.reshape("weights.parted", weights, &parted)?;
        let weights = wire.op("weights.turned", AxisOp::Move(1, 2), &[weights])?;
        let weights = wire.reshape("weights.merged", weights, &merged)?;
        let bias = match bias.first() {
            Some(bias) => *bias,
            None => wire.scalar("bias", 0.0, x)?,
        };
        let per_axis = |values: &Option<Vec<usize>>, default| -> TVec<usize> {
            (0..kernel.len())
                .map(|axis| at(values, axis, default))
                .collect()
        };
        let pool = PoolSpec::new(
            DataFormat::NCHW,
            kernel.into(),
            PaddingSpec::Explicit(begin, end),
            Some(per_axis(&self.dilations, 1)),
            Some(per_axis(&self.strides, 1)),
            rows,
            channels,
        );
        let op = Deconv::new(pool, KernelFormat::OIHW, added, self.group);
        Ok(tvec!(wire.op("", op, &[x, weights, bias])?))
    }
}
