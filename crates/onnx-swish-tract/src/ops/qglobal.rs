//! ONNX Runtime's QLinearGlobalAveragePool.
//!
//! Given codes of images whose channels come first; promises ONNX Runtime's codes to the bit: the exact sum of each plane, times one
//! factor, rounded, and the zero point added.

use onnx_swish_kernels::codes::{self as kernels, Linear};
use tract_core::internal::*;

use super::codes::{bytes, written_in_rows};
use super::qaverage::linear;
use super::qlinear::input;

/// The operator, whose parameters are inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QGlobalAverage {
    /// Where each of the node's inputs is, if it is given: codes, their scale and zero point, those of the result.
    pub at: [Option<usize>; 5],
}

impl QGlobalAverage {
    /// The shape of what comes out.
    pub(crate) fn output_shape<D: DimLike>(image: &[D]) -> TVec<D> {
        let sizes = image.iter().enumerate();
        let sizes = sizes.map(|(axis, size)| if axis < 2 { size.clone() } else { D::one() });
        sizes.collect()
    }
}

impl Op for QGlobalAverage {
    fn name(&self) -> StaticName {
        "QGlobalAveragePool".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec!["from codes to codes, as ONNX Runtime".to_owned()])
    }

    op_as_typed_op!();
}

impl EvalOp for QGlobalAverage {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let images = input(&self.at, &inputs, 0)?;
        let dt = images.datum_type();
        let from = linear(&self.at, &inputs, [1, 2], dt)?;
        let to = linear(&self.at, &inputs, [3, 4], dt)?;
        let shape = Self::output_shape(images.shape());
        let size: usize = images.shape().iter().skip(2).product();
        let factor = from.scale / (to.scale * size as f32);
        let zero_point = to.zero_point;
        let whole = Linear { scale: 1.0, ..from };
        let images = bytes(images)?;
        let written = written_in_rows(dt, &shape, 1, images.len(), |first, codes| {
            let images = &images[first * size..][..codes.len() * size];
            let mut sums = vec![0f32; codes.len()];
            if size > 0 {
                kernels::plane_sums(images, whole, &mut sums);
            }
            for (code, sum) in codes.iter_mut().zip(sums) {
                let number = (sum * factor).round_ties_even();
                *code = zero_point.nearest(number + f32::from(zero_point.value()));
            }
        })?;
        Ok(tvec!(written.into_tvalue()))
    }
}

impl TypedOp for QGlobalAverage {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let image = input(&self.at, inputs, 0)?;
        let shape = Self::output_shape(&image.shape.to_tvec());
        Ok(tvec!(image.datum_type.fact(&shape)))
    }

    as_op!();
}
