//! The nodes and values of a document, each once.
//! Given: nodes of either model, by the numbers of its index.
//! Promises: a node that is the same in both models has one entry; text is as in the file, cut where it is long.

use std::collections::HashMap;

use onnx_swish_fuse::{Origin, Size, ValueId};
use onnx_swish_model::{Attribute, NodeId, NodeRef, display};

use crate::diff::{Diff, Pair, Which};
use crate::document::{NodeEntry, Tables, ValueEntry};

/// Attributes of a node that are shown.
const ATTRIBUTES: usize = 6;
/// Elements of a list that are shown.
const ELEMENTS: usize = 8;
/// Characters of a text that are shown.
const CHARACTERS: usize = 32;

/// Fills the tables.
pub(crate) struct Filler<'a, 'm> {
    pair: &'a Pair<'m>,
    diff: &'a Diff,
    tables: Tables,
    nodes: HashMap<(Which, NodeId), u32>,
    /// Values by the graph that they are in, so that names of other graphs are other values.
    values: HashMap<(u32, ValueEntry), i64>,
    /// Graphs of the second model, by those of the first that they correspond to.
    graphs: HashMap<u32, u32>,
}

impl<'a, 'm> Filler<'a, 'm> {
    pub(crate) fn new(pair: &'a Pair<'m>, diff: &'a Diff) -> Self {
        Self {
            pair,
            diff,
            tables: Tables::default(),
            nodes: HashMap::new(),
            values: HashMap::new(),
            graphs: diff.scopes.iter().map(|&(a, b)| (b, a)).collect(),
        }
    }

    pub(crate) fn finish(self) -> Tables {
        self.tables
    }

    /// The position of a node in the table.
    pub(crate) fn node(&mut self, which: Which, id: NodeId) -> u32 {
        let same = (which == Which::After)
            .then(|| self.diff.kept.get(&id).copied())
            .flatten();
        let (which, id) = same.map_or((which, id), |same| (Which::Before, same));
        if let Some(&index) = self.nodes.get(&(which, id)) {
            return index;
        }
        let known = self.pair.of(which);
        let (inputs, outputs) = (known.view.inputs(id), known.view.outputs(id));
        let graph = self.graph(which, id.scope);
        let mut positions = |values: Vec<Option<ValueId>>| -> Vec<i64> {
            values
                .into_iter()
                .map(|value| value.map_or(-1, |value| self.value(which, graph, value)))
                .collect()
        };
        let (inputs, outputs) = (positions(inputs), positions(outputs));
        let node = known.model.node(id);
        let entry = NodeEntry {
            op: node.map(operator).unwrap_or_default(),
            name: node.map(|node| display(node.name())).unwrap_or_default(),
            attributes: node.map(attributes).unwrap_or_default(),
            inputs,
            outputs,
        };
        let index = self.tables.nodes.len() as u32;
        self.tables.nodes.push(entry);
        self.nodes.insert((which, id), index);
        index
    }

    /// A number for a graph that is the same in both models where it corresponds.
    fn graph(&self, which: Which, scope: u32) -> u32 {
        match which {
            Which::Before => scope,
            // Numbers of the first model's graphs are small; the others' come from the top.
            Which::After => self.graphs.get(&scope).copied().unwrap_or(u32::MAX - scope),
        }
    }

    fn value(&mut self, which: Which, graph: u32, value: ValueId) -> i64 {
        let view = &self.pair.of(which).view;
        let shape = view.shape(value);
        let role = match view.origin(value) {
            Origin::Input => Some("input"),
            Origin::Stored => Some("stored"),
            Origin::Node(_) | Origin::Nowhere => view.is_output(value).then_some("output"),
        };
        let entry = ValueEntry {
            name: view.name(value),
            element_type: view.element_type(value).map(|name| people(name).to_owned()),
            shape: shape.as_deref().map(sizes),
            constant: view
                .is_constant(value)
                .then(|| {
                    view.constant(value)
                        .map(|numbers| list(numbers.into_iter().map(|n| n as f32)))
                })
                .map(Option::unwrap_or_default),
            role,
        };
        let next = self.tables.values.len() as i64;
        let key = (graph, entry);
        if let Some(&index) = self.values.get(&key) {
            return index;
        }
        self.tables.values.push(key.1.clone());
        self.values.insert(key, next);
        next
    }
}

/// A node's operator, with its domain unless it is ONNX's.
pub(crate) fn operator(node: NodeRef<'_>) -> String {
    if node.is_standard() {
        display(node.op_type())
    } else {
        format!("{}::{}", display(node.domain()), display(node.op_type()))
    }
}

/// Types by the names that people know them by.
fn people(name: &'static str) -> &'static str {
    match name {
        "float" => "float32",
        "double" => "float64",
        other => other,
    }
}

fn sizes(shape: &[Size]) -> String {
    let size = |size: &Size| match size {
        Size::Known(size) => size.to_string(),
        Size::Named(name) => cut(name),
        Size::Open => "?".to_owned(),
    };
    let sizes: Vec<String> = shape.iter().map(size).collect();
    sizes.join("×")
}

fn attributes(node: NodeRef<'_>) -> Vec<String> {
    let shown = node.attributes().filter_map(|attribute| {
        Some(format!(
            "{} = {}",
            display(attribute.name()),
            content(attribute)?
        ))
    });
    shown.take(ATTRIBUTES).collect()
}

/// What a small attribute holds; tensors and graphs are not shown.
fn content(attribute: Attribute<'_>) -> Option<String> {
    if let Some(number) = attribute.int() {
        return Some(number.to_string());
    }
    if let Some(number) = attribute.float() {
        return Some(number.to_string());
    }
    if let Some(text) = attribute.string() {
        return Some(cut(&display(text)));
    }
    let ints = attribute.ints(ELEMENTS).filter(|ints| !ints.is_empty());
    if let Some(ints) = ints {
        return Some(format!("[{}]", list(ints.into_iter())));
    }
    let floats = attribute
        .floats(ELEMENTS)
        .filter(|floats| !floats.is_empty())?;
    Some(format!("[{}]", list(floats.into_iter())))
}

/// Numbers with commas between, cut where there are many.
fn list<N: ToString>(mut numbers: impl Iterator<Item = N>) -> String {
    let mut shown: Vec<String> = numbers
        .by_ref()
        .take(ELEMENTS)
        .map(|n| n.to_string())
        .collect();
    if numbers.next().is_some() {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

fn cut(text: &str) -> String {
    if text.chars().count() <= CHARACTERS {
        return text.to_owned();
    }
    let head: String = text.chars().take(CHARACTERS - 1).collect();
    format!("{head}…")
}
