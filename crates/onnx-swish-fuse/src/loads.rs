//! Which operators and functions of a file a runtime loads.
//! Given: the graph of the file, its facts, and a row of the table of runtimes.
//! Promises: an activation is loaded only where its function is in the file, its opset has it and its element type is one the runtime has it for.

use onnx_swish_model::{Model, display};

use crate::element::Element;
use crate::emit::quantised::is_named_so;
use crate::emit::target::Emit;
use crate::facts::Facts;
use crate::graph::{Graph, Node, Value};
use crate::ops::Op;
use crate::runtimes::Runtime;

/// The first opsets of ONNX that have the two operators.
const HARD_SWISH_OPSET: i64 = 14;
const SWISH_OPSET: i64 = 24;

/// What a runtime loads of one file.
pub(crate) struct Loader<'r> {
    runtime: &'r Runtime,
    /// Those of our operators that have a function in the file.
    defined: Vec<Op>,
}

impl<'r> Loader<'r> {
    pub(crate) fn new(runtime: &'r Runtime, model: &Model) -> Self {
        let mut defined: Vec<Op> = Vec::new();
        for function in model.functions() {
            let op = Op::parse(model.text(function.domain()), model.text(function.name()));
            if op.is_ours() && !defined.contains(&op) {
                defined.push(op);
            }
        }
        Self { runtime, defined }
    }

    /// Whether it loads what a node is; plain operators it does.
    pub(crate) fn takes(&self, graph: &Graph<'_>, facts: &Facts, node: Node) -> bool {
        let (op, runtime) = (graph.op(node), self.runtime);
        if graph.callee(node).is_some() && !runtime.loads.functions {
            return false;
        }
        if !runtime.takes(op) {
            return false;
        }
        match op {
            // Who writes them has them without a function, too.
            op if op.is_ours() => self.defined.contains(&op) || runtime.write == Some(Emit::Custom),
            Op::HardSwish => graph.opset(node) >= HARD_SWISH_OPSET,
            Op::Swish => graph.opset(node) >= SWISH_OPSET,
            Op::QuickGelu if runtime.loads.quick_gelu_in_float32_only => {
                let x = graph.inputs(node).first().copied();
                !matches!(
                    facts.element(x.unwrap_or(Value::ABSENT)),
                    Element::F16 | Element::F64 | Element::Bf16
                )
            }
            _ => true,
        }
    }

    /// The functions that are called, where it loads none; without our own, which are taken apart like operators.
    pub(crate) fn functions(&self, graph: &Graph<'_>) -> Vec<String> {
        if self.runtime.loads.functions {
            return Vec::new();
        }
        let model = graph.model();
        let mut live = vec![false; model.functions().len()];
        let mut names = Vec::new();
        // Callers come before what they call.
        for index in graph.functions().rev() {
            let called = graph.callers(index).iter().any(|&node| {
                let caller = graph.function_of(graph.scope(node));
                caller.is_none_or(|caller| live.get(caller as usize).copied().unwrap_or(false))
            });
            let (Some(function), true) = (model.functions().get(index), called) else {
                continue;
            };
            if let Some(live) = live.get_mut(index) {
                *live = true;
            }
            if !is_named_so(model, function) {
                let (domain, name) = (function.domain(), function.name());
                let [domain, name] = [domain, name].map(|span| display(model.text(span)));
                names.push(format!("{domain}::{name}"));
            }
        }
        names.sort_unstable();
        names
    }
}

impl Runtime {
    /// The functions of the file that are called and that it does not load, by domain and name; our own are none of them, as
    /// [`expand_for`](crate::expand_for) takes these apart.
    pub fn functions_not_loaded(&self, model: &Model) -> Vec<String> {
        if self.loads.functions || model.functions().is_empty() {
            return Vec::new();
        }
        Loader::new(self, model).functions(&Graph::new(model))
    }
}
