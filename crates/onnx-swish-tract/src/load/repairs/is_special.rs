//! IsNaN and IsInf of float64.
//!
//! At fault: tract-core, `ops/math/mod.rs`, `is_nan` and `is_inf`, whose tables of types have no f64.

use tract_core::ops::math;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::ops::function::{Function, Plain};

pub(super) fn is_nan(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((expand(Question::Nan), vec![]))
}

pub(super) fn is_inf(_: &ParsingContext, node: &NodeProto) -> Built {
    let detects = |name| TractResult::Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(1) != 0);
    let question = Question::Infinite {
        positive: detects("detect_positive")?,
        negative: detects("detect_negative")?,
    };
    Ok((expand(question), vec![]))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Question {
    Nan,
    Infinite { positive: bool, negative: bool },
}

impl Question {
    fn answer(self, x: f64) -> bool {
        match self {
            Question::Nan => x.is_nan(),
            Question::Infinite { positive, negative } => {
                positive && x == f64::INFINITY || negative && x == f64::NEG_INFINITY
            }
        }
    }
}

impl Expansion for Question {
    fn name(&self) -> StaticName {
        Function::name(self).into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.equals(&outputs[0].datum_type, bool::datum_type())?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a question about nothing")?;
        if model.outlet_fact(x)?.datum_type == DatumType::F64 {
            return model.wire_node(prefix, Plain(*self), inputs);
        }
        let own = match *self {
            Question::Nan => math::is_nan(),
            Question::Infinite { positive, negative } => math::is_inf(positive, negative),
        };
        model.wire_node(prefix, own, inputs)
    }
}

impl Function for Question {
    fn name(&self) -> &'static str {
        match self {
            Question::Nan => "IsNaN",
            Question::Infinite { .. } => "IsInf",
        }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a question about nothing")?;
        Ok(tvec!(bool::fact(x.shape.to_tvec())))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let answers = x.to_plain_array_view::<f64>()?.mapv(|x| self.answer(x));
        Ok(tvec!(answers.into_tensor().into_tvalue()))
    }
}
