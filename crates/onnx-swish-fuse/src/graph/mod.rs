//! The graph as analysis sees it: values and nodes as numbers, who makes a value and who reads it.
//! Given: an indexed model.
//! Promises: linear time and memory, every scope of the file (subgraphs, function bodies) in one arena, names resolved
//! as ONNX does, inner scopes seeing outer ones; nothing is decoded that nobody asks for.

mod build;
mod calls;
mod order;
mod read;

use std::collections::HashSet;

use onnx_swish_model::{Model, NodeId, NodeRef, Span};

use crate::ops::Op;
use crate::types::signature::Signature;

pub(crate) use read::Attribute;

/// A value (an edge, a tensor) by its number in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Value(pub(crate) u32);

impl Value {
    /// An optional input or output that is left out.
    pub(crate) const ABSENT: Self = Self(u32::MAX);

    /// Position in per-value tables.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether this stands for nothing.
    pub(crate) fn is_absent(self) -> bool {
        self == Self::ABSENT
    }
}

/// A node by its number in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node(pub(crate) u32);

impl Node {
    /// Position in per-node tables.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// An input of its graph or function.
    Input,
    /// An initializer, by its position in the scope.
    Initializer(u32),
    /// A sparse initializer.
    Sparse,
    /// A node.
    Node(Node),
    /// Nothing in the file makes it.
    Nowhere,
}

/// Bits of `ValueRecord::flags`.
mod flag {
    /// An output of its graph or function, or of one inside.
    pub(super) const OUTPUT: u8 = 1;
    /// Named by a quantisation annotation.
    pub(super) const QUANTIZED: u8 = 2;
    /// Named by training_info.
    pub(super) const TRAINED: u8 = 4;
    /// An input of its graph, maybe besides being an initializer.
    pub(super) const INPUT: u8 = 8;
    /// Two things make it. Such a model is not valid, and the value not to be touched.
    pub(super) const AMBIGUOUS: u8 = 16;
    /// Read by a node of a graph inside.
    pub(super) const CAPTURED: u8 = 32;
}

#[derive(Debug, Clone, Copy)]
struct ValueRecord {
    name: Span,
    scope: u32,
    /// A node, an initializer, or neither.
    source: Source,
    /// Which declaration of the scope gives its type.
    declared: Declared,
    flags: u8,
}

/// The list of declarations of a scope and the position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    No,
    Input(u32),
    Output(u32),
    ValueInfo(u32),
}

#[derive(Debug, Clone, Copy)]
struct NodeRecord {
    scope: u32,
    /// Position in its scope.
    position: u32,
    op: Op,
    /// How the operator's element types hang together, if the operator is known and not the file's own.
    signature: Option<&'static Signature>,
    /// Inputs, then outputs, in `Graph::links`.
    links: u32,
    inputs: u32,
    outputs: u32,
}

#[derive(Debug, Clone)]
struct ScopeRecord {
    nodes: std::ops::Range<u32>,
    opset: i64,
    /// The function it belongs to, if any.
    function: Option<u32>,
    /// One of our own functions, whose body is ours to know.
    ours: bool,
    /// Nodes in topological order, unless the file's own order is one.
    order: Option<Box<[u32]>>,
    inputs: Box<[Value]>,
    outputs: Box<[Value]>,
}

/// A model as values and nodes.
pub(crate) struct Graph<'m> {
    model: &'m Model,
    scopes: Vec<ScopeRecord>,
    nodes: Vec<NodeRecord>,
    values: Vec<ValueRecord>,
    links: Vec<Value>,
    consumers_start: Vec<u32>,
    consumers: Vec<Node>,
    /// Operators whose names do not mean here what they say.
    redefined: HashSet<Op>,
    calls: calls::Called,
    /// Nodes that hold graphs, each with a scope that hangs in it; sorted.
    bodies: Vec<(Node, u32)>,
}

impl<'m> Graph<'m> {
    /// The model that this is a view of.
    pub(crate) fn model(&self) -> &'m Model {
        self.model
    }

    /// Whether an operator's name means something else in this file.
    pub(crate) fn is_redefined(&self, op: Op) -> bool {
        self.redefined.contains(&op)
    }

    /// Number of values.
    pub(crate) fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Number of nodes.
    pub(crate) fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Number of scopes.
    pub(crate) fn scope_count(&self) -> usize {
        self.scopes.len()
    }

    /// Whether a scope is the body of one of our functions.
    pub(crate) fn is_our_function(&self, scope: usize) -> bool {
        self.scopes.get(scope).is_some_and(|scope| scope.ours)
    }

    /// The function that a scope belongs to, by position.
    pub(crate) fn function_of(&self, scope: u32) -> Option<u32> {
        self.scopes.get(scope as usize)?.function
    }

    /// Whether the file's own order of a scope is topological.
    pub(crate) fn is_in_order(&self, scope: u32) -> bool {
        let scope = self.scopes.get(scope as usize);
        scope.is_some_and(|scope| scope.order.is_none())
    }

    /// The nodes of a scope in topological order; nodes of a cycle are missing.
    pub(crate) fn order(&self, scope: usize) -> impl Iterator<Item = Node> + '_ {
        let record = self.scopes.get(scope);
        let sorted = record.and_then(|scope| scope.order.as_deref());
        let plain = record
            .filter(|scope| scope.order.is_none())
            .map(|scope| scope.nodes.clone());
        sorted
            .into_iter()
            .flatten()
            .copied()
            .chain(plain.into_iter().flatten())
            .map(Node)
    }

    /// The operator of a node.
    pub(crate) fn op(&self, node: Node) -> Op {
        self.nodes
            .get(node.index())
            .map_or(Op::Unknown, |node| node.op)
    }

    /// The scope of a node.
    pub(crate) fn scope(&self, node: Node) -> u32 {
        self.nodes.get(node.index()).map_or(0, |node| node.scope)
    }

    /// How a node's element types hang together.
    pub(crate) fn signature(&self, node: Node) -> Option<&'static Signature> {
        self.nodes.get(node.index())?.signature
    }

    /// What comes into a scope from outside by position.
    pub(crate) fn scope_inputs(&self, scope: usize) -> &[Value] {
        self.scopes
            .get(scope)
            .map_or(&[], |scope| scope.inputs.as_ref())
    }

    /// What a scope gives out by position.
    pub(crate) fn scope_outputs(&self, scope: usize) -> &[Value] {
        self.scopes
            .get(scope)
            .map_or(&[], |scope| scope.outputs.as_ref())
    }

    /// Whether any node holds graphs.
    pub(crate) fn has_bodies(&self) -> bool {
        !self.bodies.is_empty()
    }

    /// The scopes that hang in a node: branches, loop bodies.
    pub(crate) fn bodies(&self, node: Node) -> impl Iterator<Item = usize> + '_ {
        let start = self.bodies.partition_point(|&(holder, _)| holder < node);
        let rest = self.bodies.get(start..).unwrap_or_default();
        rest.iter()
            .take_while(move |&&(holder, _)| holder == node)
            .map(|&(_, scope)| scope as usize)
    }

    /// The version of the default domain that a node is written in.
    pub(crate) fn opset(&self, node: Node) -> i64 {
        self.scopes
            .get(self.scope(node) as usize)
            .map_or(0, |scope| scope.opset)
    }

    /// What a node reads, absent ones included.
    pub(crate) fn inputs(&self, node: Node) -> &[Value] {
        self.nodes
            .get(node.index())
            .and_then(|node| {
                self.links
                    .get(node.links as usize..)?
                    .get(..node.inputs as usize)
            })
            .unwrap_or_default()
    }

    /// What a node makes, absent ones included.
    pub(crate) fn outputs(&self, node: Node) -> &[Value] {
        self.nodes
            .get(node.index())
            .and_then(|node| {
                self.links
                    .get((node.links + node.inputs) as usize..)?
                    .get(..node.outputs as usize)
            })
            .unwrap_or_default()
    }

    fn record(&self, value: Value) -> Option<&ValueRecord> {
        self.values.get(value.index())
    }

    /// Where a value comes from.
    pub(crate) fn source(&self, value: Value) -> Source {
        self.record(value)
            .map_or(Source::Nowhere, |record| record.source)
    }

    /// The node that makes a value.
    pub(crate) fn producer(&self, value: Value) -> Option<Node> {
        match self.source(value) {
            Source::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The scope that a value belongs to.
    pub(crate) fn value_scope(&self, value: Value) -> u32 {
        self.record(value).map_or(0, |record| record.scope)
    }

    /// The nodes that read a value, once for each time they do, in all scopes.
    pub(crate) fn consumers(&self, value: Value) -> &[Node] {
        let at = |index: usize| self.consumers_start.get(index).map(|&start| start as usize);
        match (at(value.index()), at(value.index() + 1)) {
            (Some(start), Some(end)) => self.consumers.get(start..end).unwrap_or_default(),
            _ => &[],
        }
    }

    fn has(&self, value: Value, flag: u8) -> bool {
        self.record(value)
            .is_some_and(|record| record.flags & flag != 0)
    }

    /// Whether a graph or function gives the value out.
    pub(crate) fn is_output(&self, value: Value) -> bool {
        self.has(value, flag::OUTPUT)
    }

    /// Whether a quantisation annotation names the value.
    pub(crate) fn is_annotated(&self, value: Value) -> bool {
        self.has(value, flag::QUANTIZED)
    }

    /// Whether training information names the value.
    pub(crate) fn is_trained(&self, value: Value) -> bool {
        self.has(value, flag::TRAINED)
    }

    /// Whether two nodes claim to make the value.
    pub(crate) fn is_ambiguous(&self, value: Value) -> bool {
        self.has(value, flag::AMBIGUOUS)
    }

    /// Whether a value is what callers give a function of the file.
    pub(crate) fn is_argument(&self, value: Value) -> bool {
        self.source(value) == Source::Input && self.function_of(self.value_scope(value)).is_some()
    }

    /// Whether nothing but nodes holds on to the value, so that it may go with them: no graph or function gives it out, and no annotation,
    /// no training information and no second producer names it.
    pub(crate) fn is_free(&self, value: Value) -> bool {
        !self.has(
            value,
            flag::OUTPUT | flag::QUANTIZED | flag::TRAINED | flag::AMBIGUOUS,
        )
    }

    /// Whether a graph inside reads the value.
    pub(crate) fn is_captured(&self, value: Value) -> bool {
        self.has(value, flag::CAPTURED)
    }

    /// Whether an initializer is only a default: from IR version 4 on callers override those that are graph inputs, and
    /// training replaces those that it names.
    pub(crate) fn is_overridable(&self, value: Value) -> bool {
        self.has(value, flag::TRAINED)
            || (self.has(value, flag::INPUT) && self.model.ir_version() >= 4)
    }

    /// A value's name.
    pub(crate) fn name(&self, value: Value) -> &'m [u8] {
        self.record(value)
            .map_or(b"", |record| self.model.text(record.name))
    }

    /// A value's name for people.
    pub(crate) fn display(&self, value: Value) -> String {
        String::from_utf8_lossy(self.name(value)).into_owned()
    }

    /// The model's number of a node.
    pub(crate) fn id(&self, node: Node) -> NodeId {
        let record = self.nodes.get(node.index());
        NodeId {
            scope: record.map_or(0, |record| record.scope),
            node: record.map_or(0, |record| record.position),
        }
    }

    /// The node of the arena that has this number in the model.
    pub(crate) fn node_of(&self, id: NodeId) -> Option<Node> {
        let nodes = &self.scopes.get(id.scope as usize)?.nodes;
        let node = nodes.start.checked_add(id.node)?;
        nodes.contains(&node).then_some(Node(node))
    }

    /// The node in the model.
    pub(crate) fn node(&self, node: Node) -> Option<NodeRef<'m>> {
        self.model.node(self.id(node))
    }

    /// Every value.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> + use<> {
        (0..self.values.len() as u32).map(Value)
    }
}
