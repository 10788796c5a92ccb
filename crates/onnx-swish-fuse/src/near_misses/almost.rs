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
            Almost::Erf if !self.is_erf_gelu() => self.another_tensor(),
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
                    "{}, and Where picks its elements from several values: what the pieces are together is not read",
                    self.product()
                ),
                "write the gate as one function, with Sigmoid, HardSigmoid or Clip",
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
        if self.is_mish() {
            return self.mish();
        }
        if self.is_tanh_gelu() {
            return self.tanh_gelu();
        }
        let ops = self.ancestry();
        if ops.pooled {
            return self.another_tensor();
        }
        let made = self.curve(self.miss.carried());
        if made.is_some_and(|(op, _)| op == Op::Tanh) {
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

    /// A tanh of `ln(1 + e^x)`.
    pub(super) fn is_mish(&self) -> bool {
        let Some((Op::Tanh, argument)) = self.curve(self.miss.carried()) else {
            return false;
        };
        let softplus = self.softplus(argument);
        softplus.is_some_and(|inner| self.partners().any(|x| self.is_multiple(inner, x)))
    }

    /// What Softplus is applied to, if this value is one: an operator, or `ln(1 + e^z)`.
    fn softplus(&self, value: Value) -> Option<Value> {
        let made = |value| self.graph.producer(self.plain(value));
        let node = made(value)?;
        let input = *self.graph.inputs(node).first()?;
        match self.graph.op(node) {
            Op::Softplus => Some(input),
            Op::Log => {
                let sum = made(input).filter(|&node| self.graph.op(node) == Op::Add)?;
                let mut terms = self.graph.inputs(sum).iter().filter_map(|&term| made(term));
                let exp = terms.find(|&node| self.graph.op(node) == Op::Exp)?;
                self.graph.inputs(exp).first().copied()
            }
            _ => None,
        }
    }

    /// Whether a gate is made with Erf of a multiple of x.
    fn is_erf_gelu(&self) -> bool {
        let Some((Op::Erf, argument)) = self.curve(self.miss.carried()) else {
            return false;
        };
        self.partners().any(|x| self.is_multiple(argument, x))
    }

    /// A gate of `a·x + b·x³`, by tanh or by the sigmoid that it is.
    pub(super) fn is_tanh_gelu(&self) -> bool {
        let Some((op, argument)) = self.curve(self.miss.carried()) else {
            return false;
        };
        op != Op::Erf && self.partners().any(|x| self.is_odd_cubic(argument, x))
    }

    /// What is multiplied, and what it was before it was multiplied by 1/2.
    fn partners(&self) -> impl Iterator<Item = Value> {
        let halved = self.graph.producer(self.plain(self.miss.partner));
        let halves =
            |&node: &Node| matches!(self.graph.op(node), Op::Mul | Op::Div | Op::QLinearMul);
        let before = halved.filter(halves).map(|node| self.operands(node));
        let before = before.into_iter().flatten().map(|(value, _)| value);
        [self.miss.partner].into_iter().chain(before)
    }

    /// The operator in a gate that makes it bend, Exp in a denominator among them, and what that is applied to. What lies before it
    /// is a line.
    pub(super) fn curve(&self, gate: Value) -> Option<(Op, Value)> {
        let mut at = gate;
        for _ in 0..super::ancestry::MAX_STEPS {
            let node = self.graph.producer(self.plain(at))?;
            match self.graph.op(node) {
                op @ (Op::Tanh | Op::Sigmoid | Op::QLinearSigmoid | Op::Erf | Op::Exp) => {
                    return Some((op, self.graph.inputs(node).first().copied()?));
                }
                Op::Reciprocal => at = self.graph.inputs(node).first().copied()?,
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
