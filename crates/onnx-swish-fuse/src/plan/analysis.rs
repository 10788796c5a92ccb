//! One pass over every scope: forms, then products of gates.
//! Given: the graph, of which all facts are learned first.
//! Promises: each node is looked at a bounded number of times, in an order in which everything it depends on is known.

use std::collections::{HashMap, HashSet, VecDeque};

use super::calls::Calls;
use super::carried::Carried;
use super::{Already, Fusion, Miss, Options, Plan, Why, regions, settle};
use crate::element::Element;
use crate::emit::quantised::Calls as Functions;
use crate::facts::Facts;
use crate::forms::gates::Almost;
use crate::forms::products::{Mismatch, Reading};
use crate::forms::transfer::transfer;
use crate::forms::{Core, Forms, Linear};
use crate::graph::{Graph, Node, Value};
use crate::learn;
use crate::ops::Op;
use crate::pattern::same_permutation;
use crate::quantised::{Meaning, Obstacle, Quantised};

/// Most constant factors behind a product that are taken in: `x·clip(x+3, 0, 6)·0.5·0.333..`.
pub(super) const MAX_TAIL: usize = 8;

/// A product that may be an activation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) reading: Reading,
    pub(super) gate: Value,
    pub(super) partner: Value,
    /// What else is multiplied.
    pub(super) other: Option<Value>,
}

pub(super) struct Analysis<'m> {
    pub(super) graph: Graph<'m>,
    pub(super) facts: Facts,
    pub(super) forms: Forms,
    /// The same, read through quantisation; nothing for models without.
    quantised: Option<Quantised>,
    calls: Calls,
    /// Gates on their way to what they multiply.
    pub(super) carried: Carried,
    pub(super) options: Options,
    pub(super) fusions: Vec<Fusion>,
    /// Other readings of a fusion's end, for where the first cannot stand, the better ones first.
    pub(super) instead: HashMap<Value, VecDeque<Fusion>>,
    pub(super) already: Vec<Already>,
    pub(super) misses: Vec<Miss>,
    /// Ends of fusions that lie behind the product itself.
    pub(super) ends: HashSet<Value>,
    /// Scopes that are done, with the nodes that hold them.
    done: HashSet<usize>,
}

/// What is left to do in scopes inside of scopes.
enum Step {
    /// The graphs that a node holds come first.
    Enter(Node),
    Visit(Node),
}

/// Analyses a graph.
pub(super) fn run(graph: Graph<'_>, options: Options) -> Plan<'_> {
    let values = graph.value_count();
    let mut analysis = Analysis {
        facts: learn::learn(&graph),
        forms: Forms::through_reshapes(values),
        quantised: Quantised::new(&graph),
        calls: Calls::new(&graph),
        carried: Carried::new(values),
        graph,
        options,
        fusions: Vec::new(),
        instead: HashMap::new(),
        already: Vec::new(),
        misses: Vec::new(),
        ends: HashSet::new(),
        done: HashSet::new(),
    };
    let in_calls = analysis.functions();
    for scope in 0..analysis.graph.scope_count() {
        let done = in_calls && analysis.graph.function_of(scope as u32).is_some();
        if !done && !analysis.graph.is_our_function(scope) {
            analysis.scope(scope);
        }
    }
    let Analysis {
        graph,
        facts,
        fusions,
        instead,
        already,
        misses,
        quantised,
        ..
    } = analysis;
    let mut plan = Plan {
        graph,
        facts,
        emit: options.emit,
        runtime: options.runtime,
        fusions,
        already,
        misses,
        regions: Vec::new(),
        calls: Default::default(),
    };
    if let Some(quantised) = quantised {
        let (regions, unfinished) = quantised.found();
        regions::settle(&mut plan, regions, unfinished);
    }
    settle::settle(&mut plan, instead);
    regions::settle_functions(&mut plan);
    if options.quantized && options.writes_functions() {
        let are_alone = plan.fusions.is_empty() && plan.graph.model().functions().is_empty();
        plan.calls = Functions::new(&plan.graph, &plan.facts, &plan.regions, are_alone);
    }
    plan
}

impl Analysis<'_> {
    /// Functions, callees first, so that callers know what becomes of gates in them. Whether there are any.
    fn functions(&mut self) -> bool {
        if !self.graph.has_calls() {
            return false;
        }
        let functions: Vec<usize> = self.graph.functions().collect();
        for function in functions {
            let scopes = self.graph.function_scopes(function).to_vec();
            let Some(&body) = scopes.first() else {
                continue;
            };
            self.carried.enter(&self.graph, body);
            for scope in scopes {
                if !self.graph.is_our_function(scope) {
                    self.scope(scope);
                }
            }
            self.carried.leave(&self.forms, &self.graph, function, body);
        }
        true
    }

    /// The nodes of a scope, each behind those of the graphs that it holds: these read values of the scope before it, and what
    /// they give back flows on.
    fn scope(&mut self, scope: usize) {
        if !self.graph.has_bodies() {
            for node in self.graph.order(scope).collect::<Vec<_>>() {
                self.visit(node);
            }
            return;
        }
        let mut steps = Vec::new();
        self.begin(scope, &mut steps);
        while let Some(step) = steps.pop() {
            match step {
                Step::Visit(node) => self.visit(node),
                Step::Enter(node) => {
                    steps.push(Step::Visit(node));
                    let bodies: Vec<usize> = self.graph.bodies(node).collect();
                    for body in bodies.into_iter().rev() {
                        self.begin(body, &mut steps);
                    }
                }
            }
        }
    }

    fn begin(&mut self, scope: usize, steps: &mut Vec<Step>) {
        if self.done.insert(scope) {
            let start = steps.len();
            steps.extend(self.graph.order(scope).map(Step::Enter));
            if let Some(added) = steps.get_mut(start..) {
                added.reverse();
            }
        }
    }

    fn visit(&mut self, node: Node) {
        self.look_at(node);
        if self.facts.numbering.is_empty() {
            return;
        }
        for &output in self.graph.outputs(node) {
            let first = self.facts.numbering.of(output);
            if first != output {
                self.forms.set_linear(output, self.forms.linear(first));
                if let Some(quantised) = &mut self.quantised {
                    let line = quantised.forms.linear(first);
                    quantised.forms.set_linear(output, line);
                }
            }
        }
    }

    fn look_at(&mut self, node: Node) {
        if self.graph.op(node).is_fused() || self.graph.absorbed_activation(node).is_some() {
            self.already.push(Already {
                node,
                as_pair: false,
            });
        }
        if self.calls.is_edited(&self.graph, node)
            && let Some(&output) = self.graph.outputs(node).first()
        {
            self.misses.push(Miss {
                output,
                gate: output,
                partner: self.graph.inputs(node).first().copied().unwrap_or(output),
                why: Why::Edited,
            });
        }
        transfer(&mut self.forms, &self.graph, &mut self.facts, node);
        let meaning = match &mut self.quantised {
            Some(quantised) => quantised.visit(&self.graph, &mut self.facts, node),
            None => None,
        };
        let codes = self.quantised.as_ref().map(|quantised| &quantised.forms);
        let taken = self
            .carried
            .visit(&self.forms, codes, &self.graph, &self.facts, node);
        if let Some(gate) = taken {
            self.multiplied_inside(node, gate);
        }
        let Some(&output) = self.graph.outputs(node).first() else {
            return;
        };
        if self.graph.op(node).is_quantised_arithmetic() {
            return self.explain_quantised(output, meaning);
        }
        if self.ends.contains(&output) {
            self.forms.set_core(output, Core::Activation);
            return;
        }
        if self.graph.op(node) == Op::Mul && self.facts.element(output) == Element::Integer {
            self.integers(node, output);
        }
        if self.graph.op(node) == Op::Mul && self.graph.is_legacy_axis(node) {
            self.legacy_product(node, output);
        }
        match self.forms.core(output) {
            // A gate by itself; what it multiplies has more to say.
            Core::Mul(..) | Core::Div(..)
                if self.forms.almost_gate(output) == Some(Almost::Overflowing) => {}
            Core::Mul(a, b) => self.product(output, &[(a, false, b), (b, false, a)], meaning),
            Core::Div(a, b) => self.product(output, &[(b, true, a)], meaning),
            _ => {}
        }
    }

    /// Tries each gate of a product with its partner; `(gate, whether it is divided by, partner)`.
    fn product(&mut self, output: Value, tries: &[(Value, bool, Value)], meaning: Option<Meaning>) {
        let element = self.facts.element(output);
        let mut attempts = Vec::new();
        let mut mismatch = None;
        for &(gate, inverted, partner) in tries {
            match self.readings(gate, inverted, partner, element) {
                Some(Ok(readings)) => {
                    attempts.extend(readings.into_iter().map(|reading| Attempt {
                        reading,
                        gate,
                        partner,
                        other: None,
                    }));
                }
                // "Another tensor" says least: anything else takes its place.
                Some(Err(why))
                    if self.deserves_a_word(gate, why)
                        && mismatch.is_none_or(|(_, _, m)| m == Mismatch::AnotherTensor) =>
                {
                    mismatch = Some((gate, partner, why));
                }
                _ => {}
            }
        }
        if attempts.is_empty() {
            attempts = self.flattened(tries, element);
        }
        if attempts.is_empty() {
            let reason = through_quantisation(mismatch, meaning);
            if let Some((gate, partner, why)) = reason.or_else(|| self.reason(tries, mismatch)) {
                self.misses.push(Miss {
                    output,
                    gate,
                    partner,
                    why,
                });
            }
            return;
        }
        self.decide(output, &attempts);
    }

    fn readings(
        &self,
        gate: Value,
        inverted: bool,
        partner: Value,
        element: Element,
    ) -> Option<Result<Vec<Reading>, Mismatch>> {
        if self.forms.is_nothing_known(gate) {
            return None;
        }
        let is_gate = if inverted {
            self.forms.reciprocal_gate(gate).is_some()
        } else {
            self.forms.gate(gate).is_some()
        };
        let before = if is_gate {
            self.line_before(partner)
        } else {
            Vec::new()
        };
        self.forms
            .activation(gate, inverted, partner, &before, element, |a, b| {
                same_permutation(&self.graph, a, b)
            })
    }

    /// The values on the way from a value back to its root, as far as a match may reach.
    fn line_before(&self, mut value: Value) -> Vec<Value> {
        let root = self.forms.linear(value).root;
        let mut before = Vec::new();
        while value != root && before.len() < MAX_TAIL {
            let inputs = self
                .graph
                .producer(value)
                .map(|node| self.graph.inputs(node));
            let next = inputs.unwrap_or_default().iter().copied();
            let Some(next) = next
                .filter(|v| !v.is_absent())
                .find(|&v| self.forms.linear(v).root == root)
            else {
                break;
            };
            before.push(next);
            value = next;
        }
        before
    }

    /// `g · (σ(g) · u)` and its like: one operand is a product with a gate or a partner in it.
    fn flattened(&self, tries: &[(Value, bool, Value)], element: Element) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        for &(outer, inverted, inner) in tries {
            // Itself, if it is a product: a line of an equal value may lead to another one, with other readers.
            let product = match self.forms.core(inner) {
                Core::Mul(..) | Core::Div(..) => Linear::root(inner),
                _ => self.forms.linear(inner),
            };
            if product.q != 0.0 {
                continue;
            }
            // A gated unit that is done is not taken apart again: fusing twice must be fusing once.
            let is_done =
                |value| self.forms.core(self.forms.linear(value).root) == Core::Activation;
            let mut add = |gate, inverted, partner, other| {
                // x·σ(x)·σ(x): two gates of one value are something else. x·e^x·σ(-x) is not to be bracketed anew.
                if self.is_second_gate(other, partner)
                    || is_done(other)
                    || self.forms.is_exponential(other)
                {
                    return;
                }
                if let Some(Ok(readings)) = self.readings(gate, inverted, partner, element) {
                    attempts.extend(readings.into_iter().map(|mut reading| {
                        reading.k *= product.p;
                        Attempt {
                            reading,
                            gate,
                            partner,
                            other: Some(other),
                        }
                    }));
                }
            };
            match self.forms.core(product.root) {
                Core::Mul(a, b) => {
                    add(outer, inverted, a, b);
                    add(outer, inverted, b, a);
                    if !inverted {
                        add(a, false, outer, b);
                        add(b, false, outer, a);
                    }
                }
                Core::Div(a, b) if !inverted => add(b, true, outer, a),
                _ => {}
            }
        }
        attempts
    }
}

/// What a product that is nothing by itself is when it is read through quantisation, if that says more.
fn through_quantisation(
    mismatch: Option<(Value, Value, Mismatch)>,
    meaning: Option<Meaning>,
) -> Option<(Value, Value, Why)> {
    if mismatch.is_some_and(|(_, _, why)| why != Mismatch::AnotherTensor) {
        return None;
    }
    match meaning? {
        Meaning::Activation((gate, partner)) => {
            Some((gate, partner, Why::Quantised(Obstacle::FloatResult)))
        }
        Meaning::OfFloat((gate, partner)) => {
            Some((gate, partner, Why::Quantised(Obstacle::FloatPartner)))
        }
        Meaning::Mismatch(why, (gate, partner)) => Some((gate, partner, Why::Mismatch(why))),
        Meaning::Almost(almost, (gate, partner)) => Some((gate, partner, Why::Almost(almost))),
        Meaning::Flawed(flaw, (gate, partner)) => {
            Some((gate, partner, Why::Quantised(Obstacle::Flaw(flaw))))
        }
    }
}
