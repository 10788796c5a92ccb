//! Where a quantised network can be cut into layers.
//!
//! Given a model; promises values of its main graph between which every layer can be computed from the reference's own values: the codes
//! that quantisers make, and what is quantised dynamically. What is a function of one code stays whole, as it runs as one table.

use std::collections::{HashMap, HashSet};

use onnx_swish_model::NodeRef;

use crate::Model;

/// Operators of which every element is made of the elements that stand where it stands.
const ELEMENTWISE: [&[u8]; 30] = [
    b"Abs",
    b"Add",
    b"Cast",
    b"Celu",
    b"Clip",
    b"DequantizeLinear",
    b"Div",
    b"Elu",
    b"Erf",
    b"Exp",
    b"Gelu",
    b"HardSigmoid",
    b"HardSwish",
    b"Identity",
    b"LeakyRelu",
    b"Max",
    b"Min",
    b"Mish",
    b"Mul",
    b"Neg",
    b"Pow",
    b"QLinearAdd",
    b"QLinearLeakyRelu",
    b"QLinearMul",
    b"QLinearSigmoid",
    b"QuantizeLinear",
    b"Relu",
    b"Sigmoid",
    b"Sub",
    b"Tanh",
];

/// The main graph, as far as cutting it goes.
struct Graph<'m> {
    nodes: Vec<NodeRef<'m>>,
    /// For each value that depends on an input, the value that it is an element-wise function of: itself where there is none. The first
    /// codes behind floats begin anew.
    roots: HashMap<&'m [u8], &'m [u8]>,
    outputs: HashSet<&'m [u8]>,
}

/// The values to cut at, in the order of the nodes that make them.
pub(super) fn of(model: &Model) -> Vec<&str> {
    let Some(graph) = Graph::of(model) else {
        return Vec::new();
    };
    let inside = graph.inside();
    let made = made(model);
    let mut seen = HashSet::new();
    let candidates = graph.nodes.iter().filter_map(|node| candidate(*node));
    candidates
        .filter(|value| made.contains(value) && graph.roots.contains_key(value))
        .filter(|value| !inside.contains(value))
        .filter(|value| seen.insert(*value))
        .filter_map(|value| std::str::from_utf8(value).ok())
        .collect()
}

/// Which code each value that a function of one code makes is made of.
pub(super) fn tables(model: &Model) -> HashMap<&str, &str> {
    let roots = Graph::of(model)
        .map(|graph| graph.roots)
        .unwrap_or_default();
    let text = |name| std::str::from_utf8(name).ok();
    let others = roots.iter().filter(|(value, root)| value != root);
    let named = others.map(|(value, root)| Some((text(value)?, text(root)?)));
    named.flatten().collect()
}

/// The codes that are made within the function of one code that makes a value.
pub(super) fn inside<'m>(model: &'m Model, tables: &HashMap<&str, &str>, of: &str) -> Vec<&'m str> {
    let Some((main, root)) = model.scopes().first().zip(tables.get(of)) else {
        return Vec::new();
    };
    let nodes = main.nodes().iter().map(|it| model.node_ref(it));
    let codes = nodes.filter(|node| makes_codes(*node));
    let codes = codes.filter_map(|node| std::str::from_utf8(node.outputs().next()?).ok());
    codes
        .filter(|code| *code != of && tables.get(code) == Some(root))
        .collect()
}

/// The values that nodes of the main graph make, but for its outputs.
pub(super) fn made(model: &Model) -> HashSet<&[u8]> {
    let Some(main) = model.scopes().first() else {
        return HashSet::new();
    };
    let nodes = main.nodes().iter().map(|it| model.node_ref(it));
    let mut made: HashSet<&[u8]> = nodes.flat_map(|node| node.outputs()).collect();
    for output in main.outputs() {
        made.remove(model.text(output.name()));
    }
    made
}

/// The value at a quantising node where the network can be cut. What DynamicQuantizeLinear gives is not: its scale and its codes belong
/// together; what it is given is.
fn candidate<'m>(node: NodeRef<'m>) -> Option<&'m [u8]> {
    if node.op_type().starts_with(b"DynamicQuantize") {
        return node.inputs().next();
    }
    makes_codes(node).then(|| node.outputs().next()).flatten()
}

fn makes_codes(node: NodeRef<'_>) -> bool {
    let op = node.op_type();
    op == b"QuantizeLinear" || op == b"QGemm" || op.starts_with(b"QLinear")
}

impl<'m> Graph<'m> {
    fn of(model: &'m Model) -> Option<Graph<'m>> {
        let main = model.scopes().first()?;
        let nodes: Vec<_> = main.nodes().iter().map(|it| model.node_ref(it)).collect();
        let texts = main.initializers().iter().map(|it| model.text(it.name()));
        let stored: HashSet<&[u8]> = texts.collect();
        let inputs = main.inputs().iter().map(|it| model.text(it.name()));
        let mut roots: HashMap<&[u8], &[u8]> = inputs
            .filter(|input| !stored.contains(input))
            .map(|input| (input, input))
            .collect();
        let mut codes: HashSet<&[u8]> = HashSet::new();
        for node in &nodes {
            let given: HashSet<&[u8]> = node
                .inputs()
                .filter_map(|it| roots.get(it).copied())
                .collect();
            let elementwise = ELEMENTWISE.contains(&node.op_type()) && given.len() == 1;
            let Some(&one) = given.iter().next() else {
                continue;
            };
            let first = makes_codes(*node) && !(elementwise && codes.contains(one));
            for output in node.outputs().filter(|output| !output.is_empty()) {
                if first {
                    codes.insert(output);
                }
                let goes_on = elementwise && !first;
                roots.insert(output, if goes_on { one } else { output });
            }
        }
        let outputs = main.outputs().iter().map(|it| model.text(it.name()));
        Some(Graph {
            nodes,
            roots,
            outputs: outputs.collect(),
        })
    }

    /// Values within a function of one value: every reader belongs to it, and ends in codes.
    fn inside(&self) -> HashSet<&'m [u8]> {
        let mut outside: HashSet<&[u8]> = self.outputs.clone();
        let mut read: HashSet<&[u8]> = HashSet::new();
        // Nodes stand in front of those that read them.
        for node in self.nodes.iter().rev() {
            let output = node.outputs().next().unwrap_or_default();
            let own = self.roots.get(output);
            let ends = makes_codes(*node) || (read.contains(output) && !outside.contains(output));
            for input in node.inputs().filter(|input| !input.is_empty()) {
                let continues = own.is_some() && self.roots.get(input) == own && input != output;
                if !(continues && ends) {
                    outside.insert(input);
                }
                read.insert(input);
            }
            // A subgraph reads what it likes.
            if node.node().has_subgraphs() {
                outside.extend(self.roots.keys());
            }
        }
        let begins = |value: &&[u8]| self.roots.get(value) == Some(value);
        read.retain(|value| !outside.contains(value) && !begins(value));
        read
    }
}
