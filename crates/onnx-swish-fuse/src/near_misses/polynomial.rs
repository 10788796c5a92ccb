//! What a value is as a polynomial of another: GELU's approximations gate by a cubic.
//! Given: a value, and the value that it may be a polynomial of.
//! Promises: coefficients to the third degree in a bounded number of steps, or nothing. Quantisers and reshapes are seen
//! through, since the words are about what was meant.

use super::{Explainer, ancestry};
use crate::graph::{Node, Value};
use crate::ops::Op;

/// What a node computes with, and its number if that is known.
pub(super) type Operand = (Value, Option<f64>);

/// Coefficients of 1, x, x² and x³.
type Cubic = [f64; 4];

/// Most looks at values; GELU has six operators, each with a quantiser before and behind it.
const MAX_LOOKS: usize = 4 * ancestry::MAX_STEPS;

impl Explainer<'_, '_> {
    /// Whether a value is `a·x + b·x³`.
    pub(super) fn is_odd_cubic(&self, value: Value, x: Value) -> bool {
        matches!(
            self.polynomial(value, self.plain(x)),
            Some([c, a, q, b]) if c == 0.0 && q == 0.0 && a != 0.0 && b != 0.0
        )
    }

    /// Whether a value is `a·x`.
    pub(super) fn is_multiple(&self, value: Value, x: Value) -> bool {
        matches!(
            self.polynomial(value, self.plain(x)),
            Some([0.0, a, 0.0, 0.0]) if a != 0.0
        )
    }

    /// What a value was before operators that change no number, or only round it.
    pub(super) fn plain(&self, mut value: Value) -> Value {
        for _ in 0..ancestry::MAX_STEPS {
            let node = self.graph.producer(value).filter(|&node| {
                let op = self.graph.op(node);
                op.keeps_order()
                    || matches!(
                        op,
                        Op::Identity | Op::Cast | Op::QuantizeLinear | Op::DequantizeLinear
                    )
            });
            match node.and_then(|node| self.graph.inputs(node).first()) {
                Some(&before) => value = before,
                None => break,
            }
        }
        value
    }

    fn polynomial(&self, value: Value, x: Value) -> Option<Cubic> {
        let mut known: Vec<(Value, Cubic)> = Vec::new();
        let mut waiting = vec![value];
        for _ in 0..MAX_LOOKS {
            let Some(&value) = waiting.last() else {
                break;
            };
            let of = |value: Value| {
                let found = known.iter().find(|&&(other, _)| other == value);
                found.map(|&(_, cubic)| cubic)
            };
            let cubic = if of(value).is_some() {
                waiting.pop();
                continue;
            } else if let Some(number) = self.number(value) {
                [number, 0.0, 0.0, 0.0]
            } else if self.plain(value) == x {
                [0.0, 1.0, 0.0, 0.0]
            } else {
                let node = self.graph.producer(self.plain(value))?;
                let op = self.graph.op(node);
                if !is_polynomial(op) {
                    return None;
                }
                let operands = self.operands(node);
                let is_new = |&&(value, number): &&Operand| number.is_none() && of(value).is_none();
                if let Some(&(next, _)) = operands.iter().find(is_new) {
                    waiting.push(next);
                    continue;
                }
                let cubic = |&(value, number): &Operand| match number {
                    Some(number) => Some([number, 0.0, 0.0, 0.0]),
                    None => of(value),
                };
                let operands: Option<Vec<Cubic>> = operands.iter().map(cubic).collect();
                combined(op, &operands?)?
            };
            known.push((value, cubic));
        }
        let found = known.iter().find(|&&(other, _)| other == value);
        found.map(|&(_, cubic)| cubic)
    }

    fn number(&self, value: Value) -> Option<f64> {
        self.plan.facts.known_constant(value)?.number()
    }

    /// What a node computes with, each with its number if that is known; of codes, what they stand for.
    pub(super) fn operands(&self, node: Node) -> Vec<Operand> {
        let inputs = self.graph.inputs(node);
        if !self.graph.op(node).is_quantised_arithmetic() {
            let plain = |&value: &Value| (value, self.number(value));
            return inputs.iter().map(plain).collect();
        }
        let coded = |code: &[Value]| {
            let &[code, scale, zero] = code else {
                return None;
            };
            let number = |value| self.number(value);
            let stored = number(code).zip(number(scale)).zip(number(zero));
            Some((
                code,
                stored.map(|((code, scale), zero)| (code - zero) * scale),
            ))
        };
        // The last two are scale and zero point of the result.
        inputs.chunks(3).map_while(coded).collect()
    }
}

/// Whether an operator may make a polynomial of polynomials.
fn is_polynomial(op: Op) -> bool {
    matches!(
        op,
        Op::Neg
            | Op::Add
            | Op::QLinearAdd
            | Op::Sum
            | Op::Sub
            | Op::Mul
            | Op::QLinearMul
            | Op::Div
            | Op::Pow
    )
}

/// What an operator makes of polynomials.
fn combined(op: Op, operands: &[Cubic]) -> Option<Cubic> {
    let minus = |cubic: Cubic| cubic.map(|c| -c);
    match (op, operands) {
        (Op::Neg, &[a]) => Some(minus(a)),
        (Op::Add | Op::QLinearAdd | Op::Sum, &[a, b]) => Some(sum(a, b)),
        (Op::Sub, &[a, b]) => Some(sum(a, minus(b))),
        (Op::Mul | Op::QLinearMul, &[a, b]) => times(a, b),
        (Op::Div, &[a, [number, 0.0, 0.0, 0.0]]) => Some(a.map(|c| c / number)),
        (Op::Pow, &[a, [2.0, 0.0, 0.0, 0.0]]) => times(a, a),
        (Op::Pow, &[a, [3.0, 0.0, 0.0, 0.0]]) => times(times(a, a)?, a),
        _ => None,
    }
}

fn sum(a: Cubic, b: Cubic) -> Cubic {
    let mut sum = a;
    for (sum, b) in sum.iter_mut().zip(b) {
        *sum += b;
    }
    sum
}

/// The product, if it is no more than a cubic.
fn times(a: Cubic, b: Cubic) -> Option<Cubic> {
    let mut product = [0.0; 4];
    for (i, a) in a.into_iter().enumerate().filter(|&(_, a)| a != 0.0) {
        for (j, b) in b.into_iter().enumerate().filter(|&(_, b)| b != 0.0) {
            *product.get_mut(i + j)? += a * b;
        }
    }
    Some(product)
}
