//! Reading a small constant: the one case in which elements are looked at.
//!
//! Given: a stored tensor and how many elements the caller can use. Promises: all of its elements as exact f64, or why
//! not; never more memory than the caller allowed.

use super::element::{from_i64, from_int32_data, from_le, from_u64, raw_len};
use super::{Tensor, each_int};
use crate::error::Result;
use crate::external::ExternalError;
use crate::model::Model;
use crate::schema::tensor_proto::DataType;
use crate::span::Span;
use crate::wire::{Reader, Value, fields};

/// Why a stored value cannot be used as a constant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// More elements than the caller can use, or an impossible shape.
    #[error("the tensor has more than {max} elements, or a shape that cannot be")]
    TooLarge {
        /// The most that were asked for.
        max: usize,
    },
    /// Strings, complex numbers, floats below 16 bits, or a type that does not exist.
    #[error("elements of type {0} are not read as numbers")]
    ElementType(i32),
    /// The data does not fill the shape, or overfills it.
    #[error("the tensor's shape means {expected} elements and its data has {found}")]
    Length {
        /// What the shape means.
        expected: u64,
        /// What is there; for raw data in whole elements.
        found: u64,
    },
    /// The data is in a field that does not go with the element type, or in several.
    #[error("the tensor's data is not in the field that its element type asks for")]
    Storage,
    /// A number outside its type, or an integer that f64 does not have.
    #[error("an element is outside the range of its type")]
    Range,
    /// A piece of a larger tensor.
    #[error("the tensor is a segment of a larger one")]
    Segment,
    /// Sparse positions outside the shape, out of order or malformed.
    #[error("the sparse tensor's indices do not fit its shape")]
    Indices,
    /// The elements are in another file that cannot be used.
    #[error(transparent)]
    External(#[from] ExternalError),
}

/// Where the data of a tensor is.
#[derive(Default)]
struct Storage {
    raw: Option<Span>,
    /// Number of the typed data field in use.
    typed: Option<u32>,
    mixed: bool,
    segment: bool,
}

impl Model {
    /// All elements of a stored tensor as f64, in the order of the file.
    ///
    /// Reads floats of 16 bits and more, integers from 8 bits, and booleans (0 and 1), from `raw_data`, from the typed
    /// fields, or from external data below [`base_dir`](Self::base_dir).
    ///
    /// # Errors
    /// There are more than `max` elements, the type has no such value, the data contradicts the shape, or external
    /// data must not be read; see [`TensorError`].
    pub fn tensor_f64(&self, tensor: &Tensor, max: usize) -> Result<Vec<f64>, TensorError> {
        let elements = match tensor.elements() {
            Some(n) if n <= max as u64 => n,
            _ => return Err(TensorError::TooLarge { max }),
        };
        let unread = TensorError::ElementType(tensor.element_type());
        let Some(data_type) = tensor.data_type() else {
            return Err(unread);
        };
        let Some(size) = raw_len(data_type, 1)
            .filter(|_| from_le(data_type, &[0; 16][..width(data_type)]).is_some())
        else {
            return Err(unread);
        };
        let storage = self.storage(tensor);
        if storage.segment {
            return Err(TensorError::Segment);
        }
        if tensor.is_external() {
            let bytes = self.read_external(tensor, size * elements)?;
            return raw_elements(data_type, &bytes, elements);
        }
        match (storage.raw, storage.typed) {
            _ if storage.mixed => Err(TensorError::Storage),
            (Some(span), None) => raw_elements(data_type, self.text(span), elements),
            (None, Some(field)) => self.typed_elements(tensor, data_type, field, elements),
            (None, None) if elements == 0 => Ok(Vec::new()),
            (None, None) => Err(TensorError::Length {
                expected: elements,
                found: 0,
            }),
            (Some(_), Some(_)) => Err(TensorError::Storage),
        }
    }

    fn storage(&self, tensor: &Tensor) -> Storage {
        let mut storage = Storage::default();
        for field in fields(self.bytes(), tensor.located.span) {
            match (field.number, field.value) {
                (3, _) => storage.segment = true,
                // Writers that leave an empty field beside the one in use are common.
                (9, Value::Bytes(span)) if !span.is_empty() => storage.raw = Some(span),
                (4 | 5 | 6 | 7 | 10 | 11, Value::Bytes(span))
                    if span.is_empty() && field.number != 6 => {}
                (4 | 5 | 6 | 7 | 10 | 11, _) => {
                    storage.mixed |= storage.typed.is_some_and(|typed| typed != field.number);
                    storage.typed = Some(field.number);
                }
                _ => {}
            }
        }
        storage
    }

    fn typed_elements(
        &self,
        tensor: &Tensor,
        data_type: DataType,
        number: u32,
        elements: u64,
    ) -> Result<Vec<f64>, TensorError> {
        let fits = match data_type {
            DataType::Float => number == 4,
            DataType::Int64 => number == 7,
            DataType::Double => number == 10,
            DataType::Uint32 | DataType::Uint64 => number == 11,
            _ => number == 5,
        };
        if !fits {
            return Err(TensorError::Storage);
        }
        let mut out = Vec::with_capacity(elements as usize);
        let mut found = 0u64;
        let mut put = |value: Option<f64>| {
            found += 1;
            if found <= elements {
                out.push(value.ok_or(TensorError::Range)?);
            }
            Ok::<(), TensorError>(())
        };
        for field in fields(self.bytes(), tensor.located.span).filter(|f| f.number == number) {
            match (number, field.value) {
                (4, Value::Fixed32(bits)) => put(Some(f64::from(f32::from_bits(bits))))?,
                (10, Value::Fixed64(bits)) => put(Some(f64::from_bits(bits)))?,
                (4, Value::Bytes(span)) => {
                    let mut reader = Reader::new(self.bytes(), span);
                    while !reader.is_done() {
                        let bits = reader.fixed32().map_err(|_| TensorError::Storage)?;
                        put(Some(f64::from(f32::from_bits(bits))))?;
                    }
                }
                (10, Value::Bytes(span)) => {
                    let mut reader = Reader::new(self.bytes(), span);
                    while !reader.is_done() {
                        let bits = reader.fixed64().map_err(|_| TensorError::Storage)?;
                        put(Some(f64::from_bits(bits)))?;
                    }
                }
                (5 | 7 | 11, Value::Varint(_) | Value::Bytes(_)) => {
                    let mut problem = Ok(());
                    each_int(self.bytes(), &field, |value| {
                        let value = match number {
                            5 => from_int32_data(data_type, value as i32),
                            7 => from_i64(value),
                            _ if data_type == DataType::Uint32 => {
                                u32::try_from(value as u64).ok().map(f64::from)
                            }
                            _ => from_u64(value as u64),
                        };
                        if problem.is_ok() {
                            problem = put(value);
                        }
                    })
                    .map_err(|_| TensorError::Storage)?;
                    problem?;
                }
                _ => return Err(TensorError::Storage),
            }
        }
        if found != elements {
            return Err(TensorError::Length {
                expected: elements,
                found,
            });
        }
        Ok(out)
    }
}

/// Bytes of one element of the types that are read.
fn width(data_type: DataType) -> usize {
    raw_len(data_type, 1).unwrap_or(0).min(16) as usize
}

fn raw_elements(data_type: DataType, bytes: &[u8], elements: u64) -> Result<Vec<f64>, TensorError> {
    let width = width(data_type);
    if Some(bytes.len() as u64) != raw_len(data_type, elements) {
        return Err(TensorError::Length {
            expected: elements,
            found: (bytes.len() / width.max(1)) as u64,
        });
    }
    bytes
        .chunks_exact(width.max(1))
        .map(|chunk| from_le(data_type, chunk).ok_or(TensorError::Range))
        .collect()
}
