//! GridSample at places that are no numbers.
//!
//! Given tract's operator; promises what ONNX Runtime gives: a coordinate that is NaN, or infinite, is the first one, -1.
//!
//! At fault: tract-core, `ops/nn/grid_sample.rs`, `GridSample::sample_nd`, which takes the cast of NaN to an integer for a place, and
//! weighs elements by the distance from it, which is NaN.

use tract_core::internal::*;
use tract_core::ops::nn::grid_sample::GridSample;

/// Beyond this a coordinate of any image is beyond 64 bits, which count its elements: as good as infinite.
const FARTHEST: f32 = 1e18;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sampling(pub GridSample);

impl Op for Sampling {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Sampling {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, grid) = args_2!(inputs);
        let mut grid = grid.cast_to::<f32>()?.into_owned();
        {
            let mut plain = grid.try_as_plain_ram_mut()?;
            for at in plain.as_slice_mut::<f32>()? {
                if at.is_nan() || at.abs() > FARTHEST {
                    *at = -1.0;
                }
            }
        }
        self.0.eval(context, tvec!(x, grid.into_tvalue()))
    }
}

impl TypedOp for Sampling {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
