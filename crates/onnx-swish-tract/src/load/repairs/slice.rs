//! Slice with steps, and with bounds beyond the axis.
//!
//! At fault: tract-core, `ops/downsample/array.rs`, `pull_downsample_over_axis_op`, which fails where the axis does not exist before
//! a Reshape ("Invalid axis", LeViT); tract-core, `ops/array/strided_slice.rs`, `StridedSlice::wire`, which leaves out a step
//! whose bounds are computed; and tract-onnx, `ops/array/slice.rs`, `slice1`, which takes no negative axes.

use tract_core::ops::array::{Slice as TractSlice, StridedSlice};
use tract_core::ops::identity::Identity;
use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::error::{decline, demand};
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

/// What is taken of one axis.
struct Taken {
    axis: usize,
    start: usize,
    step: i64,
    len: usize,
}

impl Taken {
    /// The run of elements from the lowest to the highest that is taken.
    fn range(&self) -> (usize, usize) {
        let beyond_first = (self.len.saturating_sub(1)) as u64 * self.step.unsigned_abs();
        let beyond_first = usize::try_from(beyond_first).unwrap_or(0);
        if self.len == 0 {
            (0, 0)
        } else if self.step > 0 {
            (self.start, self.start + beyond_first + 1)
        } else {
            (self.start.saturating_sub(beyond_first), self.start + 1)
        }
    }
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

    /// What is taken of each axis that is named; `None` where the size of one is open.
    fn taken(&self, shape: &[TDim]) -> TractResult<Option<Vec<Taken>>> {
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
        let mut taken = Vec::new();
        for (((axis, start), end), step) in axes.iter().zip(&self.starts).zip(&self.ends).zip(steps)
        {
            let axis = resolved_axis(*axis, shape.len())?;
            let Some(size) = shape.get(axis).and_then(|dim| dim.as_i64()) else {
                return Ok(None);
            };
            taken.push(one_axis(axis, size, *start, *end, *step)?);
        }
        Ok(Some(taken))
    }
}

/// The specification's clamping: forwards into `[0, size]`, backwards into `[0, size - 1]` and, for the end, `[-1, size - 1]`.
fn one_axis(axis: usize, size: i64, start: i64, end: i64, step: i64) -> TractResult<Taken> {
    demand!(step != 0, "its step is 0");
    let from_front = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    let (start, end) = (from_front(start), from_front(end));
    let (start, span) = if step > 0 {
        let start = start.clamp(0, size);
        (start, end.clamp(0, size) - start)
    } else {
        let start = start.clamp(0, (size - 1).max(0));
        (start, start - end.clamp(-1, size - 1))
    };
    let stride = i64::try_from(step.unsigned_abs()).unwrap_or(i64::MAX);
    let len = if span <= 0 || size == 0 {
        0
    } else {
        (span - 1) / stride + 1
    };
    Ok(Taken {
        axis,
        start: usize::try_from(start)?,
        step,
        len: usize::try_from(len)?,
    })
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
                    let Some(taken) = bounds.map(|it| it.taken(&shape)).transpose()?.flatten()
                    else {
                        return Ok(());
                    };
                    let mut shape = shape.clone();
                    for taken in taken {
                        if let Some(dim) = shape.get_mut(taken.axis) {
                            *dim = taken.len.to_dim();
                        }
                    }
                    s.equals(&outputs[0].shape, ShapeFactoid::from(shape))
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
        let shape = model.outlet_fact(x)?.shape.to_tvec();
        let value = |slot: usize| model.outlet_fact(*inputs.get(slot)?).ok()?.konst.clone();
        let bounds = Bounds::of(self, value);
        let Some(taken) = bounds.map(|it| it.taken(&shape)).transpose()?.flatten() else {
            if self.fixed.is_some() {
                decline!("the size of its axis is not known before the model runs");
            }
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
        let mut wire = x;
        for taken in taken {
            let Taken {
                axis, step, len, ..
            } = taken;
            let (first, end) = taken.range();
            let name = format!("{prefix}.axis-{axis}");
            wire = model.wire_node(name, TractSlice::new(axis, first, end), &[wire])?[0];
            if step != 1 && len > 1 {
                let step = isize::try_from(step)?;
                let name = format!("{prefix}.step-{axis}");
                wire = model.wire_node(name, Stride { axis, step }, &[wire])?[0];
            }
        }
        if wire == x {
            return model.wire_node(prefix, Identity, &[x]);
        }
        model.rename_node(wire.node, prefix)?;
        Ok(tvec!(wire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_clamped_as_the_specification_says() {
        for (size, start, end, step, expected) in [
            (10, 0, i64::MAX, 1, (0, 10)),
            (10, -3, i64::MAX, 1, (7, 3)),
            (10, 20, 30, 1, (10, 0)),
            (10, 1, -1, 3, (1, 3)),
            (10, -1, i64::MIN, -1, (9, 10)),
            (10, 20, 0, -4, (9, 3)),
            (10, 2, 8, -1, (2, 0)),
            (0, 0, i64::MAX, 1, (0, 0)),
            (0, -1, i64::MIN, -1, (0, 0)),
        ] {
            let taken = one_axis(0, size, start, end, step).unwrap();
            assert_eq!(
                (taken.start, taken.len),
                expected,
                "{size}[{start}:{end}:{step}]"
            );
        }
    }
}
