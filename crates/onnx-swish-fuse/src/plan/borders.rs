//! Where values go from one graph of a file to another: through If, Loop and Scan, and through calls of the file's functions.
//! Given: the graph.
//! Promises: linear in the file. What is no such way is named, too: a body's input that nothing is known of, and a value whose use is unknown.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::{Op, is_default_domain};
use crate::quantised::params::{Quantiser, code, code_type};

/// How many inputs and outputs of a Loop's body, and inputs of the Loop, stand before what it carries.
const LOOP: (usize, usize) = (2, 1);

/// Ways over borders.
#[derive(Default)]
pub(super) struct Borders {
    /// From a value to one that is the same, or may be, in another graph.
    ways: Vec<(Value, Value)>,
    /// The same, sorted by where they lead.
    backward: Vec<(Value, Value)>,
    /// Values that something reads of which nothing is known.
    pub(super) read: Vec<Value>,
    /// For an input of a function that is a constant or a code of one kind in every call, what one of them gives.
    stand_ins: HashMap<Value, Value>,
}

impl Borders {
    pub(super) fn new(graph: &Graph<'_>, facts: &mut Facts) -> Self {
        let mut borders = Self::default();
        let nodes = (0..graph.scope_count()).flat_map(|scope| graph.order(scope));
        for node in nodes.filter(|&node| graph.op(node) == Op::Unknown) {
            if graph.bodies(node).next().is_some() {
                borders.holder(graph, node);
            } else if graph.callee(node).is_none() {
                borders.read.extend(graph.inputs(node));
            }
        }
        for function in graph.functions().rev() {
            borders.function(graph, facts, function);
        }
        borders.ways.sort_unstable();
        borders.backward = borders.ways.iter().map(|&(from, to)| (to, from)).collect();
        borders.backward.sort_unstable();
        borders
    }

    /// What a value is in other graphs.
    pub(super) fn onward(&self, value: Value) -> impl Iterator<Item = Value> + '_ {
        along(&self.ways, value)
    }

    /// What a value is, or may be, where it comes from.
    pub(super) fn back(&self, value: Value) -> impl Iterator<Item = Value> + '_ {
        along(&self.backward, value)
    }

    /// The constant or the code that stands for a function's input; for another value itself.
    pub(super) fn stand_in(&self, value: Value) -> Value {
        self.stand_ins.get(&value).copied().unwrap_or(value)
    }

    fn holder(&mut self, graph: &Graph<'_>, node: Node) {
        let (inputs, outputs) = (graph.inputs(node), graph.outputs(node));
        let named = graph.node(node);
        let named = named.filter(|node| is_default_domain(node.domain()));
        let name = named.map_or(&b""[..], |node| node.op_type());
        let (before, condition) = LOOP;
        for body in graph.bodies(node) {
            let (given, made) = (graph.scope_inputs(body), graph.scope_outputs(body));
            match name {
                b"If" => self.pairs(made, outputs),
                b"Loop" => {
                    let carried = inputs.get(before..).unwrap_or_default();
                    let inside = given.get(before..).unwrap_or_default();
                    let results = made.get(condition..).unwrap_or_default();
                    self.pairs(carried, inside);
                    self.pairs(results, inside);
                    self.pairs(results, outputs);
                    // The body may not run at all.
                    self.pairs(carried, outputs);
                    self.read.extend(made.iter().take(condition));
                }
                b"Scan" => {
                    self.pairs(inputs, given);
                    self.pairs(made, outputs);
                    let Attribute::Is(scanned) = graph.int(node, b"num_scan_inputs") else {
                        self.read.extend(inputs.iter().chain(made));
                        continue;
                    };
                    let states = inputs
                        .len()
                        .saturating_sub(usize::try_from(scanned).unwrap_or(0));
                    self.pairs(made, given.get(..states).unwrap_or(given));
                }
                _ => self.read.extend(inputs.iter().chain(made)),
            }
        }
        // Conditions and numbers of turns.
        let before = match name {
            b"If" | b"Loop" => before,
            _ => 0,
        };
        self.read.extend(inputs.iter().take(before));
    }

    fn function(&mut self, graph: &Graph<'_>, facts: &mut Facts, function: usize) {
        let Some(&body) = graph.function_scopes(function).first() else {
            return;
        };
        let (given, made) = (graph.scope_inputs(body), graph.scope_outputs(body));
        let callers = graph.callers(function);
        for &caller in callers {
            let arguments = graph.inputs(caller);
            self.pairs(arguments, given);
            self.pairs(made, graph.outputs(caller));
            self.read.extend(arguments.iter().skip(given.len()));
        }
        for (position, &input) in given.iter().enumerate() {
            let argument = |caller: &Node| graph.inputs(*caller).get(position).copied();
            let mut arguments = callers.iter().map(|caller| {
                let argument = argument(caller).filter(|argument| !argument.is_absent());
                argument.map(|argument| self.stand_in(argument))
            });
            let Some(Some(first)) = arguments.next() else {
                continue;
            };
            let kind = kind(graph, facts, first);
            if arguments
                .all(|other| other.is_some_and(|other| self::kind(graph, facts, other) == kind))
            {
                self.stand_ins.insert(input, first);
            }
        }
    }

    fn pairs(&mut self, from: &[Value], to: &[Value]) {
        let pairs = from.iter().copied().zip(to.iter().copied());
        self.ways
            .extend(pairs.filter(|(from, to)| !from.is_absent() && !to.is_absent()));
    }
}

fn along(ways: &[(Value, Value)], value: Value) -> impl Iterator<Item = Value> + '_ {
    let start = ways.partition_point(|&(from, _)| from < value);
    let rest = ways.get(start..).unwrap_or_default();
    let here = rest.iter().take_while(move |&&(from, _)| from == value);
    here.map(|&(_, to)| to)
}

/// Whether a value can be a quantiser's scale, whether it is of 8-bit codes, and whether it is a number.
fn kind(graph: &Graph<'_>, facts: &mut Facts, value: Value) -> (bool, bool, bool) {
    let codes = code_type(graph, value);
    let number = facts.number(graph, value).is_some();
    let scale = number
        && Quantiser::new(graph, facts, value, None, Some(code::U8))
            .flaw
            .is_none();
    (scale, matches!(codes, Some(code::U8 | code::I8)), number)
}
