// Gates that are still written out in a model, found by other means than recognition's: for `exercise.rs`.

use std::collections::{HashMap, HashSet};

use onnx_swish_fuse::Report;
use onnx_swish_model::{Model, Node, Scope, ScopeKind};

/// How many values are looked at to see whether an operand depends on the scope's inputs.
const STEPS: usize = 64;

/// Names of products of a Sigmoid or HardSigmoid with something that depends on inputs, of which a report of this very
/// model says nothing. A file that gives a standard operator a meaning of its own is left out, and so are functions of
/// our domain.
pub fn silent(model: &Model, report: &Report) -> Vec<String> {
    let redefines = |domain: &[u8]| domain.is_empty() || domain == b"ai.onnx";
    let functions = model.functions();
    if functions.iter().any(|f| redefines(model.text(f.domain()))) {
        return Vec::new();
    }
    let ours = |scope: &Scope| match scope.kind() {
        ScopeKind::Function(index) => functions
            .get(index as usize)
            .is_some_and(|function| model.text(function.domain()) == b"onnx_swish"),
        _ => false,
    };
    let misses = report.near_misses.iter().map(|miss| &miss.output);
    let regions = report.quantised.iter().map(|region| &region.output);
    let fused = report.already_fused.iter().map(|fused| &fused.output);
    let explained: HashSet<&String> = misses.chain(regions).chain(fused).collect();
    let scopes = model.scopes().iter().filter(|scope| !ours(scope));
    let products = scopes.flat_map(|scope| Products::new(model, scope).gated());
    products.filter(|name| !explained.contains(name)).collect()
}

struct Products<'m> {
    model: &'m Model,
    scope: &'m Scope,
    makers: HashMap<&'m [u8], &'m Node>,
    inputs: HashSet<&'m [u8]>,
}

impl<'m> Products<'m> {
    fn new(model: &'m Model, scope: &'m Scope) -> Self {
        let made = |node: &'m Node| {
            model
                .outputs(node)
                .iter()
                .map(move |&o| (model.text(o), node))
        };
        let mut inputs: HashSet<&[u8]> = scope
            .inputs()
            .iter()
            .map(|i| model.text(i.name()))
            .collect();
        for tensor in scope.initializers() {
            inputs.remove(model.text(tensor.name()));
        }
        Self {
            model,
            scope,
            makers: scope.nodes().iter().flat_map(made).collect(),
            inputs,
        }
    }

    fn is(&self, node: &Node, op: &[u8]) -> bool {
        let domain = self.model.text(node.domain());
        (domain.is_empty() || domain == b"ai.onnx") && self.model.text(node.op_type()) == op
    }

    fn is_gate(&self, name: &[u8]) -> bool {
        let maker = self.makers.get(name);
        maker.is_some_and(|node| self.is(node, b"Sigmoid") || self.is(node, b"HardSigmoid"))
    }

    fn varies(&self, name: &'m [u8]) -> bool {
        let mut waiting = vec![name];
        let mut next = 0;
        while let Some(&name) = waiting.get(next).filter(|_| next < STEPS) {
            next += 1;
            if self.inputs.contains(name) {
                return true;
            }
            if let Some(node) = self.makers.get(name) {
                let inputs = self.model.inputs(node).iter();
                waiting.extend(inputs.map(|&input| self.model.text(input)));
            }
        }
        false
    }

    fn gated(&self) -> Vec<String> {
        let nodes = self
            .scope
            .nodes()
            .iter()
            .filter(|node| self.is(node, b"Mul"));
        let product = |node: &'m Node| {
            let &[a, b] = self.model.inputs(node) else {
                return None;
            };
            let [a, b] = [a, b].map(|name| self.model.text(name));
            let gated = (self.is_gate(a) || self.is_gate(b)) && self.varies(a) && self.varies(b);
            let output = self.model.outputs(node).first()?;
            gated.then(|| String::from_utf8_lossy(self.model.text(*output)).into_owned())
        };
        nodes.filter_map(product).collect()
    }
}
