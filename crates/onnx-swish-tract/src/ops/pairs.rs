//! Additions, gates and pools between 8-bit codes.
//!
//! Given tensors of codes; promises the codes that their floats would be quantised to, bit for bit, and sums of planes that are exact until
//! they become floats.

use bytemuck::cast_slice_mut;
use onnx_swish_kernels::codes::{self as kernels, Linear, Pair};
use tract_core::internal::*;

use super::codes::bytes;
use crate::arena::{Arena, uninitialized};
use crate::workers::in_chunks;

/// Whether both tensors of a [`CodePair`] have the same shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// `a + b`, of one shape.
    Added,
    /// `a·b`, where b has one element for each plane of a: the axes from this one on have one element.
    Gate,
}

/// Codes of two tensors to codes of a third.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CodePair {
    pub pair: Pair,
    pub second: Second,
    /// Of the codes that are written.
    pub to: DatumType,
}

impl Eq for CodePair {}

impl CodePair {
    fn write(&self, a: &[u8], b: &[u8], codes: &mut [u8]) {
        let len = codes.len();
        match self.second {
            Second::Added => in_chunks(codes, 1, len, |first, codes| {
                let range = first..first + codes.len();
                kernels::add(&self.pair, &a[range.clone()], &b[range], codes);
            }),
            Second::Gate => {
                let plane = len / b.len().max(1);
                if plane > 0 {
                    in_chunks(codes, plane, len, |first, codes| {
                        let planes = codes.len() / plane;
                        let a = &a[first * plane..][..codes.len()];
                        kernels::scale_planes(&self.pair, a, &b[first..][..planes], codes);
                    });
                }
            }
        }
    }
}

impl Op for CodePair {
    fn name(&self) -> StaticName {
        match self.second {
            Second::Added => "QAdd",
            Second::Gate => "QGate",
        }
        .into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let relu = if self.pair.relu { ", ReLU" } else { "" };
        Ok(vec![format!("from codes to codes{relu}")])
    }

    op_as_typed_op!();
}

impl EvalOp for CodePair {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [a, b] = &*inputs else {
            bail!("{} takes two inputs", self.name());
        };
        let shape = a.shape();
        let (a, b) = (bytes(a)?, bytes(b)?);
        let planes = self.second == Second::Gate && !b.is_empty() && a.len() % b.len() == 0;
        ensure!(
            planes || a.len() == b.len(),
            "{} and {} codes",
            a.len(),
            b.len()
        );
        let output = if self.to == DatumType::I8 {
            Arena::output(ctx, shape, |codes: &mut [i8]| {
                self.write(a, b, cast_slice_mut(codes));
                Ok(())
            })
        } else {
            Arena::output(ctx, shape, |codes: &mut [u8]| {
                self.write(a, b, codes);
                Ok(())
            })
        }?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for CodePair {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let a = inputs.first().context("no input")?;
        Ok(tvec!(self.to.fact(a.shape.clone())))
    }

    as_op!();
}

/// The float of the sum of all codes behind the first axes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CodeSums {
    pub linear: Linear,
    /// The axes that are summed over: all from this one on.
    pub first: usize,
}

impl Eq for CodeSums {}

impl Op for CodeSums {
    fn name(&self) -> StaticName {
        "QPlaneSums".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec!["exact sums of codes, to floats".to_owned()])
    }

    op_as_typed_op!();
}

impl EvalOp for CodeSums {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let codes = inputs.first().context("no input")?;
        let mut shape: TVec<usize> = codes.shape().into();
        for size in shape.iter_mut().skip(self.first) {
            *size = 1;
        }
        let mut output = uninitialized::<f32>(&shape)?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let sums = plain.as_slice_mut::<f32>()?;
        let codes = bytes(codes)?;
        let plane = codes.len() / sums.len().max(1);
        in_chunks(sums, 1, codes.len(), |first, sums| {
            let codes = &codes[first * plane..][..sums.len() * plane];
            kernels::plane_sums(codes, self.linear, sums);
        });
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for CodeSums {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let codes = inputs.first().context("no input")?;
        let mut shape = codes.shape.to_tvec();
        for size in shape.iter_mut().skip(self.first) {
            *size = 1.to_dim();
        }
        Ok(tvec!(DatumType::F32.fact(&shape)))
    }

    as_op!();
}
