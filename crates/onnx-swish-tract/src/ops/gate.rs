//! Sigmoid and HardSigmoid, the gates of this family, where they stand alone.
//!
//! Given one float tensor; promises the accuracy that `onnx-swish-kernels` documents, NaN for NaN.
//!
//! They stand in for tract's: its sigmoid (tract-linalg 0.23.9, `x86_64/*/*sigmoid_f32.S.j2`, and `src/generic/sigmoid.rs`) clamps
//! its input, and so stops at 4.5e-7 in the lower tail, which is also what NaN becomes; its HardSigmoid
//! (`tract-hir/src/ops/activations.rs`) is a chain of Min and Max, which drop NaN.

use onnx_swish_kernels::{self as kernels, Element};
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use super::activation::in_place;

/// A gate: between 0 and 1 for any number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Gate {
    /// σ(x).
    Sigmoid,
    /// clamp(αx + β, 0, 1).
    HardSigmoid {
        /// The slope.
        alpha: f64,
        /// The offset.
        beta: f64,
    },
}

// Parameters are never NaN in a model that means anything; a NaN one only makes two ops look different.
impl Eq for Gate {}

impl Gate {
    /// This gate as a tract operator.
    pub fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }

    fn run<T: Datum + Element>(
        self,
        tensor: &mut Tensor,
        param: impl Fn(f64) -> T::Param + Send + Sync,
    ) -> TractResult<()> {
        in_place::<T>(tensor, |xs| match self {
            Gate::Sigmoid => kernels::sigmoid_in_place(xs),
            Gate::HardSigmoid { alpha, beta } => {
                kernels::hard_sigmoid_in_place(xs, param(alpha), param(beta));
            }
        })
    }
}

impl ElementWiseMiniOp for Gate {
    fn name(&self) -> String {
        match self {
            Gate::Sigmoid => "SimdSigmoid",
            Gate::HardSigmoid { .. } => "SimdHardSigmoid",
        }
        .to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(match self {
            Gate::Sigmoid => vec![],
            Gate::HardSigmoid { alpha, beta } => vec![format!("alpha: {alpha}, beta: {beta}")],
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

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        match self {
            Gate::Sigmoid => tvec!((Cost::FMA(dt), 11), (Cost::Div(dt), 1)),
            Gate::HardSigmoid { .. } => tvec!((Cost::FMA(dt), 3)),
        }
    }
}
