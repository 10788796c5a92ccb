//! com.microsoft's QLinearAveragePool and QLinearGlobalAveragePool, channels first.
//!
//! Given a node; promises the codes of ONNX Runtime, whose operators they are, with sizes as it computes them. tract has neither.

use tract_core::ops::cnn::PaddingSpec;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::combined::places;
use crate::error::{decline, demand};
use crate::ops::{QAverage, QGlobalAverage, input, is_code};

pub(in crate::load) fn average(_: &ParsingContext, node: &NodeProto) -> Built {
    let at = images(node)?;
    let Some(kernel) = node.get_attr_opt_tvec::<usize>("kernel_shape")? else {
        decline!("a pool without kernel_shape");
    };
    let strides = node.get_attr_opt_tvec::<usize>("strides")?;
    let op = QAverage {
        strides: strides.unwrap_or_else(|| tvec!(1; kernel.len())),
        padding: padding(node, kernel.len())?,
        counts_padding: node.get_attr_opt::<i64>("count_include_pad")?.unwrap_or(0) != 0,
        kernel,
        at,
    };
    Ok((expand(OnCodes(op)), vec![]))
}

pub(in crate::load) fn global_average(_: &ParsingContext, node: &NodeProto) -> Built {
    let op = QGlobalAverage { at: images(node)? };
    Ok((expand(OnCodes(op)), vec![]))
}

/// Where the inputs of a node are, whose channels come first.
fn images(node: &NodeProto) -> TractResult<[Option<usize>; 5]> {
    if node.get_attr_opt::<i64>("channels_last")?.unwrap_or(0) != 0 {
        decline!("channels that come last");
    }
    places(node, &[0, 1, 3])
}

/// Whatever `pads` says, `auto_pad` goes first.
fn padding(node: &NodeProto, axes: usize) -> TractResult<PaddingSpec> {
    let ceil = node.get_attr_opt::<i64>("ceil_mode")?.unwrap_or(0) == 1;
    let none = || PaddingSpec::ExplicitOnnxPool(tvec!(0; axes), tvec!(0; axes), ceil);
    match node.get_attr_opt::<&str>("auto_pad")?.unwrap_or_default() {
        "SAME_UPPER" => Ok(PaddingSpec::SameUpper),
        "SAME_LOWER" => Ok(PaddingSpec::SameLower),
        "VALID" => Ok(none()),
        "" | "NOTSET" => {
            let Some(pads) = node.get_attr_opt_tvec::<usize>("pads")? else {
                return Ok(none());
            };
            demand!(pads.len() == 2 * axes, "its pads are not two for each axis");
            let (before, after) = pads.split_at(axes);
            Ok(PaddingSpec::ExplicitOnnxPool(
                before.into(),
                after.into(),
                ceil,
            ))
        }
        other => decline!("auto_pad {other}"),
    }
}

/// A pool of codes.
trait Pool: TypedOp + Clone {
    /// The operator of the file.
    const NAME: &'static str;
    fn at(&self) -> &[Option<usize>];
    fn shape(&self, image: &[TDim]) -> TractResult<TVec<TDim>>;
}

impl Pool for QAverage {
    const NAME: &'static str = "QLinearAveragePool";

    fn at(&self) -> &[Option<usize>] {
        &self.at
    }

    fn shape(&self, image: &[TDim]) -> TractResult<TVec<TDim>> {
        self.output_shape(image)
    }
}

impl Pool for QGlobalAverage {
    const NAME: &'static str = "QLinearGlobalAveragePool";

    fn at(&self) -> &[Option<usize>] {
        &self.at
    }

    fn shape(&self, image: &[TDim]) -> TractResult<TVec<TDim>> {
        Ok(Self::output_shape(image))
    }
}

#[derive(Debug, Clone)]
struct OnCodes<P>(P);

impl<P: Pool> Expansion for OnCodes<P> {
    fn name(&self) -> StaticName {
        P::NAME.into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.0.at().iter().flatten().count())?;
        check_output_arity(outputs, 1)?;
        let image = input(self.0.at(), inputs, 0)?;
        s.equals(&image.datum_type, &outputs[0].datum_type)?;
        s.given(&image.shape, move |s, shape| {
            let shape = self.0.shape(&shape)?;
            s.equals(&outputs[0].shape, ShapeFactoid::from(shape))
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let image = *input(self.0.at(), inputs, 0)?;
        demand!(
            is_code(model.outlet_fact(image)?.datum_type),
            "its codes are not of 8 bits"
        );
        model.wire_node(prefix, self.0.clone(), inputs)
    }
}
