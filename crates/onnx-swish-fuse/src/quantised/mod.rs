//! Forms read through quantisation: what a quantised graph computes up to rounding, and the regions that compute a Swish.
//! Given: nodes in topological order.
//! Promises: these forms say what is *meant*, and nothing in the file is ever replaced by them: rounding in between changes
//! values. A region from one 8-bit code to another is a table of 256 entries, whatever stands inside.
//!
//! A code has the form of the number that it stands for. QuantizeLinear makes a root of its own (`Core::Code`), which is
//! what it quantises but for rounding and saturation; DequantizeLinear with the same scale and zero point is the code
//! itself, with others an affine function of it. QLinearSigmoid, QLinearMul and QLinearAdd are DequantizeLinear, the
//! operator, QuantizeLinear.

mod judge;
pub(crate) mod params;
mod regions;

use std::collections::HashMap;

use crate::element::Element;
use crate::facts::Facts;
use crate::forms::products::{Activation, Beta, Mismatch, Reading};
use crate::forms::transfer::transfer;
use crate::forms::{Core, Forms, Linear, Quantisation};
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;
use crate::pattern::same_permutation;
use params::{Flaw, Quantiser, code_type};
pub(crate) use regions::{Obstacle, Region, Unfinished};

/// Quotients of this magnitude and above leave the range of 32-bit integers.
const QUOTIENT_LIMIT: f64 = 2_147_483_648.0;

/// Everything between two numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
}

impl Range {
    const ALL: Self = Self {
        lo: f64::NEG_INFINITY,
        hi: f64::INFINITY,
    };

    fn of(ends: &[f64]) -> Self {
        if ends.iter().any(|end| end.is_nan()) {
            return Self::ALL;
        }
        Self {
            lo: ends.iter().copied().fold(f64::INFINITY, f64::min),
            hi: ends.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn map(self, function: impl Fn(f64) -> f64) -> Self {
        Self::of(&[function(self.lo), function(self.hi)])
    }

    fn magnitude(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }
}

/// A node's operand: a constant or a value of the forms.
#[derive(Debug, Clone, Copy)]
enum Operand {
    Number(f64),
    Value(Value),
}

/// A product of a gate and a partner, as values of the forms and as the file names them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Try {
    pub(crate) gate: Value,
    pub(crate) partner: Value,
    pub(crate) inverted: bool,
    pub(crate) names: (Value, Value),
}

/// What a product is when it is read through quantisation.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// An activation of a number that a code stands for.
    Activation,
    /// An activation of something that was never quantised.
    OfFloat,
    /// None, though one operand is a gate.
    Mismatch(Mismatch, (Value, Value)),
}

/// Everything known of quantised values.
pub(crate) struct Quantised {
    pub(crate) forms: Forms,
    ranges: Vec<Range>,
    /// What the form of a code takes for its scale and zero point.
    codes: HashMap<Value, Quantiser>,
    /// Codes by what they quantise, and how.
    quantised: HashMap<(Value, u64, u64, i32), Value>,
    /// Further codes that are the same as a root.
    aliases: HashMap<Value, Vec<Value>>,
    /// Nodes that no table can hold.
    flaws: HashMap<Node, Flaw>,
    /// Products that are activations of a code, and what the file calls gate and partner.
    products: HashMap<Value, (Vec<Reading>, (Value, Value))>,
    /// Their gates.
    gates: HashMap<Value, Value>,
    regions: Vec<Region>,
    by_product: HashMap<Value, usize>,
    unfinished: Vec<Unfinished>,
}

impl Quantised {
    /// Nothing known yet; nothing at all for a graph without quantisation.
    pub(crate) fn new(graph: &Graph<'_>) -> Option<Self> {
        let quantises = |node| {
            let op = graph.op(node);
            op == Op::DequantizeLinear || op.is_quantised_arithmetic()
        };
        let any = (0..graph.node_count() as u32).map(Node).any(quantises);
        any.then(|| Self {
            forms: Forms::new(graph.value_count()),
            ranges: vec![Range::ALL; graph.value_count()],
            codes: HashMap::new(),
            quantised: HashMap::new(),
            aliases: HashMap::new(),
            flaws: HashMap::new(),
            products: HashMap::new(),
            gates: HashMap::new(),
            regions: Vec::new(),
            by_product: HashMap::new(),
            unfinished: Vec::new(),
        })
    }

    fn range(&self, value: Value) -> Range {
        self.ranges
            .get(value.index())
            .copied()
            .unwrap_or(Range::ALL)
    }

    fn set_range(&mut self, value: Value, range: Range) {
        // Forms make values of their own, behind those of the file.
        if value.index() >= self.ranges.len() && !value.is_absent() {
            self.ranges.resize(value.index() + 1, Range::ALL);
        }
        if let Some(slot) = self.ranges.get_mut(value.index()) {
            *slot = range;
        }
    }

    /// Gives the outputs of `node` their forms, and finds the activation that they may be.
    pub(crate) fn visit(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
    ) -> Option<Meaning> {
        let output = *graph.outputs(node).first()?;
        if output.is_absent() || facts.constant(graph, output).is_some() {
            return None;
        }
        let op = graph.op(node);
        match op {
            Op::QuantizeLinear => {
                self.quantize_linear(graph, facts, node, output);
                None
            }
            Op::DequantizeLinear => {
                self.dequantize_linear(graph, facts, node, output);
                None
            }
            _ if op.is_quantised_arithmetic() => self.arithmetic(graph, facts, node, output),
            Op::Identity | Op::Cast if facts.element(output).is_not_float() => {
                self.pass_on(graph, node, output);
                None
            }
            _ => {
                transfer(&mut self.forms, graph, facts, node);
                let range = self.infer_range(output);
                self.set_range(output, range);
                if op.is_fused() {
                    return self.fused(graph, facts, node, output);
                }
                let tries: Vec<Try> = match self.forms.core(output) {
                    Core::Mul(a, b) => tries(&[(a, false, b), (b, false, a)]),
                    Core::Div(a, b) => tries(&[(b, true, a)]),
                    _ => return None,
                };
                self.product(graph, output, &tries)
            }
        }
    }

    /// A code under another name.
    fn pass_on(&mut self, graph: &Graph<'_>, node: Node, output: Value) {
        let Some(&input) = graph.inputs(node).first() else {
            return;
        };
        if graph.op(node) == Op::Cast && code_type(graph, input) != code_type(graph, output) {
            return;
        }
        self.alias(output, input);
    }

    fn alias(&mut self, output: Value, code: Value) {
        let linear = self.forms.linear(code);
        self.forms.set_linear(output, linear);
        self.set_range(output, self.range(code));
        self.aliases.entry(linear.root).or_default().push(output);
    }

    fn quantize_linear(&mut self, graph: &Graph<'_>, facts: &mut Facts, node: Node, output: Value) {
        let of = graph.inputs(node).first().copied();
        if let (Some(of), Some(quantiser)) = (of, Quantiser::of_node(graph, facts, node)) {
            self.quantise(graph, facts, node, of, output, quantiser);
        }
    }

    /// `output` becomes the code of `of`.
    fn quantise(
        &mut self,
        graph: &Graph<'_>,
        facts: &Facts,
        node: Node,
        of: Value,
        output: Value,
        quantiser: Quantiser,
    ) {
        let range = self.range(of);
        if let Some(flaw) = quantiser.flaw {
            self.flaws.insert(node, flaw);
        } else if range.magnitude().is_finite()
            && range.magnitude() / quantiser.scale >= QUOTIENT_LIMIT
        {
            let flaw = Flaw::Quotients(quantiser.scale_value);
            self.flaws.insert(node, flaw);
        } else {
            let linear = self.forms.linear(of);
            let same = if linear.p == 1.0 && linear.q == 0.0 {
                linear.root
            } else {
                of
            };
            let (scale, zero) = (quantiser.scale.to_bits(), quantiser.zero.to_bits());
            let key = (same, scale, zero, quantiser.code.unwrap_or(0));
            // Another code of one value, by the same rule, in the same graph: one code.
            match self.quantised.get(&key) {
                Some(&code) if graph.value_scope(code) == graph.value_scope(output) => {
                    return self.alias(output, code);
                }
                Some(_) => {}
                None => {
                    self.quantised.insert(key, output);
                }
            }
        }
        let (lo, hi) = (quantiser.lowest(), quantiser.highest());
        let step = quantiser.scale;
        let quantisation = Quantisation {
            lo,
            hi,
            step,
            // Beyond an end by no more than a step: the code at the end is the nearest or next to it.
            saturates: range.lo < lo - step || range.hi > hi + step,
        };
        self.forms.set_code(output, of, quantisation);
        self.set_range(
            output,
            Range {
                lo: (range.lo - step).max(lo),
                hi: (range.hi + step).min(hi),
            },
        );
        self.codes.insert(output, quantiser);
        self.finish(graph, facts, node, of, output);
    }

    fn dequantize_linear(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
        output: Value,
    ) {
        let &[code, scale, ..] = graph.inputs(node) else {
            return;
        };
        let zero = graph
            .inputs(node)
            .get(2)
            .copied()
            .filter(|zero| !zero.is_absent());
        self.number_behind(graph, facts, node, code, (scale, zero), output);
    }

    /// `output` becomes the number that a code stands for.
    fn number_behind(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
        code: Value,
        (scale, zero): (Value, Option<Value>),
        output: Value,
    ) {
        let quantiser = Quantiser::new(graph, facts, scale, zero, code_type(graph, code));
        if let Some(flaw) = quantiser.flaw {
            self.flaws.insert(node, flaw);
        }
        let line = self.forms.linear(code);
        let form = match self.codes.get(&line.root) {
            Some(known) if known.flaw.is_some() || quantiser.flaw.is_some() => Some(line),
            Some(known) => {
                let factor = quantiser.scale / known.scale;
                let offset = (known.zero - quantiser.zero) * quantiser.scale;
                line.then(factor, offset)
            }
            None => {
                self.codes.insert(line.root, quantiser);
                let (lo, hi) = (quantiser.lowest(), quantiser.highest());
                self.set_range(line.root, Range { lo, hi });
                Some(line)
            }
        };
        if let Some(form) = form {
            self.forms.set_linear(output, form);
            let range = self.range(form.root).map(|end| form.p * end + form.q);
            self.set_range(output, range);
        }
    }

    /// One end of a QLinear operator, whose code, scale and zero point are the inputs from `first` on.
    fn operand(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
        first: usize,
    ) -> Option<Operand> {
        let input = |index: usize| graph.inputs(node).get(index).copied();
        let (code, scale) = (input(first)?, input(first + 1)?);
        let zero = input(first + 2).filter(|zero| !zero.is_absent());
        if let Some(number) = facts.number(graph, code) {
            let quantiser = Quantiser::new(graph, facts, scale, zero, code_type(graph, code));
            if let Some(flaw) = quantiser.flaw {
                self.flaws.insert(node, flaw);
            }
            return Some(Operand::Number(quantiser.number(number)));
        }
        let value = self.forms.fresh();
        self.number_behind(graph, facts, node, code, (scale, zero), value);
        Some(Operand::Value(value))
    }

    /// QLinearSigmoid, QLinearMul and QLinearAdd.
    fn arithmetic(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
        output: Value,
    ) -> Option<Meaning> {
        let op = graph.op(node);
        let a = self.operand(graph, facts, node, 0)?;
        let (result, scale) = (
            self.forms.fresh(),
            if op == Op::QLinearSigmoid { 3 } else { 6 },
        );
        match (op, a) {
            (Op::QLinearSigmoid, Operand::Value(a)) => {
                self.forms.set_core(result, Core::Sigmoid(a));
            }
            (Op::QLinearMul | Op::QLinearAdd, a) => {
                let b = self.operand(graph, facts, node, 3)?;
                self.binary(op, a, b, result);
            }
            _ => return None,
        }
        let range = self.infer_range(result);
        self.set_range(result, range);
        let input = |index: usize| graph.inputs(node).get(index).copied();
        let names = |index: usize| input(index).unwrap_or(Value::ABSENT);
        let meaning = match self.forms.core(result) {
            Core::Mul(a, b) => {
                let (x, y) = (names(0), names(3));
                let tries = [(a, b, (x, y)), (b, a, (y, x))].map(|(gate, partner, names)| Try {
                    gate,
                    partner,
                    inverted: false,
                    names,
                });
                self.product(graph, result, &tries)
            }
            _ => None,
        };
        let zero = input(scale + 1).filter(|zero| !zero.is_absent());
        let quantiser = Quantiser::new(
            graph,
            facts,
            input(scale)?,
            zero,
            input(0).and_then(|code| code_type(graph, code)),
        );
        self.quantise(graph, facts, node, result, output, quantiser);
        meaning
    }

    fn binary(&mut self, op: Op, a: Operand, b: Operand, result: Value) {
        let line = |forms: &Forms, value: Value, number: f64| {
            let line = forms.linear(value);
            if op == Op::QLinearMul {
                line.then(number, 0.0)
            } else {
                line.then(1.0, number)
            }
        };
        match (a, b) {
            (Operand::Number(number), Operand::Value(value))
            | (Operand::Value(value), Operand::Number(number)) => {
                if let Some(line) = line(&self.forms, value, number) {
                    self.forms.set_linear(result, line);
                }
            }
            (Operand::Value(a), Operand::Value(b)) if op == Op::QLinearMul => {
                self.forms.set_core(result, Core::Mul(a, b));
            }
            _ => {}
        }
    }

    /// Bounds of a value, from those of what it is made of.
    fn infer_range(&self, value: Value) -> Range {
        let Linear { root, p, q } = self.forms.linear(value);
        if root != value {
            return self.range(root).map(|end| p * end + q);
        }
        match self.forms.core(value) {
            Core::Sigmoid(z) => self.range(z).map(judge::sigmoid),
            Core::Tanh(z) => self.range(z).map(f64::tanh),
            Core::Exp(z) => self.range(z).map(f64::exp),
            Core::Cast(z) | Core::Transpose(z) => self.range(z),
            Core::Clamp(of, bounds) => match self.forms.bounds(bounds) {
                Some(b) => self
                    .range(of)
                    .map(|end| (b.p * end + b.q).max(b.lo).min(b.hi)),
                None => Range::ALL,
            },
            Core::Reciprocal(of, numerator) => {
                let (range, numerator) = (self.range(of), self.forms.numerator(numerator));
                if range.lo > 0.0 || range.hi < 0.0 {
                    range.map(|end| numerator / end)
                } else {
                    Range::ALL
                }
            }
            Core::Mul(a, b) => {
                let (a, b) = (self.range(a), self.range(b));
                let ends = [a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi];
                Range::of(&ends)
            }
            _ => Range::ALL,
        }
    }

    /// A Swish or HardSwish that is one operator.
    fn fused(
        &mut self,
        graph: &Graph<'_>,
        facts: &mut Facts,
        node: Node,
        output: Value,
    ) -> Option<Meaning> {
        let x = *graph.inputs(node).first()?;
        let number = |name: &[u8]| match graph.float(node, name) {
            Attribute::Is(value) => Some(f64::from(value)),
            _ => None,
        };
        let default = |name: &[u8], default: f64| match graph.float(node, name) {
            Attribute::Absent => Some(default),
            _ => number(name),
        };
        let sixth = Activation::HardSwish {
            alpha: 1.0 / 6.0,
            beta: 0.5,
        };
        let swish = |beta| Activation::Swish(Beta::Number(beta));
        let activation = match graph.op(node) {
            Op::FusedSilu => swish(1.0),
            Op::Swish => swish(default(b"alpha", 1.0)?),
            Op::QuickGelu => swish(default(b"alpha", crate::ops::QUICK_GELU_ALPHA.into())?),
            Op::FusedSwish => swish(facts.number(graph, *graph.inputs(node).get(1)?)?),
            Op::FusedHardSwish | Op::HardSwish => sixth,
            Op::FusedSlopedHardSwish => Activation::HardSwish {
                alpha: number(b"alpha")?,
                beta: number(b"beta")?,
            },
            _ => return None,
        };
        // A gate between 0 and 1: never larger than x.
        let magnitude = self.range(x).magnitude();
        self.set_range(
            output,
            Range {
                lo: -magnitude,
                hi: magnitude,
            },
        );
        let reading = Reading {
            root: x,
            k: 1.0,
            activation,
        };
        if self.is_code(x) {
            self.products.insert(output, (vec![reading], (output, x)));
        }
        // One operator needs no explanation.
        None
    }

    /// Whether a value is a line over a code.
    fn is_code(&self, value: Value) -> bool {
        self.codes.contains_key(&self.forms.linear(value).root)
    }

    /// What a product of these is.
    fn product(&mut self, graph: &Graph<'_>, output: Value, tries: &[Try]) -> Option<Meaning> {
        let mut mismatch = None;
        let mut of_float = false;
        for attempt in tries {
            let Try { gate, partner, .. } = *attempt;
            let root = self.forms.linear(partner).root;
            let before = if root == partner { vec![] } else { vec![root] };
            let same = |a, b| same_permutation(graph, a, b);
            let inverted = attempt.inverted;
            match self
                .forms
                .activation(gate, inverted, partner, &before, Element::F32, same)
            {
                Some(Ok(readings)) => {
                    let of_code = |reading: &Reading| self.is_code(reading.root);
                    let readings: Vec<Reading> = readings.into_iter().filter(of_code).collect();
                    if !readings.is_empty() {
                        let names = attempt.names;
                        self.gates.insert(output, gate);
                        self.products.insert(output, (readings, names));
                        return Some(Meaning::Activation);
                    }
                    of_float = true;
                }
                Some(Err(why)) => {
                    let why = match why {
                        Mismatch::AnotherTensor => self.cut(gate, partner).unwrap_or(why),
                        _ => why,
                    };
                    let deserves = inverted || self.forms.has_gate_operator(gate);
                    if deserves
                        && mismatch.is_none_or(|(known, _)| known == Mismatch::AnotherTensor)
                    {
                        mismatch = Some((why, attempt.names));
                    }
                }
                None => {}
            }
        }
        if of_float {
            return Some(Meaning::OfFloat);
        }
        mismatch.map(|(why, names)| Meaning::Mismatch(why, names))
    }

    /// A gate of its partner, but for a quantiser that cuts off a part of it.
    fn cut(&self, gate: Value, partner: Value) -> Option<Mismatch> {
        let (code, argument) = self.forms.cut_gate(gate)?;
        let root = self.forms.linear(partner).root;
        self.forms.over(argument, root)?;
        Some(Mismatch::Saturates(code))
    }
}

fn tries(pairs: &[(Value, bool, Value)]) -> Vec<Try> {
    let one = |&(gate, inverted, partner): &(Value, bool, Value)| Try {
        gate,
        partner,
        inverted,
        names: (gate, partner),
    };
    pairs.iter().map(one).collect()
}
