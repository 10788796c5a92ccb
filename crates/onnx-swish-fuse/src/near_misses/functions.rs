//! Words for gates that functions of the file have a part in.
//! Given: where calls stand between a gate and what it multiplies.
//! Promises: the function by its name, and "inline" only where that would bring gate and partner together.

use super::ancestry::Ancestry;
use super::{Explainer, Words};
use crate::graph::{Node, Value};

impl Explainer<'_, '_> {
    /// A function of the file computes the gate or multiplies it.
    pub(super) fn in_function(&self) -> Words {
        let ops = self.ancestry();
        // What nobody here knows may be made from anything.
        if !ops.meets_partner && (!ops.foreign || ops.pooled) {
            return self.another_tensor();
        }
        let ends = [self.miss.gate, self.miss.output];
        let mut ends = ends
            .into_iter()
            .filter_map(|value| self.graph.producer(value));
        let call = ends.find(|&node| self.graph.callee(node).is_some());
        self.function(call.or(ops.call))
    }

    pub(super) fn function(&self, call: Option<Node>) -> Words {
        let what = self.product();
        let around = self
            .graph
            .function_of(self.graph.value_scope(self.miss.output));
        let calls_product = |call: Node| {
            let callee = self.graph.callee(call);
            callee.is_some() && callee == around.map(|function| function as usize)
        };
        let message = match call {
            Some(call) if calls_product(call) => format!(
                "{what}; both come from one value where {} is called to make {}",
                self.operator(call),
                self.made(call)
            ),
            Some(call) => format!(
                "{what}; the function {} of the file stands between {} and the product: their form is not read through calls",
                self.operator(call),
                self.name(self.miss.partner)
            ),
            None => format!("{what}; a function of the file stands in between"),
        };
        Words::new("function", message, "inline the model's functions first")
    }

    /// A number of the gate is known to callers only.
    pub(super) fn given(&self, value: Value, ops: &Ancestry) -> Words {
        if ops.call.is_some() {
            return self.function(ops.call);
        }
        Words::new(
            "caller",
            format!(
                "{}, but callers of this function give the numbers of the node that makes {}, as attributes or inputs",
                self.product(),
                self.name(value)
            ),
            "inline the model's functions first",
        )
    }

    /// Whether callers of the function that the product stands in give it tensors of different types for one input.
    pub(super) fn has_callers_of_two_types(&self) -> bool {
        let scope = self.graph.value_scope(self.miss.output);
        let Some(function) = self.graph.function_of(scope) else {
            return false;
        };
        let callers = self.graph.callers(function as usize);
        let types = |&call: &Node| -> Vec<Option<&str>> {
            let arguments = self.graph.inputs(call).iter();
            let types = arguments.map(|&value| self.plan.facts.data_type(value).name());
            types.collect()
        };
        let Some(first) = callers.first().map(types) else {
            return false;
        };
        callers.iter().map(types).any(|other| {
            let mut pairs = first.iter().zip(&other);
            pairs.any(|(a, b)| a.is_some() && b.is_some() && a != b)
        })
    }

    /// The first output of a node, by its name.
    fn made(&self, node: Node) -> String {
        let output = self.graph.outputs(node).first();
        output.map_or_else(|| "nothing".to_owned(), |&output| self.name(output))
    }

    pub(super) fn edited(&self) -> Words {
        let op = self.graph.producer(self.miss.output);
        let op = op.and_then(|node| self.graph.node(node));
        let op = op.map(|node| String::from_utf8_lossy(node.op_type()).into_owned());
        Words::new(
            "edited_function",
            format!(
                "{} calls `onnx_swish::{}`, whose function in this file is not the one that we write: it is somebody else's function, and means what its body says",
                self.name(self.miss.output),
                op.unwrap_or_default()
            ),
            "restore the function, or rename it",
        )
    }
}
