//! Resizes of f32 planes on `onnx-swish-conv`.
//!
//! Given tract's resize along the last two axes, nearest or linear, with sizes that are known; promises the elements that tract takes, linear
//! ones within the rounding of two products along each axis, and the same bits for any number of threads.

use std::sync::Arc;

use onnx_swish_conv::{Resize, Tap};
use onnx_swish_kernels::Isa;
use tract_core::internal::*;
use tract_core::ops::nn::resize::{AxisPlan, Interpolator, Resize as Resample};

use crate::arena::{Arena, elements};
use crate::workers::with_workers;

/// Planes of another size.
#[derive(Debug, Clone)]
pub(crate) struct ResizePlanes {
    resize: Arc<Resize>,
    planes: usize,
    input: TVec<usize>,
    output: TVec<usize>,
}

impl ResizePlanes {
    /// Each element so many times along each axis, if that is once for all but the last two.
    pub(crate) fn repeated(input: &[usize], times: &[usize]) -> Option<ResizePlanes> {
        let taps = |axis: usize, times: usize| {
            let size = input.get(axis)?.checked_mul(times)?;
            Some((0..size).map(|at| Tap::One(at / times)).collect())
        };
        ResizePlanes::along(input, |axis| {
            let times = *times.get(axis)?;
            (times > 0).then(|| taps(axis, times)).flatten()
        })
    }

    /// By tract's plan for each axis, if all but the last two stay as they are.
    pub(crate) fn resampled(
        op: &Resample,
        input: &[usize],
        output: &[usize],
        scales: Option<&[f32]>,
    ) -> Option<ResizePlanes> {
        if matches!(op.interpolator, Interpolator::Cubic) {
            return None;
        }
        ResizePlanes::along(input, |axis| {
            let (from, to) = (*input.get(axis)?, *output.get(axis)?);
            let scale = match scales {
                Some(scales) => *scales.get(axis)?,
                None => to as f32 / from as f32,
            };
            if from == to && scale == 1.0 {
                return Some((0..from).map(Tap::One).collect());
            }
            if from == 0 || !scale.is_normal() {
                return None;
            }
            taps(&op.plan_axis(scale, from, to))
        })
    }

    fn along(input: &[usize], taps: impl Fn(usize) -> Option<Vec<Tap>>) -> Option<ResizePlanes> {
        let (outer, &[height, width]) = input.split_last_chunk()?;
        for (axis, size) in outer.iter().enumerate() {
            let stays = taps(axis)?.into_iter().eq((0..*size).map(Tap::One));
            if !stays {
                return None;
            }
        }
        let (rows, columns) = (taps(outer.len())?, taps(outer.len() + 1)?);
        let resize = Resize::new([height, width], rows, columns).ok()?;
        Some(ResizePlanes {
            planes: outer.iter().product(),
            input: input.into(),
            output: outer.iter().copied().chain(resize.output()).collect(),
            resize: Arc::new(resize),
        })
    }
}

/// What tract's plan takes for each element, if that is one element or two neighbours.
fn taps(plan: &AxisPlan) -> Option<Vec<Tap>> {
    if plan.window != 2 || plan.extrapolated.contains(&true) {
        return None;
    }
    let (places, _) = plan.indices.as_chunks::<2>();
    let (weights, _) = plan.weights.as_chunks::<2>();
    let tap = |(places, weights): (&[usize; 2], &[f32; 2])| match (*places, *weights) {
        ([at, _], [1.0, 0.0]) | ([_, at], [0.0, 1.0]) => Some(Tap::One(at)),
        // Weights add up to one.
        ([at, next], _) if at == next => Some(Tap::One(at)),
        ([at, next], weights) if next == at + 1 => Some(Tap::Two(at, weights)),
        _ => None,
    };
    places.iter().zip(weights).map(tap).collect()
}

impl PartialEq for ResizePlanes {
    fn eq(&self, other: &Self) -> bool {
        self.resize == other.resize && self.input == other.input
    }
}

impl Eq for ResizePlanes {}

impl Op for ResizePlanes {
    fn name(&self) -> StaticName {
        "SimdResize".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let how = if self.resize.is_nearest() {
            "nearest"
        } else {
            "linear"
        };
        Ok(vec![format!(
            "{how}, {:?} to {:?}",
            self.input, self.output
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for ResizePlanes {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        ensure!(
            input.shape() == &*self.input,
            "a resize of {:?} was given {:?}",
            self.input,
            input.shape()
        );
        let input = elements(&input)?;
        let output = Arena::output(ctx, &self.output, |output| {
            Ok(with_workers(|workers| {
                self.resize
                    .run(Isa::best(), self.planes, input, output, workers)
            })?)
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for ResizePlanes {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::F32.fact(&*self.output)))
    }

    as_op!();
}
