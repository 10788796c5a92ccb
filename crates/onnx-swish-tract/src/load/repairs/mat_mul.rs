//! MatMul of two vectors, and of integers for which there are no kernels.
//!
//! At fault: tract-hir, `ops/matmul.rs`, `MatMulInference::wire`, which refuses two inputs of one axis each; tract-linalg, which
//! panics where it should say that it has no kernel for 64-bit integers.

use tract_core::ops::einsum::EinSum;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};

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
        for input in inputs {
            let dt = model.outlet_fact(*input)?.datum_type;
            ensure!(
                !matches!(dt, DatumType::I64 | DatumType::U32 | DatumType::U64),
                "MatMul of {dt:?} is not implemented; of float32, float64, int32 and 8-bit integers it is"
            );
        }
        for input in inputs {
            if model.outlet_fact(*input)?.rank() != 1 {
                return own.wire(prefix, model, inputs);
            }
        }
        let first = *inputs.first().context("a MatMul without an input")?;
        let op = EinSum {
            axes: "k,k->".parse()?,
            operating_dt: model.outlet_fact(first)?.datum_type,
            q_params: None,
        };
        model.wire_node(prefix, op, inputs)
    }
}
