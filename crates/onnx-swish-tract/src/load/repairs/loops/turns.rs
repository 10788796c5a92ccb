//! A Loop as it runs: its body's plan, once for each turn.
//!
//! Given the body and the inputs of a run; promises the carried values of the last turn, and what every turn collects, stacked.

use tract_hir::internal::*;

use super::super::body::Body;
use crate::ops::function::integers;

/// A Loop as it runs.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    pub body: Body,
    pub count: Option<usize>,
    pub condition: Option<usize>,
    pub first_carried: usize,
    pub carried: usize,
    pub captured: usize,
    pub named: Vec<bool>,
    /// Of the carried values and the collected ones.
    pub facts: Vec<TypedFact>,
}

impl PartialEq for Turns {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Turns {}

impl Op for Turns {
    fn name(&self) -> StaticName {
        "Loop".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Turns {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let given = |slot: Option<usize>| slot.and_then(|slot| inputs.get(slot));
        let count = given(self.count).map(|count| integers(count)).transpose()?;
        let count = count.map(|count| count.first().copied().unwrap_or(0));
        let condition = given(self.condition).map(|it| it.nth(0)?.cast_to_scalar::<bool>());
        let mut goes_on = condition.transpose()?.unwrap_or(true);
        let mut carried: TVec<TValue> = inputs
            .iter()
            .skip(self.first_carried)
            .take(self.carried)
            .cloned()
            .collect();
        let captured = self.first_carried + self.carried;
        let captured: TVec<TValue> = inputs
            .iter()
            .skip(captured)
            .take(self.captured)
            .cloned()
            .collect();
        drop(inputs);
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); self.facts.len() - self.carried];
        let mut state = self.body.plan()?.spawn()?;
        let mut turn = 0i64;
        while goes_on && count.is_none_or(|count| turn < count) {
            let mut own: TVec<TValue> = tvec!(tensor0(turn).into(), tensor0(goes_on).into());
            own.append(&mut carried);
            own.extend(captured.iter().cloned());
            let mut outputs = state.run(own)?.into_iter();
            let condition = outputs.next().context("a body without a condition")?;
            goes_on = condition.nth(0)?.cast_to_scalar::<bool>()?;
            carried = outputs.by_ref().take(self.carried).collect();
            for (all, one) in collected.iter_mut().zip(outputs) {
                let mut one = one.into_tensor();
                one.insert_axis(0)?;
                all.push(one);
            }
            turn += 1;
        }
        let mut outputs = carried;
        for (all, fact) in collected
            .into_iter()
            .zip(self.facts.iter().skip(self.carried))
        {
            outputs.push(stacked(&all, fact)?.into_tvalue());
        }
        let named = outputs
            .into_iter()
            .zip(&self.named)
            .filter(|(_, named)| **named);
        Ok(named.map(|(output, _)| output).collect())
    }
}

fn stacked(all: &[Tensor], fact: &TypedFact) -> TractResult<Tensor> {
    if !all.is_empty() {
        return Tensor::stack_tensors(0, all);
    }
    let rest = fact.shape.iter().skip(1).map(|dim| {
        dim.to_usize()
            .context("a Loop without a single turn whose outputs' sizes are not known")
    });
    let mut shape = vec![0];
    shape.extend(rest.collect::<TractResult<Vec<_>>>()?);
    Tensor::zero_dt(fact.datum_type, &shape)
}

impl TypedOp for Turns {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let named = self
            .facts
            .iter()
            .zip(&self.named)
            .filter(|(_, named)| **named);
        Ok(named.map(|(fact, _)| fact.clone()).collect())
    }

    as_op!();
}
