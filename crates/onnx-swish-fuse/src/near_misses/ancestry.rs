//! What a gate is made of.
//! Given: a gate and what it multiplies.
//! Promises: a bounded look back, enough to tell a squeeze gate from a gate of x. Quantisers on the way are seen through, and so are
//! activations that are one operator already: a gate is the same gate before fusing and after. Calls of the file's own functions
//! are gone into, and functions asked for what their callers give, so that it is the same gate before inlining, too.

use super::Explainer;
use crate::element::Element;
use crate::graph::{Graph, Node, Source, Value};
use crate::ops::Op;
use crate::shapes::Dim;

/// How far back a gate is followed in order to say what it is made of.
pub(super) const MAX_STEPS: usize = 40;

/// Most layers between a pooling and the gate made from it: squeeze-and-excitation has two.
const MAX_LAYERS: usize = 3;

/// Most callers of a function that are asked what they give it.
const MAX_CALLERS: usize = 8;

/// What lies behind a gate.
#[derive(Debug, Default)]
pub(super) struct Ancestry {
    /// The gate is made from what it multiplies, on a way without pooling.
    pub(super) meets_partner: bool,
    pub(super) pooled: bool,
    /// Something that varies flows in without being pooled.
    pub(super) unpooled: bool,
    pub(super) legacy_axis: bool,
    pub(super) overridable: Option<Value>,
    pub(super) unreadable: Option<Value>,
    /// An operator that makes no line and no gate.
    pub(super) through: Option<Node>,
    /// A call of a function of the file that makes a part of the gate, or the one that gives gate and partner their value.
    pub(super) call: Option<Node>,
    /// A value of which callers of its function give a number.
    pub(super) given: Option<Value>,
    /// There is an operator that nobody here knows.
    pub(super) foreign: bool,
    /// There was more than anybody would look at.
    pub(super) unfinished: bool,
}

/// A value in a certain call of the function that it stands in.
type Place = (Value, usize);

/// The calls that a look back has gone into: a function means in each of them what its caller gives it.
struct Calls {
    /// Each with the frame of the caller. The first is the graph of the product; behind it is that of its caller, if one is asked.
    frames: Vec<(Option<Node>, usize)>,
}

/// The frame of the product.
const HERE: usize = 0;
/// The frame of whoever calls the function that the product stands in.
const OUTSIDE: usize = 1;

impl Calls {
    fn new(caller: Option<Node>) -> Self {
        Self {
            frames: vec![(caller, OUTSIDE), (None, OUTSIDE)],
        }
    }

    /// Where a value comes from if a call makes it, or gives it to the function that it is an input of.
    fn before(&mut self, graph: &Graph<'_>, (value, frame): Place) -> Option<Place> {
        let body = |call: Node| graph.function_scopes(graph.callee(call)?).first().copied();
        match graph.source(value) {
            Source::Node(node) => {
                let made = graph
                    .outputs(node)
                    .iter()
                    .position(|&output| output == value);
                let result = *graph.scope_outputs(body(node)?).get(made?)?;
                let called = (Some(node), frame);
                let known = self
                    .frames
                    .iter()
                    .skip(2)
                    .position(|&known| known == called);
                let inner = known.map_or(self.frames.len(), |index| index + 2);
                if known.is_none() {
                    self.frames.push(called);
                }
                Some((result, inner))
            }
            Source::Input => {
                let &(call, parent) = self.frames.get(frame)?;
                let inputs = graph.scope_inputs(body(call?)?);
                let position = inputs.iter().position(|&input| input == value)?;
                let argument = graph.inputs(call?).get(position).copied()?;
                (!argument.is_absent()).then_some((argument, parent))
            }
            _ => None,
        }
    }
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
        // A size says nothing of the elements.
        Op::Shape | Op::Size | Op::ConstantOfShape => false,
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
        let (gate, partners) = (self.miss.carried(), self.others());
        let found = self.ancestry_of(gate, &partners, None);
        if found.meets_partner || found.pooled {
            return found;
        }
        // In a function callers may give gate and partner one value, or a pooled one.
        let function = self
            .graph
            .function_of(self.graph.value_scope(self.miss.output));
        let callers = function.map_or(&[][..], |function| self.graph.callers(function as usize));
        if callers.len() > MAX_CALLERS {
            return found;
        }
        let asked = callers.iter().map(|&caller| Ancestry {
            call: Some(caller),
            ..self.ancestry_of(gate, &partners, Some(caller))
        });
        let mut asked: Vec<Ancestry> = asked.collect();
        let all_pooled = asked.iter().all(|outer| outer.pooled);
        let met = asked.iter().position(|outer| outer.meets_partner);
        let told = met
            .or(all_pooled.then_some(0))
            .filter(|&index| index < asked.len());
        told.map_or(found, |index| asked.swap_remove(index))
    }

    /// What the gate may multiply: of a call whose function multiplies, any other argument.
    fn others(&self) -> Vec<Value> {
        let mut others = vec![self.miss.partner];
        let call = self.graph.producer(self.miss.output);
        if let Some(call) = call.filter(|&node| self.graph.callee(node).is_some()) {
            let arguments = self.graph.inputs(call).iter().copied();
            others.extend(arguments.filter(|&value| !value.is_absent() && value != self.miss.gate));
        }
        others
    }

    /// What a value is made of, and whether it is made from any of the others; in a function, as one caller calls it.
    pub(super) fn ancestry_of(
        &self,
        start: Value,
        others: &[Value],
        caller: Option<Node>,
    ) -> Ancestry {
        let mut found = Ancestry::default();
        let mut calls = Calls::new(caller);
        let others: Vec<Place> = others
            .iter()
            .flat_map(|&other| self.unmoved(other, &mut calls))
            .collect();
        let mut seen: Vec<Place> = vec![(start, HERE)];
        let mut next = 0;
        while let Some(&place) = seen.get(next) {
            next += 1;
            let (value, frame) = place;
            if others.contains(&place) {
                found.meets_partner = true;
                continue;
            }
            let mut before: Vec<Place> = Vec::new();
            if let Some(place) = calls.before(self.graph, place) {
                if frame == HERE && found.call.is_none() {
                    found.call = self.graph.producer(value);
                }
                before.push(place);
            } else if let Source::Node(node) = self.graph.source(value) {
                self.look(&mut found, node);
                let op = self.graph.op(node);
                found.foreign |= op == Op::Unknown;
                if self.pools(node) {
                    // What is pooled is another value, whatever of.
                    found.pooled = true;
                } else if op.is_layer() || op == Op::Unknown {
                    // Another layer; behind it lies the rest of the network, but pooling still says what this is.
                    let pooled = self.pooled_before(node, frame, &mut calls);
                    found.pooled |= pooled;
                    found.unpooled |= !pooled;
                } else {
                    let inputs = data_inputs(self.graph, node);
                    before.extend(inputs.map(|input| (input, frame)));
                }
            } else if matches!(self.graph.source(value), Source::Initializer(_)) {
                self.look_at_constant(&mut found, value);
            } else if matches!(self.graph.source(value), Source::Input) {
                found.unpooled = true;
            }
            for place in before {
                if seen.contains(&place) {
                    continue;
                }
                if seen.len() == MAX_STEPS {
                    found.unfinished = true;
                    break;
                }
                seen.push(place);
            }
        }
        found
    }

    /// A value, and what it was before its elements were moved.
    fn unmoved(&self, value: Value, calls: &mut Calls) -> Vec<Place> {
        let mut places = vec![(value, HERE)];
        while let Some(&(value, frame)) = places.last().filter(|_| places.len() < MAX_STEPS) {
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
            let before = moved.and_then(|node| data_inputs(self.graph, node).next());
            let before = before.map(|before| (before, frame));
            let given = || matches!(self.graph.source(value), Source::Input);
            let before = before.or_else(|| {
                given()
                    .then(|| calls.before(self.graph, (value, frame)))
                    .flatten()
            });
            match before {
                Some(before) => places.push(before),
                None => break,
            }
        }
        places
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
        if found.given.is_none() && self.is_given(node) {
            found.given = self.graph.outputs(node).first().copied();
        }
        let known = matches!(
            op,
            Op::Mul
                | Op::Add
                | Op::Sub
                | Op::Div
                | Op::Identity
                | Op::Constant
                | Op::ConstantOfShape
                | Op::Unknown
        ) || op.makes_gates() && op != Op::Tanh
            || matches!(op, Op::QuantizeLinear | Op::DequantizeLinear)
            || op.is_quantised_arithmetic();
        if !known && found.through.is_none() {
            found.through = Some(node);
        }
    }

    /// Whether callers of the function that a node stands in give it an attribute, or a bound.
    fn is_given(&self, node: Node) -> bool {
        let of_function = self.graph.function_of(self.graph.scope(node)).is_some();
        let mut attributes = self
            .graph
            .node(node)
            .into_iter()
            .flat_map(|node| node.attributes());
        let is_bound = |position: usize| {
            let bound = self.graph.inputs(node).get(position);
            bound.is_some_and(|&bound| self.graph.is_argument(bound))
        };
        of_function
            && (attributes.any(|attribute| !attribute.ref_attr_name().is_empty())
                || self.graph.op(node) == Op::Clip && (is_bound(1) || is_bound(2)))
    }

    /// Whether a node makes one number, or a few, of all positions.
    fn pools(&self, node: Node) -> bool {
        let op = self.graph.op(node);
        let dims_of = |value: Value| self.plan.facts.shapes.dims(self.plan.facts.shape(value));
        match op {
            // Over a window as large as the image.
            Op::AveragePool | Op::MaxPool | Op::LpPool | Op::QLinearAveragePool => {
                let first = |values: &[Value]| values.first().copied().and_then(dims_of);
                let is_one = |dims: &[Dim]| dims.iter().skip(2).all(|&dim| dim == Dim::Known(1));
                let output = first(self.graph.outputs(node));
                let input = first(self.graph.inputs(node));
                output.is_some_and(|dims| dims.len() > 2 && is_one(&dims))
                    && !input.is_some_and(|dims| is_one(&dims))
            }
            // A sum over indices that the result has not.
            Op::Einsum if self.graph.inputs(node).len() == 1 => {
                let equation = self.graph.string(node, b"equation").unwrap_or_default();
                let mut sides = equation.split(|&byte| byte == b'>');
                let mut letters = || {
                    let side = sides.next().unwrap_or_default();
                    let mut letters: Vec<u8> = side.to_vec();
                    letters.retain(u8::is_ascii_alphabetic);
                    letters
                };
                let (from, to) = (letters(), letters());
                from.iter().any(|letter| !to.contains(letter))
            }
            op => op.is_pooling(),
        }
    }

    /// Whether a few layers back there is a pooling over all positions.
    fn pooled_before(&self, node: Node, frame: usize, calls: &mut Calls) -> bool {
        let mut at = self
            .graph
            .outputs(node)
            .first()
            .map(|&value| (value, frame));
        let mut layers = 0;
        for _ in 0..MAX_STEPS {
            let Some(place) = at else {
                return false;
            };
            at = calls.before(self.graph, place);
            if at.is_some() {
                continue;
            }
            let (value, frame) = place;
            let Some(node) = self.graph.producer(value) else {
                return false;
            };
            let op = self.graph.op(node);
            layers += usize::from(op.is_layer() || op == Op::Unknown);
            if self.pools(node) {
                return true;
            }
            let ends = matches!(op, Op::Concat | Op::MaxPool) || op == Op::Unknown && layers > 1;
            if ends || layers > MAX_LAYERS {
                return false;
            }
            let first = self.graph.inputs(node).first();
            at = first.map(|&input| (input, frame));
        }
        false
    }
}
