//! Every n-th element of one axis, forwards or backwards.
//!
//! Given a step; promises that no pass of tract moves the operator to where the
//! axis does not exist.

use tract_core::internal::*;
use tract_core::ops::downsample::Downsample;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Stride {
    pub axis: usize,
    /// Not zero; below zero from the last element to the first.
    pub step: isize,
}

impl Op for Stride {
    fn name(&self) -> StaticName {
        "Stride".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axis {} by {}", self.axis, self.step)])
    }

    op_as_typed_op!();
}

impl EvalOp for Stride {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        Downsample::new(self.axis, self.step, 0).eval(ctx, inputs)
    }
}

impl TypedOp for Stride {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = inputs.first().context("a stride without an input")?;
        let mut fact = input.without_value();
        ensure!(
            self.axis < fact.rank(),
            "axis {} of rank {}",
            self.axis,
            fact.rank()
        );
        let len = fact.shape[self.axis]
            .clone()
            .div_ceil(self.step.unsigned_abs() as u64);
        fact.shape.set(self.axis, len);
        Ok(tvec!(fact))
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        let rank = inputs.first().context("a stride without an input")?.rank();
        (0..rank).filter(|axis| *axis != self.axis).try_fold(
            AxesMapping::disconnected(inputs, outputs)?,
            |mapping, axis| mapping.linking((InOut::In(0), axis), (InOut::Out(0), axis)),
        )
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _io: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let Some(axis) = change.transform_axis(self.axis) else {
            return Ok(None);
        };
        let changed = Stride {
            axis,
            ..self.clone()
        };
        Ok(Some(AxisChangeConsequence::new(
            model,
            node,
            Some(Box::new(changed)),
            change,
        )))
    }

    as_op!();
}
