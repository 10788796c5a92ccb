//! com.microsoft's SkipLayerNormalization and SkipSimplifiedLayerNormalization.
//!
//! At fault: tract-onnx, `ops/nn/skip_layer_norm.rs` and `ops/nn/rms_norm_contrib.rs`: the bias is looked for behind a beta that may be left out, or
//! not added, and an epsilon that is left out is 1e-5 instead of 1e-12.

use tract_core::ops::math::add;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::attribute_proto::AttributeType;

use super::unread::Honoured;
use super::wire::Wire;
use super::{Built, Delegate, builtin};

/// The schema's.
const EPSILON: f32 = 1e-12;

const LAYER: Honoured = Honoured {
    attributes: &["epsilon"],
    inputs: &[0, 1, 2, 3, 4],
    outputs: &[0, 3],
};
const SIMPLIFIED: Honoured = Honoured {
    attributes: &["epsilon"],
    inputs: &[0, 1, 2, 3],
    outputs: &[0, 3],
};

pub(super) fn layer(ctx: &ParsingContext, node: &NodeProto) -> Built {
    LAYER.check(node)?;
    normalization(ctx, node, 4, "tract::SkipLayerNormalization")
}

pub(super) fn simplified(ctx: &ParsingContext, node: &NodeProto) -> Built {
    SIMPLIFIED.check(node)?;
    normalization(ctx, node, 3, "tract::SkipSimplifiedLayerNormalization")
}

/// tract's operator without a bias, which is the last input, and with the epsilon that is meant.
fn normalization(ctx: &ParsingContext, node: &NodeProto, bias: usize, saved: &str) -> Built {
    let mut plain = node.clone();
    plain.input.truncate(bias);
    if node.get_attr_opt::<f32>("epsilon")?.is_none() {
        plain.attribute.push(tract_onnx::pb::AttributeProto {
            name: "epsilon".to_owned(),
            r#type: AttributeType::Float.into(),
            f: EPSILON,
            ..Default::default()
        });
    }
    let own = builtin(ctx, &plain, saved)?;
    let biased = node.input.get(bias).is_some_and(|name| !name.is_empty());
    Ok((expand(Skip { own, biased }), vec![]))
}

#[derive(Debug, Clone)]
struct Skip {
    own: Delegate,
    /// Whether there is a last input more than tract's operator has, which is added to the second.
    biased: bool,
}

impl Expansion for Skip {
    fn name(&self) -> StaticName {
        self.own.as_ref().name()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        self.own.as_ref().nboutputs()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let inputs = match inputs {
            [plain @ .., _] if self.biased => plain,
            _ => inputs,
        };
        self.own.as_ref().rules(s, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let (&[x, skip, ref parameters @ .., bias], true) = (inputs, self.biased) else {
            return self.own.wire(prefix, model, inputs);
        };
        let mut wire = Wire { prefix, model };
        let skip = wire.binary("biased", add(), skip, bias)?;
        let mut plain: TVec<OutletId> = tvec!(x, skip);
        plain.extend(parameters.iter().copied());
        self.own.wire(prefix, model, &plain)
    }
}
