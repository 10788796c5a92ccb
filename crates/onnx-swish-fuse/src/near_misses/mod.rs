//! Why a gate was left alone, in words.
//! Given: what analysis recorded of a gate that multiplies something and stays.
//! Promises: a kind for machines, a sentence with the user's own names for people, and what would have to change.

mod ancestry;

use crate::emit::target::Cannot;
use crate::forms::gates::Almost;
use crate::forms::products::Mismatch;
use crate::graph::{Graph, Value};
use crate::ops::Op;
use crate::pattern::Broken;
use crate::plan::guards::Block;
use crate::plan::{Miss, Plan, Why};
use crate::report::NearMiss;

/// Words for one miss.
struct Words {
    reason: &'static str,
    message: String,
    change: String,
}

/// The entry of the report.
pub(crate) fn near_miss(plan: &Plan<'_>, miss: &Miss) -> NearMiss {
    let graph = &plan.graph;
    let words = Explainer { plan, graph, miss }.words();
    NearMiss {
        output: graph.display(miss.output),
        reason: words.reason.to_owned(),
        message: words.message,
        change: words.change,
        gate: graph.display(miss.gate),
        graph: crate::report::path(graph, graph.producer(miss.output)),
    }
}

struct Explainer<'a, 'm> {
    plan: &'a Plan<'m>,
    graph: &'a Graph<'m>,
    miss: &'a Miss,
}

impl Explainer<'_, '_> {
    fn name(&self, value: Value) -> String {
        format!("`{}`", self.graph.display(value))
    }

    /// "`y` multiplies `x` by the gate `s`"
    fn product(&self) -> String {
        let Miss {
            output,
            gate,
            partner,
            ..
        } = self.miss;
        format!(
            "{} multiplies {} by the gate {}",
            self.name(*output),
            self.name(*partner),
            self.name(*gate)
        )
    }

    fn words(&self) -> Words {
        match &self.miss.why {
            Why::Mismatch(mismatch) => self.mismatch(*mismatch),
            Why::Broken(broken) => self.broken(*broken),
            Why::Blocked(block) => self.blocked(block),
            Why::Almost(almost) => self.almost(*almost),
            Why::Opaque => self.another_tensor(),
        }
    }

    fn mismatch(&self, mismatch: Mismatch) -> Words {
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
            Mismatch::Entangled(tensor) => Words {
                reason: "full_rank_beta",
                message: format!(
                    "{}, whose argument multiplies x by {}, another function of x: that is no beta",
                    self.product(),
                    self.name(tensor)
                ),
                change: "nothing: the gate is not a function of beta·x".into(),
            },
        }
    }

    fn broken(&self, broken: Broken) -> Words {
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

    fn almost(&self, almost: Almost) -> Words {
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

    fn mish(&self) -> Words {
        Words {
            reason: "mish",
            message: format!(
                "{}, a tanh of Softplus: that is Mish, not Swish",
                self.product()
            ),
            change: "nothing: Mish is another function".into(),
        }
    }

    fn tanh_gelu(&self) -> Words {
        Words {
            reason: "gelu",
            message: format!(
                "{}, a tanh of a cubic: that is GELU's approximation, not Swish",
                self.product()
            ),
            change: "nothing: GELU is another function".into(),
        }
    }

    /// The gate is a function of something else than what it multiplies; of what?
    fn another_tensor(&self) -> Words {
        if self.miss.gate == self.miss.partner {
            return Words {
                reason: "another_tensor",
                message: format!(
                    "{} is the gate {} times itself",
                    self.name(self.miss.output),
                    self.name(self.miss.gate)
                ),
                change: "nothing: a Swish multiplies a gate by what it is a function of".into(),
            };
        }
        let ops = self.ancestry();
        if ops.softplus && ops.tanh {
            return self.mish();
        }
        if ops.cubic && ops.tanh {
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
        self.plan.facts.element(self.miss.output).is_not_float()
    }

    /// Gate and partner come from one Split or from slices of one value.
    fn same_split(&self) -> bool {
        let source = |mut value: Value| {
            for _ in 0..ancestry::MAX_STEPS {
                let node = self.graph.producer(value)?;
                let input = *self.graph.inputs(node).first()?;
                if matches!(self.graph.op(node), Op::Split | Op::Slice) {
                    return Some(input);
                }
                value = input;
            }
            None
        };
        source(self.miss.gate).is_some() && source(self.miss.gate) == source(self.miss.partner)
    }

    fn blocked(&self, block: &Block) -> Words {
        let what = self.product();
        match block {
            Block::GraphOutput(value) => Words {
                reason: "graph_output",
                message: format!("{what}, but {} is itself an output of the graph", self.name(*value)),
                change: format!("take {} out of the graph's outputs", self.name(*value)),
            },
            Block::Captured(value) => Words {
                reason: "captured",
                message: format!("{what}, but a graph inside (of an If, Loop or Scan) reads {}", self.name(*value)),
                change: format!("nothing, unless the graph inside can do without {}", self.name(*value)),
            },
            Block::Annotated(value) => Words {
                reason: "quantization_annotation",
                message: format!("{what}, but a quantization annotation names {}", self.name(*value)),
                change: "remove the annotation if it is not needed any more".into(),
            },
            Block::Trained(value) => Words {
                reason: "training_info",
                message: format!("{what}, but training_info names {}", self.name(*value)),
                change: "export the model for inference".into(),
            },
            Block::Shared(value) => Words {
                reason: "shared",
                message: format!("{} would fuse, but {} is also read by {}", self.name(self.miss.output), self.name(*value), self.other_reader(*value)),
                change: "nothing, unless the other reader can do without it: fused, it would be computed twice".into(),
            },
            Block::UnknownFields(value) => Words {
                reason: "unknown_fields",
                message: format!("{what}, but the node that makes {} has fields that this version does not know", self.name(*value)),
                change: "update onnx-swish".into(),
            },
            Block::Devices(value) => Words {
                reason: "device_configurations",
                message: format!("{what}, but the node that makes {} is spread over devices", self.name(*value)),
                change: "remove the device configuration".into(),
            },
            Block::Shape(value) => Words {
                reason: "shape",
                message: format!(
                    "{what}, but nothing proves that {} has the shape of {}: a constant or a beta may broadcast it to a larger one",
                    self.name(*value),
                    self.name(self.miss.partner)
                ),
                change: "run shape inference, or give the model's inputs their sizes".into(),
            },
            Block::ElementType => Words {
                reason: "integer",
                message: format!("{what} in integers, where dividing truncates"),
                change: "nothing: Swish and HardSwish are functions of floats".into(),
            },
            Block::UnknownElement => Words {
                reason: "unknown_element_type",
                message: format!("{what}, but nothing says that they are floats"),
                change: "run shape inference, which also gives values their types".into(),
            },
            Block::FullRankBeta(value) => Words {
                reason: "full_rank_beta",
                message: format!("{what}, whose beta {} is computed and as large as x: another tensor, not a parameter", self.name(*value)),
                change: "nothing: beta must be smaller than x, or stored".into(),
            },
            Block::NoGain => Words {
                reason: "no_gain",
                message: format!("{what}, which could be fused, but only with as many nodes as there are"),
                change: "nothing".into(),
            },
            Block::Ambiguous(value) => Words {
                reason: "ambiguous",
                message: format!("{what}, but two things make {}", self.name(*value)),
                change: "repair the model: a value has one producer".into(),
            },
            Block::Target(cannot) => self.cannot(*cannot),
        }
    }

    fn other_reader(&self, value: Value) -> String {
        let owner = self.graph.producer(self.miss.output);
        let readers = self
            .graph
            .consumers(value)
            .iter()
            .filter(|&&node| Some(node) != owner);
        readers
            .filter_map(|&node| self.graph.outputs(node).first())
            .find(|&&output| output != self.miss.output && output != self.miss.gate)
            .map_or_else(
                || "another node".to_owned(),
                |&output| format!("the node that makes {}", self.name(output)),
            )
    }

    fn cannot(&self, cannot: Cannot) -> Words {
        let what = self.product();
        let custom = "use --emit custom";
        let (reason, message, change) = match cannot {
            Cannot::Opset(op, opset) => (
                "opset",
                format!(
                    "{what}, but {op} needs opset {opset} or later, and the model's opset is never raised"
                ),
                format!("export at opset {opset}, or {custom}"),
            ),
            Cannot::TensorBeta => (
                "target",
                format!(
                    "{what} with a beta that is a tensor, for which the chosen operators have no input"
                ),
                custom.into(),
            ),
            Cannot::LegacyBroadcast => (
                "opset",
                format!("{what}, but before opset 7 operands broadcast by other rules"),
                "export at opset 7 or later".into(),
            ),
            Cannot::Slope => (
                "target",
                format!(
                    "{what} with another slope than 1/6, for which the chosen operators have no attribute"
                ),
                custom.into(),
            ),
            Cannot::ElementType(op) => (
                "element_type",
                format!(
                    "{what} in {}, for which {op} has no kernel where the model runs now",
                    self.plan.facts.element(self.miss.output).name()
                ),
                "convert the model to float32".into(),
            ),
            Cannot::Precision => (
                "precision",
                format!("{what} with a constant that a float32 attribute cannot hold"),
                "nothing, unless the model can be float32".into(),
            ),
            Cannot::UnknownElement => (
                "unknown_element_type",
                format!(
                    "{what}, but a new constant would need an element type, and nothing says which"
                ),
                "run shape inference, which also gives values their types".into(),
            ),
            Cannot::NameTaken(op) => (
                "name_taken",
                format!("{what}, but the model means something else by {op} than we do"),
                "rename the model's own function of that name".into(),
            ),
        };
        Words {
            reason,
            message,
            change,
        }
    }
}

/// A number as people write it.
fn short(number: f64) -> String {
    format!("{}", number as f32)
}
