//! Resize of opset 10, Upsample, and corners that are aligned by scales.
//!
//! At fault: tract-onnx, `ops/resize.rs`, `resize_10`, which rounds to the nearest pixel where that opset takes the one before
//! (attribute `nearest_mode` came with opset 11); there is no Upsample, which older exporters write; and tract-core,
//! `ops/nn/resize.rs`, `CoordTransformer::transform`, which aligns the last element with where the scale would have it, though there is none:
//! the standard's `length_resized` is a whole number, and ONNX Runtime's too.

use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::{AttributeProto, NodeProto, attribute_proto::AttributeType};

use super::{Built, Delegate, Rewiring, builtin, builtin_op, rewired};
use crate::error::demand;
use crate::ops::function::resolved_axis;

pub(super) fn resize(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if ctx.onnx_operator_set_version == 10 {
        return builtin_op(ctx, &with_floor(node), "tract::Resize");
    }
    let mode: Option<&str> = node.get_attr_opt("coordinate_transformation_mode")?;
    let scales = optional_inputs(node).nth(2).flatten();
    match scales.filter(|_| mode == Some("align_corners")) {
        Some(scales) => {
            let by = AlignedCorners {
                scales,
                axes: node.get_attr_opt_vec("axes")?,
                by_sizes: by_sizes(ctx, node)?,
            };
            rewired(ctx, node, "tract::Resize", by)
        }
        None => builtin_op(ctx, node, "tract::Resize"),
    }
}

/// The same of an image and sizes.
fn by_sizes(ctx: &ParsingContext, node: &NodeProto) -> TractResult<Delegate> {
    let mut ctx = ctx.clone();
    // Before, inputs that are left out have names of their own.
    ctx.onnx_operator_set_version = ctx.onnx_operator_set_version.max(13);
    let mut node = node.clone();
    node.input.truncate(1);
    node.input
        .extend(["", "", "sizes"].into_iter().map(str::to_owned));
    builtin(&ctx, &node, "tract::Resize")
}

/// A resize by scales that give sizes which are no whole numbers is one by those that they are cut to.
#[derive(Debug, Clone)]
struct AlignedCorners {
    scales: usize,
    axes: Option<Vec<i64>>,
    by_sizes: Delegate,
}

impl AlignedCorners {
    /// The sizes, if scales do not give them.
    fn sizes(&self, model: &TypedModel, inputs: &[OutletId]) -> TractResult<Option<Vec<i64>>> {
        let (Some(&x), Some(&scales)) = (inputs.first(), inputs.get(self.scales)) else {
            return Ok(None);
        };
        let (fact, scales) = (model.outlet_fact(x)?, model.outlet_fact(scales)?);
        let (Some(shape), Some(scales)) = (fact.shape.as_concrete(), &scales.konst) else {
            return Ok(None);
        };
        let axes = match &self.axes {
            Some(axes) => {
                let axes = axes.iter().map(|axis| resolved_axis(*axis, shape.len()));
                axes.collect::<TractResult<Vec<_>>>()?
            }
            None => (0..shape.len()).collect(),
        };
        let scales = scales.cast_to::<f32>()?;
        let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?;
        let scaled = axes.iter().zip(scales).map(|(axis, scale)| {
            let size = shape.get(*axis).copied().unwrap_or_default();
            size as f32 * scale
        });
        let scaled: Vec<f32> = scaled.collect();
        let whole = scaled.iter().all(|size| size.fract() == 0.0);
        let known = scaled.len() == axes.len() && !whole;
        Ok(known.then(|| scaled.iter().map(|size| *size as i64).collect()))
    }
}

impl Rewiring for AlignedCorners {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let Some(sizes) = self.sizes(model, inputs)? else {
            return own.wire(prefix, model, inputs);
        };
        let x = *inputs.first().context("a Resize without an input")?;
        let sizes = model.add_const(format!("{prefix}.sizes"), tensor1(&sizes))?;
        self.by_sizes.wire(prefix, model, &[x, sizes])
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
