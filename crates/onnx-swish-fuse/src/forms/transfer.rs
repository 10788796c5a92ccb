//! One transfer function per operator: the form of its output from the forms of its inputs.
//! Given: a node whose inputs have been dealt with.
//! Promises: constant time (linear in the inputs of Sum, Min and Max), no look at what comes later.

use super::{Bounds, Core, Forms, Linear};
use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;

/// Gives the outputs of `node` their forms.
pub(crate) fn transfer(forms: &mut Forms, graph: &Graph<'_>, facts: &mut Facts, node: Node) {
    let Some(&output) = graph.outputs(node).first() else {
        return;
    };
    if graph.op(node) == Op::QuantizeLinear
        && let Some(&of) = graph.inputs(node).first()
    {
        forms.set_core(output, Core::Quantized(of));
        return;
    }
    if output.is_absent() || facts.element(output).is_not_float() || graph.is_legacy_axis(node) {
        return;
    }
    let mut at = Transfer {
        forms,
        graph,
        facts,
        node,
        output,
    };
    // A constant is a function of nothing; what reads it asks for its number.
    if at.facts.constant(graph, output).is_some() {
        return;
    }
    at.apply();
}

struct Transfer<'a, 'g> {
    forms: &'a mut Forms,
    graph: &'a Graph<'g>,
    facts: &'a mut Facts,
    node: Node,
    output: Value,
}

impl Transfer<'_, '_> {
    fn apply(&mut self) -> Option<()> {
        match self.graph.op(self.node) {
            Op::Identity => self.affine(0, 1.0, 0.0),
            Op::Neg => self.affine(0, -1.0, 0.0),
            Op::Cast => self.cast(),
            Op::Dropout => self.dropout(),
            Op::Add | Op::Sum => self.sum(),
            Op::Sub => self.difference(),
            Op::Mul => self.product(),
            Op::Div => self.quotient(),
            Op::Pow => self.power(),
            Op::Reciprocal => {
                let of = self.input(0)?;
                self.reciprocal(of, 1.0)
            }
            Op::Sigmoid => self.core(Core::Sigmoid),
            Op::Tanh => self.core(Core::Tanh),
            Op::Erf => self.core(Core::Erf),
            Op::Exp => self.core(Core::Exp),
            Op::Transpose => self.transpose(),
            Op::DequantizeLinear => self.core(Core::Quantized),
            Op::Softplus => self.core(Core::Softplus),
            Op::Log => self.logarithm(),
            Op::Sqrt => self.core(Core::Raised),
            Op::Relu => self.clamp(0.0, f64::INFINITY),
            Op::Clip => self.clip(),
            Op::Min => self.extremum(f64::min, f64::INFINITY),
            Op::Max => self.extremum(f64::max, f64::NEG_INFINITY),
            Op::HardSigmoid => self.hard_sigmoid(),
            op if op.keeps_order() && self.forms.through_reshapes => self.reshape(),
            op if op.is_fused() => self.core(|_| Core::Activation),
            _ => None,
        }
    }

    fn input(&self, index: usize) -> Option<Value> {
        self.graph
            .inputs(self.node)
            .get(index)
            .copied()
            .filter(|value| !value.is_absent())
    }

    /// The number that an input is, everywhere.
    fn number(&mut self, value: Value) -> Option<f64> {
        self.facts.number(self.graph, value)
    }

    fn core(&mut self, make: impl FnOnce(Value) -> Core) -> Option<()> {
        let of = self.input(0)?;
        self.forms.set_core(self.output, make(of));
        Some(())
    }

    /// `factor · input + offset`
    fn affine(&mut self, input: usize, factor: f64, offset: f64) -> Option<()> {
        let of = self.input(input)?;
        self.set(self.forms.linear(of).then(factor, offset)?)
    }

    fn set(&mut self, linear: Linear) -> Option<()> {
        self.forms.set_linear(self.output, linear);
        Some(())
    }

    /// The permutation is moved to the root.
    fn transpose(&mut self) -> Option<()> {
        let facts = &*self.facts;
        let same = |a, b| facts.same_shape(a, b);
        let line = self.forms.transposed(self.graph, self.node, &same);
        self.forms.moves.forget_created();
        match line {
            Some(line) => self.set(line),
            None => self.core(Core::Transpose),
        }
    }

    /// The same numbers in the same order; but behind a permutation the axes must stay what they were.
    fn reshape(&mut self) -> Option<()> {
        let of = self.input(0)?;
        let is_moved = self.forms.moves.is_moved(self.forms.linear(of).root);
        if is_moved && !self.facts.same_shape(of, self.output) {
            return None;
        }
        self.affine(0, 1.0, 0.0)
    }

    /// To the type it has already: the same value. To another: a new root.
    fn cast(&mut self) -> Option<()> {
        let of = self.input(0)?;
        let (from, to) = (self.facts.element(of), self.facts.element(self.output));
        if from == to && from.is_float() {
            return self.affine(0, 1.0, 0.0);
        }
        self.core(Core::Cast)
    }

    /// Identity in inference. From opset 12 an input may say that this is training; before 7 an attribute must say
    /// that it is not.
    fn dropout(&mut self) -> Option<()> {
        let opset = self.graph.opset(self.node);
        let inference = if opset >= 12 {
            match self.input(2) {
                None => true,
                Some(mode) => self.number(mode) == Some(0.0),
            }
        } else {
            opset >= 7
                || matches!(self.graph.int(self.node, b"is_test"), Attribute::Is(value) if value != 0)
        };
        if inference {
            self.affine(0, 1.0, 0.0)
        } else {
            self.core(Core::Dropout)
        }
    }

    /// Add and Sum, of any number of constants and of multiples of one root.
    fn sum(&mut self) -> Option<()> {
        let inputs = self.graph.inputs(self.node);
        let mut total: Option<Linear> = None;
        let mut offset = 0.0;
        for &input in inputs {
            if let Some(number) = self.number(input) {
                offset += number;
                continue;
            }
            let term = self.forms.linear(input);
            total = Some(match total {
                None => term,
                Some(sum) => add(sum, term)?,
            });
        }
        self.set(total?.then(1.0, offset)?)
    }

    /// A constant less, a constant minus the value, or two multiples of one root.
    fn difference(&mut self) -> Option<()> {
        let (a, b) = (self.input(0)?, self.input(1)?);
        match (self.number(a), self.number(b)) {
            (None, Some(number)) => self.affine(0, 1.0, -number),
            (Some(number), None) => self.affine(1, -1.0, number),
            // Zero times x, to the last bit: not a number where x is infinite.
            _ if a == b => self.scaled(0, 0.0),
            _ => {
                let minus = self.forms.linear(b).then(-1.0, 0.0)?;
                let sum = add(self.forms.linear(a), minus)?;
                self.set(sum)
            }
        }
    }

    /// A constant factor changes the line. Two values make a product, which may be an activation or the argument of one
    /// with a tensor as beta.
    fn product(&mut self) -> Option<()> {
        let (a, b) = (self.input(0)?, self.input(1)?);
        match (self.number(a), self.number(b)) {
            (None, Some(number)) => self.scaled(0, number),
            (Some(number), None) => self.scaled(1, number),
            _ => {
                self.forms.set_core(self.output, Core::Mul(a, b));
                Some(())
            }
        }
    }

    /// `factor · input`, a line unless the factor is zero, infinite or not a number.
    fn scaled(&mut self, input: usize, factor: f64) -> Option<()> {
        if factor != 0.0 && factor.is_finite() {
            return self.affine(input, factor, 0.0);
        }
        let of = self.input(input)?;
        self.forms.set_degenerate(self.output, of, factor);
        Some(())
    }

    /// A constant divisor changes the line; a constant dividend makes a reciprocal, perhaps of `1 + e^-x`.
    fn quotient(&mut self) -> Option<()> {
        let (a, b) = (self.input(0)?, self.input(1)?);
        match (self.number(a), self.number(b)) {
            (None, Some(number)) if number == 0.0 || !number.is_finite() => {
                self.scaled(0, 1.0 / number)
            }
            (None, Some(number)) => {
                // Dividing by six is more exact than multiplying by its rounded inverse.
                let linear = self.forms.linear(a);
                let (p, q) = (linear.p / number, linear.q / number);
                if p == 0.0 || !p.is_finite() || !q.is_finite() {
                    return None;
                }
                self.set(Linear { p, q, ..linear })
            }
            (Some(number), None) => self.reciprocal(b, number),
            _ => {
                let quotient = match self.inverse(b) {
                    Some(z) => Core::Mul(a, z),
                    None => Core::Div(a, b),
                };
                self.forms.set_core(self.output, quotient);
                Some(())
            }
        }
    }

    /// The value of which this one is the reciprocal, so that dividing by it multiplies. A gate's own denominator is none: what
    /// is divided by `1 / (1 + e^-z)` is divided by a gate.
    fn inverse(&self, value: Value) -> Option<Value> {
        let Linear { root, p, q } = self.forms.linear(value);
        let Core::Reciprocal(z, numerator) = self.forms.core(root) else {
            return None;
        };
        let is_inverse = q == 0.0 && p * self.forms.numerator(numerator) == 1.0;
        (is_inverse && self.forms.reciprocal_gate(z).is_none()).then_some(z)
    }

    /// `ln(1 + e^z)` is Softplus; of other logarithms nothing is said.
    fn logarithm(&mut self) -> Option<()> {
        let of = self.forms.linear(self.input(0)?);
        let Core::Exp(z) = self.forms.core(of.root) else {
            return None;
        };
        if (of.p, of.q) != (1.0, 1.0) {
            return None;
        }
        self.forms.set_core(self.output, Core::Softplus(z));
        Some(())
    }

    /// To the power of -1: a reciprocal. Of 1: the value itself. A constant to the power of a value: an exponential.
    fn power(&mut self) -> Option<()> {
        let (base, exponent) = (self.input(0)?, self.input(1)?);
        if let Some(number) = self.number(base) {
            return self.exponential(number, exponent);
        }
        match self.number(exponent)? {
            1.0 => self.affine(0, 1.0, 0.0),
            -1.0 => self.reciprocal(base, 1.0),
            _ => self.core(Core::Raised),
        }
    }

    /// `numerator / of`; of an exponential it is one again, to the last normal number: `c / (a·e^z) = (c/a)·e^-z`.
    fn reciprocal(&mut self, of: Value, numerator: f64) -> Option<()> {
        let Linear { root, p, q } = self.forms.linear(of);
        let factor = numerator / p;
        let exponential = match self.forms.core(root) {
            Core::Exp(exponent) if q == 0.0 => self.forms.linear(exponent).then(-1.0, 0.0),
            _ => None,
        };
        let Some(exponent) = exponential.filter(|_| factor != 0.0 && factor.is_finite()) else {
            self.forms.set_reciprocal(self.output, of, numerator);
            return Some(());
        };
        let inner = self.forms.fresh_like(self.output);
        self.forms.set_linear(inner, exponent);
        if factor == 1.0 {
            self.forms.set_core(self.output, Core::Exp(inner));
            return Some(());
        }
        let root = self.forms.fresh_like(self.output);
        self.forms.set_core(root, Core::Exp(inner));
        self.set(Linear {
            root,
            p: factor,
            q: 0.0,
        })
    }

    /// A constant above zero to the power of a value: `c^z = e^(z·ln c)`.
    fn exponential(&mut self, base: f64, exponent: Value) -> Option<()> {
        if !(base > 0.0 && base.is_finite()) {
            return None;
        }
        // e as float32 stores it has a logarithm that is 1 in float32, and then the exponent is the value itself.
        let element = self.facts.element(self.output);
        let factor = base.ln();
        let factor = if element.same(factor, 1.0) {
            1.0
        } else {
            factor
        };
        let scaled = self.forms.linear(exponent).then(factor, 0.0)?;
        let inner = self.forms.fresh_like(self.output);
        self.forms.set_linear(inner, scaled);
        self.forms.set_core(self.output, Core::Exp(inner));
        Some(())
    }

    fn clamp(&mut self, lo: f64, hi: f64) -> Option<()> {
        let of = self.input(0)?;
        // A lower bound above the upper one has had several meanings.
        if lo < hi {
            self.forms.set_clamp(
                self.output,
                of,
                Bounds {
                    p: 1.0,
                    q: 0.0,
                    lo,
                    hi,
                },
            );
        } else {
            self.forms.set_core(self.output, Core::Closed(of));
        }
        Some(())
    }

    /// Bounds are attributes before opset 11 and optional inputs since. A missing one does not bound.
    fn clip(&mut self) -> Option<()> {
        let mut bounds = [f64::NEG_INFINITY, f64::INFINITY];
        if self.graph.opset(self.node) < 11 {
            for (bound, name) in bounds.iter_mut().zip([b"min", b"max"]) {
                match self.graph.float(self.node, name) {
                    // The defaults of version 6 are the largest numbers of float32.
                    Attribute::Is(value) if value.abs() < f32::MAX => *bound = f64::from(value),
                    Attribute::Is(_) | Attribute::Absent => {}
                    Attribute::Unknown => return None,
                }
            }
        } else {
            for (bound, index) in bounds.iter_mut().zip([1, 2]) {
                if let Some(input) = self.input(index) {
                    let number = self.number(input)?;
                    if number.is_nan() {
                        return self.core(Core::Closed);
                    }
                    if number.abs() < f64::from(f32::MAX) {
                        *bound = number;
                    }
                }
            }
        }
        if bounds[0].is_infinite() && bounds[1].is_infinite() {
            return self.affine(0, 1.0, 0.0);
        }
        self.clamp(bounds[0], bounds[1])
    }

    /// Min and Max of one value and any number of constants.
    fn extremum(&mut self, pick: fn(f64, f64) -> f64, neutral: f64) -> Option<()> {
        let mut bound = neutral;
        let mut of = None;
        for &input in self.graph.inputs(self.node) {
            match self.number(input) {
                Some(number) if number.is_nan() => return None,
                Some(number) => bound = pick(bound, number),
                None if of.is_none() => of = Some(input),
                None => return None,
            }
        }
        let of = of?;
        if bound == neutral {
            return self.set(self.forms.linear(of));
        }
        let open = Bounds {
            p: 1.0,
            q: 0.0,
            lo: f64::NEG_INFINITY,
            hi: f64::INFINITY,
        };
        let bounds = if neutral > 0.0 {
            Bounds { hi: bound, ..open }
        } else {
            Bounds { lo: bound, ..open }
        };
        self.forms.set_clamp(self.output, of, bounds);
        Some(())
    }

    /// `clamp(alpha · x + beta, 0, 1)`. The defaults are 0.2 and 0.5, not the 1/6 of HardSwish.
    fn hard_sigmoid(&mut self) -> Option<()> {
        let of = self.input(0)?;
        let is_nan = |name: &&[u8]| self.graph.is_nan(self.node, name);
        if [b"alpha" as &[u8], b"beta"].iter().any(is_nan) {
            return self.core(Core::Closed);
        }
        let [alpha, beta] =
            [(b"alpha" as &[u8], 0.2_f32), (b"beta", 0.5)].map(|(name, default)| {
                match self.graph.float(self.node, name) {
                    Attribute::Is(value) => Some(f64::from(value)),
                    Attribute::Absent => Some(f64::from(default)),
                    Attribute::Unknown => None,
                }
            });
        let (p, q) = (alpha?, beta?);
        if p == 0.0 || !p.is_finite() || !q.is_finite() {
            return self.core(Core::Closed);
        }
        let bounds = Bounds {
            p,
            q,
            lo: 0.0,
            hi: 1.0,
        };
        self.forms.set_clamp(self.output, of, bounds);
        Some(())
    }
}

/// The sum of two multiples of one root.
fn add(a: Linear, b: Linear) -> Option<Linear> {
    if a.root != b.root {
        return None;
    }
    let p = a.p + b.p;
    if p == 0.0 || !p.is_finite() || p.abs() < a.p.abs().max(b.p.abs()) * super::CANCELLATION {
        return None;
    }
    // The offsets are added by the same rule as any two.
    Linear {
        root: a.root,
        p,
        q: a.q,
    }
    .then(1.0, b.q)
}
