//! Operators that are one plain function of their inputs, for what tract lacks or computes wrongly.
//!
//! Given facts, a function says what comes out; given tensors, it computes it, whatever the element type. Promises that shapes
//! are inferred from the same rule that the running operator answers to.

use std::fmt::Debug;

use crate::error::{decline, demand};
use tract_core::internal::*;
use tract_hir::internal::*;

/// An operator of which tract needs to know no more than this.
pub(crate) trait Function: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// The operator's name in profiles and errors.
    fn name(&self) -> &'static str;

    /// How many outputs it has.
    fn outputs(&self) -> usize {
        1
    }

    /// The inputs without whose values the outputs' shapes are not known.
    fn shaped_by(&self) -> Vec<usize> {
        Vec::new()
    }

    /// What comes out for inputs of these facts; those of [`shaped_by`](Function::shaped_by) are constants.
    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>>;

    /// The outputs, of the shapes that [`facts`](Function::facts) said.
    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>>;
}

/// A [`Function`] as tract wants its operators, before and after types are settled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plain<F>(pub F);

impl<F: Function> Eq for Plain<F> {}

/// The operator for tract's loader.
pub(crate) fn plain<F: Function>(function: F) -> Box<dyn InferenceOp> {
    expand(Plain(function))
}

impl<F: Function> Op for Plain<F> {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    op_as_typed_op!();
}

impl<F: Function> EvalOp for Plain<F> {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(inputs)
    }
}

impl<F: Function> TypedOp for Plain<F> {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.facts(inputs)
    }

    as_op!();
}

impl<F: Function> Expansion for Plain<F> {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.outputs())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        let types = inputs.iter().map(|input| &input.datum_type);
        s.given_all(types, move |s, types| {
            s.given_all(inputs.iter().map(|input| &input.shape), move |s, shapes| {
                let facts: Vec<TypedFact> = types
                    .iter()
                    .zip(&shapes)
                    .map(|(dt, shape)| dt.fact(shape.as_slice()))
                    .collect();
                let shaped_by = self.0.shaped_by();
                let values = shaped_by
                    .iter()
                    .filter_map(|&slot| inputs.get(slot))
                    .map(|input| &input.value);
                s.given_all(values, move |s, values| {
                    let mut facts = facts.clone();
                    for (slot, value) in self.0.shaped_by().into_iter().zip(values) {
                        if let Some(fact) = facts.get_mut(slot) {
                            fact.konst = Some(value);
                        }
                    }
                    let facts: Vec<&TypedFact> = facts.iter().collect();
                    for (output, fact) in outputs.iter().zip(self.0.facts(&facts)?) {
                        s.equals(&output.datum_type, fact.datum_type)?;
                        s.equals(&output.shape, ShapeFactoid::from(fact.shape.to_tvec()))?;
                    }
                    Ok(())
                })
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        for slot in self.0.shaped_by() {
            let Some(input) = inputs.get(slot) else {
                continue;
            };
            if model.outlet_fact(*input)?.konst.is_none() {
                decline!(
                    "its input {} decides the shape of what comes out and is computed from the model's inputs",
                    slot + 1
                );
            }
        }
        model.wire_node(prefix, self.clone(), inputs)
    }
}

/// The integers of a tensor, whichever type holds them; tract's own for sizes among them.
pub(crate) fn integers(tensor: &Tensor) -> TractResult<Vec<i64>> {
    let integers = tensor.cast_to::<i64>()?;
    let plain = integers.try_as_plain_ram()?;
    Ok(plain.as_slice::<i64>()?.to_vec())
}

/// The integers of a constant, or a sentence that says what should be one.
pub(crate) fn constant_integers(fact: &TypedFact, what: &str) -> TractResult<Vec<i64>> {
    match &fact.konst {
        Some(constant) => integers(constant),
        None => decline!(
            "{what} must be known when the model is loaded, and depends on the model's inputs"
        ),
    }
}

/// An axis counted from the front.
pub(crate) fn resolved_axis(axis: i64, rank: usize) -> TractResult<usize> {
    let size = i64::try_from(rank)?;
    let from_front = if axis < 0 { axis + size } else { axis };
    demand!(
        (0..size).contains(&from_front),
        "it names axis {axis} of a tensor of {rank} axes"
    );
    Ok(usize::try_from(from_front)?)
}

/// The axes counted from the front, each once.
pub(crate) fn resolved_axes(axes: &[i64], rank: usize) -> TractResult<Vec<usize>> {
    let mut resolved = axes
        .iter()
        .map(|axis| resolved_axis(*axis, rank))
        .collect::<TractResult<Vec<_>>>()?;
    resolved.sort_unstable();
    resolved.dedup();
    demand!(
        resolved.len() == axes.len(),
        "it names an axis twice, by {axes:?}"
    );
    Ok(resolved)
}
