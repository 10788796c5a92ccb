//! BatchNormalization whose parameters are computed, and in training mode, where a batch is normalised by its own statistics.
//!
//! At fault: tract-onnx, `ops/nn/batch_norm.rs`, `BatchNorm::wire`, which wants constants at once, and one output. Networks with
//! standardised weights are exported with one such node for each convolution's weights.

use tract_hir::internal::*;
use tract_hir::ops::math::{add, div, mul, rsqrt, sqrt, square, sub};
use tract_onnx::model::{ParsingContext, optional_outputs};
use tract_onnx::pb::NodeProto;

use super::wire::Wire;
use super::{Built, Delegate, builtin};
use crate::error::demand;

pub(super) fn batch_normalization(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let named = node.output.iter().filter(|name| !name.is_empty()).count();
    // Before opset 14, more than one output means training; since then an attribute says so.
    let training = if ctx.onnx_operator_set_version < 14 {
        named > 1
    } else {
        node.get_attr_opt::<i64>("training_mode")?.unwrap_or(0) != 0
    };
    if !training && named == 1 {
        let inner = builtin(ctx, node, "tract::BatchNormalization")?;
        let epsilon = node.get_attr_opt("epsilon")?.unwrap_or(1e-5);
        return Ok((expand(Inference { inner, epsilon }), vec![]));
    }
    demand!(training, "it gives statistics in training mode only");
    let mut outputs = optional_outputs(node);
    let mut slots = [None; 5];
    for slot in &mut slots {
        *slot = outputs.next().flatten();
    }
    let op = Training {
        epsilon: node.get_attr_opt("epsilon")?.unwrap_or(1e-5),
        momentum: node.get_attr_opt("momentum")?.unwrap_or(0.9),
        slots,
        outputs: named,
    };
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct Inference {
    inner: Delegate,
    epsilon: f32,
}

impl Expansion for Inference {
    fn name(&self) -> StaticName {
        "BatchNorm".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 5)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[x, scale, bias, mean, variance] = inputs else {
            bail!(
                "BatchNormalization takes five inputs and was given {}",
                inputs.len()
            );
        };
        let facts = inputs.iter().map(|input| model.outlet_fact(*input));
        let facts = facts.collect::<TractResult<Vec<_>>>()?;
        let dt = facts[0].datum_type;
        let (constant, rank) = (
            facts[1..]
                .iter()
                .all(|fact| fact.konst.is_some() && fact.datum_type == dt),
            facts[0].rank(),
        );
        if constant && rank >= 2 {
            return self.inner.wire(prefix, model, inputs);
        }
        let mut wire = Wire { prefix, model };
        let epsilon = wire.scalar("epsilon", self.epsilon.into(), variance)?;
        let variance = wire.binary("variance", add(), variance, epsilon)?;
        let deviation = wire.op("deviation", sqrt(), &[variance])?;
        let slope = wire.binary("slope", div(), scale, deviation)?;
        let shift = wire.binary("mean_times_slope", mul(), mean, slope)?;
        let offset = wire.binary("offset", sub(), bias, shift)?;
        let axis = usize::from(rank > 1);
        let mut along = |name: &str, vector| {
            let vector = wire.along(&format!("{name}_along"), vector, axis, rank)?;
            wire.op(
                &format!("{name}_cast"),
                tract_core::ops::cast::cast(dt),
                &[vector],
            )
        };
        let (slope, offset) = (along("slope", slope)?, along("offset", offset)?);
        let scaled = wire.binary("scaled", mul(), x, slope)?;
        Ok(tvec!(wire.binary("", add(), scaled, offset)?))
    }
}

/// By the batch's own statistics; outputs: result, new mean, new variance, the batch's mean and its inverse deviation.
#[derive(Debug, Clone)]
struct Training {
    epsilon: f32,
    momentum: f32,
    slots: [Option<usize>; 5],
    outputs: usize,
}

impl Expansion for Training {
    fn name(&self) -> StaticName {
        "BatchNormTraining".into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 5)?;
        check_output_arity(outputs, self.outputs)?;
        for (which, output) in self.slots.iter().enumerate() {
            let Some(output) = output.and_then(|slot| outputs.get(slot)) else {
                continue;
            };
            let like = if which == 0 { &inputs[0] } else { &inputs[3] };
            s.equals(&output.datum_type, &like.datum_type)?;
            s.equals(&output.shape, &like.shape)?;
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[x, scale, bias, old_mean, old_variance] = inputs else {
            bail!(
                "BatchNormalization takes five inputs and was given {}",
                inputs.len()
            );
        };
        let mut wire = Wire { prefix, model };
        let shape = wire.fact(x)?.shape.to_tvec();
        let rank = shape.len();
        let axes: Vec<usize> = (0..rank).filter(|axis| *axis != 1).collect();
        let mean = wire.mean("mean", x, &axes)?;
        let centred = wire.binary("centred", sub(), x, mean)?;
        let squares = wire.op("squares", square(), &[centred])?;
        let variance = wire.mean("variance", squares, &axes)?;
        let epsilon = wire.scalar("epsilon", self.epsilon.into(), x)?;
        let widened = wire.binary("widened", add(), variance, epsilon)?;
        let inverse = wire.op("inverse_deviation", rsqrt(), &[widened])?;
        let normal = wire.binary("normal", mul(), centred, inverse)?;
        let scale = wire.along("scale", scale, 1, rank)?;
        let bias = wire.along("bias", bias, 1, rank)?;
        let scaled = wire.binary("scaled", mul(), normal, scale)?;
        let y = wire.binary("", add(), scaled, bias)?;
        let vector: TVec<TDim> = shape.get(1).into_iter().cloned().collect();
        let mut running =
            |name: &str, old: OutletId, of_batch: OutletId| -> TractResult<OutletId> {
                let of_batch = wire.reshape(&format!("{name}_vector"), of_batch, &vector)?;
                let keep = wire.scalar(&format!("{name}_momentum"), self.momentum.into(), old)?;
                let rest =
                    wire.scalar(&format!("{name}_rest"), 1.0 - f64::from(self.momentum), old)?;
                let kept = wire.binary(&format!("{name}_kept"), mul(), old, keep)?;
                let fresh = wire.binary(&format!("{name}_fresh"), mul(), of_batch, rest)?;
                wire.binary(&format!("{name}_running"), add(), kept, fresh)
            };
        let new_mean = running("new_mean", old_mean, mean)?;
        let new_variance = running("new_variance", old_variance, variance)?;
        let saved_mean = wire.reshape("saved_mean", mean, &vector)?;
        let saved_inverse = wire.reshape("saved_inverse", inverse, &vector)?;
        let all = [y, new_mean, new_variance, saved_mean, saved_inverse];
        let mut outputs: TVec<OutletId> = tvec!(y; self.outputs);
        for (slot, outlet) in self.slots.iter().zip(all) {
            if let Some(output) = slot.and_then(|slot| outputs.get_mut(slot)) {
                *output = outlet;
            }
        }
        Ok(outputs)
    }
}
