//! Learns all facts about a model: types, then constants, shapes and sizes node by node.
//! Given: the graph.
//! Promises: linear time. Bodies of functions are learned once for themselves, so that callers know what comes out of them,
//! and once more with what all their callers agree on.

mod shapes;
mod sizes;
mod window;

use std::collections::HashMap;

use crate::facts::Facts;
use crate::graph::{Graph, Node, Source, Value};
use crate::numbering;
use crate::ops::Op;
use crate::shapes::{Dim, ShapeId};
use crate::types;

/// All facts about a model.
pub(crate) fn learn(graph: &Graph<'_>) -> Facts {
    let mut learn = Learn {
        graph,
        facts: Facts::new(types::infer::infer(graph)),
        results: Vec::new(),
    };
    for value in graph.values() {
        if !matches!(graph.source(value), Source::Node(_)) {
            learn.source(value);
        }
    }
    if graph.has_calls() {
        learn.functions_for_themselves();
    }
    for scope in 0..graph.scope_count() {
        if graph.function_of(scope as u32).is_none() || !graph.has_calls() {
            learn.scope(scope);
        }
    }
    if graph.has_calls() {
        learn.functions_for_their_callers();
    }
    learn.facts
}

/// The shape of a function's output.
#[derive(Debug, Clone)]
enum Outcome {
    /// That of the input at this position.
    Like(usize),
    /// As many dimensions as these, where numbers are known.
    Ranked(Vec<Option<i64>>),
    Unknown,
}

struct Learn<'a, 'm> {
    graph: &'a Graph<'m>,
    facts: Facts,
    /// For each function, the shapes of its outputs.
    results: Vec<Vec<Outcome>>,
}

impl Learn<'_, '_> {
    /// A value that no node makes: an input, an initializer, a captured name.
    fn source(&mut self, value: Value) {
        let stored = self.graph.initializer_dims(value);
        let shape = match stored {
            Some(dims) => self.facts.shapes.known(&dims),
            None => self.facts.shapes.opaque(),
        };
        self.facts.set_shape(self.graph, value, shape);
    }

    fn scope(&mut self, scope: usize) {
        let graph = self.graph;
        if graph.is_our_function(scope) {
            return;
        }
        for node in graph.order(scope) {
            self.node(node);
        }
    }

    /// Learns about the outputs of a node whose inputs are known.
    fn node(&mut self, node: Node) {
        let graph = self.graph;
        let mut constant = self.facts.fold(graph, node);
        let equal = numbering::number(graph, &mut self.facts, node);
        for (position, &output) in graph.outputs(node).iter().enumerate() {
            // Only a node's first output may be a constant.
            let constant = constant.take();
            if output.is_absent() {
                continue;
            }
            self.facts.set_constant(output, constant);
            let known = equal.and_then(|equal| graph.outputs(equal).get(position));
            let shape = match known {
                Some(&known) if !known.is_absent() => self.facts.shape(known),
                _ => self.shape(node, position),
            };
            self.facts.set_shape(graph, output, shape);
        }
        sizes::evaluate(graph, &mut self.facts, node);
    }

    fn shape(&mut self, node: Node, position: usize) -> ShapeId {
        let graph = self.graph;
        match graph.op(node) {
            Op::Constant => match graph.constant_dims(node) {
                Some(dims) => self.facts.shapes.known(&dims),
                None => self.facts.shapes.opaque(),
            },
            Op::Unknown if graph.has_calls() => match graph.callee(node) {
                Some(function) => self.result(node, function, position),
                None => shapes::infer(graph, &mut self.facts, node, position),
            },
            _ => shapes::infer(graph, &mut self.facts, node, position),
        }
    }

    /// The shape of what a call gives back.
    fn result(&mut self, node: Node, function: usize, position: usize) -> ShapeId {
        let outcomes = self.results.get(function);
        match outcomes
            .and_then(|outcomes| outcomes.get(position))
            .cloned()
        {
            Some(Outcome::Like(input)) => match self.graph.inputs(node).get(input) {
                Some(&argument) if !argument.is_absent() => self.facts.shape(argument),
                _ => self.facts.shapes.opaque(),
            },
            Some(Outcome::Ranked(sizes)) => {
                let shapes = &mut self.facts.shapes;
                let dims: Vec<Dim> = sizes
                    .iter()
                    .map(|size| size.map_or_else(|| shapes.fresh(), Dim::Known))
                    .collect();
                shapes.ranked(&dims)
            }
            Some(Outcome::Unknown) | None => self.facts.shapes.opaque(),
        }
    }

    /// Functions, callees first, with inputs of which nothing is known.
    fn functions_for_themselves(&mut self) {
        let graph = self.graph;
        self.results = vec![Vec::new(); graph.model().functions().len()];
        for function in graph.functions() {
            let scopes = graph.function_scopes(function);
            for &scope in scopes {
                self.scope(scope);
            }
            let Some(&body) = scopes.first() else {
                continue;
            };
            let outputs = graph.scope_outputs(body).iter();
            let outcomes = outputs.map(|&output| self.outcome(body, output)).collect();
            if let Some(slot) = self.results.get_mut(function) {
                *slot = outcomes;
            }
        }
    }

    fn outcome(&self, body: usize, output: Value) -> Outcome {
        let facts = &self.facts;
        let inputs = self.graph.scope_inputs(body);
        let like = inputs
            .iter()
            .position(|&input| facts.same_shape(input, output));
        if let Some(position) = like {
            return Outcome::Like(position);
        }
        let size = |dim: &Dim| match dim {
            Dim::Known(size) => Some(*size),
            Dim::Symbol(_) => None,
        };
        match facts.shapes.dims(facts.shape(output)) {
            Some(dims) => Outcome::Ranked(dims.iter().map(size).collect()),
            None => Outcome::Unknown,
        }
    }

    /// Functions, callers first, with what all callers agree on.
    fn functions_for_their_callers(&mut self) {
        let graph = self.graph;
        for function in graph.functions().rev() {
            let scopes = graph.function_scopes(function);
            if let Some(&body) = scopes.first() {
                self.arguments(function, body);
            }
            for &scope in scopes {
                self.scope(scope);
            }
        }
    }

    /// The shapes of a function's inputs: sizes that are the same number in every call, and for all others symbols that
    /// are equal where they are equal in every call.
    fn arguments(&mut self, function: usize, body: usize) {
        let graph = self.graph;
        let callers = graph.callers(function);
        let mut shapes: HashMap<Vec<ShapeId>, ShapeId> = HashMap::new();
        let mut symbols: HashMap<Vec<Dim>, Dim> = HashMap::new();
        for (position, &input) in graph.scope_inputs(body).iter().enumerate() {
            let given: Option<Vec<ShapeId>> = callers
                .iter()
                .map(|&caller| {
                    let argument = graph.inputs(caller).get(position)?;
                    (!argument.is_absent()).then(|| self.facts.shape(*argument))
                })
                .collect();
            let Some(given) = given.filter(|given| !given.is_empty()) else {
                continue;
            };
            let shape = match shapes.get(&given) {
                Some(&shape) => shape,
                None => self.agreed(&given, &mut symbols),
            };
            shapes.insert(given, shape);
            self.facts.set_shape(graph, input, shape);
        }
    }

    fn agreed(&mut self, given: &[ShapeId], symbols: &mut HashMap<Vec<Dim>, Dim>) -> ShapeId {
        let shapes = &mut self.facts.shapes;
        if let &[only] = given {
            return only;
        }
        let all: Option<Vec<Vec<Dim>>> = given.iter().map(|&shape| shapes.dims(shape)).collect();
        let Some(all) = all else {
            return shapes.opaque();
        };
        let rank = all.first().map_or(0, Vec::len);
        if all.iter().any(|dims| dims.len() != rank) {
            return shapes.opaque();
        }
        let dims: Vec<Dim> = (0..rank)
            .map(|axis| {
                let sizes: Vec<Dim> = all
                    .iter()
                    .filter_map(|dims| dims.get(axis).copied())
                    .collect();
                match sizes.first() {
                    Some(&Dim::Known(size)) if sizes.iter().all(|&d| d == Dim::Known(size)) => {
                        Dim::Known(size)
                    }
                    _ => *symbols.entry(sizes).or_insert_with(|| shapes.fresh()),
                }
            })
            .collect();
        shapes.ranked(&dims)
    }
}
