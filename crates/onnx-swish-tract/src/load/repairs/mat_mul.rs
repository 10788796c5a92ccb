//! MatMul of two vectors, and of integers for which there are no kernels.
//!
//! At fault: tract-hir, `ops/matmul.rs`, `MatMulInference::wire`, which refuses two inputs of one axis each; tract-linalg, which
//! panics where it should say that it has no kernel for unsigned and 64-bit integers.

use tract_core::ops::einsum::EinSum;
use tract_hir::internal::tract_ndarray::{ArrayD, ArrayViewD, Axis, Dimension, Ix2, IxDyn};
use tract_hir::internal::*;
use tract_num_traits::{WrappingAdd, WrappingMul, Zero};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

pub(super) fn mat_mul(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::MatMul", MatMul)
}

#[derive(Debug, Clone)]
struct MatMul;

impl Rewiring for MatMul {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[a, b] = inputs else {
            bail!("a MatMul of {} inputs", inputs.len());
        };
        let (a, b) = (model.outlet_fact(a)?, model.outlet_fact(b)?);
        if matches!(
            a.datum_type,
            DatumType::I64 | DatumType::U32 | DatumType::U64
        ) {
            return model.wire_node(prefix, Plain(IntegerMatMul), inputs);
        }
        if a.rank() != 1 || b.rank() != 1 {
            return own.wire(prefix, model, inputs);
        }
        let op = EinSum {
            axes: "k,k->".parse()?,
            operating_dt: a.datum_type,
            q_params: None,
        };
        model.wire_node(prefix, op, inputs)
    }
}

/// Sums that overflow wrap, as ONNX Runtime's do.
#[derive(Debug, Clone, PartialEq)]
struct IntegerMatMul;

/// The shape of a product: of its stack of matrices, and of each.
fn shape_of_product(a: &[TDim], b: &[TDim]) -> TractResult<TVec<TDim>> {
    let (Some(inner), Some(other)) = (a.last(), b.get(b.len().saturating_sub(2))) else {
        bail!("a product of matrices takes no scalars");
    };
    ensure!(
        inner == other,
        "rows of {inner} elements meet columns of {other}"
    );
    let stack = |shape: &[TDim]| shape[..shape.len().saturating_sub(2)].to_vec();
    let (stack_a, stack_b) = (stack(a), stack(b));
    let mut shape = tract_core::broadcast::multi_broadcast(&[stack_a, stack_b])?;
    if a.len() > 1 {
        shape.push(a[a.len() - 2].clone());
    }
    if b.len() > 1 {
        shape.push(b[b.len() - 1].clone());
    }
    Ok(shape)
}

fn product<T>(a: &Tensor, b: &Tensor) -> TractResult<Tensor>
where
    T: Datum + Copy + Zero + WrappingAdd + WrappingMul,
{
    let dims = |x: &Tensor| -> Vec<TDim> { x.shape().iter().map(|dim| dim.to_dim()).collect() };
    let shape = shape_of_product(&dims(a), &dims(b))?;
    let shape = shape
        .iter()
        .map(|dim| Ok(dim.to_usize()?))
        .collect::<TractResult<Vec<usize>>>()?;
    // A vector is a matrix of one row, or of one column.
    let mut a = a.to_plain_array_view::<T>()?;
    if a.ndim() == 1 {
        a.insert_axis_inplace(Axis(0));
    }
    let mut b = b.to_plain_array_view::<T>()?;
    if b.ndim() == 1 {
        b.insert_axis_inplace(Axis(1));
    }
    let rank = a.ndim().max(b.ndim());
    let stack = tract_core::broadcast::multi_broadcast(&[
        &a.shape()[..a.ndim() - 2],
        &b.shape()[..b.ndim() - 2],
    ])?;
    let whole = |x: &ArrayViewD<'_, T>| [&*stack, &x.shape()[x.ndim() - 2..]].concat();
    let (shape_a, shape_b) = (whole(&a), whole(&b));
    let (a, b) = (
        a.broadcast(shape_a).context("matrices that do not fit")?,
        b.broadcast(shape_b).context("matrices that do not fit")?,
    );
    let (rows, columns) = (a.shape()[rank - 2], b.shape()[rank - 1]);
    let mut products = ArrayD::<T>::zeros([&*stack, &[rows, columns]].concat());
    for at in tract_ndarray::indices(&*stack) {
        let mut one = (a.view(), b.view(), products.view_mut());
        for index in at.as_array_view() {
            one.0.index_axis_inplace(Axis(0), *index);
            one.1.index_axis_inplace(Axis(0), *index);
            one.2.index_axis_inplace(Axis(0), *index);
        }
        let (a, b) = (
            one.0.into_dimensionality::<Ix2>()?,
            one.1.into_dimensionality::<Ix2>()?,
        );
        let flat = one.2.into_iter().enumerate();
        for (place, sum) in flat {
            let (row, column) = (place / columns, place % columns);
            let pairs = a.row(row).into_iter().zip(b.column(column));
            *sum = pairs.fold(T::zero(), |sum, (a, b)| {
                sum.wrapping_add(&a.wrapping_mul(b))
            });
        }
    }
    Ok(products.into_shape_with_order(IxDyn(&shape))?.into_tensor())
}

impl Function for IntegerMatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [a, b] = inputs else {
            bail!("a MatMul of {} inputs", inputs.len());
        };
        let shape = shape_of_product(&a.shape.to_tvec(), &b.shape.to_tvec())?;
        Ok(tvec!(a.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        let product = match a.datum_type() {
            DatumType::I64 => product::<i64>(&a, &b),
            DatumType::U32 => product::<u32>(&a, &b),
            DatumType::U64 => product::<u64>(&a, &b),
            other => bail!("an integer product of {other:?}"),
        };
        Ok(tvec!(product?.into_tvalue()))
    }
}
