//! Arrays of NumPy whose memory is a tensor's.
//! Given a tensor that nobody else shares.
//! Promises that the tensor lives as long as any array that shows it, and that nobody but these arrays looks at it again.

use ndarray::ArrayViewMutD;
use numpy::{Element as NumpyElement, PyArrayDyn};
use onnx_swish::{Element, Tensor};
use pyo3::prelude::*;

use crate::errors::raised;

/// What such an array has as its `base`: the tensor, out of everybody's reach.
#[pyclass(module = "onnx_swish._onnx_swish")]
pub struct Values(Tensor);

/// The tensor's memory as an array of `T`, which `cast` makes of its elements; the tensor itself where others share the memory.
pub fn lent<'py, E: Element, T: NumpyElement>(
    py: Python<'py>,
    mut tensor: Tensor,
    cast: impl Fn(ArrayViewMutD<'_, E>) -> Option<ArrayViewMutD<'_, T>>,
) -> PyResult<Result<Bound<'py, PyArrayDyn<T>>, Tensor>> {
    let view = tensor.view_mut::<E>().map_err(raised)?;
    if view.and_then(&cast).is_none() {
        return Ok(Err(tensor));
    }
    let owner = Bound::new(py, Values(tensor))?;
    let mut held = owner.try_borrow_mut()?;
    let view = held.0.view_mut::<E>().map_err(raised)?.and_then(cast);
    match view {
        Some(view) => Ok(Ok(shown(&view, owner.clone().into_any()))),
        None => Ok(Err(held.0.clone())),
    }
}

#[allow(unsafe_code)]
fn shown<'py, T: NumpyElement>(
    values: &ArrayViewMutD<'_, T>,
    owner: Bound<'py, PyAny>,
) -> Bound<'py, PyArrayDyn<T>> {
    // SAFETY: the values belong to the tensor in `owner`, whose memory moves and goes only with the tensor; the array keeps `owner`, which
    // has no method that would touch them. The view is a mutable one, so the tensor shared them with nobody, and nobody can begin to.
    unsafe { PyArrayDyn::borrow_from_array(values, owner) }
}
