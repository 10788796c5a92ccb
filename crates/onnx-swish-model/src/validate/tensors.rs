//! Stored tensors and stated shapes: data fills its shape, and no shape is beyond memory.

use std::collections::HashMap;

use super::{Checker, Problem};
use crate::error::display;
use crate::model::Model;
use crate::schema::tensor_proto::DataType;
use crate::scope::{Scope, SparseTensor};
use crate::tensor::{Tensor, raw_len};
use crate::types::Dim;
use crate::wire::{Reader, Value, fields};

/// More elements than any machine of today holds in one tensor. A shape beyond it is a mistake or an attack.
pub(super) const MAX_ELEMENTS: u64 = 1 << 36;

/// Most axes that a constant shape is looked at for; tensors of more do not occur.
const MAX_RANK: usize = 64;

impl<'m> Checker<'m> {
    pub(super) fn tensors(&mut self, scope: &Scope) {
        let model = self.model;
        for tensor in scope.initializers() {
            if let Some(why) = self.tensor_defect(tensor) {
                self.report(Problem::Tensor {
                    tensor: display(model.text(tensor.name())),
                    why,
                });
            }
        }
        for sparse in scope.sparse_initializers() {
            if let Some(why) = self.sparse_defect(sparse) {
                self.report(Problem::Tensor {
                    tensor: display(model.text(sparse.name())),
                    why,
                });
            }
        }
        let values = [scope.inputs(), scope.outputs(), scope.value_info()];
        for value in values.into_iter().flatten() {
            let shape = model.value_tensor_type(value).and_then(|t| t.shape);
            let sizes = shape.iter().flatten().map(|dim| match dim {
                Dim::Known(n) => *n,
                Dim::Symbol(_) | Dim::Unknown => 1,
            });
            if exceeds(sizes) {
                self.report(Problem::ShapeTooLarge {
                    value: display(model.text(value.name())),
                });
            }
        }
    }

    /// What is wrong with a stored tensor, if something is.
    pub(super) fn tensor_defect(&self, tensor: &Tensor) -> Option<&'static str> {
        let Some(data_type) = tensor.data_type().filter(|&t| t != DataType::Undefined) else {
            return Some("has no element type, or one that does not exist");
        };
        let Some(elements) = tensor.elements().filter(|&n| n <= MAX_ELEMENTS) else {
            return Some("has a shape that cannot be");
        };
        let bytes = self.model.bytes();
        let mut raw = None;
        let mut typed = 0u64;
        for field in fields(bytes, tensor.located.span) {
            match (field.number, field.value) {
                (3, _) => return Some("is a segment of a larger one, which no runtime reads"),
                (9, Value::Bytes(span)) => raw = Some(u64::from(span.len)).filter(|&len| len > 0),
                (6, Value::Bytes(_)) => typed += 1,
                (4, Value::Bytes(span)) => typed += u64::from(span.len) / 4,
                (10, Value::Bytes(span)) => typed += u64::from(span.len) / 8,
                (5 | 7 | 11, Value::Bytes(span)) => {
                    // Every varint ends in the one byte of it that is below 128.
                    typed += self.model.text(span).iter().filter(|&&b| b < 0x80).count() as u64;
                }
                (4 | 5 | 7 | 10 | 11, _) => typed += 1,
                _ => {}
            }
        }
        if tensor.is_external() {
            let data = self.model.external_data(tensor)?;
            return match data {
                _ if data_type == DataType::String => {
                    Some("has strings in another file, which no runtime reads")
                }
                _ if raw.is_some() || typed > 0 => {
                    Some("has its data both here and in another file")
                }
                _ if data.location.is_empty() => {
                    Some("has its data in another file and does not say in which")
                }
                _ => None,
            };
        }
        match raw {
            Some(_) if typed > 0 => Some("has its data twice"),
            Some(len) if raw_len(data_type, elements) == Some(len) => None,
            None if typed == typed_len(data_type, elements) => None,
            _ => Some("has more or less data than its shape needs"),
        }
    }

    fn sparse_defect(&self, sparse: &SparseTensor) -> Option<&'static str> {
        let (Some(values), Some(indices)) = (sparse.values, sparse.indices) else {
            return Some("is sparse and has no values or no indices");
        };
        let why = self
            .tensor_defect(&values)
            .or_else(|| self.tensor_defect(&indices));
        if why.is_some() {
            return why;
        }
        let dims = self.model.sparse_dims(sparse);
        let sizes = dims
            .iter()
            .map(|&dim| u64::try_from(dim).unwrap_or(u64::MAX));
        if exceeds(sizes) {
            return Some("is sparse and has a shape that cannot be");
        }
        if indices.data_type() != Some(DataType::Int64) {
            return Some("is sparse and has indices that are not INT64");
        }
        let count = values.elements();
        let rank = (dims.len() as u64).max(1);
        let wanted = match indices.rank() {
            1 => count,
            2 => count.and_then(|n| n.checked_mul(rank)),
            _ => None,
        };
        if wanted.is_none() || wanted != indices.elements() {
            return Some("is sparse and has not as many indices as values");
        }
        self.index_out_of_range(&indices, &dims)
    }

    /// Reads the indices that are in the file; those elsewhere are not looked at.
    fn index_out_of_range(&self, indices: &Tensor, dims: &[i64]) -> Option<&'static str> {
        if indices.is_external() {
            return None;
        }
        let flat = [dims.iter().fold(1i64, |n, &dim| n.saturating_mul(dim))];
        let limits = if indices.rank() == 1 { &flat[..] } else { dims };
        let mut limits = limits.iter().cycle();
        let mut bad = false;
        let mut check = |index: i64| {
            bad |= !limits
                .next()
                .is_some_and(|&limit| (0..limit).contains(&index))
        };
        for field in fields(self.model.bytes(), indices.located.span) {
            match (field.number, field.value) {
                (9, Value::Bytes(span)) => {
                    let mut reader = Reader::new(self.model.bytes(), span);
                    while let Ok(index) = reader.fixed64() {
                        check(index as i64);
                    }
                }
                (7, _) => drop(crate::tensor::each_int(
                    self.model.bytes(),
                    &field,
                    &mut check,
                )),
                _ => {}
            }
        }
        bad.then_some("is sparse and has indices outside its shape")
    }

    /// Nodes that make as large a tensor as a stored shape says.
    pub(super) fn constant_shapes(&mut self, scope: &'m Scope) {
        let model = self.model;
        let mut stored = None;
        for node in scope.nodes() {
            let node = model.node_ref(node);
            if !node.is_standard() {
                continue;
            }
            let sizes = match node.op_type() {
                b"RandomNormal" | b"RandomUniform" => node
                    .attribute(b"shape")
                    .and_then(|shape| shape.ints(MAX_RANK)),
                b"ConstantOfShape" | b"Expand" => {
                    let position = usize::from(node.op_type() == b"Expand");
                    let shapes = stored.get_or_insert_with(|| stored_shapes(model, scope));
                    node.inputs()
                        .nth(position)
                        .and_then(|name| shapes.get(name).cloned())
                }
                _ => None,
            };
            let sizes = sizes
                .iter()
                .flatten()
                .map(|&n| u64::try_from(n).unwrap_or(1));
            if exceeds(sizes) {
                self.report(Problem::TooLarge {
                    node: node.describe(),
                });
            }
        }
    }
}

fn exceeds(sizes: impl Iterator<Item = u64>) -> bool {
    let mut product = Some(1u64);
    for size in sizes {
        if size == 0 {
            return false;
        }
        product = product.and_then(|n| n.checked_mul(size));
    }
    product.is_none_or(|n| n > MAX_ELEMENTS)
}

/// Entries of the typed field that hold `elements` of a type: complex numbers take two, small integers share a byte.
fn typed_len(data_type: DataType, elements: u64) -> u64 {
    match data_type {
        DataType::Complex64 | DataType::Complex128 => elements.saturating_mul(2),
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => elements.div_ceil(2),
        DataType::Uint2 | DataType::Int2 => elements.div_ceil(4),
        _ => elements,
    }
}

/// Short lists of integers that are stored in a graph, by name.
fn stored_shapes<'m>(model: &'m Model, scope: &'m Scope) -> HashMap<&'m [u8], Vec<i64>> {
    let is_shape = |tensor: &&Tensor| {
        tensor.data_type() == Some(DataType::Int64)
            && tensor.elements().is_some_and(|n| n <= MAX_RANK as u64)
    };
    let read = |tensor: &Tensor| {
        let values = model.tensor_f64(tensor, MAX_RANK).ok()?;
        Some(values.into_iter().map(|v| v as i64).collect())
    };
    let initializers = scope.initializers().iter().filter(is_shape);
    let mut shapes: HashMap<&[u8], Vec<i64>> = initializers
        .filter_map(|tensor| Some((model.text(tensor.name()), read(tensor)?)))
        .collect();
    for node in scope.nodes() {
        let node = model.node_ref(node);
        if node.op_type() != b"Constant" || !node.is_standard() {
            continue;
        }
        let tensor = node.attribute(b"value").and_then(|value| value.tensor());
        let list = tensor.as_ref().filter(is_shape).and_then(read);
        let list = list.or_else(|| node.attribute(b"value_ints")?.ints(MAX_RANK));
        if let (Some(name), Some(list)) = (node.outputs().next(), list) {
            shapes.insert(name, list);
        }
    }
    shapes
}
