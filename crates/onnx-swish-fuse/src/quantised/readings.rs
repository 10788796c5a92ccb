//! What a product of two quantised values may be: readings, which numbers then judge.
//! Given: forms read through quantisation, and the operands of a product.
//! Promises: every reading of a bounded number, over each code that the partner is a line of; and where there is none, what
//! an operand that is a gate is instead.

use super::params::Flaw;
use super::{Claim, Meaning, Quantised, Try};
use crate::element::Element;
use crate::facts::Facts;
use crate::forms::gates::Almost;
use crate::forms::products::{Activation, Candidate, Mismatch, Reading, proportion, substitute};
use crate::forms::{Core, Forms, Linear};
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;

/// Over how many codes, one quantised from the other, a product is read.
const MAX_LEVELS: usize = 4;

/// Most readings of one product: both orders, over each code, and each number that may be the gate's 1. Each is judged, so
/// that their number must not grow with what a file quantises one after the other.
const MAX_CLAIMS: usize = 16;

/// How far back from an operand a gate is looked for, over nodes that only move or quantise it.
const MAX_BEHIND: usize = 12;

/// How far a constant may be off because it was quantised itself, relative to its size: half a step of the 127 that an
/// 8-bit code has on one side of zero. Symmetric quantisers store 1 as 127/128 of their largest number.
pub(super) const CONSTANT: f64 = 1.0 / 128.0;

/// Where the lines of the hard sigmoids that people write cross zero: `x/6 + 1/2`, Keras' `x/5 + 1/2` and HardMish's `x/2 + 1`.
const CROSSINGS: [f64; 3] = [3.0, 2.5, 2.0];

/// What was found of one product.
#[derive(Default)]
struct Found {
    claims: Vec<Claim>,
    of_float: Option<(Value, Value)>,
    mismatch: Option<(Mismatch, (Value, Value))>,
    almost: Option<(Almost, (Value, Value))>,
}

impl Found {
    /// "Another tensor" says least: anything else takes its place.
    fn differs(&mut self, why: Mismatch, names: (Value, Value)) {
        if self
            .mismatch
            .is_none_or(|(known, _)| known == Mismatch::AnotherTensor)
        {
            self.mismatch = Some((why, names));
        }
    }
}

impl Quantised {
    /// What a product of these is.
    pub(super) fn product(
        &mut self,
        graph: &Graph<'_>,
        facts: &Facts,
        output: Value,
        tries: &[Try],
    ) -> Option<Meaning> {
        let mut found = Found::default();
        for attempt in tries {
            self.attempt(graph, *attempt, &mut found);
        }
        let Found {
            mut claims,
            of_float,
            mismatch,
            almost,
        } = found;
        if !claims.is_empty() {
            // A quantiser alone may make a gate of a line, and mostly does not, unless it is a hard sigmoid's.
            let gate = claims.iter().find(|claim| self.is_worth_explaining(claim));
            let names = gate.map(|claim| claim.names);
            claims.truncate(MAX_CLAIMS);
            self.products.insert(output, claims);
            return names.map(Meaning::Activation);
        }
        if let Some(names) = of_float {
            return Some(Meaning::OfFloat(names));
        }
        match (mismatch, almost) {
            (Some((why, names)), _) => Some(Meaning::Mismatch(why, names)),
            (None, Some((almost, names))) => Some(Meaning::Almost(almost, names)),
            (None, None) => tries.iter().find_map(|attempt| {
                let flaw = self.unknown_line(graph, facts, attempt)?;
                Some(Meaning::Flawed(flaw, attempt.names))
            }),
        }
    }

    /// `x · Q(x + c)` with a number c that nothing says, behind a quantiser that admits no table: what would be a HardSwish if
    /// c is 3. What is the matter with the quantiser.
    fn unknown_line(&self, graph: &Graph<'_>, facts: &Facts, attempt: &Try) -> Option<Flaw> {
        let direct = self.forms.linear(attempt.gate).root;
        let flaw = *self.flaws.get(&graph.producer(direct)?)?;
        let line = self.forms.linear(attempt.gate);
        let sum = self.forms.behind_quantisers(line, Value::ABSENT).root;
        let node = graph.producer(sum)?;
        let &[a, b] = graph.inputs(node) else {
            return None;
        };
        let x = self.forms.linear(attempt.partner).root;
        let is_x = |value| self.forms.linear(value).root == x;
        let is_number = |value| facts.shapes.rank(facts.shape(value)) == Some(0);
        let sums =
            graph.op(node) == Op::Add && (is_x(a) && is_number(b) || is_x(b) && is_number(a));
        sums.then_some(flaw)
    }

    /// Reads one operand as the gate of the other.
    fn attempt(&self, graph: &Graph<'_>, attempt: Try, found: &mut Found) {
        let Try {
            gate,
            partner,
            inverted,
            names,
        } = attempt;
        let ends = self.ends(partner);
        for (level, &end) in ends.iter().enumerate() {
            let here = self
                .forms
                .behind_quantisers(self.forms.linear(partner), end);
            let root = Candidate {
                value: end,
                linear: Linear::root(end),
            };
            let candidates = if level == 0 && partner != end {
                vec![
                    root,
                    Candidate {
                        value: partner,
                        linear: here,
                    },
                ]
            } else {
                vec![root]
            };
            let (readings, by_operator) = match self.logistic(gate, inverted, end) {
                Some((k, argument)) => {
                    let element = Element::F32;
                    let readings = self.forms.swish(k, argument, here, &candidates, element);
                    (readings, true)
                }
                None if inverted => continue,
                None => self.clamped(gate, here, &candidates),
            };
            match readings {
                Ok(readings) => {
                    let of_code = |reading: &Reading| self.is_code(reading.root);
                    let is_gate = by_operator || self.has_hard_line(gate);
                    if is_gate && readings.iter().any(|reading| !of_code(reading)) {
                        found.of_float.get_or_insert(names);
                    }
                    let readings = readings.into_iter().filter(of_code);
                    found.claims.extend(readings.map(|reading| Claim {
                        reading,
                        attempt: Some(attempt),
                        names,
                        by_operator,
                    }));
                }
                // Farther back is another value, of which the gate need not be a function.
                Err(why)
                    if level == 0
                        && (self.is_gate(gate, inverted)
                            || by_operator && why == Mismatch::HalfOpen) =>
                {
                    found.differs(why, names);
                }
                Err(_) => {}
            }
        }
        if found.claims.is_empty() {
            match self.almost(gate) {
                Some(almost) if !inverted => {
                    found.almost.get_or_insert((almost, names));
                }
                _ if self.is_gate_behind(graph, names.0) => {
                    found.differs(Mismatch::AnotherTensor, names);
                }
                _ => {}
            }
        }
    }

    /// The root of a value, and the codes from which that was quantised.
    fn ends(&self, value: Value) -> Vec<Value> {
        let mut ends = vec![self.forms.linear(value).root];
        while ends.len() < MAX_LEVELS
            && let Some(&last) = ends.last()
            && let Core::Code(of, _) = self.forms.core(last)
        {
            let before = self.forms.linear(of).root;
            if !self.codes.contains_key(&before) {
                break;
            }
            ends.push(before);
        }
        ends
    }

    /// `k·σ(argument)`, looking through quantisers as far as `end`. An offset that rounding a constant can have made is none.
    fn logistic(&self, gate: Value, inverted: bool, end: Value) -> Option<(f64, Linear)> {
        let forms = &self.forms;
        if inverted {
            return forms.logistic_denominator(gate, end);
        }
        let outer = forms.behind_quantisers(forms.linear(gate), end);
        let (k, offset, argument) = match forms.core(outer.root) {
            Core::Sigmoid(z) => (outer.p, outer.q, forms.linear(z)),
            // tanh(z) = 2 σ(2z) - 1
            Core::Tanh(z) => {
                let argument = forms.linear(z).then(2.0, 0.0)?;
                (2.0 * outer.p, outer.q - outer.p, argument)
            }
            Core::Reciprocal(z, numerator) => {
                let (k, argument) = forms.logistic_denominator(z, end)?;
                (outer.p * forms.numerator(numerator) * k, outer.q, argument)
            }
            _ => return None,
        };
        let is_zero = |number: f64| number.abs() <= k.abs() * CONSTANT;
        if is_zero(offset) {
            Some((k, argument))
        } else if is_zero(offset + k) {
            // k·σ(z) - k = -k·σ(-z)
            Some((-k, argument.then(-1.0, 0.0)?))
        } else {
            None
        }
    }

    /// The readings of a gate that is a clamp, and whether operators bound it on both sides, or on one where that is all there is.
    ///
    /// Which number the gate is 1 at is known where an operator bounds it. Where only quantisers do, it may be the number at
    /// which a quantiser ends, or twice the number that the gate is at zero: a hard sigmoid is 1/2 there.
    fn clamped(
        &self,
        gate: Value,
        here: Linear,
        candidates: &[Candidate],
    ) -> (Result<Vec<Reading>, Mismatch>, bool) {
        let Some(bounded) = self.forms.bounded(gate, here.root) else {
            return (Err(Mismatch::AnotherTensor), false);
        };
        let by_operator = bounded.is_by_operator();
        if bounded.line.root != here.root {
            let before = self.forms.before_quantiser(here.root);
            let why = if before == Some(bounded.line.root) {
                if bounded.is_quantised_first {
                    Mismatch::TwoQuantisers(bounded.line.root)
                } else {
                    Mismatch::Unquantised(bounded.line.root)
                }
            } else {
                Mismatch::AnotherTensor
            };
            return (Err(why), by_operator);
        }
        if bounded.line == self.forms.linear(gate) {
            // A multiple of the partner's own root: x², or a gate times itself.
            return (Err(Mismatch::AnotherTensor), false);
        }
        if !by_operator && bounded.codes.is_empty() {
            return (Err(Mismatch::HalfOpen), false);
        }
        let is_half_open = bounded.lo.is_finite() != bounded.hi.is_finite();
        if is_half_open && bounded.line.q == 0.0 {
            // x·relu(x): what is nothing but a multiple of x is no gate, wherever a quantiser ends.
            return (Err(Mismatch::HalfOpen), true);
        }
        let mut units = Vec::new();
        if by_operator {
            match (bounded.lo == 0.0, bounded.hi == 0.0) {
                (true, false) => units.push(bounded.hi),
                (false, true) => units.push(bounded.lo),
                _ => return (Err(Mismatch::Bounds(bounded.lo, bounded.hi)), true),
            }
        } else {
            if bounded.line.q > 0.0 {
                units.push(2.0 * bounded.line.q);
            }
            units.extend(bounded.codes.iter().map(|&(_, _, hi)| hi));
            units.retain(|&unit| unit > 0.0);
        }
        let readings = units.iter().flat_map(|&unit| {
            candidates.iter().filter_map(move |candidate| {
                let factor = proportion(here, candidate.linear, Element::F32)?;
                let (p, q) = substitute(bounded.line, candidate.linear);
                Some(Reading {
                    root: candidate.value,
                    k: factor * unit,
                    activation: Activation::HardSwish {
                        alpha: p / unit,
                        beta: q / unit,
                    },
                })
            })
        });
        (Ok(readings.collect()), by_operator)
    }

    /// Whether a value that is no gate of its partner is one all the same. A Relu gates nothing, and a quantiser alone
    /// mostly neither; but one that stands for a Clip does.
    fn is_gate(&self, value: Value, inverted: bool) -> bool {
        inverted || is_gate(&self.forms, value) || self.has_hard_line(value)
    }

    /// Whether quantisers bound a line that only a hard sigmoid has.
    pub(super) fn has_hard_line(&self, value: Value) -> bool {
        let bounded = self.forms.bounded(value, Value::ABSENT);
        bounded.is_some_and(|bounded| !bounded.codes.is_empty() && is_hard(bounded.line))
    }

    /// Why a value that is no gate deserves a word, read through quantisers.
    fn almost(&self, value: Value) -> Option<Almost> {
        let forms = &self.forms;
        let line = forms.behind_quantisers(forms.linear(value), Value::ABSENT);
        let is_gate = |value| is_gate(forms, value);
        match forms.core(line.root) {
            Core::Sigmoid(_) | Core::Tanh(_) => (!is_gate(value)).then_some(Almost::Offset),
            Core::Erf(_) => Some(Almost::Erf),
            Core::Mul(a, b) if is_gate(a) && is_gate(b) => Some(Almost::Power),
            Core::Raised(base) if is_gate(base) => Some(Almost::Power),
            _ => None,
        }
    }

    /// Whether a value is a gate that was moved and quantised, by operators of which forms see nothing.
    fn is_gate_behind(&self, graph: &Graph<'_>, value: Value) -> bool {
        let mut at = value;
        for _ in 0..MAX_BEHIND {
            let Source::Node(node) = graph.source(at) else {
                return false;
            };
            // A HardSigmoid whose numbers make no gate is none to the forms.
            let op = graph.op(node);
            if matches!(op, Op::QLinearSigmoid | Op::HardSigmoid) || graph.absorbs_gate(node) {
                return true;
            }
            if is_gate(&self.forms, at) || self.has_hard_line(at) {
                return true;
            }
            let Some(&next) = graph.inputs(node).first().filter(|_| moves(graph, node)) else {
                return false;
            };
            at = next;
        }
        false
    }
}

/// A sigmoid, or a clamp with two ends; behind quantisers, too.
fn is_gate(forms: &Forms, value: Value) -> bool {
    let end = Value::ABSENT;
    let line = forms.behind_quantisers(forms.linear(value), end);
    match forms.core(line.root) {
        Core::Sigmoid(_) | Core::Tanh(_) | Core::Reciprocal(..) => {
            forms.gate_before(value, end).is_some()
        }
        Core::Clamp(..) => forms
            .bounded(value, end)
            .is_some_and(|bounded| bounded.is_by_operator()),
        _ => false,
    }
}

/// Whether a line is that of a hard sigmoid, times whatever.
pub(super) fn is_hard(line: Linear) -> bool {
    let crossing = line.q / line.p;
    CROSSINGS
        .iter()
        .any(|known| (crossing / known - 1.0).abs() <= CONSTANT)
}

/// Operators that give back the numbers that they are given, elsewhere or rounded.
fn moves(graph: &Graph<'_>, node: Node) -> bool {
    matches!(
        graph.op(node),
        Op::QuantizeLinear
            | Op::DequantizeLinear
            | Op::Identity
            | Op::Cast
            | Op::Transpose
            | Op::Reshape
            | Op::Squeeze
            | Op::Unsqueeze
            | Op::Flatten
            | Op::Expand
            | Op::Dropout
            | Op::Slice
            | Op::Resize
            | Op::ReorderInput
            | Op::ReorderOutput
    )
}

/// Both orders of a product, or a quotient by its gate.
pub(super) fn tries(pairs: &[(Value, bool, Value)]) -> Vec<Try> {
    let one = |&(gate, inverted, partner): &(Value, bool, Value)| Try {
        gate,
        partner,
        inverted,
        names: (gate, partner),
    };
    pairs.iter().map(one).collect()
}
