//! What a plan knows of the graph, for those who draw it: neighbours, types, shapes, constants, and where each entry stands.
//! Given: a plan, and nodes by the numbers that the model's index gives them.
//! Promises: what is stated holds for every input that the model accepts; the places are in the order of the report's lists.

use std::collections::HashMap;

use onnx_swish_model::{Model, NodeId};

use crate::constants::Content;
use crate::graph::{Graph, Node, Source, Value};
use crate::plan::Plan;
use crate::shapes::Dim;

/// A value of the graph: an edge, a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(Value);

/// A size of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// A number.
    Known(i64),
    /// The name that the file has for it.
    Named(String),
    /// Not known before the model runs.
    Open,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// An input of its graph or function.
    Input,
    /// A tensor that is stored in the file.
    Stored,
    /// A node.
    Node(NodeId),
    /// Nothing in the file makes it.
    Nowhere,
}

/// The nodes that an entry of the report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The nodes, in the order of the file.
    pub nodes: Vec<NodeId>,
    /// The node that makes the value which the entry calls its output.
    pub end: Option<NodeId>,
}

/// Where the entries of a report stand, list by list in the report's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Of what is fused, the nodes that go.
    pub fusions: Vec<Place>,
    /// Of quantised activations, the nodes between the two codes.
    pub quantised: Vec<Place>,
    /// Of what is one operator already, that operator.
    pub already_fused: Vec<Place>,
    /// Of near misses, the product and the node that makes the gate.
    pub near_misses: Vec<Place>,
}

impl Plan<'_> {
    /// Where the entries of [`report`](Self::report) stand in the model.
    pub fn places(&self) -> Places {
        let place = |nodes: &[Node], end: Option<Node>| {
            let mut nodes: Vec<Node> = nodes.to_vec();
            nodes.sort_unstable();
            nodes.dedup();
            Place {
                nodes: nodes.into_iter().map(|node| self.graph.id(node)).collect(),
                end: end.map(|node| self.graph.id(node)),
            }
        };
        let made_by = |value: Value| self.graph.producer(value);
        let fusions = self.fusions.iter();
        let regions = self.regions.iter();
        let misses = self.misses.iter();
        Places {
            fusions: fusions
                .map(|fusion| place(&fusion.pattern.nodes, made_by(fusion.end)))
                .collect(),
            quantised: regions
                .map(|region| place(&region.nodes, made_by(region.output)))
                .collect(),
            already_fused: self
                .already
                .iter()
                .map(|already| place(&[already.node], Some(already.node)))
                .collect(),
            near_misses: misses
                .map(|miss| {
                    let ends = [miss.output, miss.carried()].map(made_by);
                    let nodes: Vec<Node> = ends.into_iter().flatten().collect();
                    place(&nodes, made_by(miss.output))
                })
                .collect(),
        }
    }

    /// The model that the plan is for.
    pub fn model(&self) -> &Model {
        self.graph.model()
    }

    /// What was learned of the model on the way to the plan.
    pub fn view(&self) -> View<'_> {
        View {
            plan: self,
            symbols: self.facts.shapes.names().collect(),
        }
    }
}

/// What was learned of a model: its nodes' neighbours, and the types, shapes and constants of values.
#[derive(Debug, Clone)]
pub struct View<'p> {
    plan: &'p Plan<'p>,
    /// Names of open sizes.
    symbols: HashMap<u32, &'p [u8]>,
}

impl View<'_> {
    fn graph(&self) -> &Graph<'_> {
        &self.plan.graph
    }

    /// What a node reads, in order; none stands for what is left out.
    pub fn inputs(&self, node: NodeId) -> Vec<Option<ValueId>> {
        let node = self.graph().node_of(node);
        let values = node.map_or(&[][..], |node| self.graph().inputs(node));
        values.iter().copied().map(present).collect()
    }

    /// What a node makes, in order; none stands for what nobody wants.
    pub fn outputs(&self, node: NodeId) -> Vec<Option<ValueId>> {
        let node = self.graph().node_of(node);
        let values = node.map_or(&[][..], |node| self.graph().outputs(node));
        values.iter().copied().map(present).collect()
    }

    /// Where a value comes from.
    pub fn origin(&self, value: ValueId) -> Origin {
        match self.graph().source(value.0) {
            Source::Input => Origin::Input,
            Source::Initializer(_) | Source::Sparse => Origin::Stored,
            Source::Node(node) => Origin::Node(self.graph().id(node)),
            Source::Nowhere => Origin::Nowhere,
        }
    }

    /// The nodes that read a value, in the order of the file, each once.
    pub fn consumers(&self, value: ValueId) -> Vec<NodeId> {
        let mut nodes = self.graph().consumers(value.0).to_vec();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
            .into_iter()
            .map(|node| self.graph().id(node))
            .collect()
    }

    /// Whether a graph or function gives the value out.
    pub fn is_output(&self, value: ValueId) -> bool {
        self.graph().is_output(value.0)
    }

    /// The value's name for people.
    pub fn name(&self, value: ValueId) -> String {
        self.graph().display(value.0)
    }

    /// The element type, by the name that ONNX's schemas use, if it is known.
    pub fn element_type(&self, value: ValueId) -> Option<&'static str> {
        self.plan.facts.data_type(value.0).name()
    }

    /// The shape, if at least the number of dimensions is known.
    pub fn shape(&self, value: ValueId) -> Option<Vec<Size>> {
        let shapes = &self.plan.facts.shapes;
        let dims = shapes.dims(self.plan.facts.shape(value.0))?;
        let size = |dim: Dim| match dim {
            Dim::Known(size) => Size::Known(size),
            Dim::Symbol(symbol) => self.symbols.get(&symbol).map_or(Size::Open, |name| {
                Size::Named(String::from_utf8_lossy(name).into_owned())
            }),
        };
        Some(dims.into_iter().map(size).collect())
    }

    /// Whether the value is the same in every run, as far as analysis had to know: what nobody asked for is not known.
    pub fn is_constant(&self, value: ValueId) -> bool {
        self.plan.facts.known_constant(value.0).is_some()
            || self.origin(value) == Origin::Stored && !self.graph().is_overridable(value.0)
    }

    /// The elements of a small constant, or the one number that every element of a larger one is.
    pub fn constant(&self, value: ValueId) -> Option<Vec<f64>> {
        if let Some(constant) = self.plan.facts.known_constant(value.0) {
            return match &constant.content {
                Content::Uniform(number) => Some(vec![*number]),
                Content::Few(numbers) => Some(numbers.to_vec()),
                Content::Many => None,
            };
        }
        if !self.is_constant(value) {
            return None;
        }
        self.graph().initializer_values(value.0, SHOWN)
    }
}

/// Stored tensors of more elements are not read to be shown.
const SHOWN: usize = 8;

fn present(value: Value) -> Option<ValueId> {
    (!value.is_absent()).then_some(ValueId(value))
}
