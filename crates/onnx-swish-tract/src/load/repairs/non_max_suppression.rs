//! NonMaxSuppression of no boxes: the number of boxes per class is 0 where a node leaves it out, and then nothing is kept.
//!
//! At fault: tract-onnx-opl, `non_max_suppression.rs`, `NonMaxSuppression::eval_t`, which takes 0 for no limit.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain, integers, plain};

pub(super) fn non_max_suppression(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if node.input.get(2).is_none_or(String::is_empty) {
        return Ok((plain(Nothing), vec![]));
    }
    rewired(ctx, node, "tract::NonMaxSuppression", Limited)
}

#[derive(Debug, Clone, PartialEq)]
struct Nothing;

impl Function for Nothing {
    fn name(&self) -> &'static str {
        "NonMaxSuppression"
    }

    fn facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(i64::fact([0usize, 3])))
    }

    fn eval(&self, _: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Ok(tvec!(Tensor::zero::<i64>(&[0, 3])?.into_tvalue()))
    }
}

#[derive(Debug, Clone)]
struct Limited;

impl Rewiring for Limited {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = inputs.into();
        let limit = inputs.get_mut(2).context("a limit of boxes")?;
        let name = format!("{prefix}.limit");
        let limited = model.wire_node(name, Plain(Limit), &[*limit])?;
        *limit = *limited.first().context("a limit of boxes")?;
        own.wire(prefix, model, &inputs)
    }
}

/// A limit as tract takes it: below 0 nothing is kept.
#[derive(Debug, Clone, PartialEq)]
struct Limit;

impl Function for Limit {
    fn name(&self) -> &'static str {
        "NonMaxSuppression.limit"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let limit = inputs.first().context("a limit of boxes")?;
        Ok(tvec!(i64::fact(limit.shape.clone())))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let limit = args_1!(inputs);
        let limits = integers(&limit)?.into_iter();
        let limits: Vec<i64> = limits.map(|it| if it > 0 { it } else { -1 }).collect();
        let limits = Tensor::from_shape(limit.shape(), &limits)?;
        Ok(tvec!(limits.into_tvalue()))
    }
}
