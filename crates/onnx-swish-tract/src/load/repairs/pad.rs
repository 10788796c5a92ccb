//! Pad, with amounts below zero, which cut away what they name.
//!
//! At fault: tract-onnx, `ops/array/pad.rs`, `Pad18::wire` and `pad_2`, where a negative amount becomes an enormous `usize`;
//! and there is no mode `wrap`.

use tract_core::ops::array::{Pad, PadMode, Slice};
use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::error::{decline, demand, reject};
use crate::ops::function::{Function, Plain, constant_integers, resolved_axes};

pub(super) fn pad(_: &ParsingContext, node: &NodeProto) -> Built {
    let mode = match node.get_attr_opt("mode")?.unwrap_or("constant") {
        "constant" => Mode::Constant,
        "reflect" => Mode::Reflect,
        "edge" => Mode::Edge,
        "wrap" => Mode::Wrap,
        other => reject!("there is no mode `{other}`"),
    };
    let amounts = match node.get_attr_opt_vec::<i64>("pads")? {
        Some(amounts) => Some(amounts),
        None => node.get_attr_opt_vec::<i64>("paddings")?,
    };
    let mut inputs = optional_inputs(node).skip(1);
    let pad = PadAnyAmount {
        mode,
        value: node.get_attr_opt("value")?.unwrap_or(0.0),
        amounts_input: inputs.next().flatten().filter(|_| amounts.is_none()),
        amounts,
        value_input: inputs.next().flatten(),
        axes_input: inputs.next().flatten(),
    };
    Ok((expand(pad), vec![]))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Constant,
    Reflect,
    Edge,
    Wrap,
}

#[derive(Debug, Clone)]
struct PadAnyAmount {
    mode: Mode,
    /// Before opset 11.
    value: f32,
    amounts: Option<Vec<i64>>,
    amounts_input: Option<usize>,
    value_input: Option<usize>,
    axes_input: Option<usize>,
}

impl PadAnyAmount {
    /// What to add before and after each axis.
    fn per_axis(
        &self,
        rank: usize,
        amounts: Option<&[i64]>,
        axes: Option<&[i64]>,
    ) -> TractResult<Vec<(i64, i64)>> {
        let amounts = amounts
            .or(self.amounts.as_deref())
            .context("Pad without amounts")?;
        let mut per_axis = vec![(0, 0); rank];
        let all: Vec<i64> = (0..rank as i64).collect();
        let axes = axes.unwrap_or(&all);
        resolved_axes(axes, rank)?;
        demand!(
            amounts.len() == 2 * axes.len(),
            "it has {} amounts and {} axes, each of which takes two",
            amounts.len(),
            axes.len()
        );
        let (before, after) = amounts.split_at(axes.len());
        for ((axis, before), after) in axes.iter().zip(before).zip(after) {
            let axis = crate::ops::function::resolved_axis(*axis, rank)?;
            if let Some(slot) = per_axis.get_mut(axis) {
                *slot = (*before, *after);
            }
        }
        Ok(per_axis)
    }
}

impl Expansion for PadAnyAmount {
    fn name(&self) -> StaticName {
        "Pad".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        ensure!(!inputs.is_empty(), "Pad without an input");
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        let values = [self.amounts_input, self.axes_input];
        let values: Vec<_> = values
            .iter()
            .flatten()
            .map(|&slot| &inputs[slot].value)
            .collect();
        s.given(&inputs[0].shape, move |s, shape| {
            s.given_all(values.clone(), move |s, values| {
                let values = values
                    .iter()
                    .map(|value| crate::ops::function::integers(value))
                    .collect::<TractResult<Vec<_>>>()?;
                let mut values = values.iter().map(Vec::as_slice);
                let amounts = self.amounts_input.and_then(|_| values.next());
                let axes = self.axes_input.and_then(|_| values.next());
                let per_axis = self.per_axis(shape.len(), amounts, axes)?;
                let padded = shape.iter().zip(per_axis);
                let padded: TVec<TDim> = padded
                    .map(|(dim, (before, after))| dim.clone() + before + after)
                    .collect();
                s.equals(&outputs[0].shape, ShapeFactoid::from(padded))
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constant = |model: &TypedModel, slot: Option<usize>, what: &str| {
            slot.and_then(|slot| inputs.get(slot))
                .map(|outlet| constant_integers(model.outlet_fact(*outlet)?, what))
                .transpose()
        };
        let amounts = constant(model, self.amounts_input, "what Pad adds to each axis")?;
        let axes = constant(model, self.axes_input, "the axes of a Pad")?;
        let x = *inputs.first().context("Pad without an input")?;
        let rank = model.outlet_fact(x)?.rank();
        let per_axis = self.per_axis(rank, amounts.as_deref(), axes.as_deref())?;
        let wire = cut(prefix, model, x, &per_axis)?;
        let pads: Vec<(usize, usize)> = per_axis
            .iter()
            .map(|(before, after)| {
                Ok((
                    usize::try_from(*before.max(&0))?,
                    usize::try_from(*after.max(&0))?,
                ))
            })
            .collect::<TractResult<_>>()?;
        if pads.iter().all(|pads| *pads == (0, 0)) {
            return if wire == x {
                model.wire_node(prefix, tract_core::ops::identity::Identity, &[x])
            } else {
                model.rename_node(wire.node, prefix)?;
                Ok(tvec!(wire))
            };
        }
        let fact = model.outlet_fact(wire)?.clone();
        let mode = match self.mode {
            Mode::Constant => PadMode::Constant(self.value(model, fact.datum_type, inputs)?),
            Mode::Edge => PadMode::Edge,
            Mode::Reflect => {
                for (dim, (before, after)) in fact.shape.iter().zip(&pads) {
                    demand!(
                        dim.as_i64()
                            .is_none_or(|dim| (before.max(after)) < &(dim.max(0) as usize)
                                || before + after == 0),
                        "it reflects {before} and {after} elements of an axis of {dim}"
                    );
                }
                PadMode::Reflect
            }
            Mode::Wrap => return model.wire_node(prefix, Plain(Wrap { pads }), &[wire]),
        };
        if !fact.datum_type.is_number() {
            let PadMode::Constant(value) = mode else {
                decline!("of {:?} it has no mode but `constant`", fact.datum_type);
            };
            return model.wire_node(prefix, Plain(Fill { pads, value }), &[wire]);
        }
        model.wire_node(prefix, Pad { pads, mode }, &[wire])
    }
}

impl PadAnyAmount {
    /// What a Pad of constants fills with.
    fn value(
        &self,
        model: &TypedModel,
        dt: DatumType,
        inputs: &[OutletId],
    ) -> TractResult<Arc<Tensor>> {
        let Some(value) = self.value_input.and_then(|slot| inputs.get(slot)) else {
            let value = tensor0(self.value).cast_to_dt(dt)?.into_owned();
            return Ok(value.into_arc_tensor());
        };
        let Some(value) = model.outlet_fact(*value)?.konst.clone() else {
            decline!(
                "the value that it fills with must be known when the model is loaded, and depends on the model's inputs"
            );
        };
        demand!(
            value.len() == 1,
            "it fills with one value and was given {}",
            value.len()
        );
        Ok(value.nth(0)?.into_arc_tensor())
    }
}

/// Takes away what negative amounts take.
fn cut(
    prefix: &str,
    model: &mut TypedModel,
    x: OutletId,
    per_axis: &[(i64, i64)],
) -> TractResult<OutletId> {
    let shape = model.outlet_fact(x)?.shape.clone();
    let mut wire = x;
    for (axis, &(before, after)) in per_axis.iter().enumerate() {
        if before >= 0 && after >= 0 {
            continue;
        }
        let dim = shape[axis].clone();
        demand!(
            dim.as_i64().is_none_or(|size| {
                let left = size.checked_add(before.min(0));
                left.and_then(|left| left.checked_add(after.min(0)))
                    .is_some_and(|left| left >= 0)
            }),
            "it cuts {} elements from an axis of {dim}",
            before.min(0).saturating_add(after.min(0)).unsigned_abs()
        );
        let cut = Slice::new(axis, (-before).max(0), dim - (-after).max(0));
        wire = model.wire_node(format!("{prefix}.cut-{axis}"), cut, &[wire])?[0];
    }
    Ok(wire)
}

fn padded(fact: &TypedFact, pads: &[(usize, usize)]) -> TVec<TypedFact> {
    let shape: TVec<TDim> = fact
        .shape
        .iter()
        .zip(pads)
        .map(|(dim, (before, after))| dim.clone() + *before + *after)
        .collect();
    tvec!(fact.datum_type.fact(shape))
}

/// Padding by what stands at the other end.
#[derive(Debug, Clone, PartialEq)]
struct Wrap {
    pads: Vec<(usize, usize)>,
}

impl Function for Wrap {
    fn name(&self) -> &'static str {
        "PadWrap"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(padded(inputs[0], &self.pads))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        for (axis, &(before, after)) in self.pads.iter().enumerate() {
            if before + after == 0 {
                continue;
            }
            let size = tensor.shape()[axis];
            ensure!(size > 0, "Pad wraps an axis without elements");
            // Whole turns first: element i of the result is element (i - before) mod size.
            let pieces = (0..before + size + after).map(|at| {
                let from = (at + size - before % size) % size;
                tensor.slice(axis, from, from + 1)
            });
            let pieces = pieces.collect::<TractResult<Vec<_>>>()?;
            tensor = Tensor::stack_tensors(axis, &pieces)?;
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}

/// Padding of what is no number.
#[derive(Debug, Clone, PartialEq)]
struct Fill {
    pads: Vec<(usize, usize)>,
    value: Arc<Tensor>,
}

impl Function for Fill {
    fn name(&self) -> &'static str {
        "PadFill"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(padded(inputs[0], &self.pads))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut tensor = args_1!(inputs).into_tensor();
        let value = self.value.cast_to_dt(tensor.datum_type())?.into_owned();
        for (axis, &(before, after)) in self.pads.iter().enumerate() {
            let filled = |size: usize| {
                let mut shape: TVec<usize> = tensor.shape().into();
                shape[axis] = size;
                value.broadcast_scalar_to_shape(&shape)
            };
            let pieces = [filled(before)?, tensor.clone(), filled(after)?];
            tensor = Tensor::stack_tensors(axis, &pieces)?;
        }
        Ok(tvec!(tensor.into_tvalue()))
    }
}
