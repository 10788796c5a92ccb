//! What a gate is made of.
//! Given: a gate and what it multiplies.
//! Promises: a bounded look back, enough to tell a squeeze gate from Mish. Quantisers on the way are seen through, and so are
//! activations that are one operator already: a gate is the same gate before fusing and after.

use super::Explainer;
use crate::element::Element;
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;

/// How far back a gate is followed in order to say what it is made of.
pub(super) const MAX_STEPS: usize = 40;

/// Most layers between a pooling and the gate made from it: squeeze-and-excitation has two.
const MAX_LAYERS: usize = 3;

/// What lies behind a gate.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    pub(super) meets_partner: bool,
    pub(super) softplus: bool,
    pub(super) cubic: bool,
    pub(super) pooled: bool,
    pub(super) tanh: bool,
    pub(super) legacy_axis: bool,
    pub(super) overridable: Option<Value>,
    pub(super) unreadable: Option<Value>,
    pub(super) through: Option<Op>,
    /// There was more than anybody would look at.
    pub(super) unfinished: bool,
}

/// The inputs of a node that its output is a function of, without indices, shapes and the numbers of quantisers.
pub(super) fn data_inputs<'g>(
    graph: &'g Graph<'_>,
    node: Node,
) -> impl Iterator<Item = Value> + 'g {
    let op = graph.op(node);
    let is_data = move |position: usize| match op {
        Op::QLinearSigmoid
        | Op::QLinearGlobalAveragePool
        | Op::QLinearReduceMean
        | Op::QLinearConv => position == 0,
        Op::QLinearMul | Op::QLinearAdd | Op::QLinearMatMul => position == 0 || position == 3,
        op => op.data_inputs().is_none_or(|data| data.contains(&position)),
    };
    graph
        .inputs(node)
        .iter()
        .copied()
        .enumerate()
        .filter(move |&(position, value)| is_data(position) && !value.is_absent())
        .map(|(_, value)| value)
}

impl Explainer<'_, '_> {
    /// What the gate is made of, as far back as anybody would look.
    pub(super) fn ancestry(&self) -> Ancestry {
        let mut found = Ancestry::default();
        let partners = self.partners();
        let mut seen: Vec<Value> = vec![self.miss.carried()];
        let mut next = 0;
        while let Some(&value) = seen.get(next) {
            next += 1;
            if partners.contains(&value) {
                found.meets_partner = true;
                continue;
            }
            match self.graph.source(value) {
                Source::Initializer(_) => self.look_at_constant(&mut found, value),
                Source::Node(node) => {
                    self.look(&mut found, node);
                    let op = self.graph.op(node);
                    if op.is_layer() || op == Op::Unknown {
                        // Another layer; behind it lies the rest of the network, but pooling still says what this is.
                        found.pooled |= self.pooled_before(node);
                        continue;
                    }
                    for input in data_inputs(self.graph, node) {
                        if seen.contains(&input) {
                            continue;
                        }
                        if seen.len() == MAX_STEPS {
                            found.unfinished = true;
                            break;
                        }
                        seen.push(input);
                    }
                }
                Source::Input | Source::Sparse | Source::Nowhere => {}
            }
        }
        found
    }

    /// What is multiplied, and what it was before its elements were moved.
    fn partners(&self) -> Vec<Value> {
        let mut partners = vec![self.miss.partner];
        while let Some(&value) = partners.last().filter(|_| partners.len() < MAX_STEPS) {
            let moved = self.graph.producer(value).filter(|&node| {
                let op = self.graph.op(node);
                op.keeps_order()
                    || matches!(
                        op,
                        Op::Transpose
                            | Op::Cast
                            | Op::Identity
                            | Op::Dropout
                            | Op::QuantizeLinear
                            | Op::DequantizeLinear
                            | Op::ReorderInput
                            | Op::ReorderOutput
                    )
            });
            match moved.and_then(|node| data_inputs(self.graph, node).next()) {
                Some(before) => partners.push(before),
                None => break,
            }
        }
        partners
    }

    fn look_at_constant(&self, found: &mut Ancestry, value: Value) {
        let is_float = self
            .graph
            .initializer_code(value)
            .is_some_and(|code| Element::from_code(code).is_float());
        if self.graph.is_overridable(value) {
            found.overridable.get_or_insert(value);
        } else if is_float && self.graph.is_unreadable(value) {
            found.unreadable.get_or_insert(value);
        }
    }

    fn look(&self, found: &mut Ancestry, node: Node) {
        let op = self.graph.op(node);
        found.legacy_axis |= self.graph.is_legacy_axis(node);
        found.pooled |= op.is_pooling();
        match op {
            Op::Softplus => found.softplus = true,
            Op::Log => found.softplus |= self.is_softplus(node),
            Op::Tanh => found.tanh = true,
            Op::Pow => found.cubic = true,
            Op::Mul => found.cubic |= self.is_power(node),
            _ => {}
        }
        let known = matches!(
            op,
            Op::Mul | Op::Add | Op::Sub | Op::Div | Op::Identity | Op::Constant | Op::Unknown
        ) || op.makes_gates() && op != Op::Tanh
            || matches!(op, Op::QuantizeLinear | Op::DequantizeLinear)
            || op.is_quantised_arithmetic();
        if !known && found.through.is_none() {
            found.through = Some(op);
        }
    }

    /// `ln(1 + e^z)`
    fn is_softplus(&self, node: Node) -> bool {
        let made = |node: Node| {
            let inputs = self.graph.inputs(node).iter();
            inputs.filter_map(|&input| self.graph.producer(input))
        };
        let is = |node: &Node, op: Op| self.graph.op(*node) == op;
        made(node).any(|sum| is(&sum, Op::Add) && made(sum).any(|of| is(&of, Op::Exp)))
    }

    /// `x · x`, or `x · (c·x)`: a part of a cubic, however it is bracketed.
    fn is_power(&self, node: Node) -> bool {
        let &[a, b] = self.graph.inputs(node) else {
            return false;
        };
        let multiplies = |product: Value, factor: Value| {
            self.graph.producer(product).is_some_and(|inner| {
                self.graph.op(inner) == Op::Mul && self.graph.inputs(inner).contains(&factor)
            })
        };
        a == b || multiplies(a, b) || multiplies(b, a)
    }

    /// Whether a few layers back there is a pooling over all positions.
    fn pooled_before(&self, node: Node) -> bool {
        let mut at = Some(node);
        let mut layers = 0;
        for _ in 0..MAX_STEPS {
            let Some(node) = at else {
                return false;
            };
            let op = self.graph.op(node);
            layers += usize::from(op.is_layer() || op == Op::Unknown);
            if op.is_pooling() {
                return true;
            }
            let ends = matches!(op, Op::Concat | Op::MaxPool) || op == Op::Unknown && layers > 1;
            if ends || layers > MAX_LAYERS {
                return false;
            }
            at = self
                .graph
                .inputs(node)
                .first()
                .and_then(|&value| self.graph.producer(value));
        }
        false
    }
}
