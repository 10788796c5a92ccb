//! Float32 values brought to the grid of a 16-bit float: what a Cast to 16 bits means in a widened model.
//!
//! Given a tensor of float32; promises what casting it to 16 bits and back gives, infinities for what is too large included.

use half::bf16;
use half::f16;
use half::slice::HalfFloatSliceExt;
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use crate::load::Half;
use crate::workers::in_chunks;

/// Elements that are converted at a time.
const CHUNK: usize = 1024;

/// Rounds to 16 bits, to nearest, ties to even.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Round(pub Half);

impl Round {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

impl ElementWiseMiniOp for Round {
    fn name(&self) -> String {
        match self.0 {
            Half::Float16 => "RoundToFloat16".to_owned(),
            Half::Bfloat16 => "RoundToBfloat16".to_owned(),
        }
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = tensor.try_as_plain_ram_mut()?;
        let xs = plain.as_slice_mut::<f32>()?;
        let len = xs.len();
        in_chunks(xs, 1, len, |_, xs| match self.0 {
            Half::Float16 => {
                let mut short = [f16::ZERO; CHUNK];
                for xs in xs.chunks_mut(CHUNK) {
                    let short = &mut short[..xs.len()];
                    short.convert_from_f32_slice(xs);
                    short.convert_to_f32_slice(xs);
                }
            }
            Half::Bfloat16 => {
                for x in xs {
                    *x = bf16::from_f32(*x).to_f32();
                }
            }
        });
        Ok(())
    }
}

/// Float16 that DequantizeLinear makes or QuantizeLinear takes, in a widened model: kept where the codes that follow depend on it, and
/// nothing elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HalfByCodes;

impl HalfByCodes {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

impl ElementWiseMiniOp for HalfByCodes {
    fn name(&self) -> String {
        Round(Half::Float16).name()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, to: Option<DatumType>) -> TractResult<()> {
        Round(Half::Float16).eval_in_place(tensor, to)
    }
}
