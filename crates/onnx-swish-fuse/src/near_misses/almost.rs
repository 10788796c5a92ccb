//! Words for what looks like a gate and is something else.
//! Given: what it is.
//! Promises: other activations by their names.

use super::{Explainer, Words};
use crate::forms::gates::Almost;
use crate::graph::{Node, Value};
use crate::ops::Op;

impl Explainer<'_, '_> {
    pub(super) fn almost(&self, almost: Almost) -> Words {
        match almost {
            Almost::Offset => self.offset(),
            Almost::Closed => self.degenerate("has bounds or factors that make no line of it"),
            Almost::Erf => Words {
                reason: "gelu",
                message: format!("{}, which is made with Erf: that is GELU, not Swish", self.product()),
                change: "nothing: GELU is another function".into(),
            },
            Almost::Cast => Words {
                reason: "cast",
                message: format!(
                    "{}, which is computed in another element type and cast back: fusing would round elsewhere",
                    self.product()
                ),
                change: "export the activation in one element type; a Swish that lies between the casts as a whole is fused".into(),
            },
            Almost::Overflowing => Words {
                reason: "overflow",
                message: format!(
                    "{}, an exponential divided by itself plus a constant: where it overflows, that is not a number, and a sigmoid is 1",
                    self.product()
                ),
                change: "write the gate as Sigmoid, or as 1 / (1 + exp(-x))".into(),
            },
            Almost::Power => Words::new(
                "gate_power",
                format!(
                    "{}, a power or a product of gates: that is no Swish, whose gate stands alone",
                    self.product()
                ),
                "nothing: it is another function",
            ),
            Almost::Where => Words::new(
                "where",
                format!(
                    "{}, which Where picks piece by piece: what the pieces are together is not read",
                    self.product()
                ),
                "write the gate as HardSigmoid, or with Clip",
            ),
            Almost::Dropout => Words {
                reason: "dropout",
                message: format!(
                    "{}, behind a Dropout that may be in training mode",
                    self.product()
                ),
                change: "export the model for inference".into(),
            },
            Almost::Quantized => Words {
                reason: "quantized",
                message: format!("{}, which is quantised in between: fusing would change values", self.product()),
                change: "keep QuantizeLinear and DequantizeLinear outside of the activation".into(),
            },
        }
    }

    /// σ and tanh that are gates of nothing we know.
    fn offset(&self) -> Words {
        let ops = self.ancestry();
        if ops.softplus {
            return self.mish();
        }
        if self.is_tanh_gelu() {
            return self.tanh_gelu();
        }
        if ops.pooled {
            return self.another_tensor();
        }
        if ops.tanh {
            return Words::new(
                "tanh",
                format!(
                    "{}, a tanh with no offset, or one that makes it no logistic gate",
                    self.product()
                ),
                "nothing: only 1 + tanh(x/2) times x is a Swish",
            );
        }
        Words::new(
            "gate_offset",
            format!(
                "{}, a sigmoid to which a number is added: a Swish's gate is a sigmoid alone",
                self.product()
            ),
            "nothing: it is another function",
        )
    }

    /// A clamp or a sigmoid that its numbers make a constant, or nothing at all.
    pub(super) fn degenerate(&self, what: &str) -> Words {
        Words::new(
            "degenerate_gate",
            format!(
                "{}, which {what}: it is the same whatever {} is, or not a number",
                self.product(),
                self.name(self.miss.partner)
            ),
            "nothing, unless the gate's numbers are a mistake",
        )
    }

    pub(super) fn mish(&self) -> Words {
        Words {
            reason: "mish",
            message: format!(
                "{}, a tanh of Softplus: that is Mish, not Swish",
                self.product()
            ),
            change: "nothing: Mish is another function".into(),
        }
    }

    /// A gate of `a·x + b·x³`, by tanh or by the sigmoid that it is.
    pub(super) fn is_tanh_gelu(&self) -> bool {
        let gate = self.miss.carried();
        let Some(argument) = self.argument(gate) else {
            return false;
        };
        // The factor 1/2 may stand before the product.
        let halved = self.graph.producer(self.plain(self.miss.partner));
        let halves =
            |&node: &Node| matches!(self.graph.op(node), Op::Mul | Op::Div | Op::QLinearMul);
        let before = halved.filter(halves).map(|node| self.operands(node));
        let before = before.into_iter().flatten().map(|(value, _)| value);
        let mut partners = [self.miss.partner].into_iter().chain(before);
        partners.any(|x| self.is_odd_cubic(argument, x))
    }

    /// What the tanh or sigmoid in a gate is applied to.
    fn argument(&self, gate: Value) -> Option<Value> {
        let mut at = gate;
        for _ in 0..super::ancestry::MAX_STEPS {
            let node = self.graph.producer(self.plain(at))?;
            match self.graph.op(node) {
                Op::Tanh | Op::Sigmoid | Op::QLinearSigmoid => {
                    return self.graph.inputs(node).first().copied();
                }
                Op::Add | Op::Sub | Op::Mul | Op::Div | Op::QLinearAdd | Op::QLinearMul => {
                    let operands = self.operands(node);
                    let mut varying = operands.iter().filter(|(_, number)| number.is_none());
                    at = varying.next()?.0;
                    if varying.next().is_some() {
                        return None;
                    }
                }
                _ => return None,
            }
        }
        None
    }

    pub(super) fn tanh_gelu(&self) -> Words {
        Words {
            reason: "gelu",
            message: format!(
                "{}, a tanh or sigmoid of a cubic: that is GELU's approximation, not Swish",
                self.product()
            ),
            change: "nothing: GELU is another function".into(),
        }
    }
}
