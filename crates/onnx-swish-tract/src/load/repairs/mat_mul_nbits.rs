//! com.microsoft's MatMulNBits with scales of float32.
//!
//! At fault: tract-onnx, `ops/nn/mat_mul_nbits.rs`, `MatMulNBits::wire`, which keeps weights in blocks whose scales are float16: four
//! digits are lost. Where no scale loses any, the blocks stay as they are; else the weights are widened once, to eight times their
//! size. 8 bits and activation order, which tract refuses, are widened too.

use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::add;
use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;

use super::wire::Wire;
use super::{Built, Delegate, builtin};
use crate::error::decline;
use crate::ops::function::integers;

pub(super) fn mat_mul_nbits(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mut inputs = optional_inputs(node).skip(3);
    let op = MatMulNBits {
        k: node.get_attr("K")?,
        n: node.get_attr("N")?,
        bits: node.get_attr_opt("bits")?.unwrap_or(4),
        block: node.get_attr("block_size")?,
        zero_points: inputs.next().flatten(),
        order: inputs.next().flatten(),
        bias: inputs.next().flatten(),
        inner: builtin(ctx, node, "tract::MatMulNBits").ok(),
    };
    if !matches!(op.bits, 2 | 4 | 8) || op.block == 0 || op.k == 0 {
        decline!(
            "weights of {} bits in blocks of {} are not implemented; of 2, 4 and 8 bits they are",
            op.bits,
            op.block
        );
    }
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct MatMulNBits {
    k: usize,
    n: usize,
    bits: usize,
    block: usize,
    zero_points: Option<usize>,
    order: Option<usize>,
    bias: Option<usize>,
    /// tract's, if it takes the node.
    inner: Option<Delegate>,
}

impl MatMulNBits {
    /// The weights, `[n, k]`.
    fn widened(
        &self,
        codes: &Tensor,
        scales: &[f32],
        zero_points: Option<&Tensor>,
        order: Option<&[i64]>,
    ) -> TractResult<Tensor> {
        let blocks = self.k.div_ceil(self.block);
        let per_byte = 8 / self.bits;
        let codes = codes.try_as_plain_ram()?;
        let codes = codes.as_slice::<u8>()?;
        let mask = ((1u16 << self.bits) - 1) as u8;
        let code = |bytes: &[u8], at: usize| -> Option<f32> {
            let byte = bytes.get(at / per_byte)?;
            Some(f32::from((byte >> (self.bits * (at % per_byte))) & mask))
        };
        let row_bytes = blocks * self.block.div_ceil(per_byte);
        let usual = f32::from(1u8 << (self.bits - 1));
        let packed = zero_points.filter(|it| it.datum_type() == u8::datum_type());
        let packed = packed.map(|it| it.try_as_plain_ram()).transpose()?;
        let packed = packed.as_ref().map(|it| it.as_slice::<u8>()).transpose()?;
        let floating = zero_points.filter(|it| it.datum_type().is_float());
        let floating = floating.map(|it| it.cast_to::<f32>()).transpose()?;
        let floating = floating
            .as_ref()
            .map(|it| it.try_as_plain_ram())
            .transpose()?;
        let floating = floating
            .as_ref()
            .map(|it| it.as_slice::<f32>())
            .transpose()?;
        let mut weights = Vec::with_capacity(
            self.n
                .checked_mul(self.k)
                .context("weights beyond memory")?,
        );
        for row in 0..self.n {
            let bytes = codes
                .get(row * row_bytes..(row + 1) * row_bytes)
                .context("fewer codes than weights")?;
            for column in 0..self.k {
                let block = match order {
                    Some(order) => {
                        usize::try_from(*order.get(column).context("fewer indices than columns")?)?
                    }
                    None => column / self.block,
                };
                let zero = match (packed, floating) {
                    (Some(packed), _) => {
                        let row_bytes = blocks.div_ceil(per_byte);
                        packed
                            .get(row * row_bytes..)
                            .and_then(|bytes| code(bytes, block))
                    }
                    (_, Some(floating)) => floating.get(row * blocks + block).copied(),
                    _ => Some(usual),
                };
                let scale = scales
                    .get(row * blocks + block)
                    .context("fewer scales than blocks")?;
                let zero = zero.context("fewer zero points than blocks")?;
                let code = code(bytes, column).context("fewer codes than weights")?;
                weights.push((code - zero) * scale);
            }
        }
        Tensor::from_shape(&[self.n, self.k], &weights)
    }
}

impl Expansion for MatMulNBits {
    fn name(&self) -> StaticName {
        "MatMulNBits".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        let x = inputs.first().context("MatMulNBits without an input")?;
        s.equals(&x.datum_type, &outputs[0].datum_type)?;
        s.given(&x.shape, move |s, mut shape| {
            *shape.last_mut().context("MatMulNBits of a scalar")? = self.n.to_dim();
            s.equals(&outputs[0].shape, ShapeFactoid::from(shape))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constant = |slot: usize| -> TractResult<Arc<Tensor>> {
            let outlet = *inputs
                .get(slot)
                .context("MatMulNBits without its weights")?;
            let constant = model.outlet_fact(outlet)?.konst.clone();
            constant.context("the weights of a MatMulNBits are computed while the model runs")
        };
        let (codes, scales) = (constant(1)?, constant(2)?);
        let scales = scales.cast_to::<f32>()?;
        let scales = scales.try_as_plain_ram()?;
        let scales = scales.as_slice::<f32>()?;
        let lossless = scales
            .iter()
            .all(|scale| half::f16::from_f32(*scale).to_f32() == *scale);
        if let Some(inner) = self.inner.as_ref().filter(|_| lossless) {
            return inner.wire(prefix, model, inputs);
        }
        let zero_points = self.zero_points.map(constant).transpose()?;
        let order = self.order.map(constant).transpose()?;
        let order = order.map(|it| integers(&it)).transpose()?;
        let weights = self.widened(&codes, scales, zero_points.as_deref(), order.as_deref())?;
        let x = inputs[0];
        let mut wire = Wire { prefix, model };
        let fact = wire.fact(x)?;
        let (rank, dt) = (fact.rank(), fact.datum_type);
        let weights = weights.cast_to_dt(dt)?.into_owned();
        let weights = wire.constant("weights", weights)?;
        let letters: String = ('a'..='j').take(rank.saturating_sub(1)).collect();
        let axes = format!("{letters}k,nk->{letters}n").parse()?;
        let product = wire.op("product", EinSum::new(axes, dt), &[x, weights])?;
        let y = match self.bias.and_then(|slot| inputs.get(slot)) {
            Some(bias) => wire.binary("biased", add(), product, *bias)?,
            None => product,
        };
        Ok(tvec!(y))
    }
}
