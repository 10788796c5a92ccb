//! ai.onnx.ml's Scaler: `(x - offset) * scale`, for each feature.
//!
//! tract has none; scikit-learn's pipelines begin with it.

use tract_core::ops::cast::cast;
use tract_core::ops::math::{mul, sub};
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::wire::Wire;

pub(super) fn scaler(_: &ParsingContext, node: &NodeProto) -> Built {
    let op = Scaler {
        offset: node
            .get_attr_opt_vec("offset")?
            .unwrap_or_else(|| vec![0.0]),
        scale: node.get_attr_opt_vec("scale")?.unwrap_or_else(|| vec![1.0]),
    };
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct Scaler {
    offset: Vec<f32>,
    scale: Vec<f32>,
}

impl Expansion for Scaler {
    fn name(&self) -> StaticName {
        "Scaler".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, f32::datum_type())?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut wire = Wire { prefix, model };
        let x = wire.op("float", cast(f32::datum_type()), inputs)?;
        let offset = wire.constant("offset", tensor1(&self.offset))?;
        let scale = wire.constant("scale", tensor1(&self.scale))?;
        let centred = wire.binary("centred", sub(), x, offset)?;
        Ok(tvec!(wire.binary("", mul(), centred, scale)?))
    }
}
