//! Back from one operator to plain ones.
//! Given: a model with fused activations, ours or the standard's.
//! Promises: the same function in operators that the model's own opset has; our functions and our import go with them,
//! and nothing else does.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use onnx_swish_model::{Edit, Function, Model, ScopeKind, Spliced, schema};

use crate::Error;
use crate::element::Element;
use crate::emit::apply::Names;
use crate::emit::functions::{SIXTH, float, int, is_ours};
use crate::emit::nodes::{constant_node, plain, scalar};
use crate::emit::quantised::{inlined, is_named_so};
use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::learn::learn;
use crate::loads::Loader;
use crate::ops::{OUR_DOMAIN, Op, QUICK_GELU_ALPHA};
use crate::runtimes::Runtime;

/// What expanding did.
#[non_exhaustive]
pub struct Expansion {
    /// The new file.
    pub model: Spliced,
    /// The outputs of the operators that were taken apart.
    pub expanded: Vec<String>,
    /// The outputs of operators that stay as they are, and why.
    pub kept: Vec<(String, String)>,
}

impl std::fmt::Debug for Expansion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expansion")
            .field("expanded", &self.expanded)
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

/// Takes every fused Swish and HardSwish apart: `FusedSilu`, `FusedSwish`, `FusedHardSwish`, `FusedSlopedHardSwish` and
/// quantised activations of domain `onnx_swish`, the standard's Swish and HardSwish, and `com.microsoft::QuickGelu`.
///
/// # Errors
/// The result exceeds what a model file may hold.
pub fn expand(model: &Model) -> Result<Expansion, Error> {
    expand_where(model, None)
}

/// Takes apart what a runtime does not load, and leaves the rest fused.
///
/// # Errors
/// The result exceeds what a model file may hold.
pub fn expand_for(model: &Model, runtime: &Runtime) -> Result<Expansion, Error> {
    expand_where(model, Some(&Loader::new(runtime, model)))
}

/// Takes apart what a runtime does not load, or everything.
fn expand_where(model: &Model, loader: Option<&Loader<'_>>) -> Result<Expansion, Error> {
    let graph = Graph::new(model);
    let facts = learn(&graph);
    let mut expander = Expander {
        loader,
        names: Names::new(&graph),
        graph: &graph,
        facts,
        constants: HashMap::new(),
        initializers: Vec::new(),
        expanded: Vec::new(),
        kept: Vec::new(),
        ours_left: BTreeSet::new(),
    };
    let mut edit = model.edit();
    for scope in 0..graph.scope_count() {
        let function = graph.function_of(scope as u32);
        let function = function.and_then(|index| model.functions().get(index as usize));
        let goes = function.is_some_and(|function| is_named_so(model, function));
        if !goes && !graph.is_our_function(scope) {
            expander.scope(&mut edit, scope)?;
        }
    }
    expander.leave(&mut edit)?;
    let Expander { expanded, kept, .. } = expander;
    Ok(Expansion {
        model: edit.finish()?,
        expanded,
        kept,
    })
}

struct Expander<'g, 'm> {
    loader: Option<&'g Loader<'g>>,
    graph: &'g Graph<'m>,
    facts: Facts,
    names: Names,
    constants: HashMap<(u32, i32, u32), Bytes>,
    initializers: Vec<(u32, schema::TensorProto)>,
    expanded: Vec<String>,
    kept: Vec<(String, String)>,
    /// Functions (none: the model) that still call an operator of ours.
    ours_left: BTreeSet<Option<u32>>,
}

impl<'m> Expander<'_, 'm> {
    fn scope(&mut self, edit: &mut Edit<'m>, scope: usize) -> Result<(), Error> {
        let order: Vec<Node> = self.graph.order(scope).collect();
        for &node in &order {
            // An operator of our domain that is none of ours: it needs the import and perhaps a function.
            let domain = self.graph.node(node).map(|entry| entry.domain());
            if let Some(function) = self.quantised_function(node) {
                // It goes like any other function of ours.
                if self.wanted(node) {
                    self.inline(edit, node, function)?;
                } else {
                    self.ours_left.insert(self.graph.function_of(scope as u32));
                }
            } else if domain == Some(OUR_DOMAIN.as_bytes()) && !self.graph.op(node).is_ours() {
                self.ours_left.insert(self.graph.function_of(scope as u32));
            }
        }
        // In the order of the file, so that a constant stands before its first reader.
        let fused: Vec<Node> = order
            .into_iter()
            .filter(|&node| self.graph.op(node).is_fused())
            .collect();
        let (fused_left, mut fused): (Vec<Node>, Vec<Node>) =
            fused.into_iter().partition(|&node| !self.wanted(node));
        if fused_left.iter().any(|&node| self.graph.op(node).is_ours()) {
            self.ours_left.insert(self.graph.function_of(scope as u32));
        }
        fused.sort_unstable();
        for node in fused {
            let output = self
                .graph
                .outputs(node)
                .first()
                .copied()
                .unwrap_or(Value::ABSENT);
            match self.nodes(node) {
                Ok(nodes) => {
                    edit.replace_node(self.graph.id(node), &nodes)?;
                    self.expanded.push(self.graph.display(output));
                }
                Err(why) => {
                    if self.graph.op(node).is_ours() {
                        self.ours_left.insert(self.graph.function_of(scope as u32));
                    }
                    self.kept.push((self.graph.display(output), why.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Whether a node is to be taken apart.
    fn wanted(&self, node: Node) -> bool {
        self.loader
            .is_none_or(|loader| !loader.takes(self.graph, &self.facts, node))
    }

    /// The function of a quantised activation that a node calls.
    fn quantised_function(&self, node: Node) -> Option<&'m Function> {
        let model = self.graph.model();
        let function = model.functions().get(self.graph.callee(node)?)?;
        is_named_so(model, function).then_some(function)
    }

    /// Puts the nodes of a function in the place of its call.
    fn inline(
        &mut self,
        edit: &mut Edit<'m>,
        node: Node,
        function: &Function,
    ) -> Result<(), Error> {
        let graph = self.graph;
        let body: Vec<Node> = graph.order(function.scope()).collect();
        let body: Vec<Vec<schema::NodeProto>> = body
            .into_iter()
            .map(|node| {
                let op = graph.op(node);
                let apart = (op.is_fused() && self.wanted(node)).then(|| self.nodes(node).ok());
                apart.flatten().unwrap_or_else(|| {
                    let node = graph.node(node).and_then(|node| node.decode().ok());
                    node.into_iter().collect()
                })
            })
            .collect();
        // The next call has constants of its own.
        let scope = function.scope() as u32;
        self.constants.retain(|(of, ..), _| *of != scope);
        let output = graph.outputs(node).first().copied();
        let output = graph.display(output.unwrap_or(Value::ABSENT));
        match inlined(graph, node, function, &body, &mut self.names) {
            Ok(nodes) => {
                edit.replace_node(graph.id(node), &nodes)?;
                self.expanded.push(output);
            }
            Err(why) => {
                self.ours_left.insert(graph.function_of(graph.scope(node)));
                self.kept.push((output, why.to_owned()));
            }
        }
        Ok(())
    }

    /// The plain nodes for a fused one.
    fn nodes(&mut self, node: Node) -> Result<Vec<schema::NodeProto>, &'static str> {
        let graph = self.graph;
        let entry = graph.node(node).ok_or("the node cannot be found")?;
        if entry.node().has_unknown_fields() || entry.node().has_device_configurations() {
            return Err("the node carries something that would be lost");
        }
        let old = entry.decode().map_err(|_| "the node cannot be read")?;
        let (Some(x), [y]) = (old.input.first().cloned(), &old.output[..]) else {
            return Err("the node does not have the operator's inputs and outputs");
        };
        let mut nodes = Vec::new();
        let gate = self.names.next();
        match graph.op(node) {
            Op::FusedSilu => nodes.push(plain("Sigmoid", std::slice::from_ref(&x), &gate)),
            Op::FusedSwish => {
                let beta = old.input.get(1).cloned().ok_or("beta is missing")?;
                self.swish(node, &x, beta, &gate, &mut nodes);
            }
            op @ (Op::Swish | Op::QuickGelu) => {
                let default = if op == Op::Swish {
                    1.0
                } else {
                    QUICK_GELU_ALPHA
                };
                let alpha = self.float(node, b"alpha", Some(default))?;
                if alpha == 1.0 {
                    nodes.push(plain("Sigmoid", std::slice::from_ref(&x), &gate));
                } else {
                    let beta = self.constant(node, alpha, &x, &mut nodes)?;
                    self.swish(node, &x, beta, &gate, &mut nodes);
                }
            }
            Op::FusedHardSwish | Op::HardSwish => nodes.push(hard_sigmoid(&x, &gate, SIXTH, 0.5)),
            Op::FusedSlopedHardSwish => {
                let (alpha, beta) = (
                    self.float(node, b"alpha", None)?,
                    self.float(node, b"beta", None)?,
                );
                nodes.push(hard_sigmoid(&x, &gate, alpha, beta));
            }
            _ => return Err("not a fused activation"),
        }
        let mut product = plain("Mul", &[x, gate], y);
        product.name = old.name;
        product.doc_string = old.doc_string;
        product.metadata_props = old.metadata_props;
        nodes.push(product);
        Ok(nodes)
    }

    fn swish(
        &mut self,
        node: Node,
        x: &Bytes,
        beta: Bytes,
        gate: &Bytes,
        nodes: &mut Vec<schema::NodeProto>,
    ) {
        let scaled = self.names.next();
        let mut product = plain("Mul", &[x.clone(), beta], &scaled);
        if self.graph.opset(node) < 7 {
            product.attribute.push(int("broadcast", 1));
        }
        nodes.push(product);
        nodes.push(plain("Sigmoid", &[scaled], gate));
    }

    fn float(&self, node: Node, name: &[u8], default: Option<f32>) -> Result<f32, &'static str> {
        match self.graph.float(node, name) {
            Attribute::Is(value) => Ok(value),
            Attribute::Absent => default.ok_or("an attribute is missing"),
            Attribute::Unknown => Err("an attribute's value comes from the caller of the function"),
        }
    }

    /// A scalar of x's element type.
    fn constant(
        &mut self,
        node: Node,
        number: f32,
        x: &Bytes,
        nodes: &mut Vec<schema::NodeProto>,
    ) -> Result<Bytes, &'static str> {
        let input = self
            .graph
            .inputs(node)
            .first()
            .copied()
            .unwrap_or(Value::ABSENT);
        let output = self
            .graph
            .outputs(node)
            .first()
            .copied()
            .unwrap_or(Value::ABSENT);
        let element = [input, output]
            .into_iter()
            .map(|value| self.facts.element(value))
            .find(|element| element.is_float());
        let Some(element) = element else {
            // CastLike knows at run time what the file does not say.
            if self.graph.opset(node) < 15 {
                return Err("nothing says what the element type is");
            }
            let (stored, cast) = (self.names.next(), self.names.next());
            nodes.extend(
                scalar(None, f64::from(number), Element::F32)
                    .map(|tensor| constant_node(&stored, tensor)),
            );
            nodes.push(plain("CastLike", &[stored, x.clone()], &cast));
            return Ok(cast);
        };
        let scope = self.graph.scope(node);
        let key = (scope, element.code().unwrap_or(0), number.to_bits());
        if let Some(name) = self.constants.get(&key) {
            return Ok(name.clone());
        }
        let name = self.names.next();
        self.constants.insert(key, name.clone());
        let model = self.graph.model();
        let kind = model.scopes().get(scope as usize).map(|scope| scope.kind());
        if matches!(kind, None | Some(ScopeKind::Function(_))) || model.ir_version() < 4 {
            nodes.extend(
                scalar(None, f64::from(number), element).map(|tensor| constant_node(&name, tensor)),
            );
        } else {
            let tensor = scalar(Some(name.clone()), f64::from(number), element);
            self.initializers
                .extend(tensor.map(|tensor| (scope, tensor)));
        }
        Ok(name)
    }

    /// Our functions and imports, where nothing calls them any more.
    fn leave(&mut self, edit: &mut Edit<'m>) -> Result<(), Error> {
        let model = self.graph.model();
        for (scope, tensor) in self.initializers.drain(..) {
            edit.add_initializer(scope, &tensor)?;
        }
        // A node of ours that could not be taken apart keeps everything that it needs.
        if !self.ours_left.is_empty() {
            return Ok(());
        }
        for (index, function) in model.functions().iter().enumerate() {
            if is_ours(model, function) || is_named_so(model, function) {
                edit.remove_function(index)?;
                continue;
            }
            for (import, entry) in function.opset_imports().iter().enumerate() {
                if model.text(entry.domain()) == OUR_DOMAIN.as_bytes() {
                    edit.remove_function_opset_import(index, import)?;
                }
            }
        }
        let foreign = model.functions().iter().any(|function| {
            model.text(function.domain()) == OUR_DOMAIN.as_bytes()
                && !is_ours(model, function)
                && !is_named_so(model, function)
        });
        for (import, entry) in model.opset_imports().iter().enumerate() {
            if model.text(entry.domain()) == OUR_DOMAIN.as_bytes() && !foreign {
                edit.remove_opset_import(import)?;
            }
        }
        Ok(())
    }
}

fn hard_sigmoid(x: &Bytes, gate: &Bytes, alpha: f32, beta: f32) -> schema::NodeProto {
    let mut node = plain("HardSigmoid", std::slice::from_ref(x), gate);
    node.attribute = vec![float("alpha", alpha), float("beta", beta)];
    node
}
