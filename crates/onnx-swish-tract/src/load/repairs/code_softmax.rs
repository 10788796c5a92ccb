//! com.microsoft's QLinearSoftmax.
//!
//! Given a node; promises the codes of ONNX Runtime, whose operator it is. tract lacks it.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::combined::places;
use super::on_codes::{FromCodes, OnCodes};
use crate::error::{demand, reject};
use crate::ops::QSoftmax;

/// Up to this version of the standard softmax took the axes behind its own along.
const LAST_TO_THE_END: i64 = 12;

pub(in crate::load) fn softmax(_: &ParsingContext, node: &NodeProto) -> Built {
    let Some(version) = node.get_attr_opt::<i64>("opset")? else {
        reject!("it needs the attribute opset, which says what its axis means");
    };
    let to_the_end = version <= LAST_TO_THE_END;
    let axis = node.get_attr_opt::<i64>("axis")?;
    let op = QSoftmax {
        axis: axis.unwrap_or(-1),
        to_the_end,
        at: places(node, &[0, 1, 3])?,
    };
    Ok((expand(OnCodes(op)), vec![]))
}

impl FromCodes for QSoftmax {
    const NAME: &'static str = "QLinearSoftmax";

    fn at(&self) -> &[Option<usize>] {
        &self.at
    }

    fn shape(&self, codes: &[TDim]) -> TractResult<TVec<TDim>> {
        let (axis, rank) = (self.axis, codes.len() as i64);
        demand!(
            (-rank..rank).contains(&axis),
            "its axis is {axis}, and its codes have {rank} axes"
        );
        Ok(codes.into())
    }
}
