//! com.microsoft's FusedMatMul: a product of matrices that may lie transposed, and a factor.
//!
//! tract has none; ONNX Runtime writes it when it saves what it optimised.

use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::mul;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::wire::Wire;
use crate::error::decline;

pub(super) fn fused_mat_mul(_: &ParsingContext, node: &NodeProto) -> Built {
    let flag =
        |name| -> TractResult<bool> { Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0) };
    if flag("transBatchA")? || flag("transBatchB")? {
        decline!("transposed batch axes are not implemented");
    }
    let op = FusedMatMul {
        transposed: [flag("transA")?, flag("transB")?],
        alpha: node.get_attr_opt("alpha")?.unwrap_or(1.0),
    };
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct FusedMatMul {
    transposed: [bool; 2],
    alpha: f32,
}

impl Expansion for FusedMatMul {
    fn name(&self) -> StaticName {
        "FusedMatMul".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &inputs[1].datum_type)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.given_2(&inputs[0].shape, &inputs[1].shape, move |s, a, b| {
            let [a_t, b_t] = self.transposed;
            if a.len() < 2 || b.len() < 2 {
                decline!("products of vectors are not implemented");
            }
            let (_, _, shape, _) = tract_hir::ops::matmul::compute_shapes(a, b, a_t, b_t, false)?;
            s.equals(&outputs[0].shape, ShapeFactoid::from(shape))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let wires = tract_hir::ops::binary::wire_rank_broadcast(prefix, model, inputs)?;
        let mut wire = Wire { prefix, model };
        let fact = wire.fact(*wires.first().context("no input")?)?;
        let (rank, dt) = (fact.rank(), fact.datum_type);
        let [a_t, b_t] = self.transposed;
        let axes = AxesMapping::for_numpy_matmul(rank, a_t, b_t, false)?;
        let product = wire.op("product", EinSum::new(axes, dt), &wires)?;
        if self.alpha == 1.0 {
            return Ok(tvec!(product));
        }
        let alpha = wire.scalar("alpha", self.alpha.into(), product)?;
        Ok(tvec!(wire.binary("", mul(), product, alpha)?))
    }
}
