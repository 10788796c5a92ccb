//! Words for gates that are no gates of what they multiply.
//! Given: in what they differ from an activation.
//! Promises: the most telling difference first: "another tensor" is said when nothing else can be.

use super::{Explainer, Words, ancestry, short};
use crate::emit::target::Cannot;
use crate::forms::products::Mismatch;
use crate::graph::Value;
use crate::ops::Op;
use crate::pattern::Broken;

impl Explainer<'_, '_> {
    pub(super) fn mismatch(&self, mismatch: Mismatch) -> Words {
        match mismatch {
            Mismatch::AnotherTensor => self.another_tensor(),
            Mismatch::Offset(offset) => Words {
                reason: "offset",
                message: format!(
                    "{}, but inside the gate {} is added: that is no Swish",
                    self.product(),
                    short(offset)
                ),
                change: "nothing: a Swish has no offset".into(),
            },
            Mismatch::Bounds(lo, hi) => Words {
                reason: "bounds",
                message: format!(
                    "{}, which is clamped to [{}, {}]; a HardSwish gate closes at 0",
                    self.product(),
                    short(lo),
                    short(hi)
                ),
                change: "nothing: one of the bounds would have to be 0".into(),
            },
            Mismatch::HalfOpen => Words {
                reason: "half_open",
                message: format!("{}, which is clamped on one side only", self.product()),
                change: "nothing: a HardSwish gate has two bounds".into(),
            },
            Mismatch::NotFinite(beta) => Words::new(
                "beta",
                format!(
                    "{}, whose argument multiplies {} by {}: a Swish with a beta that is {} is no Swish",
                    self.product(),
                    self.name(self.miss.partner),
                    short(beta),
                    if beta.is_nan() {
                        "not a number"
                    } else {
                        "infinite"
                    },
                ),
                "give beta a finite value",
            ),
            Mismatch::NotFiniteIn(beta, element) => Words::new(
                "beta",
                format!(
                    "{}, whose beta {} has an element that is {}: a Swish has finite betas",
                    self.product(),
                    self.beta(beta),
                    short(element),
                ),
                "give every element of beta a finite value",
            ),
            Mismatch::Flat(factor) => self.degenerate(&format!(
                "multiplies {} by {}",
                self.name(self.miss.partner),
                short(factor)
            )),
            Mismatch::Unquantised(value) => Words::new(
                "unquantized_gate",
                format!(
                    "{}, which is computed from {} before that is quantised: gate and partner are functions of different numbers",
                    self.product(),
                    self.name(value)
                ),
                "compute the gate from the quantised value, too",
            ),
            Mismatch::TwoQuantisers(value) => Words::new(
                "two_quantisers",
                format!(
                    "{}, but {} was quantised in two ways, once for the gate and once for what it multiplies: no one code has both",
                    self.product(),
                    self.name(value)
                ),
                "quantise it once, or twice with one scale and zero point",
            ),
            Mismatch::Entangled(_) if self.is_tanh_gelu() => self.tanh_gelu(),
            Mismatch::Entangled(beta) => Words {
                reason: "full_rank_beta",
                message: format!(
                    "{}, whose argument multiplies x by {}, another function of x: that is no beta",
                    self.product(),
                    self.beta(beta)
                ),
                change: "nothing: the gate is not a function of beta·x".into(),
            },
        }
    }

    pub(super) fn broken(&self, broken: Broken) -> Words {
        match broken {
            Broken::Foreign => Words {
                reason: "structure",
                message: format!(
                    "{} and both come from one value, but the gate is not computed from {}",
                    self.product(),
                    self.name(self.miss.partner)
                ),
                change: "compute the gate from the value that it multiplies".into(),
            },
            Broken::Captured(value) => Words {
                reason: "captured",
                message: format!(
                    "{}, but {} is computed in the graph outside",
                    self.product(),
                    self.name(value)
                ),
                change: "compute the gate in the graph that uses it".into(),
            },
            Broken::TooLong => Words {
                reason: "structure",
                message: format!(
                    "{}, but more nodes lie between them than a match may have",
                    self.product()
                ),
                change: "simplify the model first".into(),
            },
        }
    }

    /// The gate is a function of something else than what it multiplies; of what?
    pub(super) fn another_tensor(&self) -> Words {
        let is_itself = self
            .plan
            .facts
            .numbering
            .same(self.miss.gate, self.miss.partner);
        if is_itself {
            return Words {
                reason: "gate_power",
                message: format!(
                    "{} is the gate {} times itself",
                    self.name(self.miss.output),
                    self.name(self.miss.gate)
                ),
                change: "nothing: a Swish multiplies a gate by what it is a function of".into(),
            };
        }
        let gate = self.miss.carried();
        if self.is_of_gate(gate) {
            return self.powers();
        }
        let ops = self.ancestry();
        if ops.softplus && ops.tanh {
            return self.mish();
        }
        if self.is_tanh_gelu() {
            return self.tanh_gelu();
        }
        if let Some(value) = ops.overridable {
            return Words {
                reason: "overridable_constant",
                message: format!(
                    "{}, but {} in it is an initializer that is also a graph input, which callers may override",
                    self.product(),
                    self.name(value)
                ),
                change: format!(
                    "take {} out of the graph's inputs to make it a constant",
                    self.name(value)
                ),
            };
        }
        if let Some(value) = ops.unreadable {
            return Words {
                reason: "unreadable_constant",
                message: format!(
                    "{}, but the constant {} cannot be read",
                    self.product(),
                    self.name(value)
                ),
                change: "put the file with the external data beside the model".into(),
            };
        }
        if ops.legacy_axis {
            return self.cannot(Cannot::LegacyBroadcast);
        }
        if self.is_integer() {
            return Words {
                reason: "integer",
                message: format!("{} in integers, where dividing truncates", self.product()),
                change: "nothing: Swish and HardSwish are functions of floats".into(),
            };
        }
        if ops.pooled {
            return Words {
                reason: "squeeze_gate",
                message: format!(
                    "{}, which is computed from pooled values: a squeeze-and-excitation gate, as it should be",
                    self.product()
                ),
                change: "nothing: the gate belongs to another tensor".into(),
            };
        }
        if ops.meets_partner {
            return Words {
                reason: "not_linear",
                message: format!(
                    "{}, which does depend on {}, but not as σ(β·x) or a clamp of a line{}",
                    self.product(),
                    self.name(self.miss.partner),
                    ops.through.map_or(String::new(), |op| format!(
                        ": there is {} on the way",
                        op.name()
                    )),
                ),
                change: "nothing, unless the operator on the way can be left out".into(),
            };
        }
        if self.is_recurrent() {
            return Words::new(
                "recurrent_gate",
                format!(
                    "{}, a sigmoid times a tanh: a gate of a recurrent cell such as LSTM",
                    self.product()
                ),
                "nothing: the gate belongs to another tensor",
            );
        }
        if self.same_split() {
            return Words {
                reason: "glu",
                message: format!(
                    "{}, both cut from one tensor: a gated linear unit",
                    self.product()
                ),
                change: "nothing: the gate belongs to another tensor".into(),
            };
        }
        if ops.unfinished {
            return Words::new(
                "another_tensor",
                format!(
                    "{}, and {} is not among the {} values before the gate",
                    self.product(),
                    self.name(self.miss.partner),
                    ancestry::MAX_STEPS
                ),
                "nothing: the gate belongs to another tensor",
            );
        }
        Words {
            reason: "another_tensor",
            message: format!(
                "{}, which is computed from another tensor than {}",
                self.product(),
                self.name(self.miss.partner)
            ),
            change: "nothing: the gate belongs to another tensor".into(),
        }
    }

    fn is_integer(&self) -> bool {
        // Codes are integers, too, and stand for numbers.
        let op = self
            .graph
            .producer(self.miss.output)
            .map(|node| self.graph.op(node));
        self.plan.facts.element(self.miss.output).is_not_float()
            && !op.is_some_and(Op::is_quantised_arithmetic)
    }

    /// Gate and partner come from one Split or from slices of one value, each alone.
    fn same_split(&self) -> bool {
        let source = self.cut_from(self.miss.gate);
        source.is_some() && source == self.cut_from(self.miss.partner)
    }

    /// A sigmoid times a tanh: how the cells of recurrent networks, unrolled, write and read their state.
    fn is_recurrent(&self) -> bool {
        let mut value = self.miss.partner;
        for _ in 0..ancestry::MAX_STEPS {
            let Some(node) = self.graph.producer(value) else {
                return false;
            };
            match self.graph.op(node) {
                Op::Tanh => return true,
                Op::QuantizeLinear | Op::DequantizeLinear | Op::Identity => {}
                _ => return false,
            }
            let Some(&input) = self.graph.inputs(node).first() else {
                return false;
            };
            value = input;
        }
        false
    }

    /// The value that a Split or Slice cuts this one from, as long as nothing else flows into it.
    fn cut_from(&self, mut value: Value) -> Option<Value> {
        for _ in 0..ancestry::MAX_STEPS {
            let node = self.graph.producer(value)?;
            let op = self.graph.op(node);
            let mut inputs = ancestry::data_inputs(self.graph, node)
                .filter(|&input| self.plan.facts.known_constant(input).is_none());
            let input = inputs.next()?;
            if matches!(op, Op::Split | Op::Slice) {
                return Some(input);
            }
            // A layer reads weights besides, which need not be known as constants.
            if inputs.next().is_some() && !op.is_layer() {
                return None;
            }
            value = input;
        }
        None
    }
}
