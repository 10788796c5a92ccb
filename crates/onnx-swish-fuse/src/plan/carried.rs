//! Where gates go before they multiply anything: through reshapes, slices, maxima, calls.
//! Given: nodes in topological order, functions before their callers, and the forms of what was seen.
//! Promises: for each value one gate that flows into it, if any does; constant time per operand, however long the way is.
//!
//! A gate ends where it multiplies something that varies, in a layer, and in operators that nobody here knows.

use std::collections::HashMap;

use crate::facts::Facts;
use crate::forms::Forms;
use crate::forms::gates::{Almost, Clamp, Gate};
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;

/// The inputs of a function, a bit for each of the first ones.
type Inputs = u64;

/// What a function of the file does with gates.
#[derive(Debug, Clone, Default)]
struct Flow {
    /// For each output, whether a gate of the function's own flows into it, and which inputs do.
    outputs: Vec<(bool, Inputs)>,
    /// For each output the input that it clamps on both sides, if that is all: a ReLU6, which is a gate of what was shifted before.
    clamped: Vec<Inputs>,
    /// Inputs that the function multiplies by something that varies.
    multiplied: Inputs,
}

/// Gates on their way.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// For each value the gate that flows into it.
    gates: Vec<Value>,
    /// For each value of a function the inputs that flow into it.
    inputs: HashMap<Value, Inputs>,
    /// Inputs that the function at hand multiplies.
    multiplied: Inputs,
    functions: HashMap<usize, Flow>,
    /// Sums of a gate and of something that is none, by the gate.
    mixed: HashMap<Value, Value>,
}

impl Carried {
    pub(super) fn new(values: usize) -> Self {
        Self {
            gates: vec![Value::ABSENT; values],
            ..Self::default()
        }
    }

    /// The gate that flows into a value; a gate flows into itself.
    pub(super) fn gate(&self, value: Value) -> Option<Value> {
        let gate = self.gates.get(value.index()).copied();
        gate.filter(|gate| !gate.is_absent())
    }

    /// The gate to which something that is no gate was added.
    pub(super) fn mixed(&self, sum: Value) -> Option<Value> {
        self.mixed.get(&sum).copied()
    }

    /// No gate flows into an activation, also if it is one of a gate: `s·σ(s)` is the SiLU of s.
    pub(super) fn end(&mut self, activation: Value) {
        self.set(activation, Value::ABSENT, 0);
    }

    /// Begins with a function, whose inputs may turn out to be gates.
    pub(super) fn enter(&mut self, graph: &Graph<'_>, body: usize) {
        self.inputs.clear();
        self.multiplied = 0;
        for (position, &input) in graph.scope_inputs(body).iter().enumerate() {
            let bit = 1_u64.checked_shl(position as u32).unwrap_or(0);
            self.inputs.insert(input, bit);
        }
    }

    /// Keeps what the function does.
    pub(super) fn leave(&mut self, forms: &Forms, graph: &Graph<'_>, function: usize, body: usize) {
        let outputs = graph.scope_outputs(body).iter();
        let clamped = outputs.clone().map(|&value| match forms.gate(value) {
            Some(Gate::Clamp(clamp)) if forms.two_sided(clamp).is_some() => {
                self.flowing(clamp.argument.root)
            }
            _ => 0,
        });
        let flow = Flow {
            clamped: clamped.collect(),
            outputs: outputs
                .map(|&value| (self.gate(value).is_some(), self.flowing(value)))
                .collect(),
            multiplied: self.multiplied,
        };
        self.functions.insert(function, flow);
        self.inputs.clear();
    }

    fn flowing(&self, value: Value) -> Inputs {
        if self.inputs.is_empty() {
            return 0;
        }
        self.inputs.get(&value).copied().unwrap_or(0)
    }

    /// Says what flows into the outputs of a node; `codes` are the forms read through quantisation, if there is any. Gives
    /// back an argument of a call that is a gate and that the function multiplies by something.
    pub(super) fn visit(
        &mut self,
        forms: &Forms,
        codes: Option<&Forms>,
        graph: &Graph<'_>,
        facts: &Facts,
        node: Node,
    ) -> Option<Value> {
        let op = graph.op(node);
        let outputs = graph.outputs(node);
        let &first = outputs.first()?;
        if is_gate(forms, codes, graph, node, first) {
            self.set(first, first, self.through(graph, node));
            return None;
        }
        match op {
            Op::Unknown if graph.bodies(node).next().is_some() => self.leave_bodies(graph, node),
            Op::Unknown => return self.call(forms, graph, node),
            Op::Mul | Op::QLinearMul => self.product(graph, facts, node, first),
            Op::Div => self.quotient(forms, graph, facts, node, first),
            Op::Split => {
                let flows = self.through(graph, node);
                let gate = self.carried_through(graph, facts, node);
                for &output in outputs {
                    self.set(output, gate, flows);
                }
            }
            // What is an integer is no gate any more, if it did not become one by moving.
            op if facts.element(first).is_not_float()
                && (matches!(op, Op::Cast | Op::CastLike)
                    || !op.moves_elements() && !op.derives_codes()) => {}
            op if op.moves_elements() || op.derives_elements() => {
                let flows = self.through(graph, node);
                let gate = self.carried_through(graph, facts, node);
                // Of a denominator `1 + e^-z` it is the reciprocal that gates.
                if gate.is_absent() && adds(op) {
                    let gates = data(graph, node).iter().find_map(|&value| self.gate(value));
                    self.mixed.extend(gates.map(|gate| (first, gate)));
                }
                let turned = op == Op::Reciprocal && forms.reciprocal_gate(gate).is_some();
                self.set(first, if turned { first } else { gate }, flows);
            }
            _ => {}
        }
        None
    }

    fn set(&mut self, value: Value, gate: Value, flows: Inputs) {
        if value.is_absent() {
            return;
        }
        if let Some(slot) = self.gates.get_mut(value.index()) {
            *slot = gate;
        }
        if flows != 0 {
            self.inputs.insert(value, flows);
        }
    }

    /// The gate that flows into any of the data of a node. What is added to a gate must be constant or a gate itself: x and
    /// a gate of x make an activation with a residual, and no gate.
    fn carried_through(&self, graph: &Graph<'_>, facts: &Facts, node: Node) -> Value {
        let values = || data(graph, node).iter();
        let adds = adds(graph.op(node));
        let is_other = |&value: &Value| varies(graph, facts, value) && self.gate(value).is_none();
        let gate = values().find_map(|&value| self.gate(value));
        gate.filter(|_| !adds || !values().any(is_other))
            .unwrap_or(Value::ABSENT)
    }

    fn through(&self, graph: &Graph<'_>, node: Node) -> Inputs {
        if self.inputs.is_empty() {
            return 0;
        }
        let values = data(graph, node).iter();
        values.fold(0, |all, &value| all | self.flowing(value))
    }

    /// A product with a constant is the gate still; one of two gates is one again.
    fn product(&mut self, graph: &Graph<'_>, facts: &Facts, node: Node, output: Value) {
        let (a, b) = match *graph.inputs(node) {
            [a, b] => (a, b),
            // Operands of codes have scales and zero points behind them.
            [a, _, _, b, ..] => (a, b),
            _ => return,
        };
        let gates = [a, b].map(|value| self.gate(value));
        let both = varies(graph, facts, a) && varies(graph, facts, b);
        let gate = match gates {
            [Some(gate), Some(_)] => gate,
            [Some(gate), None] | [None, Some(gate)] if !both => gate,
            _ => Value::ABSENT,
        };
        if both {
            self.multiply(a, b);
        }
        self.set(
            output,
            gate,
            if both { 0 } else { self.through(graph, node) },
        );
    }

    /// A quotient of a gate is one; a number divided by a gate, too. What a gate divides is no gate.
    fn quotient(
        &mut self,
        forms: &Forms,
        graph: &Graph<'_>,
        facts: &Facts,
        node: Node,
        output: Value,
    ) {
        let &[a, b] = graph.inputs(node) else {
            return;
        };
        let of_number = !varies(graph, facts, a);
        let carrier = if of_number { b } else { a };
        let gate = self.gate(carrier).unwrap_or(Value::ABSENT);
        let turned = of_number && forms.reciprocal_gate(gate).is_some();
        if !of_number && varies(graph, facts, b) {
            self.multiply(a, b);
        }
        self.set(
            output,
            if turned { output } else { gate },
            self.flowing(carrier),
        );
    }

    /// Inputs of a function that meet: either may be a gate. One input alone is a gate of nothing but itself.
    fn multiply(&mut self, a: Value, b: Value) {
        let (a, b) = (self.flowing(a), self.flowing(b));
        if a != b {
            self.multiplied |= a | b;
        }
    }

    /// What an If, a Loop or a Scan gives back is a gate if one of its graphs makes one.
    fn leave_bodies(&mut self, graph: &Graph<'_>, node: Node) {
        for body in graph.bodies(node) {
            let made = graph.scope_outputs(body);
            let outputs = graph.outputs(node);
            // A Loop's condition comes first, and leaves with no output.
            let condition = made.len().saturating_sub(outputs.len()).min(1);
            for (&output, &value) in outputs.iter().zip(made.iter().skip(condition)) {
                if self.gate(value).is_some() {
                    self.set(output, output, 0);
                }
            }
        }
    }

    fn call(&mut self, forms: &Forms, graph: &Graph<'_>, node: Node) -> Option<Value> {
        let function = graph.has_calls().then(|| graph.callee(node))??;
        let flow = self.functions.get(&function)?.clone();
        let arguments = graph.inputs(node);
        let picked = |inputs: Inputs| {
            let positions = (0_u32..).zip(arguments).take(Inputs::BITS as usize);
            positions
                .filter(move |&(position, _)| inputs & (1 << position) != 0)
                .map(|(_, &argument)| argument)
        };
        let clamped = flow.clamped.into_iter().chain(std::iter::repeat(0));
        let outputs = graph.outputs(node).iter().zip(flow.outputs);
        for ((&output, (own, inputs)), clamped) in outputs.zip(clamped) {
            let gate = picked(inputs).find_map(|argument| self.gate(argument));
            let is_shifted = |argument: Value| forms.linear(argument).q != 0.0;
            let own = own || picked(clamped).any(is_shifted);
            let gate = if own { Some(output) } else { gate };
            let flows = picked(inputs).fold(0, |all, argument| all | self.flowing(argument));
            self.set(output, gate.unwrap_or(Value::ABSENT), flows);
        }
        let flows = picked(flow.multiplied).fold(0, |all, argument| all | self.flowing(argument));
        self.multiplied |= flows;
        picked(flow.multiplied).find(|&argument| self.gate(argument).is_some())
    }
}

fn adds(op: Op) -> bool {
    matches!(op, Op::Add | Op::Sub | Op::Sum | Op::Mean | Op::QLinearAdd)
}

/// Whether a value depends on what the model is given.
pub(super) fn varies(graph: &Graph<'_>, facts: &Facts, value: Value) -> bool {
    let stored = matches!(graph.source(value), Source::Initializer(_) | Source::Sparse)
        && !graph.is_overridable(value);
    !value.is_absent() && !stored && facts.known_constant(value).is_none()
}

/// What a node computes with, without indices, shapes and the like.
fn data<'g>(graph: &'g Graph<'_>, node: Node) -> &'g [Value] {
    let inputs = graph.inputs(node);
    match graph.op(node).data_inputs() {
        Some(range) => inputs.get(range.start..range.end.min(inputs.len())),
        None => Some(inputs),
    }
    .unwrap_or_default()
}

/// Whether a value is a gate by itself.
fn is_gate(
    forms: &Forms,
    codes: Option<&Forms>,
    graph: &Graph<'_>,
    node: Node,
    value: Value,
) -> bool {
    let op = graph.op(node);
    let by_operator = matches!(op, Op::HardSigmoid | Op::QLinearSigmoid)
        || has_bounds_of_callers(forms, graph, node, value)
        || graph.absorbs_gate(node);
    // Most values are of one of these, and there is nothing more to ask.
    if by_operator || forms.is_nothing_known(value) {
        return by_operator;
    }
    let logistic = match forms.gate(value) {
        Some(Gate::Logistic { .. }) => true,
        // What is added may have been quantised before it is clamped.
        Some(Gate::Clamp(clamp)) => forms.two_sided(clamp).is_some_and(|clamp| {
            let behind = codes.and_then(|codes| codes.bounded(value, Value::ABSENT));
            is_gate_clamp(clamp) || behind.is_some_and(|bounded| bounded.line.q != 0.0)
        }),
        None => false,
    };
    logistic
        || matches!(
            forms.almost_gate(value),
            Some(Almost::Offset | Almost::Overflowing | Almost::Closed)
        )
        || forms.reciprocal_gate(value).is_some()
}

/// How many operators that each bound one side are looked through.
const MAX_BOUNDS: usize = 4;

/// Whether a value is bounded on both sides by numbers of which too little is known here, inputs of a function among them: by
/// Clip, or by Max, Min, Relu and Clip one after the other.
fn has_bounds_of_callers(forms: &Forms, graph: &Graph<'_>, node: Node, value: Value) -> bool {
    let is_clip = graph.op(node) == Op::Clip;
    if !is_clip && !matches!(graph.op(node), Op::Max | Op::Min | Op::Relu) {
        return false;
    }
    let is_unread = |value| forms.gate(value).is_none() && forms.linear(value).root == value;
    let (mut below, mut above, mut unread) = (false, false, false);
    let mut at = Some(node);
    for _ in 0..MAX_BOUNDS {
        let Some(node) = at.take() else {
            break;
        };
        let inputs = graph.inputs(node);
        let has = |index: usize| inputs.get(index).is_some_and(|bound| !bound.is_absent());
        let of_caller = |bound: &Value| graph.is_argument(*bound);
        let (lower, upper) = match graph.op(node) {
            Op::Relu => (true, false),
            Op::Max => (inputs.iter().any(of_caller), false),
            Op::Min => (false, inputs.iter().any(of_caller)),
            Op::Clip => (has(1), has(2)),
            _ => break,
        };
        // Max and Min of numbers that are known bound, too.
        let output = graph.outputs(node).first().copied().unwrap_or(value);
        let known = match forms.gate(output) {
            Some(Gate::Clamp(clamp)) => (clamp.lo.is_finite(), clamp.hi.is_finite()),
            _ => (false, false),
        };
        below |= lower || known.0;
        above |= upper || known.1;
        unread |= is_unread(output);
        at = inputs
            .iter()
            .filter(|input| !graph.is_argument(**input))
            .find_map(|&input| graph.producer(input));
    }
    below
        && above
        && unread
        && (is_clip || is_unread(value) || graph.function_of(graph.scope(node)).is_some())
}

/// Any clamp with two bounds but `clamp(p·x, 0, hi)`, which unless it ends at 1 is an activation: ReLU6.
fn is_gate_clamp(clamp: Clamp) -> bool {
    let is_relu = (clamp.lo == 0.0 || clamp.hi == 0.0) && clamp.argument.q == 0.0;
    !is_relu || clamp.lo + clamp.hi == 1.0
}
