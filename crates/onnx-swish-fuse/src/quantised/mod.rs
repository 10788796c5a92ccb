//! Forms read through quantisation: what a quantised graph computes up to rounding, and the regions that compute a Swish.
//! Given: nodes in topological order.
//! Promises: these forms say what is *meant*, and nothing in the file is ever replaced by them: rounding in between changes
//! values. A region from one 8-bit code to another is a table of 256 entries, whatever stands inside.
//!
//! A code has the form of the number that it stands for. QuantizeLinear makes a root of its own (`Core::Code`), which is
//! what it quantises but for rounding and saturation; DequantizeLinear with the same scale and zero point is the code
//! itself, with others an affine function of it. QLinearSigmoid, QLinearMul and QLinearAdd are DequantizeLinear, the
//! operator, QuantizeLinear.

mod chain;
mod judge;
mod moves;
pub(crate) mod params;
mod readings;
mod regions;

use std::collections::HashMap;

use crate::facts::Facts;
use crate::forms::gates::Almost;
use crate::forms::products::{Activation, Beta, Mismatch, Reading};
use crate::forms::transfer::transfer;
use crate::forms::{Core, Forms, Quantisation};
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;
use params::{Flaw, Quantiser, code_type};
use readings::tries;
pub(crate) use regions::{Obstacle, Region, Unfinished};

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

/// One reading of a product that may be an activation, until numbers have judged it.
#[derive(Debug, Clone, Copy)]
struct Claim {
    reading: Reading,
    /// Gate and partner; nothing where one operator is the activation.
    attempt: Option<Try>,
    /// What the file calls them.
    names: (Value, Value),
    /// Whether operators, not only quantisers, bound the gate.
    by_operator: bool,
}

/// What a product is when it is read through quantisation, with its gate and partner as the file names them.
#[derive(Debug, Clone)]
pub(crate) enum Meaning {
    /// An activation of a number that a code stands for.
    Activation((Value, Value)),
    /// An activation of something that was never quantised.
    OfFloat((Value, Value)),
    /// None, though one operand is a gate.
    Mismatch(Mismatch, (Value, Value)),
    /// None, though one operand looks like a gate.
    Almost(Almost, (Value, Value)),
    /// Perhaps one, but for a quantiser whose numbers admit no table.
    Flawed(Flaw, (Value, Value)),
}

/// Everything known of quantised values.
pub(crate) struct Quantised {
    pub(crate) forms: Forms,
    /// What the form of a code takes for its scale and zero point.
    codes: HashMap<Value, Quantiser>,
    /// Codes by what they quantise, and how.
    quantised: HashMap<(Value, u64, u64, i32), Value>,
    /// Further codes that are the same as a root.
    aliases: HashMap<Value, Vec<Value>>,
    /// Nodes that no table can hold.
    flaws: HashMap<Node, Flaw>,
    /// Products that may be activations of a code.
    products: HashMap<Value, Vec<Claim>>,
    regions: Vec<Region>,
    /// Regions by the node that makes the code that leaves.
    ends: HashMap<Node, usize>,
    /// How many codes of each have been judged.
    results: HashMap<Value, u32>,
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
            codes: HashMap::new(),
            quantised: HashMap::new(),
            aliases: HashMap::new(),
            flaws: HashMap::new(),
            products: HashMap::new(),
            regions: Vec::new(),
            ends: HashMap::new(),
            results: HashMap::new(),
            unfinished: Vec::new(),
        })
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
            Op::Transpose => {
                self.transpose(graph, facts, node, output);
                None
            }
            _ if op.is_quantised_arithmetic() => self.arithmetic(graph, facts, node, output),
            Op::Identity | Op::Cast if facts.element(output).is_not_float() => {
                self.pass_on(graph, node, output);
                None
            }
            _ => {
                transfer(&mut self.forms, graph, facts, node);
                if op.is_fused() {
                    return self.fused(graph, facts, node, output);
                }
                let tries: Vec<Try> = match self.forms.core(output) {
                    Core::Mul(a, b) => tries(&[(a, false, b), (b, false, a)]),
                    Core::Div(a, b) => tries(&[(b, true, a)]),
                    _ => return None,
                };
                self.product(graph, facts, output, &tries)
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
        if let Some(flaw) = quantiser.flaw {
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
        let quantisation = Quantisation {
            lo: quantiser.lowest(),
            hi: quantiser.highest(),
            step: quantiser.scale,
        };
        self.forms.set_code(output, of, quantisation);
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
                Some(line)
            }
        };
        if let Some(form) = form {
            self.forms.set_linear(output, form);
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
                self.product(graph, facts, result, &tries)
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
        let reading = Reading {
            root: x,
            k: 1.0,
            activation,
        };
        if self.is_code(x) {
            let claim = Claim {
                reading,
                attempt: None,
                names: (output, x),
                by_operator: true,
            };
            self.products.insert(output, vec![claim]);
        }
        // One operator needs no explanation.
        None
    }

    /// Whether a value is a line over a code.
    fn is_code(&self, value: Value) -> bool {
        self.codes.contains_key(&self.forms.linear(value).root)
    }
}
