//! MatMul of two vectors, and of integers for which there are no kernels; MatMulInteger of a vector.
//!
//! At fault: tract-hir, `ops/matmul.rs`, `MatMulInference::wire`, which refuses two inputs of one axis each; tract-linalg, which
//! panics where it should say that it has no kernel for unsigned and 64-bit integers; tract-onnx, `ops/math/mat_mul_integer.rs`, which
//! leaves the axis that it gave to a vector in the result.

use tract_core::ops::einsum::EinSum;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::contraction::Contraction;
use super::{Built, Delegate, Rewiring, builtin, rewired};
use crate::ops::function::Plain;

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
            let product = of_matrices(a.rank(), b.rank());
            return model.wire_node(prefix, Plain(product), inputs);
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

pub(super) fn mat_mul_integer(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let own = builtin(ctx, node, "tract::MatMulInteger")?;
    let optional = |index: usize| node.input.get(index).is_some_and(|name| !name.is_empty());
    let op = MatMulInteger {
        own,
        zero_points: [2, 3].map(optional),
    };
    Ok((expand(op), vec![]))
}

/// Vectors get an axis before the product and lose it behind, as NumPy has it; the rest is tract's.
#[derive(Debug, Clone)]
struct MatMulInteger {
    own: Delegate,
    zero_points: [bool; 2],
}

impl Expansion for MatMulInteger {
    fn name(&self) -> StaticName {
        self.own.as_ref().name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let [a, b] = self.zero_points;
        check_input_arity(inputs, 2 + usize::from(a) + usize::from(b))?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, i32::datum_type())?;
        if a {
            s.equals(&inputs[2].datum_type, &inputs[0].datum_type)?;
        }
        if b {
            s.equals(
                &inputs[2 + usize::from(a)].datum_type,
                &inputs[1].datum_type,
            )?;
        }
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, a, b| {
            let (.., shape) = tract_hir::ops::matmul::compute_shapes(a, b, false, false, false)?;
            s.equals(&outputs[0].shape, ShapeFactoid::from(shape))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[a, b, ..] = inputs else {
            bail!("a MatMulInteger of {} inputs", inputs.len());
        };
        let (a, b) = (model.outlet_fact(a)?, model.outlet_fact(b)?);
        let vectors = [a.rank() == 1, b.rank() == 1];
        if vectors == [false; 2] {
            return self.own.wire(prefix, model, inputs);
        }
        let mut matrices: TVec<OutletId> = inputs.into();
        for (axis, input) in matrices.iter_mut().take(2).enumerate() {
            if vectors[axis] {
                let name = format!("{prefix}.axis_of_{axis}");
                *input = model.wire_node(name, AxisOp::Add(axis), &[*input])?[0];
            }
        }
        let mut product = self
            .own
            .wire(&format!("{prefix}.product"), model, &matrices)?;
        let rank = model.outlet_fact(product[0])?.rank();
        // The last axis first, so that the other one stays where it is.
        let removed = [(vectors[1], 1), (vectors[0], 2)];
        let removed = removed.into_iter().filter(|(is_vector, _)| *is_vector);
        let mut removed = removed.map(|(_, back)| rank - back).peekable();
        while let Some(axis) = removed.next() {
            let name = match removed.peek() {
                Some(_) => format!("{prefix}.row"),
                None => prefix.to_owned(),
            };
            product = model.wire_node(name, AxisOp::Rm(axis), &product)?;
        }
        Ok(product)
    }
}

/// A product of matrices of these ranks, their stacks broadcast: axes have numbers, those of stacks counted from the last.
fn of_matrices(a: usize, b: usize) -> Contraction<usize> {
    const ROW: usize = 0;
    const INNER: usize = 1;
    const COLUMN: usize = 2;
    let stack = |rank: usize| (3..rank + 1).rev();
    let matrix = |rank: usize, [outer, inner]: [usize; 2]| match rank {
        1 => vec![INNER],
        rank => stack(rank).chain([outer, inner]).collect(),
    };
    let rows = (a > 1).then_some(ROW);
    let columns = (b > 1).then_some(COLUMN);
    Contraction {
        terms: vec![matrix(a, [ROW, INNER]), matrix(b, [INNER, COLUMN])],
        output: stack(a.max(b)).chain(rows).chain(columns).collect(),
    }
}
