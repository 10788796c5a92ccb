//! One pass over every scope: forms, then products of gates.
//! Given: the graph, of which all facts are learned first.
//! Promises: each node is looked at a bounded number of times, in an order in which everything it depends on is known.

use std::collections::HashSet;

use super::calls::Calls;
use super::guards::Block;
use super::{Already, Fusion, Miss, Options, Plan, Why, regions, settle};
use crate::element::Element;
use crate::emit::target::Cannot;
use crate::facts::Facts;
use crate::forms::gates::{Almost, Gate};
use crate::forms::products::{Mismatch, Reading};
use crate::forms::transfer::transfer;
use crate::forms::{Core, Forms};
use crate::graph::{Graph, Node, Value};
use crate::learn;
use crate::ops::Op;
use crate::pattern::same_permutation;
use crate::quantised::{Meaning, Obstacle, Quantised};

/// Most constant factors behind a product that are taken in: `x·clip(x+3, 0, 6)·0.5·0.333..`.
pub(super) const MAX_TAIL: usize = 8;

/// Most values behind a Where that are looked at.
const MAX_BEHIND: usize = 24;

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
    calls: Calls<'m>,
    pub(super) options: Options,
    pub(super) fusions: Vec<Fusion>,
    pub(super) already: Vec<Already>,
    pub(super) misses: Vec<Miss>,
    /// Ends of fusions that lie behind the product itself.
    pub(super) ends: HashSet<Value>,
}

/// Analyses a graph.
pub(super) fn run(graph: Graph<'_>, options: Options) -> Plan<'_> {
    let values = graph.value_count();
    let mut analysis = Analysis {
        facts: learn::learn(&graph),
        forms: Forms::new(values),
        quantised: Quantised::new(&graph),
        calls: Calls::new(&graph),
        graph,
        options,
        fusions: Vec::new(),
        already: Vec::new(),
        misses: Vec::new(),
        ends: HashSet::new(),
    };
    for scope in 0..analysis.graph.scope_count() {
        if !analysis.graph.is_our_function(scope) {
            analysis.scope(scope);
        }
    }
    let Analysis {
        graph,
        facts,
        fusions,
        already,
        misses,
        quantised,
        ..
    } = analysis;
    let mut plan = Plan {
        graph,
        facts,
        emit: options.emit,
        fusions,
        already,
        misses,
        regions: Vec::new(),
    };
    if let Some(quantised) = quantised {
        let (regions, unfinished) = quantised.found();
        regions::settle(&mut plan, regions, unfinished);
    }
    settle::settle(&mut plan);
    plan
}

impl Analysis<'_> {
    fn scope(&mut self, scope: usize) {
        let order: Vec<Node> = self.graph.order(scope).collect();
        for node in order {
            self.visit(node);
        }
    }

    fn visit(&mut self, node: Node) {
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
            _ if self.forms.almost_gate(output) == Some(Almost::Overflowing) => {}
            Core::Mul(a, b) => self.product(output, &[(a, false, b), (b, false, a)], meaning),
            Core::Div(a, b) => self.product(output, &[(b, true, a)], meaning),
            _ => {}
        }
    }

    /// A product of codes in one operator: the file has nothing in between that could be fused.
    fn explain_quantised(&mut self, output: Value, meaning: Option<Meaning>) {
        let (gate, partner, why) = match meaning {
            Some(Meaning::Mismatch(why, (gate, partner))) => (gate, partner, Why::Mismatch(why)),
            Some(Meaning::Almost(almost, (gate, partner))) => (gate, partner, Why::Almost(almost)),
            _ => return,
        };
        self.misses.push(Miss {
            output,
            gate,
            partner,
            why,
        });
    }

    /// A product whose operands are aligned by an `axis` has no form, either.
    fn legacy_product(&mut self, node: Node, output: Value) {
        if let &[a, b] = self.graph.inputs(node)
            && let Some(gate) = [b, a].into_iter().find(|&input| self.is_gate_like(input))
        {
            self.misses.push(Miss {
                output,
                gate,
                partner: if gate == a { b } else { a },
                why: Why::Blocked(Block::Target(Cannot::LegacyBroadcast)),
            });
        }
    }

    /// `x · clip(x + 3, 0, 6) / 6` in integers has no form, and deserves a word all the same.
    fn integers(&mut self, node: Node, output: Value) {
        let clipped = |value: Value| {
            let at = |value| {
                self.graph
                    .producer(value)
                    .map(|node| (node, self.graph.op(node)))
            };
            match at(value) {
                Some((node, Op::Div | Op::Mul)) => self
                    .graph
                    .inputs(node)
                    .iter()
                    .any(|&input| at(input).is_some_and(|(_, op)| op == Op::Clip)),
                Some((_, op)) => op == Op::Clip,
                None => false,
            }
        };
        if let &[a, b] = self.graph.inputs(node)
            && let Some(gate) = [a, b].into_iter().find(|&input| clipped(input))
        {
            let partner = if gate == a { b } else { a };
            let why = Why::Blocked(Block::ElementType);
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why,
            });
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
            match through_quantisation(tries, mismatch, meaning, &self.forms) {
                Some((gate, partner, why)) => self.misses.push(Miss {
                    output,
                    gate,
                    partner,
                    why,
                }),
                None => self.explain(output, tries, mismatch),
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
            let product = self.forms.linear(inner);
            let alone = |value| self.graph.consumers(value).len() == 1;
            if product.q != 0.0 || !alone(product.root) || !alone(inner) {
                continue;
            }
            // A gated unit that is done is not taken apart again: fusing twice must be fusing once.
            let is_done =
                |value| self.forms.core(self.forms.linear(value).root) == Core::Activation;
            let mut add = |gate, inverted, partner, other| {
                // x·σ(x)·σ(x): two gates of one value are something else. x·e^x·σ(-x) is not to be bracketed anew.
                if self.is_gate_like(other) || is_done(other) || self.forms.is_exponential(other) {
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

    /// A product that is no activation: says why, if one of its operands is a gate or looks like one.
    fn explain(
        &mut self,
        output: Value,
        tries: &[(Value, bool, Value)],
        mismatch: Option<(Value, Value, Mismatch)>,
    ) {
        if let Some((gate, partner, why)) = mismatch {
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why: Why::Mismatch(why),
            });
            return;
        }
        for &(gate, inverted, partner) in tries {
            if inverted {
                continue;
            }
            let why = match self.forms.almost_gate(gate) {
                Some(almost) => Why::Almost(almost),
                None if self.is_opaque_gate(gate) => Why::Opaque,
                None if self.forms.is_power_of_gates(gate) => Why::Almost(Almost::Power),
                None if self.is_picked(gate, partner) => Why::Almost(Almost::Where),
                None if self.is_called_gate(gate) => Why::InFunction,
                None => continue,
            };
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why,
            });
            return;
        }
    }

    fn is_gate_like(&self, value: Value) -> bool {
        self.forms
            .gate(value)
            .is_some_and(Gate::is_worth_explaining)
            || self.forms.almost_gate(value).is_some()
            || self.is_opaque_gate(value)
    }

    fn deserves_a_word(&self, gate: Value, why: Mismatch) -> bool {
        match (self.forms.gate(gate), why) {
            (Some(Gate::Clamp(_)), Mismatch::HalfOpen) => {
                let root = self.forms.linear(gate).root;
                self.graph
                    .producer(root)
                    .is_some_and(|node| self.graph.op(node) == Op::Clip)
            }
            (Some(gate), _) => gate.is_worth_explaining(),
            // Divided by, or behind a permutation.
            (None, _) => true,
        }
    }

    /// A Where that picks the gate of `partner` from constants and functions of it.
    fn is_picked(&mut self, gate: Value, partner: Value) -> bool {
        let root = self.forms.linear(gate).root;
        let is_where = |node: &Node| self.graph.op(*node) == Op::Where;
        let Some(node) = self.graph.producer(root).filter(is_where) else {
            return false;
        };
        let branches = self.graph.inputs(node).get(1..).unwrap_or_default();
        let mut is_bound = |value: &Value| self.facts.number(&self.graph, *value).is_some();
        let bounded = branches.iter().any(&mut is_bound);
        // A mask is a choice between constants, too; a gate of x depends on x.
        bounded && self.depends_on(node, self.forms.linear(partner).root)
    }

    /// Whether a node's output is made from `x`, as far back as gates reach.
    fn depends_on(&self, node: Node, x: Value) -> bool {
        let mut seen = self.graph.inputs(node).to_vec();
        let mut next = 0;
        while let Some(&value) = seen.get(next) {
            next += 1;
            if value == x || self.forms.linear(value).root == x {
                return true;
            }
            let inputs = self
                .graph
                .producer(value)
                .map(|node| self.graph.inputs(node));
            for &input in inputs.unwrap_or_default() {
                if seen.len() < MAX_BEHIND && !input.is_absent() && !seen.contains(&input) {
                    seen.push(input);
                }
            }
        }
        false
    }

    /// A gate that a function of the file computes.
    fn is_called_gate(&self, gate: Value) -> bool {
        let root = self.forms.linear(gate).root;
        self.graph
            .producer(root)
            .is_some_and(|node| self.calls.makes_gate(&self.graph, node))
    }

    /// An operator that makes gates, of which too little is known here or whose numbers make none.
    fn is_opaque_gate(&self, value: Value) -> bool {
        let root = self.forms.linear(value).root;
        self.forms.gate(value).is_none()
            && self.graph.producer(root).is_some_and(|node| {
                self.graph.op(node).makes_gates() || self.graph.absorbs_gate(node)
            })
    }
}

/// What a product that is nothing by itself is when it is read through quantisation, if that says more.
fn through_quantisation(
    tries: &[(Value, bool, Value)],
    mismatch: Option<(Value, Value, Mismatch)>,
    meaning: Option<Meaning>,
    forms: &Forms,
) -> Option<(Value, Value, Why)> {
    if mismatch.is_some_and(|(_, _, why)| why != Mismatch::AnotherTensor) {
        return None;
    }
    let (gate, partner) = tries
        .iter()
        .find(|(gate, ..)| forms.almost_gate(*gate) == Some(Almost::Quantized))
        .or(tries.first())
        .map(|&(gate, _, partner)| (gate, partner))?;
    match meaning? {
        Meaning::Activation => Some((gate, partner, Why::Quantised(Obstacle::FloatResult))),
        Meaning::OfFloat => Some((gate, partner, Why::Quantised(Obstacle::FloatPartner))),
        Meaning::Mismatch(why, (gate, partner)) => Some((gate, partner, Why::Mismatch(why))),
        Meaning::Almost(almost, (gate, partner)) => Some((gate, partner, Why::Almost(almost))),
        Meaning::Flawed(flaw, (gate, partner)) => {
            Some((gate, partner, Why::Quantised(Obstacle::Flaw(flaw))))
        }
    }
}
