//! One pass over every scope: facts, then forms, then products of gates.
//! Given: the graph.
//! Promises: each node is looked at a bounded number of times, in an order in which everything it depends on is known.

use std::collections::HashSet;

use super::guards::{self, Block};
use super::{Already, Fusion, Miss, Options, Plan, Spelling, Why, settle};
use crate::element::Element;
use crate::emit::target::{Cannot, Target, Wanted, choose, is_standard_slope};
use crate::facts::Facts;
use crate::forms::gates::Gate;
use crate::forms::products::{Activation, Beta, Mismatch, Reading};
use crate::forms::transfer::transfer;
use crate::forms::{Core, Forms};
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;
use crate::pattern::{Pattern, same_permutation, walk};

/// Most constant factors behind a product that are taken in: `x·clip(x+3, 0, 6)·0.5·0.333..`.
const MAX_TAIL: usize = 8;

/// A product that may be an activation.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    reading: Reading,
    gate: Value,
    partner: Value,
    /// What else is multiplied.
    other: Option<Value>,
}

/// An attempt with the end of its chain of constant factors.
#[derive(Debug, Clone, Copy)]
struct Ended {
    attempt: Attempt,
    end: Value,
    k: f64,
    /// Lower is better: no factor, no factor after the tail, a factor stays.
    class: u8,
}

struct Analysis<'m> {
    graph: Graph<'m>,
    facts: Facts,
    forms: Forms,
    options: Options,
    fusions: Vec<Fusion>,
    already: Vec<Already>,
    misses: Vec<Miss>,
    /// Ends of fusions that lie behind the product itself.
    ends: HashSet<Value>,
}

/// Analyses a graph.
pub(super) fn run(graph: Graph<'_>, options: Options) -> Plan<'_> {
    let values = graph.value_count();
    let mut analysis = Analysis {
        facts: Facts::new(values),
        forms: Forms::new(values),
        graph,
        options,
        fusions: Vec::new(),
        already: Vec::new(),
        misses: Vec::new(),
        ends: HashSet::new(),
    };
    for value in analysis.graph.values() {
        if !matches!(analysis.graph.source(value), Source::Node(_)) {
            analysis.facts.declare(&analysis.graph, value);
        }
    }
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
        ..
    } = analysis;
    let mut plan = Plan {
        graph,
        facts,
        emit: options.emit,
        fusions,
        already,
        misses,
    };
    settle::settle(&mut plan);
    plan
}

impl Analysis<'_> {
    fn scope(&mut self, scope: usize) {
        // All facts first: a factor behind a product may be a constant that stands later in the file.
        let order: Vec<Node> = self.graph.order(scope).collect();
        for &node in &order {
            self.facts.learn(&self.graph, node);
        }
        for node in order {
            self.visit(node);
        }
    }

    fn visit(&mut self, node: Node) {
        if self.graph.op(node).is_fused() {
            self.already.push(Already {
                node,
                as_pair: false,
            });
        }
        transfer(&mut self.forms, &self.graph, &mut self.facts, node);
        let Some(&output) = self.graph.outputs(node).first() else {
            return;
        };
        if self.ends.contains(&output) {
            self.forms.set_core(output, Core::Activation);
            return;
        }
        if self.graph.op(node) == Op::Mul && self.facts.element(output) == Element::Integer {
            self.integers(node, output);
        }
        match self.forms.core(output) {
            Core::Mul(a, b) => self.product(output, &[(a, false, b), (b, false, a)]),
            Core::Div(a, b) => self.product(output, &[(b, true, a)]),
            _ => {}
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
    fn product(&mut self, output: Value, tries: &[(Value, bool, Value)]) {
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
            self.explain(output, tries, mismatch);
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
            let mut add = |gate, inverted, partner, other| {
                // x·σ(x)·σ(x): two gates of one value are something else.
                if self.is_gate_like(other) {
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

    /// Takes the best attempt that nothing forbids, or explains the first.
    fn decide(&mut self, output: Value, attempts: &[Attempt]) {
        let element = self.facts.element(output);
        let mut ended: Vec<Ended> = attempts
            .iter()
            .map(|&attempt| self.end(output, attempt, element))
            .collect();
        ended.sort_by_key(|ended| ended.class);
        let mut blocked = None;
        let mut shared = None;
        for ended in &ended {
            match self.fusion(output, ended) {
                Ok(Some(fusion)) if guards::is_shared(&self.graph, &fusion.pattern, fusion.end) => {
                    shared.get_or_insert((fusion, ended.attempt));
                }
                Ok(Some(fusion)) => return self.accept(output, fusion),
                Ok(None) => return self.already_as_pair(output),
                Err(why) => {
                    blocked.get_or_insert((why, ended.attempt));
                }
            }
        }
        if let Some((fusion, _)) = shared {
            self.accept(output, fusion);
        } else if let Some((why, Attempt { gate, partner, .. })) = blocked {
            self.misses.push(Miss {
                output,
                gate,
                partner,
                why,
            });
        }
    }

    fn accept(&mut self, output: Value, fusion: Fusion) {
        if fusion.end == output {
            self.forms.set_core(output, Core::Activation);
        } else {
            self.ends.insert(fusion.end);
        }
        self.fusions.push(fusion);
    }

    fn already_as_pair(&mut self, output: Value) {
        self.forms.set_core(output, Core::Activation);
        if let Some(node) = self.graph.producer(output) {
            self.already.push(Already {
                node,
                as_pair: true,
            });
        }
    }

    /// Follows constant factors behind a product, until they have made its own factor 1 or there are no more.
    fn end(&mut self, output: Value, attempt: Attempt, element: Element) -> Ended {
        let mut k = attempt.reading.k;
        if element.same(k, 1.0) {
            return Ended {
                attempt,
                end: output,
                k: 1.0,
                class: 0,
            };
        }
        let mut end = output;
        for _ in 0..MAX_TAIL {
            let Some((next, factor)) = self.scaled(end) else {
                break;
            };
            end = next;
            k *= factor;
            if element.same(k, 1.0) {
                return Ended {
                    attempt,
                    end,
                    k: 1.0,
                    class: 1,
                };
            }
        }
        Ended {
            attempt,
            end,
            k,
            class: 2,
        }
    }

    /// The value that is `value` times a constant, if nothing else reads `value`.
    fn scaled(&mut self, value: Value) -> Option<(Value, f64)> {
        let graph = &self.graph;
        if graph.is_output(value)
            || graph.is_captured(value)
            || graph.is_annotated(value)
            || graph.is_trained(value)
        {
            return None;
        }
        let [consumer] = graph.consumers(value) else {
            return None;
        };
        let node = graph.node(*consumer)?;
        if node.node().has_unknown_fields()
            || node.node().has_device_configurations()
            || graph.is_legacy_axis(*consumer)
        {
            return None;
        }
        let (inputs, next) = (graph.inputs(*consumer), *graph.outputs(*consumer).first()?);
        if next.is_absent() || graph.is_ambiguous(next) {
            return None;
        }
        let factor = match (graph.op(*consumer), inputs) {
            (Op::Neg, _) => -1.0,
            (Op::Mul, &[a, b]) => self.facts.number(graph, if a == value { b } else { a })?,
            (Op::Div, &[a, b]) if a == value => 1.0 / self.facts.number(graph, b)?,
            _ => return None,
        };
        (factor.is_finite() && factor != 0.0).then_some((next, factor))
    }

    /// The fusion, if nothing forbids it; `None` if the nodes are what would be written.
    fn fusion(&self, output: Value, ended: &Ended) -> Result<Option<Fusion>, Why> {
        let Ended {
            attempt, end, k, ..
        } = *ended;
        let root = attempt.reading.root;
        let tensor = match attempt.reading.activation {
            Activation::Swish(Beta::Times(_, tensor) | Beta::Over(_, tensor)) => Some(tensor),
            _ => None,
        };
        let also: Vec<Value> = tensor.into_iter().chain(attempt.other).collect();
        let pattern = walk(&self.graph, &self.facts, end, root, &also).map_err(Why::Broken)?;
        let blocked = |block| Why::Blocked(block);
        let element =
            guards::element(&self.graph, &self.facts, &pattern, end, root).map_err(blocked)?;
        guards::standing(&self.graph, &pattern, end).map_err(blocked)?;
        // With a further factor the output has its shape, too; what is replaced ends at the gate and its partner.
        if attempt.other.is_some() {
            guards::shape(&self.facts, attempt.gate, root).map_err(blocked)?;
            guards::shape(&self.facts, attempt.partner, root).map_err(blocked)?;
            guards::shape(&self.facts, end, output).map_err(blocked)?;
        } else {
            guards::shape(&self.facts, end, root).map_err(blocked)?;
        }
        if let Some(tensor) = tensor
            && self.is_full_rank(tensor, root)
        {
            return Err(Why::Blocked(Block::FullRankBeta(tensor)));
        }
        let activation = settled(attempt.reading.activation, element);
        let node = pattern.nodes.first().copied().unwrap_or(Node(0));
        let wanted = Wanted {
            activation,
            element,
            opset: self.graph.opset(node),
            has_hard_sigmoid: pattern
                .nodes
                .iter()
                .any(|&node| self.graph.op(node) == Op::HardSigmoid),
        };
        let target = choose(self.options.emit, &wanted)
            .map_err(|cannot| Why::Blocked(Block::Target(cannot)))?;
        if self.graph.is_redefined(target.op()) {
            return Err(Why::Blocked(Block::Target(Cannot::NameTaken(
                target.op().name(),
            ))));
        }
        let k = if element.same(k, 1.0) {
            1.0
        } else {
            element.round(k)
        };
        let fusion = Fusion {
            end,
            root,
            activation,
            target,
            k,
            other: attempt.other,
            element,
            spelling: self.spelling(&pattern),
            pattern,
        };
        if self.is_written_already(&fusion) {
            return Ok(None);
        }
        self.affordable(&fusion).map_err(blocked)?;
        Ok(Some(fusion))
    }

    /// A computed tensor of the size of x is no parameter of x: `x · σ(x · y)` gates by two tensors.
    fn is_full_rank(&self, tensor: Value, root: Value) -> bool {
        let computed = matches!(
            self.graph.source(tensor),
            Source::Node(_) | Source::Input | Source::Nowhere
        );
        let scalar = self.facts.shapes.rank(self.facts.shape(tensor)) == Some(0);
        computed
            && !scalar
            && self.facts.known_constant(tensor).is_none()
            && self.facts.same_shape(tensor, root)
    }

    fn spelling(&self, pattern: &Pattern) -> Spelling {
        let has = |op| pattern.nodes.iter().any(|&node| self.graph.op(node) == op);
        if has(Op::Exp) {
            Spelling::Exponential
        } else if has(Op::Tanh) || (has(Op::Sigmoid) && (has(Op::Sub) || has(Op::Add))) {
            Spelling::Cancels
        } else {
            Spelling::Plain
        }
    }

    /// HardSigmoid and Mul, where that is what would be written.
    fn is_written_already(&self, fusion: &Fusion) -> bool {
        matches!(fusion.target, Target::HardSigmoidMul { .. })
            && fusion.k == 1.0
            && fusion.other.is_none()
            && fusion.pattern.nodes.len() == 2
            && fusion
                .pattern
                .nodes
                .iter()
                .any(|&node| self.graph.op(node) == Op::HardSigmoid)
    }

    /// What is written must be less than what was there, and its constants must have a type.
    fn affordable(&self, fusion: &Fusion) -> Result<(), Block> {
        let mut nodes = if matches!(fusion.target, Target::HardSigmoidMul { .. }) {
            2
        } else {
            1
        };
        nodes += usize::from(fusion.k != 1.0) + usize::from(fusion.other.is_some());
        let mut constants = Vec::new();
        if fusion.k != 1.0 {
            constants.push(fusion.k);
        }
        match fusion.target {
            Target::FusedSwish(Beta::Number(number)) => constants.push(number),
            Target::FusedSwish(Beta::Times(scale, _)) if scale != 1.0 => {
                nodes += 1;
                constants.push(scale);
            }
            Target::FusedSwish(Beta::Over(scale, _)) => {
                nodes += 1;
                constants.push(scale);
            }
            _ => {}
        }
        if nodes >= fusion.pattern.nodes.len() {
            return Err(Block::NoGain);
        }
        let unknown = fusion.element == Element::Unknown;
        if unknown
            && constants.iter().any(|&number| {
                self.facts
                    .scalar_among(&fusion.pattern.constants, number, fusion.element)
                    .is_none()
            })
        {
            return Err(Block::Target(Cannot::UnknownElement));
        }
        Ok(())
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

    /// An operator that makes gates, of which too little is known here.
    fn is_opaque_gate(&self, value: Value) -> bool {
        let root = self.forms.linear(value).root;
        self.forms.core(root) == Core::Opaque
            && self.graph.producer(root).is_some_and(|node| {
                matches!(
                    self.graph.op(node),
                    Op::Clip | Op::HardSigmoid | Op::Sigmoid | Op::Tanh
                )
            })
    }
}

/// The numbers of an activation as a tensor of this type has them.
fn settled(activation: Activation, element: Element) -> Activation {
    let one = |number: f64| {
        if element.same(number, 1.0) {
            1.0
        } else {
            element.round(number)
        }
    };
    match activation {
        Activation::Swish(Beta::Number(number)) => Activation::Swish(Beta::Number(one(number))),
        Activation::Swish(Beta::Times(scale, tensor)) => {
            Activation::Swish(Beta::Times(one(scale), tensor))
        }
        Activation::Swish(Beta::Over(scale, tensor)) => {
            Activation::Swish(Beta::Over(one(scale), tensor))
        }
        Activation::HardSwish { alpha, beta } if is_standard_slope(element, alpha, beta) => {
            Activation::HardSwish {
                alpha: 1.0 / 6.0,
                beta: 0.5,
            }
        }
        // Attributes are float32, whatever the tensor is.
        Activation::HardSwish { alpha, beta } => Activation::HardSwish { alpha, beta },
    }
}
