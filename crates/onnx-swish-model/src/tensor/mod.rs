//! Stored tensors: what the index keeps of them.
//!
//! Given: a `TensorProto` in a file. Promises: name, element type, number of elements and where they are, without
//! touching the elements.

mod constant;
mod element;
mod sparse;

pub use constant::TensorError;
pub(crate) use element::raw_len;

use crate::error::{Error, Result};
use crate::index::Once;
use crate::model::Model;
use crate::node::Attribute;
use crate::schema::tensor_proto::DataType;
use crate::span::{Located, Span};
use crate::wire::{Field, Reader, Value, fields};

/// A stored tensor.
#[derive(Clone, Copy, Debug)]
pub struct Tensor {
    pub(crate) located: Located,
    pub(crate) name: Span,
    pub(crate) data_type: i32,
    pub(crate) rank: u32,
    pub(crate) elements: Option<u64>,
    pub(crate) external: bool,
}

impl Tensor {
    /// The name; empty for tensors in attributes.
    pub fn name(&self) -> Span {
        self.name
    }

    /// Where the tensor's message stands in the file.
    pub fn span(&self) -> Span {
        self.located.span
    }

    /// The element type as written, 0 when missing.
    pub fn element_type(&self) -> i32 {
        self.data_type
    }

    /// The element type, when it is one that exists.
    pub fn data_type(&self) -> Option<DataType> {
        DataType::try_from(self.data_type).ok()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.rank as usize
    }

    /// The number of elements that the shape means; `None` when a size is negative or the product has no 64 bits.
    pub fn elements(&self) -> Option<u64> {
        self.elements
    }

    /// Whether the elements are in another file.
    pub fn is_external(&self) -> bool {
        self.external
    }

    pub(crate) fn index(bytes: &[u8], located: Located) -> Result<Self> {
        const TENSOR: &str = "TensorProto";
        let mut tensor = Tensor {
            located,
            name: Span::default(),
            data_type: 0,
            rank: 0,
            elements: Some(1),
            external: false,
        };
        let mut once = Once::default();
        let mut reader = Reader::new(bytes, located.span);
        // A size of zero makes the tensor empty, whatever the others are: multiply only what is left.
        let mut zero = false;
        while let Some(field) = reader.next().map_err(Error::wire(TENSOR))? {
            let name = match (field.number, field.value) {
                (1, _) => {
                    each_int(bytes, &field, |dim| {
                        tensor.rank = tensor.rank.saturating_add(1);
                        zero |= dim == 0;
                        let dim = u64::try_from(dim).ok();
                        tensor.elements = tensor
                            .elements
                            .zip(dim)
                            .and_then(|(n, d)| n.checked_mul(d.max(1)));
                    })?;
                    continue;
                }
                (2, Value::Varint(value)) => {
                    tensor.data_type = value as i32;
                    "data_type"
                }
                (3, Value::Bytes(_)) => "segment",
                (8, Value::Bytes(span)) => {
                    tensor.name = span;
                    "name"
                }
                (9, Value::Bytes(_)) => "raw_data",
                (12, Value::Bytes(_)) => "doc_string",
                (14, Value::Varint(value)) => {
                    tensor.external = value == 1;
                    "data_location"
                }
                _ => continue,
            };
            once.check(TENSOR, field.number, name, field.start)?;
        }
        if zero {
            tensor.elements = tensor.elements.map(|_| 0);
        }
        Ok(tensor)
    }
}

impl Model {
    /// Visits every stored tensor: initializers, attributes and defaults of attributes, dense ones and the two parts of
    /// sparse ones, also those that only training uses.
    pub(crate) fn each_tensor(&self, mut visit: impl FnMut(&Tensor)) {
        for scope in self.scopes().iter().chain(self.training_scopes()) {
            scope.initializers.iter().for_each(&mut visit);
            for sparse in &scope.sparse_initializers {
                sparse.parts().for_each(|part| visit(&part));
            }
            for node in scope.nodes.iter().filter(|node| node.has_attributes()) {
                self.node_ref(node)
                    .attributes()
                    .for_each(|attribute| attribute.each_tensor(&mut visit));
            }
        }
        for &located in self
            .functions()
            .iter()
            .flat_map(|function| &function.attribute_protos)
        {
            Attribute::new(self, located).each_tensor(&mut visit);
        }
    }

    /// The sizes of a stored tensor, outermost first.
    pub fn dims(&self, tensor: &Tensor) -> Vec<i64> {
        let mut dims = Vec::new();
        for field in fields(self.bytes(), tensor.located.span).filter(|f| f.number == 1) {
            // The index has read these before; they cannot fail now.
            let _ = each_int(self.bytes(), &field, |dim| dims.push(dim));
        }
        dims
    }
}

/// The integers of one field of a repeated integer: one of them, or a packed run.
pub(crate) fn each_int(bytes: &[u8], field: &Field, mut f: impl FnMut(i64)) -> Result<()> {
    match field.value {
        Value::Varint(value) => f(value as i64),
        Value::Bytes(span) => {
            let mut reader = Reader::new(bytes, span);
            while !reader.is_done() {
                f(reader.varint().map_err(Error::wire("packed list"))? as i64);
            }
        }
        _ => {}
    }
    Ok(())
}
