//! What is known of values besides their forms: element type, shape, constant.
//! Given: the model's declarations and nodes in topological order.
//! Promises: every statement is true for every input that the model accepts.

use crate::constants::{Constant, Content, MAX_ELEMENTS};
use crate::element::Element;
use crate::graph::{Attribute, Graph, Node, Source, Value};
use crate::ops::Op;
use crate::quantised::params::Quantiser;
use crate::shapes::{Dim, ShapeId, Shapes, infer::infer};

/// Index into `Facts::constants`, or one of the two below.
type ConstantSlot = u32;
/// Nobody has asked yet.
const UNASKED: ConstantSlot = u32::MAX;
/// Not a constant.
const VARIES: ConstantSlot = u32::MAX - 1;

/// Facts about all values of a model.
pub(crate) struct Facts {
    element: Vec<Element>,
    shape: Vec<ShapeId>,
    slots: Vec<ConstantSlot>,
    constants: Vec<Constant>,
    /// Shapes by index.
    pub(crate) shapes: Shapes,
}

impl Facts {
    /// Nothing known yet.
    pub(crate) fn new(values: usize) -> Self {
        let shapes = Shapes::default();
        Self {
            element: vec![Element::Unknown; values],
            shape: vec![shapes.nothing(); values],
            slots: vec![UNASKED; values],
            constants: Vec::new(),
            shapes,
        }
    }

    /// Element type of a value.
    pub(crate) fn element(&self, value: Value) -> Element {
        self.element.get(value.index()).copied().unwrap_or_default()
    }

    /// Shape of a value.
    pub(crate) fn shape(&self, value: Value) -> ShapeId {
        self.shape
            .get(value.index())
            .copied()
            .unwrap_or(self.shapes.nothing())
    }

    /// Whether two values provably have one shape.
    pub(crate) fn same_shape(&self, a: Value, b: Value) -> bool {
        a == b || self.shapes.same(self.shape(a), self.shape(b))
    }

    fn set(&mut self, value: Value, element: Element, shape: ShapeId) {
        if let Some(slot) = self.element.get_mut(value.index()) {
            *slot = element;
        }
        if let Some(slot) = self.shape.get_mut(value.index()) {
            *slot = shape;
        }
    }

    /// Records what the file declares of a value that no node makes: an input, an initializer, a captured name.
    pub(crate) fn declare(&mut self, graph: &Graph<'_>, value: Value) {
        let inferred = self.shapes.opaque();
        let (mut element, mut shape) = (Element::Unknown, inferred);
        if let Source::Initializer(_) = graph.source(value)
            && let Some((code, dims)) = graph.initializer_type(value)
        {
            element = Element::from_code(code);
            let dims: Vec<Dim> = dims.into_iter().map(Dim::Known).collect();
            shape = self.shapes.ranked(&dims);
        }
        self.set(value, element, shape);
        self.refine(graph, value);
    }

    /// Adds what the file declares of a value to what is known.
    fn refine(&mut self, graph: &Graph<'_>, value: Value) {
        let (mut element, mut shape) = (self.element(value), self.shape(value));
        if element != Element::Unknown && self.shapes.is_fully_known(shape) {
            return;
        }
        if let Some((declared, dims)) = graph.declared_type(value, &mut self.shapes) {
            if element == Element::Unknown {
                element = Element::from_code(declared);
            }
            if let Some(dims) = dims {
                let declared = self.shapes.ranked(&dims);
                shape = self.shapes.merge(shape, declared);
            }
            self.set(value, element, shape);
        }
    }

    /// Learns about the outputs of a node whose inputs are known.
    pub(crate) fn learn(&mut self, graph: &Graph<'_>, node: Node) {
        for (position, &output) in graph.outputs(node).iter().enumerate() {
            if output.is_absent() {
                continue;
            }
            if position == 0
                && let Some(constant) = self.fold(graph, node)
            {
                self.element_of_constant(output, constant.element);
                self.keep(output, constant);
            } else if let Some(slot) = self.slots.get_mut(output.index()) {
                *slot = VARIES;
            }
            let (element, shape) = infer(graph, self, node, position);
            let element = if element == Element::Unknown {
                self.element(output)
            } else {
                element
            };
            let shape = if graph.op(node) == Op::Constant {
                self.constant_shape(graph, node)
            } else {
                shape
            };
            self.set(output, element, shape);
            self.refine(graph, output);
        }
    }

    fn element_of_constant(&mut self, value: Value, element: Element) {
        if let Some(slot) = self.element.get_mut(value.index()) {
            *slot = element;
        }
    }

    fn keep(&mut self, value: Value, constant: Constant) {
        let index = self.constants.len() as ConstantSlot;
        self.constants.push(constant);
        if let Some(slot) = self.slots.get_mut(value.index()) {
            *slot = index;
        }
    }

    /// The constant that a value is.
    pub(crate) fn constant(&mut self, graph: &Graph<'_>, value: Value) -> Option<&Constant> {
        let slot = *self.slots.get(value.index())?;
        let slot = if slot == UNASKED {
            match self.read(graph, value) {
                Some(constant) => self.keep(value, constant),
                None => *self.slots.get_mut(value.index())? = VARIES,
            }
            *self.slots.get(value.index())?
        } else {
            slot
        };
        self.constants.get(slot as usize)
    }

    /// The constant that a value is known to be; answers only what was asked before.
    pub(crate) fn known_constant(&self, value: Value) -> Option<&Constant> {
        let slot = *self.slots.get(value.index())?;
        self.constants.get(slot as usize)
    }

    /// One of these constants that is this number, in this element type, and has no dimensions to speak of.
    pub(crate) fn scalar_among(
        &self,
        constants: &[Value],
        number: f64,
        element: Element,
    ) -> Option<Value> {
        constants.iter().copied().find(|&value| {
            self.known_constant(value).is_some_and(|constant| {
                constant.number() == Some(number)
                    && constant.element == element
                    && self.shapes.rank(self.shape(value)) == Some(0)
            })
        })
    }

    /// The number that every element of a value is.
    pub(crate) fn number(&mut self, graph: &Graph<'_>, value: Value) -> Option<f64> {
        self.constant(graph, value)?.number()
    }

    /// The elements of a constant list of integers.
    pub(crate) fn integers(&mut self, graph: &Graph<'_>, value: Value) -> Option<Vec<i64>> {
        let count = match self.shapes.dims(self.shape(value))? {
            [] => Some(1),
            [Dim::Known(count)] => usize::try_from(*count).ok(),
            _ => None,
        };
        self.constant(graph, value)?.integers(count)
    }

    /// A value that no node makes.
    fn read(&self, graph: &Graph<'_>, value: Value) -> Option<Constant> {
        let Source::Initializer(_) = graph.source(value) else {
            return None;
        };
        if graph.is_overridable(value) {
            return None;
        }
        let (code, _) = graph.initializer_type(value)?;
        let element = Element::from_code(code);
        match graph.initializer_values(value, MAX_ELEMENTS) {
            Some(values) => Some(Constant::new(element, &values)),
            None => (!graph.is_unreadable(value)).then_some(Constant {
                element,
                content: Content::Many,
            }),
        }
    }

    /// The constant that a node makes, if all that matters of its inputs is constant.
    fn fold(&mut self, graph: &Graph<'_>, node: Node) -> Option<Constant> {
        let inputs = graph.inputs(node);
        let input = |index: usize| {
            inputs
                .get(index)
                .copied()
                .filter(|value| !value.is_absent())
        };
        match graph.op(node) {
            Op::Constant => {
                let (code, values) = graph.constant_attribute(node, MAX_ELEMENTS)?;
                Some(match values {
                    Some(values) => Constant::new(Element::from_code(code), &values),
                    None => Constant {
                        element: Element::from_code(code),
                        content: Content::Many,
                    },
                })
            }
            Op::Identity | Op::Reshape | Op::Unsqueeze | Op::Squeeze | Op::Flatten => {
                self.constant(graph, input(0)?).cloned()
            }
            Op::Expand | Op::Transpose | Op::Tile => {
                let constant = self.constant(graph, input(0)?)?;
                let (element, number) = (constant.element, constant.number());
                Some(match number {
                    Some(number) => Constant::uniform(element, number),
                    None => Constant {
                        element,
                        content: Content::Many,
                    },
                })
            }
            Op::Cast => {
                let Attribute::Is(to) = graph.int(node, b"to") else {
                    return None;
                };
                let to = Element::from_code(i32::try_from(to).ok()?);
                Some(self.constant(graph, input(0)?)?.clone().cast(to))
            }
            Op::CastLike => {
                let like = self.element(input(1)?);
                Some(self.constant(graph, input(0)?)?.clone().cast(like))
            }
            Op::ConstantOfShape => {
                let (code, values) = graph
                    .constant_attribute(node, 1)
                    .unwrap_or((1, Some(vec![0.0])));
                self.constant(graph, input(0)?)?;
                Some(Constant::uniform(
                    Element::from_code(code),
                    *values?.first()?,
                ))
            }
            Op::DequantizeLinear => {
                let zero = match input(2) {
                    Some(zero) => self.number(graph, zero)?,
                    None => 0.0,
                };
                let stored = self.number(graph, input(0)?)?;
                self.constant(graph, input(1)?)?
                    .map(|scale| (stored - zero) * scale)
            }
            Op::QuantizeLinear => self.quantised_constant(graph, node),
            Op::Neg => self.constant(graph, input(0)?)?.map(|a| -a),
            Op::Reciprocal => self.constant(graph, input(0)?)?.map(|a| 1.0 / a),
            Op::Sqrt => self.constant(graph, input(0)?)?.map(f64::sqrt),
            Op::Exp => self.constant(graph, input(0)?)?.map(f64::exp),
            Op::Add => self.fold_two(graph, input(0)?, input(1)?, |a, b| a + b),
            Op::Sub => self.fold_two(graph, input(0)?, input(1)?, |a, b| a - b),
            Op::Mul => self.fold_two(graph, input(0)?, input(1)?, |a, b| a * b),
            Op::Div => self.fold_two(graph, input(0)?, input(1)?, |a, b| a / b),
            Op::Pow => self.fold_two(graph, input(0)?, input(1)?, f64::powf),
            _ => None,
        }
    }

    /// A constant that is quantised at run time is the code that QuantizeLinear makes of it.
    fn quantised_constant(&mut self, graph: &Graph<'_>, node: Node) -> Option<Constant> {
        let number = self.number(graph, *graph.inputs(node).first()?)?;
        let code = Quantiser::of_node(graph, self, node)?.code(number)?;
        Some(Constant::uniform(Element::Integer, code))
    }

    fn fold_two(
        &mut self,
        graph: &Graph<'_>,
        a: Value,
        b: Value,
        f: impl FnOnce(f64, f64) -> f64,
    ) -> Option<Constant> {
        self.constant(graph, a)?.number()?;
        let a = self.constant(graph, a)?.clone();
        let folded = a.zip(self.constant(graph, b)?, f)?;
        // Integer division rounds its own way; sizes of tensors are of no interest here.
        (!folded.element.is_not_float()).then_some(folded)
    }

    fn constant_shape(&mut self, graph: &Graph<'_>, node: Node) -> ShapeId {
        match graph.constant_dims(node) {
            Some(dims) => {
                let dims: Vec<Dim> = dims.into_iter().map(Dim::Known).collect();
                self.shapes.ranked(&dims)
            }
            None => self.shapes.opaque(),
        }
    }
}
