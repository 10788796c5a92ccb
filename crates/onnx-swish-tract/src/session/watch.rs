//! What activations are given and what they make of it, one by one as a run comes to them.
//!
//! Given inputs and somebody who watches; promises each activation of the graph once, in the order of execution, and that no
//! tensor is kept longer than it is looked at. Activations in the bodies of If and Scan are not seen.

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;

use super::plan::Plan;
use crate::error::Result;
use crate::ops::{Activation, SwishBy};
use crate::tensor::{ElementType, Tensor as Value};

/// The function that an activation computes, with its parameters.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Formula {
    /// x·σ(βx).
    Swish {
        /// One β for the whole tensor.
        beta: f64,
    },
    /// x·σ(βx), β broadcast to x as NumPy does.
    SwishBy {
        /// β, of x's rank and type.
        beta: Value,
    },
    /// x·clamp(αx + offset, 0, 1).
    HardSwish {
        /// The slope.
        alpha: f64,
        /// The offset.
        offset: f64,
    },
}

/// An activation of ours that was just computed.
#[derive(Debug)]
pub struct Watched<'a> {
    /// The node's name in tract's optimised graph, which keeps the model's names.
    pub node: &'a str,
    /// The activation's operator.
    pub op: &'a str,
    /// What it should have computed.
    pub formula: Formula,
    /// What it was given.
    pub x: Value,
    /// What came out, of x's type; of x's shape unless β is wider.
    pub y: Value,
}

/// What one activation of ours was given in one run.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationRange {
    /// The node's name in tract's optimised graph, which keeps the model's names.
    pub node: String,
    /// The activation.
    pub op: String,
    /// The element type that it computed in.
    pub element_type: Option<ElementType>,
    /// The smallest finite input.
    pub min: f64,
    /// The largest finite input.
    pub max: f64,
}

impl ActivationRange {
    /// The range of a float tensor's finite elements; `None` if it has none.
    pub(super) fn of(watched: &Watched<'_>) -> Option<ActivationRange> {
        let finite = watched.x.to_f64()?.into_iter().filter(|x| x.is_finite());
        let (min, max) = finite.fold(None, |range, x| {
            let (min, max) = range.unwrap_or((x, x));
            Some((x.min(min), x.max(max)))
        })?;
        Some(ActivationRange {
            node: watched.node.to_owned(),
            op: watched.op.to_owned(),
            element_type: Some(watched.x.element_type()),
            min,
            max,
        })
    }
}

impl Plan {
    /// Runs, and shows each of our activations with its input and output.
    pub fn run_watched(
        &self,
        inputs: Vec<Value>,
        mut watch: impl FnMut(Watched<'_>),
    ) -> Result<Vec<Value>> {
        self.run_with(inputs, |node, inputs, work| {
            let Some((formula, x)) = activation(&*node.op, &inputs)? else {
                return work(inputs);
            };
            let outputs = work(inputs)?;
            if let Some(y) = outputs.first() {
                watch(Watched {
                    node: &node.name,
                    op: &node.op.name(),
                    formula,
                    x,
                    y: value(y)?,
                });
            }
            Ok(outputs)
        })
    }
}

/// The function of an operator of ours and its input; `None` for any other operator.
fn activation(op: &dyn TypedOp, inputs: &[TValue]) -> TractResult<Option<(Formula, Value)>> {
    let activation = op
        .downcast_ref::<ElementWiseOp>()
        .and_then(|op| op.0.downcast_ref::<Activation>());
    let by_tensor = op
        .downcast_ref::<TypedBinOp>()
        .is_some_and(|op| op.0.is::<SwishBy>());
    let formula = match (activation, inputs) {
        (Some(activation), [_]) => activation.formula(),
        (None, [_, beta]) if by_tensor => Formula::SwishBy { beta: value(beta)? },
        _ => return Ok(None),
    };
    let x = inputs.first().context("an activation without input")?;
    Ok(Some((formula, value(x)?)))
}

fn value(tensor: &TValue) -> TractResult<Value> {
    Ok(Value::from_tract(tensor.clone().into_arc_tensor())?)
}

impl Activation {
    /// What ONNX defines, with numbers of its own: whoever compares a kernel with it must not share the kernel's constants.
    fn formula(self) -> Formula {
        match self {
            Activation::Silu => Formula::Swish { beta: 1.0 },
            Activation::Swish { beta } => Formula::Swish { beta },
            Activation::HardSwish => Formula::HardSwish {
                alpha: (1.0f32 / 6.0).into(),
                offset: 0.5,
            },
            Activation::SlopedHardSwish { alpha, beta } => Formula::HardSwish {
                alpha,
                offset: beta,
            },
        }
    }
}
