//! HardSigmoid and HardSwish whose product and sum are rounded one after the other.
//!
//! Given float32; promises what ONNX Runtime and onnx.reference compute to the bit. Our kernels round the two once, which is nearer to
//! the real number; where codes come next, such a difference decides about a code.

use onnx_swish_kernels::{HARD_SWISH_ALPHA, HARD_SWISH_BETA};
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use super::activation::in_place;
use super::{Activation, Gate};

/// One of the two, by the operator in whose place it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stepwise {
    Gate(Gate),
    Activation(Activation),
}

/// `clamp(αx + β, 0, 1)`, perhaps times x.
struct Line {
    alpha: f32,
    beta: f32,
    times_x: bool,
}

impl Stepwise {
    /// The operator step by step, if it is one of the two.
    pub(crate) fn of(op: &ElementWiseOp) -> Option<ElementWiseOp> {
        let stepwise = match (op.0.downcast_ref(), op.0.downcast_ref()) {
            (Some(gate), _) => Stepwise::Gate(*gate),
            (_, Some(activation)) => Stepwise::Activation(*activation),
            _ => return None,
        };
        stepwise.line().filter(|_| op.1.is_none())?;
        Some(ElementWiseOp(Box::new(stepwise), None))
    }

    /// The operator for one step by step.
    pub(crate) fn undone(op: &ElementWiseOp) -> Option<ElementWiseOp> {
        let stepwise: &Stepwise = op.0.downcast_ref()?;
        Some(match stepwise {
            Stepwise::Gate(gate) => gate.into_op(),
            Stepwise::Activation(activation) => activation.into_op(),
        })
    }

    fn line(self) -> Option<Line> {
        let line = |alpha: f64, beta: f64, times_x| Line {
            alpha: alpha as f32,
            beta: beta as f32,
            times_x,
        };
        match self {
            Stepwise::Gate(Gate::HardSigmoid { alpha, beta }) => Some(line(alpha, beta, false)),
            Stepwise::Activation(Activation::SlopedHardSwish { alpha, beta }) => {
                Some(line(alpha, beta, true))
            }
            Stepwise::Activation(Activation::HardSwish) => {
                Some(line(HARD_SWISH_ALPHA.into(), HARD_SWISH_BETA.into(), true))
            }
            Stepwise::Gate(Gate::Sigmoid)
            | Stepwise::Activation(Activation::Silu | Activation::Swish { .. }) => None,
        }
    }
}

impl ElementWiseMiniOp for Stepwise {
    fn name(&self) -> String {
        match self {
            Stepwise::Gate(gate) => gate.name(),
            Stepwise::Activation(activation) => activation.name(),
        }
    }

    fn info(&self) -> TractResult<Vec<String>> {
        match self {
            Stepwise::Gate(gate) => gate.info(),
            Stepwise::Activation(activation) => activation.info(),
        }
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let line = self.line();
        let Line {
            alpha,
            beta,
            times_x,
        } = line.with_context(|| format!("{} is no line", self.name()))?;
        in_place::<f32>(tensor, |xs| {
            for x in xs {
                let gate = (*x * alpha + beta).clamp(0.0, 1.0);
                *x = if times_x { *x * gate } else { gate };
            }
        })
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        match self {
            Stepwise::Gate(gate) => gate.cost_per_element(dt),
            Stepwise::Activation(activation) => activation.cost_per_element(dt),
        }
    }
}
