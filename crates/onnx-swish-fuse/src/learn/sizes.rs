//! Tensors of sizes: what Shape, Gather, Concat and arithmetic make of the sizes of other tensors.
//! Given: a node whose inputs have been dealt with.
//! Promises: the elements of a short list, each a number or a symbol, or nothing. Work is linear in the lists, which are
//! short. Paddle, PyTorch and tf2onnx compute the targets of Reshape, Expand and Resize this way, some of them by way of
//! float32, whose whole numbers are exact to 2^24.

use crate::constants::{Content, MAX_KEPT};
use crate::element::Element;
use crate::facts::Facts;
use crate::graph::{Attribute, Graph, Node, Value};
use crate::ops::Op;
use crate::shapes::{Dim, Shapes};

/// Learns the elements of what a node makes, if they are sizes.
pub(crate) fn evaluate(graph: &Graph<'_>, facts: &mut Facts, node: Node) {
    let Some(&output) = graph.outputs(node).first() else {
        return;
    };
    let mut at = Evaluate { graph, facts, node };
    if graph.op(node) == Op::Split {
        at.split();
        return;
    }
    if !at.may_be_sizes(output) {
        return;
    }
    if let Some(sizes) = at.sizes(output)
        && at.facts.known_constant(output).is_none()
    {
        at.facts.set_sizes(output, &sizes);
    }
}

struct Evaluate<'a, 'g> {
    graph: &'a Graph<'g>,
    facts: &'a mut Facts,
    node: Node,
}

impl Evaluate<'_, '_> {
    /// Integers, truth values, and floats that come from sizes, in no more than one dimension.
    fn may_be_sizes(&self, output: Value) -> bool {
        match self.facts.element(output) {
            Element::Integer => {}
            Element::F32 | Element::F64 | Element::Other => {
                let inputs = self.graph.inputs(self.node).iter();
                if !inputs.copied().any(|input| self.facts.has_sizes(input)) {
                    return false;
                }
            }
            _ => return false,
        }
        let rank = self.facts.shapes.rank(self.facts.shape(output));
        rank.is_some_and(|rank| rank <= 1)
    }

    fn input(&self, index: usize) -> Option<Value> {
        let input = self.graph.inputs(self.node).get(index).copied();
        input.filter(|value| !value.is_absent())
    }

    /// The elements of an input: computed sizes, or whole numbers.
    fn list(&mut self, index: usize) -> Option<Vec<Dim>> {
        let value = self.input(index)?;
        if let Some(constant) = self.facts.constant(self.graph, value)
            && constant.element.is_float()
        {
            let whole = |number: &f64| number.fract() == 0.0;
            let exact = match &constant.content {
                Content::Uniform(number) => whole(number),
                Content::Few(numbers) => numbers.iter().all(whole),
                Content::Many => false,
            };
            if !exact {
                return None;
            }
        }
        self.facts.sizes(self.graph, value)
    }

    /// A list of whole numbers.
    fn numbers(&mut self, index: usize) -> Option<Vec<i64>> {
        numbers(&self.list(index)?)
    }

    fn int(&self, name: &[u8], default: i64) -> Option<i64> {
        match self.graph.int(self.node, name) {
            Attribute::Is(value) => Some(value),
            Attribute::Absent => Some(default),
            Attribute::Unknown => None,
        }
    }

    fn sizes(&mut self, output: Value) -> Option<Vec<Dim>> {
        match self.graph.op(self.node) {
            Op::Shape => self.shape(),
            Op::Size => {
                let dims = self.facts.shapes.dims(self.facts.shape(self.input(0)?))?;
                Some(vec![self.facts.shapes.product(&dims)])
            }
            Op::Identity | Op::Squeeze | Op::Unsqueeze | Op::Reshape | Op::Flatten => self.list(0),
            Op::Cast | Op::Floor | Op::Ceil | Op::Round => {
                let number = self.facts.element(output) == Element::Integer
                    || self.facts.element(output).is_float();
                self.list(0).filter(|_| number)
            }
            Op::Gather => self.gather(),
            Op::Slice => self.slice(),
            Op::Concat => self.concat(),
            Op::ReduceProd => {
                let list = self.list(0)?;
                Some(vec![self.facts.shapes.product(&list)])
            }
            Op::ConstantOfShape => {
                let count = usize::try_from(*self.numbers(0)?.first()?).ok()?;
                let (_, values) = self
                    .graph
                    .constant_attribute(self.node, 1)
                    .unwrap_or((1, Some(vec![0.0])));
                let value = *values?.first()?;
                (count <= MAX_KEPT && value.fract() == 0.0)
                    .then(|| vec![Dim::Known(value as i64); count])
            }
            Op::Where => self.select(),
            op => self.arithmetic(op),
        }
    }

    fn shape(&mut self) -> Option<Vec<Dim>> {
        let dims = self.facts.shapes.dims(self.facts.shape(self.input(0)?))?;
        let (start, end) = (self.int(b"start", 0)?, self.int(b"end", i64::MAX)?);
        let (start, end) = (clamped(start, dims.len()), clamped(end, dims.len()));
        Some(dims.get(start..end).unwrap_or_default().to_vec())
    }

    fn gather(&mut self) -> Option<Vec<Dim>> {
        let (list, indices) = (self.list(0)?, self.numbers(1)?);
        let at = |index: i64| {
            let index = if index < 0 {
                index.checked_add(list.len() as i64)?
            } else {
                index
            };
            list.get(usize::try_from(index).ok()?).copied()
        };
        indices.into_iter().map(at).collect()
    }

    fn slice(&mut self) -> Option<Vec<Dim>> {
        let list = self.list(0)?;
        let bounds = [(1, b"starts" as &[u8]), (2, b"ends")];
        let [start, end] = bounds.map(|(index, name)| self.bound(index, name));
        let (start, end) = (clamped(start?, list.len()), clamped(end?, list.len()));
        if self.input(4).is_some() && self.numbers(4)? != [1] {
            return None;
        }
        Some(list.get(start..end).unwrap_or_default().to_vec())
    }

    /// The only start or end of a Slice, which became an input in opset 10.
    fn bound(&mut self, index: usize, name: &[u8]) -> Option<i64> {
        let bounds = match self.graph.ints(self.node, name) {
            Attribute::Is(bounds) => bounds,
            Attribute::Absent => self.numbers(index)?,
            Attribute::Unknown => return None,
        };
        match bounds[..] {
            [bound] => Some(bound),
            _ => None,
        }
    }

    fn concat(&mut self) -> Option<Vec<Dim>> {
        let mut all = Vec::new();
        for index in 0..self.graph.inputs(self.node).len() {
            all.extend(self.list(index)?);
            if all.len() > MAX_KEPT {
                return None;
            }
        }
        Some(all)
    }

    /// The parts of a list that is cut.
    fn split(&mut self) {
        let outputs = self.graph.outputs(self.node);
        let Some(list) = self.input(0).filter(|&of| self.facts.has_sizes(of)) else {
            return;
        };
        let Some(list) = self.facts.sizes(self.graph, list) else {
            return;
        };
        let parts = match self.graph.ints(self.node, b"split") {
            Attribute::Is(parts) => Some(parts),
            _ if self.input(1).is_some() => self.numbers(1),
            _ => {
                let even = list.len().checked_div(outputs.len());
                even.filter(|even| even * outputs.len() == list.len())
                    .map(|even| vec![even as i64; outputs.len()])
            }
        };
        let mut start = 0usize;
        for (&output, part) in outputs.iter().zip(parts.unwrap_or_default()) {
            let end = usize::try_from(part)
                .ok()
                .and_then(|n| start.checked_add(n));
            let Some(part) = end.and_then(|end| list.get(start..end)) else {
                return;
            };
            if !output.is_absent() {
                self.facts.set_sizes(output, part);
            }
            start += part.len();
        }
    }

    /// `Where(condition, a, b)`, as Expand's targets are written: "1 where it says -1".
    fn select(&mut self) -> Option<Vec<Dim>> {
        let (condition, a, b) = (self.numbers(0)?, self.list(1)?, self.list(2)?);
        let count = condition.len().max(a.len()).max(b.len());
        let element = |i: usize| match spread(&condition, i)? {
            0 => spread(&b, i),
            _ => spread(&a, i),
        };
        (0..count).map(element).collect()
    }

    /// Element by element; a list of one goes with any other.
    fn arithmetic(&mut self, op: Op) -> Option<Vec<Dim>> {
        if !matches!(
            op,
            Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Equal | Op::Min | Op::Max | Op::Mod
        ) || self.graph.inputs(self.node).len() != 2
        {
            return None;
        }
        let (a, b) = (self.list(0)?, self.list(1)?);
        let is_float = self.facts.element(self.input(0)?).is_float();
        let shapes = &mut self.facts.shapes;
        (0..a.len().max(b.len()))
            .map(|i| binary(shapes, op, spread(&a, i)?, spread(&b, i)?, is_float))
            .collect()
    }
}

/// One element of the result of an operator on sizes.
fn binary(shapes: &mut Shapes, op: Op, a: Dim, b: Dim, is_float: bool) -> Option<Dim> {
    let (a, b) = (shapes.resolve(a), shapes.resolve(b));
    match (op, a, b) {
        (Op::Add, ..) => Some(shapes.sum(a, b)),
        (Op::Sub, ..) => Some(shapes.difference(a, b)),
        (Op::Mul, ..) => Some(shapes.product(&[a, b])),
        // A float's quotient need not be whole.
        (Op::Div, ..) if is_float => shapes.exact_quotient(&[a], &[b]),
        (Op::Div, ..) => Some(shapes.quotient(a, b)),
        (Op::Equal, a, b) if a == b => Some(Dim::Known(1)),
        (Op::Equal, Dim::Known(_), Dim::Known(_)) => Some(Dim::Known(0)),
        (Op::Equal, size, Dim::Known(number)) | (Op::Equal, Dim::Known(number), size) => {
            (number < 0 && shapes.is_size(size)).then_some(Dim::Known(0))
        }
        (Op::Min, Dim::Known(a), Dim::Known(b)) => Some(Dim::Known(a.min(b))),
        (Op::Max, Dim::Known(a), Dim::Known(b)) => Some(Dim::Known(a.max(b))),
        (Op::Min | Op::Max, a, b) if a == b => Some(a),
        // Nobody knows which: the rest of the list is known all the same.
        (Op::Min | Op::Max, ..) => Some(shapes.unknown()),
        // Remainders of negative numbers have two meanings.
        (Op::Mod, Dim::Known(a), Dim::Known(b)) if a >= 0 && b > 0 => Some(Dim::Known(a % b)),
        _ => None,
    }
}

/// Elements as numbers, if all are.
fn numbers(list: &[Dim]) -> Option<Vec<i64>> {
    let number = |dim: &Dim| match dim {
        Dim::Known(number) => Some(*number),
        Dim::Symbol(_) => None,
    };
    list.iter().map(number).collect()
}

/// The element that stands at a position once a list of one is as long as any other.
fn spread<T: Copy>(list: &[T], position: usize) -> Option<T> {
    match list {
        &[only] => Some(only),
        _ => list.get(position).copied(),
    }
}

/// A start or end of a slice, counted from the front and within the list.
fn clamped(index: i64, length: usize) -> usize {
    let length = length as i64;
    let index = if index < 0 {
        index.saturating_add(length)
    } else {
        index
    };
    index.clamp(0, length) as usize
}
