//! PRelu with one slope for each channel, as opset 6 and below broadcast it.
//!
//! At fault: tract-onnx, `ops/nn/mod.rs`, `Prelu::wire`, which lines a vector of slopes up with the last axis.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::wire::Wire;
use super::{Built, Delegate, builtin};

pub(super) fn prelu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let inner = builtin(ctx, node, "tract::PRelu")?;
    if ctx.onnx_operator_set_version > 6 {
        return Ok((Box::new(inner), vec![]));
    }
    Ok((expand(PreluOfChannels { inner }), vec![]))
}

#[derive(Debug, Clone)]
struct PreluOfChannels {
    inner: Delegate,
}

impl Expansion for PreluOfChannels {
    fn name(&self) -> StaticName {
        "PRelu".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.inner.as_ref().rules(s, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[x, slope] = inputs else {
            bail!("PRelu takes two inputs");
        };
        let rank = model.outlet_fact(x)?.rank();
        let vector = model.outlet_fact(slope)?.rank() == 1;
        let slope = if vector && rank > 1 {
            Wire { prefix, model }.along("slope", slope, 1, rank)?
        } else {
            slope
        };
        self.inner.wire(prefix, model, &[x, slope])
    }
}
