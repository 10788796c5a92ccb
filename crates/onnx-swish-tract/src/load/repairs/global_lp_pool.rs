//! GlobalLpPool: the p-th root of the sum of the magnitudes' p-th powers, over all pixels.
//!
//! At fault: tract-hir, `ops/nn/global_pools.rs`, which divides by the number of pixels, and sums what has a sign.

use ndarray::{ArrayD, Axis};
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::unread::{Honoured, integer};
use super::{Built, Delegate, Rewiring, rewired};
use crate::error::demand;
use crate::ops::function::{Function, Plain};

const HONOURED: Honoured = Honoured {
    attributes: &["p"],
    inputs: &[0],
    outputs: &[0],
};

pub(super) fn global_lp_pool(ctx: &ParsingContext, node: &NodeProto) -> Built {
    HONOURED.check(node)?;
    let p = integer(node, "p", 2)?;
    demand!(p > 0, "the attribute p is {p}, and must be above 0");
    rewired(ctx, node, "tract::GlobalLpPool", GlobalLpPool { p })
}

#[derive(Debug, Clone, PartialEq)]
struct GlobalLpPool {
    p: i64,
}

impl Rewiring for GlobalLpPool {
    fn wire(
        &self,
        _: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, Plain(self.clone()), inputs)
    }
}

impl Function for GlobalLpPool {
    fn name(&self) -> &'static str {
        "GlobalLpPool"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a pool without an input")?;
        let mut shape = x.shape.to_tvec();
        for pixels in shape.iter_mut().skip(2) {
            *pixels = 1.to_dim();
        }
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = inputs.first().context("a pool without an input")?;
        let dt = x.datum_type();
        let p = self.p as f64;
        let powers = x.cast_to::<f64>()?;
        let powers = powers.to_plain_array_view::<f64>()?;
        let mut sum: ArrayD<f64> = powers.mapv(|x| x.abs().powf(p));
        for axis in 2..x.rank() {
            sum = sum.sum_axis(Axis(axis)).insert_axis(Axis(axis));
        }
        let y = sum.mapv(|sum| sum.powf(p.recip())).into_tensor();
        Ok(tvec!(y.cast_to_dt(dt)?.into_owned().into_tvalue()))
    }
}
