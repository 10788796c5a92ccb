//! Reading a small sparse constant.
//!
//! Given: a sparse tensor and how many elements the caller can use. Promises: the dense elements, zeros included.

use super::TensorError;
use super::each_int;
use crate::model::Model;
use crate::schema::tensor_proto::DataType;
use crate::scope::SparseTensor;
use crate::wire::fields;

impl Model {
    /// The sizes of the dense tensor that a sparse one stands for.
    pub fn sparse_dims(&self, sparse: &SparseTensor) -> Vec<i64> {
        let mut dims = Vec::new();
        for field in fields(self.bytes(), sparse.located.span).filter(|f| f.number == 3) {
            // A list cut short keeps what could be read; `sparse_f64` then finds that the indices do not fit.
            let _ = each_int(self.bytes(), &field, |dim| dims.push(dim));
        }
        dims
    }

    /// All elements of the dense tensor that a sparse one stands for, as f64 in row-major order.
    ///
    /// # Errors
    /// As [`tensor_f64`](Self::tensor_f64) for the values and the indices, or the indices do not fit the shape.
    pub fn sparse_f64(&self, sparse: &SparseTensor, max: usize) -> Result<Vec<f64>, TensorError> {
        let too_large = || TensorError::TooLarge { max };
        let dims = self.sparse_dims(sparse);
        let mut elements = 1usize;
        for &dim in &dims {
            let dim = usize::try_from(dim).map_err(|_| too_large())?;
            elements = elements
                .checked_mul(dim)
                .filter(|&n| n <= max)
                .ok_or_else(too_large)?;
        }
        let (Some(values), Some(indices)) = (sparse.values, sparse.indices) else {
            return Err(TensorError::Indices);
        };
        if indices.data_type() != Some(DataType::Int64) {
            return Err(TensorError::Indices);
        }
        let values = self.tensor_f64(&values, max)?;
        let rank = dims.len();
        // One position in the flattened array per value, or one coordinate per axis.
        let per_value = match self.dims(&indices).as_slice() {
            [n] if *n == values.len() as i64 => 1,
            [n, r] if *n == values.len() as i64 && *r == rank as i64 => rank,
            _ => return Err(TensorError::Indices),
        };
        let flat = indices.rank() == 1;
        let indices = self.tensor_f64(&indices, max.saturating_mul(rank.max(1)))?;
        let mut dense = vec![0.0; elements];
        let mut previous = None;
        for (i, value) in values.into_iter().enumerate() {
            let coordinates = indices
                .get(i * per_value..(i + 1) * per_value)
                .ok_or(TensorError::Indices)?;
            let position = if flat {
                coordinates.first().copied()
            } else {
                row_major(coordinates, &dims)
            };
            // Ascending without repeats, as the format asks; that also keeps the value unambiguous.
            let position =
                position.filter(|&p| p >= 0.0 && previous.is_none_or(|before| p > before));
            let slot = position.and_then(|p| dense.get_mut(p as usize));
            *slot.ok_or(TensorError::Indices)? = value;
            previous = position;
        }
        Ok(dense)
    }
}

/// The position of coordinates in the flattened array; exact, since the array has fewer than 2^53 elements.
fn row_major(coordinates: &[f64], dims: &[i64]) -> Option<f64> {
    let mut position = 0.0;
    for (&coordinate, &dim) in coordinates.iter().zip(dims) {
        if !(coordinate >= 0.0 && coordinate < dim as f64) {
            return None;
        }
        position = position * dim as f64 + coordinate;
    }
    Some(position)
}
