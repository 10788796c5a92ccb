//! Sum, Mean, Max and Min of many inputs.
//!
//! At fault: tract-hir, `ops/binary.rs`, `Nary::to_typed`, which writes an operator of two inputs for each input, and tract-core,
//! `model/typed.rs`, `wire_node`, which looks for each one's name among all others: of 100,000 inputs half a minute, in which nobody
//! can ask whether the time is up. Of many inputs they are one node here, and inputs that are the same value are one input: tract's
//! checks of a graph (`model/graph.rs`, `check_edges`) take the square of a value's readers.

use std::collections::HashMap;

use tract_core::broadcast::multi_broadcast;
use tract_core::ops::binary::BinMiniOp;
use tract_core::ops::math;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, builtin_op};
use crate::error::demand;
use crate::ops::Extremum;
use crate::ops::function::{Function, Plain};

/// Of so many inputs and less tract's rewrites are worth more: they join sums with what computes their terms.
const FEW: usize = 16;

pub(super) fn sum(ctx: &ParsingContext, node: &NodeProto) -> Built {
    fold(ctx, node, Fold::Sum, "tract::Sum")
}

pub(super) fn mean(ctx: &ParsingContext, node: &NodeProto) -> Built {
    fold(ctx, node, Fold::Mean, "tract::Mean")
}

pub(super) fn max(ctx: &ParsingContext, node: &NodeProto) -> Built {
    fold(ctx, node, Fold::Extremum(Extremum::Max), "tract::Max")
}

pub(super) fn min(ctx: &ParsingContext, node: &NodeProto) -> Built {
    fold(ctx, node, Fold::Extremum(Extremum::Min), "tract::Min")
}

fn fold(ctx: &ParsingContext, node: &NodeProto, fold: Fold, saved: &str) -> Built {
    if node.input.len() <= FEW {
        return builtin_op(ctx, node, saved);
    }
    Ok((expand(Many(fold)), vec![]))
}

/// A fold of many inputs, before they are counted.
#[derive(Debug, Clone)]
struct Many(Fold);

impl Expansion for Many {
    fn name(&self) -> StaticName {
        self.0.name().into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_output_arity(outputs, 1)?;
        let shapes = inputs.iter().map(|input| &input.shape);
        s.given_all(shapes, move |s, shapes| {
            let shape = ShapeFactoid::from(multi_broadcast(&shapes)?);
            s.equals(&outputs[0].shape, shape)
        })?;
        s.given(&inputs[0].datum_type, move |s, dt| {
            s.equals(&outputs[0].datum_type, dt)
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut places: HashMap<OutletId, usize> = HashMap::new();
        let mut distinct = Vec::new();
        let order = inputs.iter().map(|input| {
            *places.entry(*input).or_insert_with(|| {
                distinct.push(*input);
                distinct.len() - 1
            })
        });
        let order = order.collect();
        let folded = Folded {
            fold: self.0.clone(),
            order,
        };
        model.wire_node(prefix, Plain(folded), &distinct)
    }
}

/// A fold of inputs of which some are taken several times.
#[derive(Debug, Clone, PartialEq)]
struct Folded {
    fold: Fold,
    /// Which inputs are folded, one after the other.
    order: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Fold {
    Sum,
    Mean,
    Extremum(Extremum),
}

impl Fold {
    fn step(&self, dt: DatumType) -> Box<dyn BinMiniOp> {
        match self {
            Fold::Sum | Fold::Mean => Box::new(math::Add),
            Fold::Extremum(extremum) if dt.is_float() => Box::new(*extremum),
            Fold::Extremum(Extremum::Max) => Box::new(math::Max),
            Fold::Extremum(Extremum::Min) => Box::new(math::Min),
        }
    }
}

impl Fold {
    fn name(&self) -> &'static str {
        match self {
            Fold::Sum => "Sum",
            Fold::Mean => "Mean",
            Fold::Extremum(Extremum::Max) => "Max",
            Fold::Extremum(Extremum::Min) => "Min",
        }
    }
}

impl Function for Folded {
    fn name(&self) -> &'static str {
        self.fold.name()
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let first = inputs.first().context("an operator without an input")?;
        let dt = first.datum_type;
        demand!(
            inputs.iter().all(|fact| fact.datum_type == dt),
            "its inputs are of several element types"
        );
        let shapes: Vec<TVec<TDim>> = inputs.iter().map(|fact| fact.shape.to_tvec()).collect();
        Ok(tvec!(dt.fact(multi_broadcast(&shapes)?)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let rank = inputs.iter().map(|input| input.rank()).max().unwrap_or(0);
        let inputs = inputs.into_iter().map(|input| {
            let tensor = input.into_tensor().broadcast_into_rank(rank)?;
            Ok(tensor.into_arc_tensor())
        });
        let inputs = inputs.collect::<TractResult<Vec<_>>>()?;
        let mut folded: Option<TValue> = None;
        for at in &self.order {
            let input = inputs.get(*at).context("an input that is not there")?;
            let input = input.clone().into_tvalue();
            folded = Some(match folded {
                None => input,
                Some(before) => {
                    let dt = before.datum_type();
                    self.fold.step(dt).eval(before, input, dt)?.into_tvalue()
                }
            });
        }
        let folded = folded.context("an operator without an input")?;
        if self.fold != Fold::Mean {
            return Ok(tvec!(folded));
        }
        let dt = folded.datum_type();
        let count = tensor0(i64::try_from(self.order.len())?);
        let count = count.cast_to_dt(dt)?.into_owned();
        let count = count.broadcast_into_rank(rank)?.into_tvalue();
        Ok(tvec!(math::Div.eval(folded, count, dt)?.into_tvalue()))
    }
}
