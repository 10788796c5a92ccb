//! Which operator a recognised activation becomes.
//! Given: the activation, its element type, the model's opset, and what the user asked to have written.
//! Promises: an operator that computes the same and is valid in the model as it is, or the reason why there is none.

use serde::{Deserialize, Serialize};

use super::functions::SIXTH;
use crate::element::Element;
use crate::forms::products::{Activation, Beta};
use crate::ops::Op;

/// Which operators are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emit {
    /// Our own operators, in domain `onnx_swish`, each with a model-local function: exact for everything that is
    /// recognised, and run by every runtime that knows functions.
    #[default]
    Custom,
    /// What ONNX Runtime has kernels for: `com.microsoft::QuickGelu` (float32), HardSwish from opset 14, and
    /// HardSigmoid with Mul for other slopes and older opsets.
    Contrib,
    /// ONNX's own operators: HardSwish from opset 14, Swish from opset 24.
    Standard,
}

/// What stands in the graph afterwards, besides a factor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Target {
    /// `onnx_swish::FusedSilu`
    FusedSilu,
    /// `onnx_swish::FusedSwish`; beta is the second input.
    FusedSwish(Beta),
    /// `onnx_swish::FusedHardSwish`
    FusedHardSwish,
    /// `onnx_swish::FusedSlopedHardSwish`
    FusedSlopedHardSwish {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `com.microsoft::QuickGelu`
    QuickGelu(f32),
    /// Standard HardSwish.
    HardSwish,
    /// Standard Swish.
    Swish(f32),
    /// Standard HardSigmoid and a Mul.
    HardSigmoidMul {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
}

impl Target {
    /// The operator.
    pub(crate) fn op(self) -> Op {
        match self {
            Self::FusedSilu => Op::FusedSilu,
            Self::FusedSwish(_) => Op::FusedSwish,
            Self::FusedHardSwish => Op::FusedHardSwish,
            Self::FusedSlopedHardSwish { .. } => Op::FusedSlopedHardSwish,
            Self::QuickGelu(_) => Op::QuickGelu,
            Self::HardSwish => Op::HardSwish,
            Self::Swish(_) => Op::Swish,
            Self::HardSigmoidMul { .. } => Op::HardSigmoid,
        }
    }
}

/// Why an activation cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cannot {
    /// No such operator below this opset.
    Opset(&'static str, i64),
    /// The target has no operator for a beta that is a tensor.
    TensorBeta,
    /// Below opset 7 a tensor beta would need broadcasting by axis.
    LegacyBroadcast,
    /// The target has no operator for other slopes than 1/6.
    Slope,
    /// The target's operator does not take this element type at this opset.
    ElementType(&'static str),
    /// A constant does not fit a float32 attribute.
    Precision,
    /// The element type must be known and is not.
    UnknownElement,
    /// The runtime at the end loads no operator for it, or is served best by plain ones.
    Runtime(&'static str),
    /// The model means something else by the operator's name.
    NameTaken(&'static str),
}

/// What is asked of a target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// What was recognised, with its numbers settled.
    pub(crate) activation: Activation,
    /// Element type of x.
    pub(crate) element: Element,
    /// Version of ONNX's operators where the node will stand.
    pub(crate) opset: i64,
    /// Whether the pattern has a HardSigmoid already, so that the runtime at hand must have one for the type.
    pub(crate) has_hard_sigmoid: bool,
}

/// 1/6 and 1/2, to a tensor of this type.
pub(crate) fn is_standard_slope(element: Element, alpha: f64, beta: f64) -> bool {
    element.same(alpha, 1.0 / 6.0) && element.same(beta, 0.5)
}

/// The operator for an activation.
pub(crate) fn choose(emit: Emit, wanted: &Wanted) -> Result<Target, Cannot> {
    match wanted.activation {
        Activation::Swish(beta) => swish(emit, wanted, beta),
        Activation::HardSwish { alpha, beta } => hard_swish(emit, wanted, alpha, beta),
    }
}

fn swish(emit: Emit, wanted: &Wanted, beta: Beta) -> Result<Target, Cannot> {
    let number = match beta {
        Beta::Number(number) => Some(number),
        Beta::Times(..) | Beta::Over(..) => None,
    };
    match emit {
        Emit::Custom => match number {
            Some(1.0) => Ok(Target::FusedSilu),
            None if wanted.opset < 7 => Err(Cannot::LegacyBroadcast),
            _ => Ok(Target::FusedSwish(beta)),
        },
        Emit::Contrib => {
            let number = number.ok_or(Cannot::TensorBeta)?;
            match wanted.element {
                Element::F32 => attribute(wanted.element, number).map(Target::QuickGelu),
                Element::Unknown | Element::Float => Err(Cannot::UnknownElement),
                _ => Err(Cannot::ElementType("QuickGelu")),
            }
        }
        Emit::Standard => {
            if wanted.opset < 24 {
                return Err(Cannot::Opset("Swish", 24));
            }
            let number = number.ok_or(Cannot::TensorBeta)?;
            attribute(wanted.element, number).map(Target::Swish)
        }
    }
}

fn hard_swish(emit: Emit, wanted: &Wanted, alpha: f64, beta: f64) -> Result<Target, Cannot> {
    // ONNX Runtime's CPU has no float64 HardSigmoid: a model without one would stop running there.
    match wanted.element {
        Element::F64 if !wanted.has_hard_sigmoid => return Err(Cannot::ElementType("HardSigmoid")),
        Element::Bf16 if wanted.opset < 22 => {
            return Err(Cannot::Opset("HardSigmoid for bfloat16", 22));
        }
        Element::Unknown | Element::Float if !wanted.has_hard_sigmoid => {
            return Err(Cannot::UnknownElement);
        }
        _ => {}
    }
    let standard = is_standard_slope(wanted.element, alpha, beta);
    let numbers = || {
        Ok((
            attribute(wanted.element, alpha)?,
            attribute(wanted.element, beta)?,
        ))
    };
    match emit {
        Emit::Custom if standard => Ok(Target::FusedHardSwish),
        Emit::Custom => {
            let (alpha, beta) = numbers()?;
            Ok(Target::FusedSlopedHardSwish { alpha, beta })
        }
        Emit::Contrib | Emit::Standard if standard && wanted.opset >= 14 => match wanted.element {
            Element::F64 => Err(Cannot::ElementType("HardSwish")),
            _ => Ok(Target::HardSwish),
        },
        Emit::Contrib => {
            let (alpha, beta) = if standard { (SIXTH, 0.5) } else { numbers()? };
            Ok(Target::HardSigmoidMul { alpha, beta })
        }
        Emit::Standard if standard => Err(Cannot::Opset("HardSwish", 14)),
        Emit::Standard => Err(Cannot::Slope),
    }
}

/// A constant as a float32 attribute. Of float64 nothing may be lost; a rounding of the narrower types is one that the
/// file's own constants went through.
fn attribute(element: Element, value: f64) -> Result<f32, Cannot> {
    let rounded = value as f32;
    if element == Element::F64 && f64::from(rounded) != value {
        return Err(Cannot::Precision);
    }
    // A subnormal or infinite attribute is read differently by different runtimes.
    if rounded.is_normal() || value == 0.0 {
        Ok(rounded)
    } else {
        Err(Cannot::Precision)
    }
}
