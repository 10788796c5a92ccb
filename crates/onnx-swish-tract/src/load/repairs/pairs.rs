//! Functions of two tensors, element by element.
//!
//! Given two tensors that broadcast against each other; promises the function of each pair of elements, in the common shape.

use tract_core::broadcast::multi_broadcast;
use tract_hir::internal::*;

/// The element types of a node's inputs.
pub(super) fn types_of(model: &TypedModel, inputs: &[OutletId]) -> TractResult<TVec<DatumType>> {
    let types = inputs.iter();
    let types = types.map(|input| Ok(model.outlet_fact(*input)?.datum_type));
    types.collect()
}

/// The shape of what is made of two inputs.
pub(super) fn shape_of_pairs(inputs: &[&TypedFact]) -> TractResult<TVec<TDim>> {
    let [a, b] = inputs else {
        bail!("a function of pairs of {} inputs", inputs.len());
    };
    multi_broadcast(&[&*a.shape, &*b.shape])
}

/// The function of each pair; its first error, if it has one.
pub(super) fn of_pairs<T: Datum, U: Datum + Copy>(
    a: &Tensor,
    b: &Tensor,
    one: impl Fn(&T, &T) -> TractResult<U>,
) -> TractResult<Tensor> {
    let shape = multi_broadcast(&[a.shape(), b.shape()])?;
    let (a, b) = (a.to_plain_array_view::<T>()?, b.to_plain_array_view::<T>()?);
    let (Some(a), Some(b)) = (a.broadcast(&*shape), b.broadcast(&*shape)) else {
        bail!("shapes that do not broadcast to {shape:?}");
    };
    let pairs = a.iter().zip(b.iter()).map(|(a, b)| one(a, b));
    Tensor::from_shape(&shape, &pairs.collect::<TractResult<Vec<U>>>()?)
}
