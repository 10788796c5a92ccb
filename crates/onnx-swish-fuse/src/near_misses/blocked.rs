//! Words for activations that could be fused but for what stands around them, or for what can be written.
//! Given: what stands in the way.
//! Promises: the value at fault by its name.

use super::{Explainer, Words};
use crate::emit::target::Cannot;
use crate::plan::guards::Block;
use crate::runtimes::Runtime;

impl Explainer<'_, '_> {
    pub(super) fn blocked(&self, block: &Block) -> Words {
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
            Block::Shared(value, reader) => Words {
                reason: "shared",
                message: format!("{} would fuse, but {} is also read by {}", self.name(self.miss.output), self.name(*value), reader.map_or_else(
                        || "another node".to_owned(),
                        |reader| format!("the node that makes {}", self.name(reader)),
                    )),
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
                    "{what}, but nothing proves that {} has the shape of {}: a constant, a beta or a reshape may give it another",
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
            Block::UnknownElement if self.has_callers_of_two_types() => Words {
                reason: "unknown_element_type",
                message: format!("{what} in a function that is called with tensors of different element types"),
                change: "inline the model's functions first".into(),
            },
            Block::UnknownElement => Words {
                reason: "unknown_element_type",
                message: format!("{what}, but nothing says that they are floats"),
                change: "run shape inference, which also gives values their types".into(),
            },
            Block::FullRankBeta(beta) => self.full_rank_beta(*beta),
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

    /// What else would write it, or why nothing needs to.
    fn otherwise(&self) -> Result<String, String> {
        match self.plan.runtime {
            None => Ok("use --emit custom".to_owned()),
            Some(Runtime { name, loads, .. }) if loads.functions => Ok(format!(
                "use --emit custom in place of --for: {name} loads what it writes"
            )),
            Some(Runtime { name, .. }) => Err(format!("{name} loads these plain operators")),
        }
    }

    pub(super) fn cannot(&self, cannot: Cannot) -> Words {
        let what = self.product();
        let otherwise = self.otherwise();
        let (reason, message, change) = match cannot {
            Cannot::Opset(op, opset) => (
                "opset",
                format!(
                    "{what}, but {op} needs opset {opset} or later, and the model's opset is never raised"
                ),
                match &otherwise {
                    Ok(custom) => format!("export at opset {opset}, or {custom}"),
                    Err(plain) => format!("export at opset {opset}; {plain}"),
                },
            ),
            Cannot::TensorBeta => (
                "target",
                format!(
                    "{what} with a beta that is a tensor, for which the chosen operators have no input"
                ),
                otherwise.unwrap_or_else(|plain| format!("nothing: {plain}")),
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
                otherwise.unwrap_or_else(|plain| format!("nothing: {plain}")),
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
            Cannot::Runtime(name) => (
                "runtime",
                format!("{what}, and {name} is given these plain operators"),
                "nothing: this is what the runtime takes".into(),
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
