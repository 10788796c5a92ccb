//! com.microsoft's QLinearAdd and QLinearMul.
//!
//! Given a node; promises the codes of ONNX Runtime, whose operators they are. tract has neither.

use onnx_swish_kernels::codes::Operator;
use tract_core::broadcast::multi_broadcast;
use tract_hir::internal::*;
use tract_onnx::model::optional_inputs;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::error::demand;
use crate::ops::{QLinearBy, is_code};

/// The operator of a node, in scalar code if `plain`.
pub(in crate::load) fn combined(node: &NodeProto, operator: Operator, plain: bool) -> Built {
    let op = QLinearBy {
        operator,
        at: places(node, &[0, 1, 3, 4, 6])?,
        plain,
    };
    Ok((expand(Combined(op)), vec![]))
}

/// Where the inputs of a node on codes are among those that are given, if those that it needs are.
pub(super) fn places<const N: usize>(
    node: &NodeProto,
    needed: &[usize],
) -> TractResult<[Option<usize>; N]> {
    let mut at = [None; N];
    for (at, input) in at.iter_mut().zip(optional_inputs(node)) {
        *at = input;
    }
    let is_given = |place: &usize| at.get(*place).is_some_and(Option::is_some);
    demand!(
        needed.iter().all(is_given),
        "one of its codes or scales is missing"
    );
    Ok(at)
}

#[derive(Debug, Clone)]
struct Combined(QLinearBy);

impl Combined {
    /// Where the two tensors of codes are among the inputs.
    fn operands(&self) -> TractResult<[usize; 2]> {
        let at = |slot: usize| self.0.at[slot].context("one of its operands is missing");
        Ok([at(0)?, at(3)?])
    }
}

impl Expansion for Combined {
    fn name(&self) -> StaticName {
        match self.0.operator {
            Operator::Add => "QLinearAdd".into(),
            Operator::Mul => "QLinearMul".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.0.at.iter().flatten().count())?;
        check_output_arity(outputs, 1)?;
        let [a, b] = self.operands()?;
        s.equals(&inputs[a].datum_type, &inputs[b].datum_type)?;
        s.equals(&inputs[a].datum_type, &outputs[0].datum_type)?;
        s.given_2(&inputs[a].shape, &inputs[b].shape, move |s, a, b| {
            s.equals(
                &outputs[0].shape,
                ShapeFactoid::from(multi_broadcast(&[a, b])?),
            )
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let input = |at: usize| inputs.get(at).copied().context("an input is missing");
        let [a, b] = self.operands()?;
        let [a, b] = [input(a)?, input(b)?];
        let codes = model.outlet_fact(a)?.datum_type;
        demand!(is_code(codes), "its codes are not of 8 bits");
        let value = |at: usize| Ok(model.outlet_fact(input(at)?)?.konst.clone());
        match self.0.fixed(codes, value)? {
            Some(fixed) => model.wire_node(prefix, fixed, &[a, b]),
            None => model.wire_node(prefix, self.0.clone(), inputs),
        }
    }
}
