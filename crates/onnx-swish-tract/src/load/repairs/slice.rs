//! Slice with steps, with bounds beyond the axis, of nothing, and of an axis whose size the data decides.
//!
//! At fault: tract-core, `ops/downsample/array.rs`, `pull_downsample_over_axis_op`, which fails where the axis does not exist before
//! a Reshape ("Invalid axis", LeViT); tract-core, `ops/array/strided_slice.rs`, `StridedSlice::wire`, which leaves out a step
//! whose bounds are computed, and `prepare_one_dim`, which clamps no bounds to a size that the data decides; tract-core, `optim`, which
//! moves slices that leave nothing into shapes that they have not; and tract-onnx, `ops/array/slice.rs`, `slice1`, which takes no negative axes.

use tract_core::ops::array::{Slice as TractSlice, StridedSlice};
use tract_core::ops::identity::Identity;
use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::error::{decline, demand};
use crate::ops::cut::{Cut, CutWhileRunning};
use crate::ops::function::{integers, resolved_axis};
use crate::ops::stride::Stride;

pub(super) fn slice(_: &ParsingContext, node: &NodeProto) -> Built {
    let starts = node.get_attr_opt_vec::<i64>("starts")?;
    let op = if let Some(starts) = starts {
        Slice {
            fixed: Some(Bounds {
                starts,
                ends: node.get_attr_vec("ends")?,
                axes: node.get_attr_opt_vec("axes")?,
                steps: None,
            }),
            axes_input: None,
            steps_input: None,
        }
    } else {
        let mut inputs = optional_inputs(node).skip(3);
        Slice {
            fixed: None,
            axes_input: inputs.next().flatten(),
            steps_input: inputs.next().flatten(),
        }
    };
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct Slice {
    /// Before opset 10.
    fixed: Option<Bounds>,
    axes_input: Option<usize>,
    steps_input: Option<usize>,
}

#[derive(Debug, Clone)]
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
    steps: Option<Vec<i64>>,
}

impl Bounds {
    fn of(slice: &Slice, value: impl Fn(usize) -> Option<Arc<Tensor>>) -> Option<Bounds> {
        if let Some(fixed) = &slice.fixed {
            return Some(fixed.clone());
        }
        let known = |slot: usize| value(slot).and_then(|it| integers(&it).ok());
        let optional = |slot: Option<usize>| match slot {
            None => Some(None),
            Some(slot) => known(slot).map(Some),
        };
        Some(Bounds {
            starts: known(1)?,
            ends: known(2)?,
            axes: optional(slice.axes_input)?,
            steps: optional(slice.steps_input)?,
        })
    }

    /// What is asked for of each axis that is named.
    fn cuts(&self, rank: usize) -> TractResult<Vec<Cut>> {
        let all: Vec<i64> = (0..self.starts.len() as i64).collect();
        let axes = self.axes.as_ref().unwrap_or(&all);
        let ones = vec![1; axes.len()];
        let steps = self.steps.as_ref().unwrap_or(&ones);
        demand!(
            [self.starts.len(), self.ends.len(), steps.len()] == [axes.len(); 3],
            "it has {} axes, {} starts, {} ends and {} steps",
            axes.len(),
            self.starts.len(),
            self.ends.len(),
            steps.len()
        );
        let bounds = self.starts.iter().zip(&self.ends).zip(steps);
        let cuts = axes.iter().zip(bounds).map(|(axis, ((start, end), step))| {
            Ok(Cut {
                axis: resolved_axis(*axis, rank)?,
                start: *start,
                end: *end,
                step: *step,
            })
        });
        cuts.collect()
    }
}

/// What is left of a tensor of this shape; `None` where that is known only when the model runs.
fn shape_left(shape: &[TDim], cuts: &[Cut]) -> TractResult<Option<TVec<TDim>>> {
    let mut left: TVec<TDim> = shape.into();
    for cut in cuts {
        let Some(size) = left.get_mut(cut.axis) else {
            return Ok(None);
        };
        let Some(len) = cut.len(size)? else {
            return Ok(None);
        };
        *size = len;
    }
    Ok(Some(left))
}

/// Nothing, where a cut leaves that: a constant.
fn nothing(dt: DatumType, left: &[TDim]) -> Option<Tensor> {
    let sizes = left
        .iter()
        .map(|size| size.as_i64()?.try_into().ok())
        .collect::<Option<TVec<usize>>>()?;
    let empty = sizes.contains(&0);
    empty.then(|| Tensor::zero_dt(dt, &sizes).ok()).flatten()
}

/// One cut.
fn wire_cut(
    prefix: &str,
    model: &mut TypedModel,
    x: OutletId,
    cut: Cut,
) -> TractResult<TVec<OutletId>> {
    let axis = cut.axis;
    let size = model.outlet_fact(x)?.shape.get(axis).cloned();
    let size = size.context("a cut of no axis")?;
    let name = format!("{prefix}.axis-{axis}");
    let Some(known) = size.as_i64() else {
        if cut.is_all() {
            return Ok(tvec!(x));
        }
        let len = match cut.len(&size)? {
            Some(len) => len,
            None => model.symbols.new_with_prefix("l").to_dim(),
        };
        return model.wire_node(name, CutWhileRunning { cut, len }, &[x]);
    };
    let taken = cut.of(known)?;
    let (first, end) = taken.range();
    let run = model.wire_node(name, TractSlice::new(axis, first, end), &[x])?;
    if taken.step == 1 || taken.len < 2 {
        return Ok(run);
    }
    let step = isize::try_from(taken.step)?;
    let name = format!("{prefix}.step-{axis}");
    model.wire_node(name, Stride { axis, step }, &run)
}

impl Slice {
    fn strided(&self) -> StridedSlice {
        StridedSlice {
            begin_mask: 0,
            end_mask: 0,
            shrink_axis_mask: 0,
            optional_axes_input: self.axes_input,
            optional_steps_input: self.steps_input,
        }
    }
}

impl Expansion for Slice {
    fn name(&self) -> StaticName {
        "Slice".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        let data = inputs.first().context("a Slice without an input")?;
        s.equals(&data.datum_type, &outputs[0].datum_type)?;
        s.equals(&data.rank, &outputs[0].rank)?;
        s.given(&data.shape, move |s, shape| {
            s.given_all(
                inputs.iter().skip(1).map(|it| &it.value),
                move |s, values| {
                    let bounds = Bounds::of(self, |slot| values.get(slot - 1).cloned());
                    let Some(bounds) = bounds else {
                        return Ok(());
                    };
                    match shape_left(&shape, &bounds.cuts(shape.len())?)? {
                        Some(left) => s.equals(&outputs[0].shape, ShapeFactoid::from(left)),
                        None => Ok(()),
                    }
                },
            )
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a Slice without an input")?;
        let fact = model.outlet_fact(x)?;
        let (dt, shape) = (fact.datum_type, fact.shape.to_tvec());
        let value = |slot: usize| model.outlet_fact(*inputs.get(slot)?).ok()?.konst.clone();
        let Some(bounds) = Bounds::of(self, value) else {
            let steps = self
                .steps_input
                .map(|slot| value(slot).map(|it| integers(&it)));
            let ones = match steps {
                None => true,
                Some(steps) => steps
                    .transpose()?
                    .is_some_and(|it| it.iter().all(|step| *step == 1)),
            };
            if !ones {
                decline!(
                    "its bounds are computed while the model runs, and it then takes every element only, not with steps"
                );
            }
            return model.wire_node(prefix, self.strided(), inputs);
        };
        let cuts = bounds.cuts(shape.len())?;
        let left = shape_left(&shape, &cuts)?;
        if let Some(nothing) = left.and_then(|left| nothing(dt, &left)) {
            return Ok(tvec!(model.add_const(prefix, nothing)?));
        }
        let mut wire = x;
        for cut in cuts {
            let wires = wire_cut(prefix, model, wire, cut)?;
            wire = *wires.first().context("a cut without an output")?;
        }
        if wire == x {
            return model.wire_node(prefix, Identity, &[x]);
        }
        model.rename_node(wire.node, prefix)?;
        Ok(tvec!(wire))
    }
}
