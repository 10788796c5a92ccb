//! Gemm in other types than float32.
//!
//! At fault: tract-onnx, `ops/math/gemm.rs`, `Gemm::wire`, whose alpha and beta are float32 whatever they are multiplied with.

use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::{add, mul};
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::contraction::Contraction;
use super::integers::is_integer;
use super::wire::Wire;
use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::Plain;

pub(super) fn gemm(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let factor = |name| TractResult::Ok(node.get_attr_opt::<f32>(name)?.unwrap_or(1.0).into());
    let turned = |name| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(0) != 0);
    let op = Gemm {
        alpha: factor("alpha")?,
        beta: factor("beta")?,
        turned: [turned("transA")?, turned("transB")?],
    };
    rewired(ctx, node, "tract::Gemm", op)
}

#[derive(Debug, Clone)]
struct Gemm {
    alpha: f64,
    beta: f64,
    turned: [bool; 2],
}

/// The axes of a matrix, or of one that is turned.
fn term(turned: bool, [rows, columns]: [char; 2]) -> Vec<char> {
    if turned {
        vec![columns, rows]
    } else {
        vec![rows, columns]
    }
}

impl Rewiring for Gemm {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let [a, b, ref bias @ ..] = *inputs else {
            bail!("a Gemm of {} inputs", inputs.len());
        };
        let dt = model.outlet_fact(a)?.datum_type;
        if dt == DatumType::F32 {
            return own.wire(prefix, model, inputs);
        }
        let [a_turned, b_turned] = self.turned;
        let axes = AxesMapping::for_numpy_matmul(2, a_turned, b_turned, false)?;
        let mut wire = Wire { prefix, model };
        let mut sum = if is_integer(dt) {
            let sums = Contraction {
                terms: vec![term(a_turned, ['i', 'k']), term(b_turned, ['k', 'j'])],
                output: vec!['i', 'j'],
            };
            wire.op("product", Plain(sums), &[a, b])?
        } else {
            wire.op("product", EinSum::new(axes, dt), &[a, b])?
        };
        if self.alpha != 1.0 {
            let alpha = wire.scalar("alpha", self.alpha, sum)?;
            sum = wire.binary("scaled", mul(), sum, alpha)?;
        }
        if let Some(&bias) = bias.first().filter(|_| self.beta != 0.0) {
            let beta = wire.scalar("beta", self.beta, bias)?;
            let bias = wire.binary("bias", mul(), bias, beta)?;
            sum = wire.binary("sum", add(), sum, bias)?;
        }
        wire.model.rename_node(sum.node, prefix)?;
        Ok(tvec!(sum))
    }
}
