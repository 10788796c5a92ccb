//! Layer and RMS normalisation of f32 over the last axis, on our kernels.
//!
//! Given a tensor; promises the accuracy that `onnx-swish-kernels` documents, the same bits for any number of threads.

use onnx_swish_kernels::{Norm, layer_norm, rms_norm};
use tract_core::internal::*;

use crate::arena::{Arena, elements};
use crate::workers::in_chunks;

/// `(x − μ)/√(σ² + ε)·scale + bias` of rows, or `x/√(mean(x²) + ε)·scale + bias`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowNorm {
    /// Whether the mean is taken off.
    pub centred: bool,
    pub epsilon: f32,
    /// One row each.
    pub scale: Option<Arc<[f32]>>,
    pub bias: Option<Arc<[f32]>>,
}

// Parameters are never NaN in a model that means anything; a NaN one only makes two ops look different.
impl Eq for RowNorm {}

impl Op for RowNorm {
    fn name(&self) -> StaticName {
        if self.centred {
            "SimdLayerNorm"
        } else {
            "SimdRmsNorm"
        }
        .into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let mut info = format!("epsilon: {:e}", self.epsilon);
        for (name, row) in [("scale", &self.scale), ("bias", &self.bias)] {
            if row.is_some() {
                info = format!("{info}, {name}");
            }
        }
        Ok(vec![info])
    }

    op_as_typed_op!();
}

impl EvalOp for RowNorm {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let length = *input.shape().last().context("a row of no tensor")?;
        for row in [&self.scale, &self.bias].into_iter().flatten() {
            ensure!(
                row.len() == length,
                "{} factors or addends for rows of {length}",
                row.len()
            );
        }
        let norm = Norm {
            length,
            epsilon: self.epsilon,
            scale: self.scale.as_deref(),
            bias: self.bias.as_deref(),
        };
        let normalise = if self.centred { layer_norm } else { rms_norm };
        let x = elements::<f32>(&input)?;
        let output = Arena::output(ctx, input.shape(), |y| {
            if !x.is_empty() {
                // It goes through each row three times.
                in_chunks(y, length, 3 * x.len(), |first, y| {
                    let at = first * length;
                    normalise(&x[at..at + y.len()], y, &norm);
                });
            }
            Ok(())
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for RowNorm {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = inputs.first().context("a normalisation without an input")?;
        ensure!(
            input.datum_type == DatumType::F32 && input.rank() > 0,
            "{} is defined on rows of float32, not on {input:?}",
            self.name()
        );
        Ok(tvec!(DatumType::F32.fact(input.shape.clone())))
    }

    // Counts of the formula, not of one ISA's instructions.
    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let input = inputs.first().context("a normalisation without an input")?;
        let elements: TDim = input.shape.iter().product();
        Ok(tvec!((Cost::FMA(DatumType::F32), elements * 5)))
    }

    as_op!();
}
