//! Pools of f32 planes, and sums of planes, on `onnx-swish-conv`.
//!
//! Given tract's pool over one or two axes of images whose channels come first, or a sum over the last axes; promises its output, with the same
//! bits for any number of threads: maxima as they are, NaN where a window has one, and means within the rounding of their sum.

use std::sync::Arc;

use onnx_swish_conv::{Frame, Pool, Pooling, Window, sum_planes};
use onnx_swish_kernels::Isa;
use tract_core::internal::*;
use tract_core::ops::cnn::{PaddingSpec, PoolSpec};
use tract_core::ops::nn::DataFormat;

use crate::arena::{Arena, elements};
use crate::workers::with_workers;

/// The greatest elements, or the means, of windows.
#[derive(Debug, Clone)]
pub(crate) struct PoolPlanes {
    pool: Arc<Pool>,
    planes: usize,
    input: TVec<usize>,
    output: TVec<usize>,
}

impl PoolPlanes {
    /// Of tract's pool over images of this shape, if it is covered.
    pub(crate) fn of(spec: &PoolSpec, pooling: Pooling, input: &[usize]) -> Option<PoolPlanes> {
        if !matches!(spec.data_format, DataFormat::NCHW | DataFormat::CHW) {
            return None;
        }
        let output = spec.output_shape(input).ok()?;
        let images = spec.data_format.shape(input).ok()?;
        let computed = spec.computed_padding(images.hw_dims());
        let before: TVec<usize> = computed.iter().map(|axis| axis.pad_before).collect();
        let after = match &spec.padding {
            PaddingSpec::ExplicitOnnxPool(_, after, true) => pair(after, 0)?,
            // Windows end where the padding does.
            _ => [usize::MAX; 2],
        };
        let window = Window {
            kernel: pair(&spec.kernel_shape, 1)?,
            stride: pair(&spec.strides(), 1)?,
            dilation: pair(&spec.dilations(), 1)?,
        };
        let frame = Frame {
            input: pair(images.hw_dims(), 1)?,
            output: pair(output.hw_dims(), 1)?,
            pad: pair(&before, 0)?,
        };
        Some(PoolPlanes {
            pool: Arc::new(Pool::new(pooling, window, frame, after).ok()?),
            planes: images.n().unwrap_or(&1) * images.c(),
            input: input.into(),
            output: output.shape,
        })
    }
}

/// The sizes of two axes; of one, with that of the axis that is not there in front.
fn pair(sizes: &[usize], missing: usize) -> Option<[usize; 2]> {
    match *sizes {
        [width] => Some([missing, width]),
        [height, width] => Some([height, width]),
        _ => None,
    }
}

impl PartialEq for PoolPlanes {
    fn eq(&self, other: &Self) -> bool {
        self.pool == other.pool && self.input == other.input
    }
}

impl Eq for PoolPlanes {}

impl Op for PoolPlanes {
    fn name(&self) -> StaticName {
        match self.pool.pooling() {
            Pooling::Max => "SimdMaxPool".into(),
            Pooling::Mean { .. } => "SimdAveragePool".into(),
        }
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Window {
            kernel: [height, width],
            stride,
            dilation,
        } = self.pool.window();
        Ok(vec![format!(
            "{height}x{width}, strides {stride:?}, dilations {dilation:?}"
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for PoolPlanes {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        ensure!(
            input.shape() == &*self.input,
            "a pool of images of {:?} was given {:?}",
            self.input,
            input.shape()
        );
        let input = elements(&input)?;
        let output = Arena::output(ctx, &self.output, |output| {
            Ok(with_workers(|workers| {
                self.pool
                    .run(Isa::best(), self.planes, input, output, workers)
            })?)
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for PoolPlanes {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::F32.fact(&*self.output)))
    }

    as_op!();
}

/// Sums over the last axes, which keep a size of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlaneSums {
    /// The first of the axes.
    axis: usize,
}

impl PlaneSums {
    /// Over these axes of so many, if they are the last ones.
    pub(crate) fn over(axes: &[usize], rank: usize) -> Option<PlaneSums> {
        let mut axes = TVec::from_slice(axes);
        axes.sort_unstable();
        let axis = rank.checked_sub(axes.len())?;
        let last = axes.into_iter().eq(axis..rank);
        (last && axis < rank).then_some(PlaneSums { axis })
    }

    fn shape<D: DimLike>(&self, input: &[D]) -> TVec<D> {
        let mut shape: TVec<D> = input.into();
        for dim in shape.iter_mut().skip(self.axis) {
            *dim = D::one();
        }
        shape
    }
}

impl Op for PlaneSums {
    fn name(&self) -> StaticName {
        "SimdSum".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("from axis {} on", self.axis)])
    }

    op_as_typed_op!();
}

impl EvalOp for PlaneSums {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let summed = input.shape().get(self.axis..);
        let area = summed.context("a sum beyond the axes")?.iter().product();
        let shape = self.shape(input.shape());
        let input = elements(&input)?;
        let sums = Arena::output(ctx, &shape, |sums| {
            Ok(with_workers(|workers| {
                sum_planes(Isa::best(), area, input, sums, workers)
            })?)
        })?;
        Ok(tvec!(sums.into_tvalue()))
    }
}

impl TypedOp for PlaneSums {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = inputs.first().context("a sum without an input")?;
        let shape = self.shape(&input.shape.to_tvec());
        Ok(tvec!(DatumType::F32.fact(&shape)))
    }

    as_op!();
}
