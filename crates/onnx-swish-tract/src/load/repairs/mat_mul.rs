//! MatMul of two vectors, and of integers for which there are no kernels.
//!
//! At fault: tract-hir, `ops/matmul.rs`, `MatMulInference::wire`, which refuses two inputs of one axis each; tract-linalg, which
//! panics where it should say that it has no kernel for unsigned and 64-bit integers.

use tract_core::ops::einsum::EinSum;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::contraction::Contraction;
use super::{Built, Delegate, Rewiring, rewired};
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
