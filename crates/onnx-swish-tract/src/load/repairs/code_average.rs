//! com.microsoft's QLinearAveragePool and QLinearGlobalAveragePool, channels first.
//!
//! Given a node; promises the codes of ONNX Runtime, whose operators they are, with sizes as it computes them. tract has neither.

use tract_core::ops::cnn::PaddingSpec;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::combined::places;
use super::on_codes::{FromCodes, OnCodes};
use crate::error::{decline, demand};
use crate::ops::{QAverage, QGlobalAverage};

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

impl FromCodes for QAverage {
    const NAME: &'static str = "QLinearAveragePool";

    fn at(&self) -> &[Option<usize>] {
        &self.at
    }

    fn shape(&self, image: &[TDim]) -> TractResult<TVec<TDim>> {
        self.output_shape(image)
    }
}

impl FromCodes for QGlobalAverage {
    const NAME: &'static str = "QLinearGlobalAveragePool";

    fn at(&self) -> &[Option<usize>] {
        &self.at
    }

    fn shape(&self, image: &[TDim]) -> TractResult<TVec<TDim>> {
        Ok(Self::output_shape(image))
    }
}
