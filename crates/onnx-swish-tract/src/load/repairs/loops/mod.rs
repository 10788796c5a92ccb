//! Loop: a graph that runs again and again, as often as a count and a condition say.
//!
//! tract has none. TensorFlow's recurrent layers and detectors' post-processing are exported with it.

use std::collections::HashMap;

mod control;
mod turns;

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_onnx::model::{ParseResult, ParsingContext, optional_inputs};
use tract_onnx::pb::{GraphProto, NodeProto};

use super::Built;
use super::body::Body;
use crate::error::decline;
use crate::ops::function::integers;
use control::Control;
pub(crate) use turns::Turns;

/// The body's inputs before the carried values: the iteration's number, and the condition.
const BEFORE_CARRIED: usize = 2;

pub(super) fn loop_(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let graph: &GraphProto = node.get_attr("body")?;
    let ParseResult {
        model: body,
        unresolved_inputs: captured,
        ..
    } = ctx.parse_graph(graph).context("in the body")?;
    let carried = body
        .input_outlets()?
        .len()
        .checked_sub(BEFORE_CARRIED + captured.len());
    let carried = carried.context("the body of a Loop takes a number and a condition at least")?;
    let scans = body.output_outlets()?.len().checked_sub(1 + carried);
    let scans =
        scans.context("the body of a Loop gives a condition and its carried values at least")?;
    let mut inputs = optional_inputs(node);
    let op = Loop {
        body,
        count: inputs.next().flatten(),
        condition: inputs.next().flatten(),
        carried,
        scans,
        captured: captured.len(),
        named: node.output.iter().map(|name| !name.is_empty()).collect(),
        solved: None,
    };
    Ok((Box::new(op), captured))
}

#[derive(Debug, Clone)]
struct Loop {
    body: InferenceModel,
    count: Option<usize>,
    condition: Option<usize>,
    carried: usize,
    scans: usize,
    captured: usize,
    /// Which outputs somebody reads.
    named: Vec<bool>,
    /// What the analysis settled; symbols in it must stay the same.
    solved: Option<Solved>,
}

#[derive(Debug, Clone)]
struct Solved {
    body: InferenceModel,
    outputs: Vec<InferenceFact>,
}

impl PartialEq for Loop {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

impl Eq for Loop {}

impl Loop {
    /// Where among the node's inputs the carried values begin.
    fn first_carried(&self) -> usize {
        usize::from(self.count.is_some()) + usize::from(self.condition.is_some())
    }

    /// How often the body runs, where that is known beforehand.
    fn trips(&self, inputs: &[InferenceFact], body: &InferenceModel) -> TractResult<Option<i64>> {
        let value =
            |slot: Option<usize>| slot.and_then(|slot| inputs.get(slot)?.value.concretize());
        let count = match self.count {
            None => None,
            Some(_) => match value(self.count) {
                Some(count) => Some(integers(&count)?.first().copied().unwrap_or(0).max(0)),
                None => return Ok(None),
            },
        };
        let starts = match self.condition {
            None => true,
            Some(_) => match value(self.condition) {
                Some(condition) => condition.nth(0)?.cast_to_scalar::<bool>()?,
                None => return Ok(None),
            },
        };
        if !starts {
            return Ok(Some(0));
        }
        let first = self.first_carried();
        let before = (0..self.carried)
            .map(|at| value(Some(first + at)))
            .collect();
        let control = Control {
            body,
            before,
            count,
        };
        control.turns()
    }

    fn solve(&self, inputs: &[InferenceFact]) -> TractResult<Option<Solved>> {
        let first = self.first_carried();
        let known =
            |fact: &InferenceFact| fact.datum_type.is_concrete() && fact.shape.is_concrete();
        if !inputs
            .get(first..)
            .is_some_and(|inputs| inputs.iter().all(known))
        {
            return Ok(None);
        }
        let carried: Vec<&InferenceFact> = inputs.iter().skip(first).take(self.carried).collect();
        let mut shapes = Vec::new();
        for fact in &carried {
            let shape: TVec<TDim> = fact
                .shape
                .concretize()
                .context("a shape that is not known")?;
            shapes.push(shape);
        }
        // A size that changes from turn to turn is a symbol: each round finds more of them, and there are so many.
        let rounds = shapes.iter().map(|shape| shape.len()).sum::<usize>() + 1;
        for _ in 0..rounds {
            let body = self.analysed(inputs, &shapes)?;
            let mut changed = false;
            for (at, shape) in shapes.iter_mut().enumerate() {
                let after = &body.output_fact(1 + at)?.shape;
                if let Some(rank) = after.rank().concretize()
                    && usize::try_from(rank)? != shape.len()
                {
                    decline!(
                        "a value that it carries has {} axes before the first turn and {rank} after it",
                        shape.len()
                    );
                }
                let after: Vec<Option<TDim>> = after.dims().map(|dim| dim.concretize()).collect();
                for (axis, dim) in shape.iter_mut().enumerate() {
                    let same = after
                        .get(axis)
                        .is_some_and(|after| after.as_ref() == Some(dim));
                    let is_symbol = dim.as_i64().is_none();
                    if !same && !is_symbol {
                        *dim = self.body.symbols.new_with_prefix("loop").to_dim();
                        changed = true;
                    }
                }
            }
            if !changed {
                let outputs = self.outputs(inputs, &carried, &shapes, &body)?;
                return Ok(Some(Solved { body, outputs }));
            }
        }
        decline!("the sizes of what it carries do not settle")
    }

    /// The body with carried values of these shapes.
    fn analysed(
        &self,
        inputs: &[InferenceFact],
        shapes: &[TVec<TDim>],
    ) -> TractResult<InferenceModel> {
        let mut body = self.body.clone();
        body.set_input_fact(0, i64::fact([0usize; 0]).into())?;
        body.set_input_fact(1, bool::fact([0usize; 0]).into())?;
        let outer = inputs.iter().skip(self.first_carried());
        for (at, fact) in outer.enumerate() {
            let own = match shapes.get(at) {
                Some(shape) => InferenceFact::dt_shape(
                    fact.datum_type
                        .concretize()
                        .context("a type that is not known")?,
                    ShapeFactoid::from(shape.clone()),
                ),
                None => fact.clone(),
            };
            body.set_input_fact(BEFORE_CARRIED + at, own)?;
        }
        body.analyse(false).context("in the body of a Loop")?;
        Ok(body)
    }

    fn outputs(
        &self,
        inputs: &[InferenceFact],
        carried: &[&InferenceFact],
        shapes: &[TVec<TDim>],
        body: &InferenceModel,
    ) -> TractResult<Vec<InferenceFact>> {
        let mut outputs = Vec::new();
        for (fact, shape) in carried.iter().zip(shapes) {
            let dt = fact
                .datum_type
                .concretize()
                .context("a type that is not known")?;
            outputs.push(InferenceFact::dt_shape(
                dt,
                ShapeFactoid::from(shape.clone()),
            ));
        }
        let trips = match self.trips(inputs, body)? {
            Some(trips) => trips.to_dim(),
            None => self.body.symbols.new_with_prefix("turns").to_dim(),
        };
        for scan in 0..self.scans {
            let fact = body.output_fact(1 + self.carried + scan)?;
            let mut fact = fact.clone().without_value();
            if let Some(dims) = fact.shape.concretize() {
                let dims: TVec<TDim> = std::iter::once(trips.clone()).chain(dims).collect();
                fact.shape = ShapeFactoid::from(dims);
            } else {
                fact.shape = ShapeFactoid::default();
            }
            outputs.push(fact);
        }
        Ok(outputs)
    }
}

impl Op for Loop {
    fn name(&self) -> StaticName {
        "Loop".into()
    }

    not_a_typed_op!();
}

impl EvalOp for Loop {
    fn eval_out_of_plan(&self, _inputs: TVec<TValue>) -> TractResult<Option<TVec<TValue>>> {
        Ok(None)
    }

    fn eval(&self, _ctx: &EvalContext, _inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        bail!("a Loop runs in a plan only")
    }
}

impl InferenceOp for Loop {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(
        TVec<InferenceFact>,
        TVec<InferenceFact>,
        TVec<InferenceFact>,
    )> {
        let inputs: TVec<InferenceFact> = inputs.into_iter().cloned().collect();
        let mut outputs: TVec<InferenceFact> = outputs.into_iter().cloned().collect();
        if self.solved.is_none() {
            self.solved = self.solve(&inputs)?;
        }
        if let Some(solved) = &self.solved {
            let named = solved
                .outputs
                .iter()
                .zip(&self.named)
                .filter(|(_, named)| **named);
            for (output, (solved, _)) in outputs.iter_mut().zip(named) {
                output.unify_with(solved)?;
            }
        }
        Ok((inputs, outputs, observed.into_iter().cloned().collect()))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.named.iter().filter(|named| **named).count())
    }

    fn to_typed(
        &self,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let solved = self.solved.as_ref().context(
            "the types of what goes into this Loop are not known when the model is loaded",
        )?;
        let mut body = solved.body.clone().into_typed()?;
        let mut outputs: TVec<OutletId> = body.output_outlets()?.into();
        for at in 0..self.carried {
            let (before, after) = (
                body.input_fact(BEFORE_CARRIED + at)?.datum_type,
                body.output_fact(1 + at)?.datum_type,
            );
            let outlet = outputs
                .get_mut(1 + at)
                .context("a carried value that the body does not give")?;
            *outlet = of_type(&mut body, *outlet, before, after, at)?;
        }
        for at in 0..self.scans {
            // Sizes, which tract computes in a type of its own.
            let outlet = outputs
                .get_mut(1 + self.carried + at)
                .context("an output that the body does not give")?;
            let dt = body.outlet_fact(*outlet)?.datum_type;
            let plain = if dt == TDim::datum_type() {
                i64::datum_type()
            } else {
                dt
            };
            *outlet = of_type(&mut body, *outlet, plain, dt, self.carried + at)?;
        }
        body.select_output_outlets(&outputs)?;
        let mut facts = Vec::new();
        for (at, fact) in solved.outputs.iter().enumerate() {
            let dt = body.output_fact(1 + at)?.datum_type;
            let shape = match fact.shape.concretize() {
                Some(shape) => shape,
                None => {
                    let turns = target.symbols.new_with_prefix("turns").to_dim();
                    let own = body.output_fact(1 + at)?.shape.to_tvec();
                    std::iter::once(turns).chain(own).collect()
                }
            };
            facts.push(dt.fact(shape));
        }
        let op = Turns {
            body: Body::new(body),
            count: self.count,
            condition: self.condition,
            first_carried: self.first_carried(),
            carried: self.carried,
            captured: self.captured,
            named: self.named.clone(),
            facts,
        };
        let inputs: Option<TVec<OutletId>> = node
            .inputs
            .iter()
            .map(|outlet| mapping.get(outlet).copied())
            .collect();
        target.wire_node(&node.name, op, &inputs.context("a Loop before its inputs")?)
    }

    fn as_op(&self) -> &dyn Op {
        self
    }

    fn as_op_mut(&mut self) -> &mut dyn Op {
        self
    }
}

fn of_type(
    body: &mut TypedModel,
    outlet: OutletId,
    wanted: DatumType,
    found: DatumType,
    at: usize,
) -> TractResult<OutletId> {
    if wanted == found {
        return Ok(outlet);
    }
    let name = format!("carried-{at}.cast");
    Ok(body.wire_node(name, cast(wanted), &[outlet])?[0])
}
