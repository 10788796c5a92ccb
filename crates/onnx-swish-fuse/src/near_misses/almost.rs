//! Words for what looks like a gate and is something else.
//! Given: what it is.
//! Promises: other activations by their names.

use super::{Explainer, Words};
use crate::forms::gates::Almost;

impl Explainer<'_, '_> {
    pub(super) fn almost(&self, almost: Almost) -> Words {
        match almost {
            Almost::Offset => self.tanh(),
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
                    "{}, which Where picks piece by piece: that it is a HardSwish cannot be seen from its pieces",
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
    fn tanh(&self) -> Words {
        let ops = self.ancestry();
        if ops.softplus {
            return self.mish();
        }
        if ops.cubic {
            return self.tanh_gelu();
        }
        Words {
            reason: "tanh",
            message: format!(
                "{}, a tanh or sigmoid with an offset that makes it no logistic gate",
                self.product()
            ),
            change: "nothing: only 1 + tanh(x/2) times x is a Swish".into(),
        }
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

    pub(super) fn is_tanh_gelu(&self) -> bool {
        let ops = self.ancestry();
        ops.cubic && ops.tanh
    }

    pub(super) fn tanh_gelu(&self) -> Words {
        Words {
            reason: "gelu",
            message: format!(
                "{}, a tanh of a cubic: that is GELU's approximation, not Swish",
                self.product()
            ),
            change: "nothing: GELU is another function".into(),
        }
    }
}
