//! Activations whose parameters are constants: SiLU, Swish with one beta, HardSwish of any slope.
//!
//! Given one float tensor; promises the accuracy that `onnx-swish-kernels` documents for the element type, whatever the chunks
//! in which threads hand the tensor over.

use onnx_swish_kernels::{self as kernels, Element};
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use crate::workers::in_chunks;

/// An element-wise activation of the Swish or HardSwish family.
///
/// Parameters are kept in f64, which holds those of every element type exactly, and narrowed once per call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// x·σ(x).
    Silu,
    /// x·σ(βx) with one β for the whole tensor.
    Swish {
        /// The paper's β (arXiv:1710.05941), ONNX's `alpha` attribute of `Swish`.
        beta: f64,
    },
    /// x·clamp(x/6 + 1/2, 0, 1).
    HardSwish,
    /// x·clamp(αx + β, 0, 1): HardSwish with another slope or offset.
    SlopedHardSwish {
        /// The slope, HardSigmoid's `alpha`.
        alpha: f64,
        /// The offset, HardSigmoid's `beta`.
        beta: f64,
    },
}

// Parameters are never NaN in a model that means anything; a NaN one only makes two ops look different.
impl Eq for Activation {}

impl Activation {
    /// Swish with this β, which is SiLU when β is one.
    pub fn swish(beta: f64) -> Activation {
        if beta == 1.0 {
            Activation::Silu
        } else {
            Activation::Swish { beta }
        }
    }

    /// This activation as a tract operator.
    pub fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }

    /// In place, with `param` narrowing a parameter to what the kernels of this element type take.
    fn run<T: Datum + Element>(
        self,
        tensor: &mut Tensor,
        param: impl Fn(f64) -> T::Param + Send + Sync,
    ) -> TractResult<()> {
        in_place::<T>(tensor, |xs| match self {
            Activation::Silu => kernels::silu_in_place(xs),
            Activation::Swish { beta } => kernels::swish_in_place(xs, param(beta)),
            Activation::HardSwish => kernels::hard_swish_in_place(xs),
            Activation::SlopedHardSwish { alpha, beta } => {
                kernels::sloped_hard_swish_in_place(xs, param(alpha), param(beta))
            }
        })
    }
}

/// Runs `kernel` over the whole tensor in place, on all threads of the run when the tensor is worth it.
pub(super) fn in_place<T: Datum>(
    tensor: &mut Tensor,
    kernel: impl Fn(&mut [T]) + Sync + Send,
) -> TractResult<()> {
    let mut plain = tensor.try_as_plain_ram_mut()?;
    let xs = plain.as_slice_mut::<T>()?;
    let len = xs.len();
    in_chunks(xs, 1, len, |_, chunk| kernel(chunk));
    Ok(())
}

impl ElementWiseMiniOp for Activation {
    fn name(&self) -> String {
        match self {
            Activation::Silu => "FusedSilu",
            Activation::Swish { .. } => "FusedSwish",
            Activation::HardSwish => "FusedHardSwish",
            Activation::SlopedHardSwish { .. } => "FusedSlopedHardSwish",
        }
        .to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(match self {
            Activation::Silu | Activation::HardSwish => vec![],
            Activation::Swish { beta } => vec![format!("beta: {beta}")],
            Activation::SlopedHardSwish { alpha, beta } => {
                vec![format!("alpha: {alpha}, beta: {beta}")]
            }
        })
    }

    fn eval_in_place(&self, tensor: &mut Tensor, out_dt: Option<DatumType>) -> TractResult<()> {
        match out_dt.unwrap_or(tensor.datum_type()) {
            DatumType::F16 => self.run::<f16>(tensor, |p| p as f32),
            DatumType::F32 => self.run::<f32>(tensor, |p| p as f32),
            DatumType::F64 => self.run::<f64>(tensor, |p| p),
            other => bail!(
                "{} is defined on float16, float32 and float64, not on {other:?}",
                self.name()
            ),
        }
    }

    // Counts of the formulas, not of one ISA's instructions: exp is a polynomial of about seven terms with range reduction.
    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        match self {
            Activation::Silu | Activation::Swish { .. } => {
                tvec!((Cost::FMA(dt), 12), (Cost::Div(dt), 1))
            }
            Activation::HardSwish | Activation::SlopedHardSwish { .. } => tvec!((Cost::FMA(dt), 4)),
        }
    }
}
