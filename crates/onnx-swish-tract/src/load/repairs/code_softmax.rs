//! com.microsoft's QLinearSoftmax.
//!
//! Given a node; promises the codes of ONNX Runtime, whose operator it is. tract lacks it.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::combined::places;
use crate::error::{demand, reject};
use crate::ops::{QSoftmax, input, is_code};

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
    Ok((expand(OfCodes(op)), vec![]))
}

#[derive(Debug, Clone)]
struct OfCodes(QSoftmax);

impl Expansion for OfCodes {
    fn name(&self) -> StaticName {
        "QLinearSoftmax".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.0.at.iter().flatten().count())?;
        check_output_arity(outputs, 1)?;
        let codes = input(&self.0.at, inputs, 0)?;
        s.equals(&codes.datum_type, &outputs[0].datum_type)?;
        s.equals(&codes.shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let codes = model.outlet_fact(*input(&self.0.at, inputs, 0)?)?;
        demand!(is_code(codes.datum_type), "its codes are not of 8 bits");
        let (axis, rank) = (self.0.axis, codes.rank() as i64);
        demand!(
            (-rank..rank).contains(&axis),
            "its axis is {axis}, and its codes have {rank} axes"
        );
        model.wire_node(prefix, self.0.clone(), inputs)
    }
}
