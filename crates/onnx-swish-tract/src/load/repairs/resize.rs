//! Resize of opset 10 and Upsample.
//!
//! At fault: tract-onnx, `ops/resize.rs`, `resize_10`, which rounds to the nearest pixel where that opset takes the one before
//! (attribute `nearest_mode` came with opset 11); and there is no Upsample, which older exporters write.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::{Built, Delegate, builtin, builtin_op};
use crate::error::demand;

pub(super) fn resize(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if ctx.onnx_operator_set_version == 10 {
        builtin_op(ctx, &with_floor(node), "tract::Resize")
    } else {
        builtin_op(ctx, node, "tract::Resize")
    }
}

/// Upsample is Resize of opset 10 under an older name.
pub(super) fn upsample(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mut ten = ctx.clone();
    ten.onnx_operator_set_version = 10;
    let node_of_ten = with_floor(node);
    let Some(scales) = node.get_attr_opt_vec::<f32>("scales")? else {
        return builtin_op(&ten, &node_of_ten, "tract::Resize");
    };
    let inner = builtin(&ten, &node_of_ten, "tract::Resize")?;
    Ok((expand(Upsample { scales, inner }), vec![]))
}

fn with_floor(node: &NodeProto) -> NodeProto {
    let mut node = node.clone();
    node.attribute
        .retain(|attribute| attribute.name != "nearest_mode");
    node.attribute.push(AttributeProto {
        name: "nearest_mode".to_owned(),
        r#type: AttributeType::String.into(),
        s: b"floor".to_vec(),
        ..AttributeProto::default()
    });
    node
}

/// Of opset 7 and 8, whose scales are an attribute.
#[derive(Debug, Clone)]
struct Upsample {
    scales: Vec<f32>,
    inner: Delegate,
}

impl Expansion for Upsample {
    fn name(&self) -> StaticName {
        "Upsample".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].rank, &outputs[0].rank)?;
        s.given(&inputs[0].shape, move |s, shape| {
            demand!(
                shape.len() == self.scales.len(),
                "it has {} scales for {} axes",
                self.scales.len(),
                shape.len()
            );
            for (axis, (dim, scale)) in shape.iter().zip(&self.scales).enumerate() {
                if let Some(dim) = dim.as_i64() {
                    // The standard's: floor(size times scale), in float32.
                    let scaled = (dim as f32 * scale).floor() as i64;
                    s.equals(&outputs[0].shape[axis], scaled.to_dim())?;
                }
            }
            Ok(())
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("an Upsample without an input")?;
        let scales = model.add_const(format!("{prefix}.scales"), tensor1(&self.scales))?;
        self.inner.wire(prefix, model, &[x, scales])
    }
}
