//! Products of two f32 tensors on `onnx-swish-conv`.
//!
//! Given a tract product of known sizes, whose axes are sorted into those of products of matrices; promises each sum in the order of the
//! depth, the same bits for any number of threads, and no copies of operands whose axes lie in another order than a product's; a softmax of
//! the rows behind it is computed where they are made, with the bits that it has by itself.

use std::sync::Arc;

use onnx_swish_conv::{Axis, MatMul};
use onnx_swish_kernels::{Isa, softmax_in_place};
use tract_core::internal::*;
use tract_core::ops::einsum::EinSum;

use crate::arena::{Arena, elements};
use crate::workers::with_workers;

/// Products of matrices, both of which are computed by the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchedMatMul {
    matmul: Arc<MatMul>,
    /// Whether tract's second operand is the left one: what columns are is settled by the output, in which they lie side by side.
    swapped: bool,
    inputs: [TVec<usize>; 2],
    output: TVec<usize>,
    /// tract's way to write it.
    axes: String,
    /// Whether a softmax of each row follows. Rows are in the cache when their sums are done, and the sums, which attention has as many of
    /// as it has pairs of tokens, are in memory once.
    softmax: bool,
}

impl BatchedMatMul {
    /// What `einsum` computes of inputs of these shapes, if that is products of matrices whose sums lie in rows.
    pub(crate) fn of(einsum: &EinSum, inputs: [&[usize]; 2], output: &[usize]) -> Option<Self> {
        let (matmul, swapped) = matmul(&einsum.axes, inputs, output)?;
        Some(BatchedMatMul {
            matmul: Arc::new(matmul),
            swapped,
            inputs: inputs.map(TVec::from_slice),
            output: output.into(),
            axes: einsum.axes.to_string(),
            softmax: false,
        })
    }

    /// The same with a softmax over these axes of the output behind it, if that is one of each row.
    pub(crate) fn with_softmax(&self, axes: &[usize]) -> Option<Self> {
        let rank = self.output.len();
        let is_of_rows = matches!(*axes, [axis] if axis + 1 == rank)
            && self.output.last() == Some(&self.matmul.columns());
        (is_of_rows && !self.softmax).then(|| BatchedMatMul {
            softmax: true,
            ..self.clone()
        })
    }
}

const ONE: Axis = Axis {
    size: 1,
    left: 0,
    right: 0,
    output: 0,
};

/// The products, and whether the second operand is the left one.
fn matmul(axes: &AxesMapping, inputs: [&[usize]; 2], output: &[usize]) -> Option<(MatMul, bool)> {
    let Roles {
        mut batch,
        mut left,
        mut right,
        mut depth,
        is_empty,
    } = Roles::of(axes, inputs, output)?;
    if is_empty {
        // No sums, or sums of nothing.
        let sums = Axis {
            size: output.iter().product(),
            output: 1,
            ..ONE
        };
        let depth = Axis { size: 0, ..ONE };
        return Some((MatMul::new(&[], [ONE, sums, depth]).ok()?, false));
    }
    for axes in [&mut batch, &mut left, &mut right, &mut depth] {
        merge(axes);
    }
    let depth = match *depth {
        [] => ONE,
        [depth] => depth,
        _ => return None,
    };
    // Columns lie side by side.
    let innermost = |axes: &[Axis]| axes.iter().position(|axis| axis.output == 1);
    if innermost(&batch).is_some() {
        return None;
    }
    let swapped = innermost(&left).is_some();
    let (mut rows, mut columns) = if swapped {
        (right, left)
    } else {
        (left, right)
    };
    let side_by_side = innermost(&columns).map_or(ONE, |at| columns.remove(at));
    let longest = (0..rows.len()).max_by_key(|at| rows[*at].size);
    let longest = longest.map_or(ONE, |at| rows.remove(at));
    // Others of either side count products.
    batch.extend(rows.into_iter().chain(columns));
    batch.sort_by_key(|axis| std::cmp::Reverse(axis.output));
    let turn = |axis: Axis| Axis {
        left: if swapped { axis.right } else { axis.left },
        right: if swapped { axis.left } else { axis.right },
        ..axis
    };
    let batch: Vec<Axis> = batch.into_iter().map(turn).collect();
    let matmul = MatMul::new(&batch, [longest, side_by_side, depth].map(turn));
    Some((matmul.ok()?, swapped))
}

/// What axes are to a product.
#[derive(Default)]
struct Roles {
    /// Of both operands and of the output: they count products.
    batch: Vec<Axis>,
    /// Of the left operand and of the output.
    left: Vec<Axis>,
    /// Of the right operand and of the output.
    right: Vec<Axis>,
    /// Not of the output: they are summed over.
    depth: Vec<Axis>,
    /// Whether one has no places.
    is_empty: bool,
}

impl Roles {
    fn of(axes: &AxesMapping, [left, right]: [&[usize]; 2], output: &[usize]) -> Option<Roles> {
        let mut roles = Roles::default();
        for axis in axes.iter_all_axes() {
            let [left, right, output] = [
                size_and_stride(left, axis.inputs.first()?)?,
                size_and_stride(right, axis.inputs.get(1)?)?,
                size_and_stride(output, axis.outputs.first()?)?,
            ];
            let sizes = [left.0, right.0, output.0];
            let size = sizes.into_iter().find(|size| *size != 1).unwrap_or(1);
            let role = match sizes.map(|own| own == size) {
                _ if size == 1 => continue,
                [true, true, true] => &mut roles.batch,
                [true, false, true] => &mut roles.left,
                [false, true, true] => &mut roles.right,
                [true, true, false] => &mut roles.depth,
                // A sum over one operand.
                _ => return None,
            };
            role.push(Axis {
                size,
                left: left.1,
                right: right.1,
                output: output.1,
            });
            roles.is_empty |= size == 0;
        }
        Some(roles)
    }
}

/// How long an axis is that is at these places of a shape, and its stride in a tensor without gaps; 0 where it makes no difference.
fn size_and_stride(shape: &[usize], places: &[usize]) -> Option<(usize, usize)> {
    let axis = match *places {
        [] => return Some((1, 0)),
        [axis] => axis,
        // A diagonal.
        _ => return None,
    };
    let size = *shape.get(axis)?;
    let mut inner = shape.get(axis + 1..)?.iter();
    let stride = inner.try_fold(1usize, |all, size| all.checked_mul(*size))?;
    Some((size, if size == 1 { 0 } else { stride }))
}

/// Makes one axis of those that are one after the other in all tensors.
fn merge(axes: &mut Vec<Axis>) {
    axes.sort_by_key(|axis| std::cmp::Reverse([axis.output, axis.left, axis.right]));
    axes.dedup_by(|inner, outer| {
        let follows = |outer: usize, stride: usize| outer == stride * inner.size;
        let one = follows(outer.left, inner.left)
            && follows(outer.right, inner.right)
            && follows(outer.output, inner.output);
        if one {
            *outer = Axis {
                size: outer.size * inner.size,
                ..*inner
            };
        }
        one
    });
}

impl Op for BatchedMatMul {
    fn name(&self) -> StaticName {
        if self.softmax {
            "BatchedMatMulSoftmax".into()
        } else {
            "BatchedMatMul".into()
        }
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let [a, b] = &self.inputs;
        Ok(vec![format!("{}, {a:?} and {b:?}", self.axes)])
    }

    op_as_typed_op!();
}

impl EvalOp for BatchedMatMul {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        for (input, shape) in [&a, &b].into_iter().zip(&self.inputs) {
            ensure!(
                input.shape() == &**shape,
                "a product of {shape:?} was given {:?}",
                input.shape()
            );
        }
        let (a, b) = (elements(&a)?, elements(&b)?);
        let operands = if self.swapped { [b, a] } else { [a, b] };
        let output = Arena::output(ctx, &self.output, |output| {
            let (isa, columns) = (Isa::best(), self.matmul.columns());
            let softmax = |rows: &mut [f32]| softmax_in_place(rows, columns, 1);
            let run = |workers: &dyn onnx_swish_threads::Workers| {
                if self.softmax {
                    self.matmul
                        .run_rows(isa, operands, output, workers, &softmax)
                } else {
                    self.matmul.run(isa, operands, output, workers)
                }
            };
            Ok(with_workers(run)?)
        })?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for BatchedMatMul {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::F32.fact(&*self.output)))
    }

    fn cost(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        // A rate is that of the products; the softmax takes time besides.
        let macs = self.matmul.macs().to_dim();
        Ok(tvec!((Cost::FMA(DatumType::F32), macs)))
    }

    as_op!();
}
