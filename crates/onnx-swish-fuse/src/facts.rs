//! What is known of values besides their forms: element type, shape, constant, sizes.
//! Given: what `learn` finds out, node by node.
//! Promises: every statement is true for every input that the model accepts.

use std::collections::HashMap;

use crate::constants::{Constant, MAX_ELEMENTS, MAX_KEPT, Oddities};
use crate::element::Element;
use crate::graph::{Graph, Source, Value};
use crate::numbering::Numbering;
use crate::shapes::{Dim, ShapeId, Shapes};
use crate::types::DataType;

/// Index into `Facts::constants`, or one of the two below.
type ConstantSlot = u32;
/// Nobody has asked yet.
const UNASKED: ConstantSlot = u32::MAX;
/// Not a constant.
const VARIES: ConstantSlot = u32::MAX - 1;

/// Facts about all values of a model.
pub(crate) struct Facts {
    types: Vec<DataType>,
    shape: Vec<ShapeId>,
    /// What was inferred of values of which the file says something else than that, or more.
    inferred: HashMap<Value, ShapeId>,
    slots: Vec<ConstantSlot>,
    constants: Vec<Constant>,
    /// Elements of tensors of sizes that are computed from shapes.
    sizes: HashMap<Value, Box<[Dim]>>,
    /// Shapes by index.
    pub(crate) shapes: Shapes,
    /// Which values are one.
    pub(crate) numbering: Numbering,
}

impl Facts {
    /// Nothing known yet but these element types.
    pub(crate) fn new(types: Vec<DataType>) -> Self {
        let shapes = Shapes::default();
        let values = types.len();
        Self {
            types,
            shape: vec![shapes.nothing(); values],
            inferred: HashMap::new(),
            slots: vec![UNASKED; values],
            constants: Vec::new(),
            sizes: HashMap::new(),
            shapes,
            numbering: Numbering::default(),
        }
    }

    /// Element type of a value, exactly.
    pub(crate) fn data_type(&self, value: Value) -> DataType {
        self.types.get(value.index()).copied().unwrap_or_default()
    }

    /// Element type of a value, as recognition tells types apart.
    pub(crate) fn element(&self, value: Value) -> Element {
        self.data_type(value).element()
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
        if a == b || self.shapes.same(self.shape(a), self.shape(b)) {
            return true;
        }
        let inferred = |value: Value| {
            let inferred = self.inferred.get(&value).copied();
            inferred.unwrap_or(self.shape(value))
        };
        let (other_a, other_b) = (inferred(a), inferred(b));
        self.shapes.same(other_a, self.shape(b))
            || self.shapes.same(self.shape(a), other_b)
            || self.shapes.same(other_a, other_b)
    }

    /// Records the shape of a value, as inferred and as the file declares it.
    pub(crate) fn set_shape(&mut self, graph: &Graph<'_>, value: Value, inferred: ShapeId) {
        let mut shape = inferred;
        if !self.shapes.is_fully_known(inferred)
            && let Some(dims) = graph.declared_dims(value, &mut self.shapes)
        {
            let declared = self.shapes.ranked(&dims);
            shape = self.shapes.merge(inferred, declared);
        }
        if let Some(slot) = self.shape.get_mut(value.index()) {
            *slot = shape;
        }
        if shape != inferred {
            self.inferred.insert(value, inferred);
        }
    }

    /// Records the constant that a node makes, or that it makes none.
    pub(crate) fn set_constant(&mut self, value: Value, constant: Option<Constant>) {
        match constant {
            Some(constant) => self.keep(value, constant),
            None => {
                if let Some(slot) = self.slots.get_mut(value.index()) {
                    *slot = VARIES;
                }
            }
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
            let constant = read(graph, value);
            self.set_constant(value, constant);
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
        // Where nothing says which float it is, it is the same one throughout.
        let is_same = |other: Element| {
            other == element
                || (other.code(), element.code()) == (None, None) && !other.is_not_float()
        };
        constants.iter().copied().find(|&value| {
            self.known_constant(value).is_some_and(|constant| {
                constant.number() == Some(number)
                    && is_same(constant.element)
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
        let count = match self.shapes.dims(self.shape(value))?[..] {
            [] => Some(1),
            [Dim::Known(count)] => usize::try_from(count).ok(),
            _ => None,
        };
        self.constant(graph, value)?.integers(count)
    }

    /// The elements of a short list of sizes, constant or computed from shapes.
    pub(crate) fn sizes(&mut self, graph: &Graph<'_>, value: Value) -> Option<Vec<Dim>> {
        if let Some(sizes) = self.sizes.get(&value) {
            return Some(
                sizes
                    .iter()
                    .map(|&size| self.shapes.resolve(size))
                    .collect(),
            );
        }
        let integers = self.integers(graph, value)?;
        Some(integers.into_iter().map(Dim::Known).collect())
    }

    /// Records the elements of a list of sizes; long ones are of no interest.
    pub(crate) fn set_sizes(&mut self, value: Value, sizes: &[Dim]) {
        if sizes.len() <= MAX_KEPT {
            self.sizes.insert(value, sizes.into());
        }
    }

    /// Whether a value is known to be a list of sizes that are computed from shapes.
    pub(crate) fn has_sizes(&self, value: Value) -> bool {
        !self.sizes.is_empty() && self.sizes.contains_key(&value)
    }
}

/// The constant that a value is which no node makes.
fn read(graph: &Graph<'_>, value: Value) -> Option<Constant> {
    let Source::Initializer(_) = graph.source(value) else {
        return None;
    };
    if graph.is_overridable(value) {
        return None;
    }
    let element = Element::from_code(graph.initializer_code(value)?);
    match graph.initializer_values(value, MAX_ELEMENTS) {
        Some(values) => Some(Constant::new(element, &values)),
        None => (!graph.is_unreadable(value)).then(|| Constant::many(element, Oddities::default())),
    }
}
