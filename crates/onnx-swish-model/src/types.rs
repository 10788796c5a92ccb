//! Types of values, read when they are asked for.
//!
//! Given: the type field of a value. Promises: what is stated and no more; a type that contradicts itself is no type.

use crate::model::Model;
use crate::schema::tensor_proto::DataType;
use crate::scope::ValueInfo;
use crate::span::Span;
use crate::wire::{Field, Value, fields};

/// One size of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// A number. Some exporters write -1 for an open size; that is [`Dim::Unknown`].
    Known(u64),
    /// A name; equal names are equal sizes.
    Symbol(Span),
    /// Nothing is stated.
    Unknown,
}

/// The type of a dense tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// A [`DataType`] as written, 0 when missing.
    pub element_type: i32,
    /// The sizes, outermost first; `None` when not even their number is known.
    pub shape: Option<Vec<Dim>>,
}

impl TensorType {
    /// The element type, when it is one that exists.
    pub fn data_type(&self) -> Option<DataType> {
        DataType::try_from(self.element_type).ok()
    }
}

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// A dense tensor.
    Tensor(TensorType),
    /// A sparse tensor, sequence, map, optional or opaque value.
    Other,
    /// Nothing usable is stated.
    Missing,
}

impl Model {
    /// The type that a graph states of a value.
    pub fn value_type(&self, info: &ValueInfo) -> ValueType {
        let mut found = ValueType::Missing;
        for field in fields(self.bytes(), info.type_) {
            let (1 | 4 | 5 | 7 | 8 | 9, Some(span)) = (field.number, field.bytes()) else {
                continue;
            };
            // A second member of the union: readers merge or replace, so nothing is certain.
            if found != ValueType::Missing {
                return ValueType::Missing;
            }
            found = match field.number {
                1 => match self.tensor_type(span) {
                    Some(tensor) => ValueType::Tensor(tensor),
                    None => return ValueType::Missing,
                },
                _ => ValueType::Other,
            };
        }
        found
    }

    /// The tensor type that a graph states of a value, if it is one.
    pub fn value_tensor_type(&self, info: &ValueInfo) -> Option<TensorType> {
        match self.value_type(info) {
            ValueType::Tensor(tensor) => Some(tensor),
            ValueType::Other | ValueType::Missing => None,
        }
    }

    fn tensor_type(&self, span: Span) -> Option<TensorType> {
        let mut element_type = None;
        let mut shape = None;
        let mut twice = false;
        for field in fields(self.bytes(), span) {
            match (field.number, field.value) {
                (1, Value::Varint(value)) => twice |= element_type.replace(value as i32).is_some(),
                (2, Value::Bytes(span)) => {
                    let dims = fields(self.bytes(), span).filter(|f| f.number == 1);
                    twice |= shape
                        .replace(dims.map(|dim| self.dim(&dim)).collect())
                        .is_some();
                }
                _ => {}
            }
        }
        (!twice).then_some(TensorType {
            element_type: element_type.unwrap_or(0),
            shape,
        })
    }

    fn dim(&self, field: &Field) -> Dim {
        let mut dim = Dim::Unknown;
        for field in fields(self.bytes(), field.bytes().unwrap_or_default()) {
            // The last member of the union counts.
            match (field.number, field.value) {
                (1, Value::Varint(value)) => {
                    dim = u64::try_from(value as i64).map_or(Dim::Unknown, Dim::Known);
                }
                (2, Value::Bytes(span)) if span.is_empty() => dim = Dim::Unknown,
                (2, Value::Bytes(span)) => dim = Dim::Symbol(span),
                _ => {}
            }
        }
        dim
    }
}
