//! ReduceMax and ReduceMin of nothing but infinities, and ReduceLogSumExp of what has no exponential.
//!
//! At fault: tract-core, `ops/nn/reduce.rs`, which begins at the least finite number, not at the infinity: the greatest of a row
//! of -inf comes out finite, and a mask that asks for it finds no row masked. tract-onnx, `ops/nn/reduce.rs`, which sums
//! exponentials as they are: from 89 on they are infinite, from -104 on zero; and which asks for exponentials and logarithms of
//! integers, which tract-core has not.

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_num_traits::Float;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::unread::integer;
use super::wire::Wire;
use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain, constant_integers, resolved_axes};

pub(super) fn reduce_max(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::Max, "tract::ReduceMax")
}

pub(super) fn reduce_min(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::Min, "tract::ReduceMin")
}

pub(super) fn reduce_log_sum_exp(ctx: &ParsingContext, node: &NodeProto) -> Built {
    reduction(ctx, node, Kind::LogSumExp, "tract::ReduceLogSumExp")
}

/// ReduceLogSum: its logarithm is of the sum, and that of integers is an integer.
pub(super) fn reduce_log_sum(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::ReduceLogSum", OfFloats)
}

/// ReduceL2, whose root of a sum of integers is an integer.
pub(super) fn reduce_l2(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::ReduceL2", OfFloats)
}

/// tract's own operator, of integers as of float64: what comes out is cut to an integer, as ONNX Runtime cuts it.
#[derive(Debug, Clone)]
struct OfFloats;

impl Rewiring for OfFloats {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        as_floats(prefix, model, inputs, &mut |prefix, model, inputs| {
            own.wire(prefix, model, inputs)
        })
    }
}

type Wiring<'a> =
    &'a mut dyn FnMut(&str, &mut TypedModel, &[OutletId]) -> TractResult<TVec<OutletId>>;

/// Wires an operator; where its first input is of integers, as float64.
fn as_floats(
    prefix: &str,
    model: &mut TypedModel,
    inputs: &[OutletId],
    wire: Wiring<'_>,
) -> TractResult<TVec<OutletId>> {
    let x = *inputs.first().context("a reduction without an input")?;
    let dt = model.outlet_fact(x)?.datum_type;
    if !matches!(dt, DatumType::I32 | DatumType::I64) {
        return wire(prefix, model, inputs);
    }
    let mut inputs: TVec<OutletId> = inputs.into();
    inputs[0] = model.wire_node(format!("{prefix}.as-float64"), cast(DatumType::F64), &[x])?[0];
    let reduced = wire(&format!("{prefix}.reduced"), model, &inputs)?;
    model.wire_node(prefix, cast(dt), &reduced)
}

/// What becomes of the elements along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Max,
    Min,
    LogSumExp,
    Sum,
    Mean,
}

fn reduction(ctx: &ParsingContext, node: &NodeProto, kind: Kind, saved: &str) -> Built {
    let along = Along::of(node)?;
    rewired(ctx, node, saved, Reduction { kind, along })
}

#[derive(Debug, Clone)]
struct Reduction {
    kind: Kind,
    along: Along,
}

/// The axes that are reduced, as a node names them.
#[derive(Debug, Clone)]
pub(super) struct Along {
    axes: Option<Vec<i64>>,
    pub keep: bool,
    /// Whether no axes mean no axes, not all of them.
    none_is_none: bool,
}

impl Along {
    pub fn of(node: &NodeProto) -> TractResult<Along> {
        Ok(Along {
            axes: node.get_attr_opt_vec("axes")?,
            keep: integer(node, "keepdims", 1)? != 0,
            none_is_none: integer(node, "noop_with_empty_axes", 0)? != 0,
        })
    }

    /// The axes by number; from opset 18 on they are the second input.
    pub fn axes(
        &self,
        model: &TypedModel,
        inputs: &[OutletId],
        rank: usize,
    ) -> TractResult<Vec<usize>> {
        let given = match inputs.get(1) {
            Some(axes) => Some(constant_integers(
                model.outlet_fact(*axes)?,
                "the axes of a reduction",
            )?),
            None => self.axes.clone(),
        };
        match given {
            Some(axes) if !axes.is_empty() => resolved_axes(&axes, rank),
            _ if self.none_is_none => Ok(Vec::new()),
            _ => Ok((0..rank).collect()),
        }
    }
}

impl Rewiring for Reduction {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if self.kind == Kind::LogSumExp {
            as_floats(prefix, model, inputs, &mut |prefix, model, inputs| {
                self.wire_floats(own, prefix, model, inputs)
            })
        } else {
            self.wire_floats(own, prefix, model, inputs)
        }
    }
}

impl Reduction {
    fn wire_floats(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a reduction without an input")?;
        let fact = model.outlet_fact(x)?;
        let (dt, rank) = (fact.datum_type, fact.rank());
        if !matches!(dt, DatumType::F32 | DatumType::F64) {
            return own.wire(prefix, model, inputs);
        }
        let op = Reduce {
            axes: self.along.axes(model, inputs, rank)?,
            kind: self.kind,
            keep: self.along.keep,
        };
        model.wire_node(prefix, Plain(op), &[x])
    }
}

/// Whether there may be no floats to reduce: along axes of which data decides how long one is, or which are empty. tract divides by how many
/// there are.
pub(super) fn may_be_nothing(fact: &TypedFact, axes: &[usize]) -> bool {
    let floats = matches!(fact.datum_type, DatumType::F32 | DatumType::F64);
    let some = |axis: &usize| fact.shape.get(*axis).and_then(|dim| dim.as_i64()) > Some(0);
    floats && !axes.iter().all(some)
}

/// A sum of floats, or their mean; of none it is 0.
pub(super) fn sum_of_lanes(
    wire: &mut Wire<'_>,
    x: OutletId,
    (axes, keep): (&[usize], bool),
    is_mean: bool,
) -> TractResult<TVec<OutletId>> {
    let op = Reduce {
        axes: axes.to_vec(),
        kind: if is_mean { Kind::Mean } else { Kind::Sum },
        keep,
    };
    Ok(tvec!(wire.op("", Plain(op), &[x])?))
}

#[derive(Debug, Clone, PartialEq)]
struct Reduce {
    axes: Vec<usize>,
    kind: Kind,
    keep: bool,
}

impl Reduce {
    /// Not a number if an element is none.
    fn reduced<T: Datum + Float>(&self, x: &Tensor) -> TractResult<Tensor> {
        let mut x = x.to_plain_array_view::<T>()?.to_owned();
        for axis in self.axes.iter().rev() {
            let axis = tract_ndarray::Axis(*axis);
            x = x.map_axis(axis, |lane| match self.kind {
                Kind::Max => best(lane.iter(), T::neg_infinity(), |x, best| x > best),
                Kind::Min => best(lane.iter(), T::infinity(), |x, best| x < best),
                Kind::LogSumExp => {
                    let most = best(lane.iter(), T::neg_infinity(), |x, best| x > best);
                    if most.is_infinite() {
                        return most;
                    }
                    let sum = lane
                        .iter()
                        .fold(T::zero(), |sum, x| sum + (*x - most).exp());
                    most + sum.ln()
                }
                Kind::Sum => lane.sum(),
                // Of nothing it is 0, as ONNX Runtime has it.
                Kind::Mean => lane.sum() / T::from(lane.len().max(1)).unwrap_or_else(T::nan),
            });
            if self.keep {
                x.insert_axis_inplace(axis);
            }
        }
        Ok(x.into_tensor())
    }
}

/// The best of some numbers; NaN if one of them is none.
fn best<'a, T: Float + 'a>(
    all: impl Iterator<Item = &'a T>,
    begin: T,
    better: fn(T, T) -> bool,
) -> T {
    all.fold(begin, |best, x| {
        if better(*x, best) || x.is_nan() {
            *x
        } else {
            best
        }
    })
}

impl Function for Reduce {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Max => "ReduceMax",
            Kind::Min => "ReduceMin",
            Kind::LogSumExp => "ReduceLogSumExp",
            Kind::Sum => "ReduceSum",
            Kind::Mean => "ReduceMean",
        }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a reduction without an input")?;
        let mut shape = x.shape.to_tvec();
        for axis in self.axes.iter().rev() {
            ensure!(*axis < shape.len(), "axis {axis} of rank {}", shape.len());
            if self.keep {
                shape[*axis] = 1.to_dim();
            } else {
                shape.remove(*axis);
            }
        }
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let reduced = if x.datum_type() == DatumType::F64 {
            self.reduced::<f64>(&x)?
        } else {
            self.reduced::<f32>(&x)?
        };
        Ok(tvec!(reduced.into_tvalue()))
    }
}
