//! ReduceMax and ReduceMin of nothing, and of nothing but infinities.
//!
//! At fault: tract-core, `ops/nn/reduce.rs`, which begins at the least finite number, not at the infinity: the greatest of a row
//! of -inf comes out finite, and a mask that asks for it finds no row masked.

use tract_hir::internal::*;
use tract_num_traits::Float;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, builtin};
use crate::ops::function::{Function, Plain, constant_integers, resolved_axes};

pub(super) fn reduce_max(ctx: &ParsingContext, node: &NodeProto) -> Built {
    extreme(ctx, node, true, "tract::ReduceMax")
}

pub(super) fn reduce_min(ctx: &ParsingContext, node: &NodeProto) -> Built {
    extreme(ctx, node, false, "tract::ReduceMin")
}

fn extreme(ctx: &ParsingContext, node: &NodeProto, greatest: bool, saved: &str) -> Built {
    let op = Extreme {
        inner: builtin(ctx, node, saved)?,
        greatest,
        axes: node.get_attr_opt_vec("axes")?,
        keep: node.get_attr_opt::<i64>("keepdims")?.unwrap_or(1) != 0,
        none_is_none: node
            .get_attr_opt::<i64>("noop_with_empty_axes")?
            .unwrap_or(0)
            != 0,
    };
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct Extreme {
    inner: Delegate,
    greatest: bool,
    axes: Option<Vec<i64>>,
    keep: bool,
    /// Whether no axes mean no axes, not all of them.
    none_is_none: bool,
}

impl Expansion for Extreme {
    fn name(&self) -> StaticName {
        self.inner.as_ref().name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.inner.as_ref().rules(s, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("a reduction without an input")?;
        let fact = model.outlet_fact(x)?;
        let (dt, rank) = (fact.datum_type, fact.rank());
        if !matches!(dt, DatumType::F32 | DatumType::F64) {
            return self.inner.wire(prefix, model, inputs);
        }
        let given = match inputs.get(1) {
            Some(axes) => Some(constant_integers(
                model.outlet_fact(*axes)?,
                "the axes of a reduction",
            )?),
            None => self.axes.clone(),
        };
        let axes = match given {
            Some(axes) if !axes.is_empty() => resolved_axes(&axes, rank)?,
            _ if self.none_is_none => Vec::new(),
            _ => (0..rank).collect(),
        };
        let op = ReduceExtreme {
            axes,
            greatest: self.greatest,
            keep: self.keep,
        };
        model.wire_node(prefix, Plain(op), &[x])
    }
}

#[derive(Debug, Clone, PartialEq)]
struct ReduceExtreme {
    axes: Vec<usize>,
    greatest: bool,
    keep: bool,
}

impl ReduceExtreme {
    /// Not a number if an element is none.
    fn reduced<T: Datum + Float>(&self, x: &Tensor) -> TractResult<Tensor> {
        let mut x = x.to_plain_array_view::<T>()?.to_owned();
        let begin = if self.greatest {
            T::neg_infinity()
        } else {
            T::infinity()
        };
        for axis in self.axes.iter().rev() {
            let axis = tract_ndarray::Axis(*axis);
            x = x.fold_axis(axis, begin, |best, x| {
                let better = if self.greatest {
                    *x > *best
                } else {
                    *x < *best
                };
                if better || x.is_nan() { *x } else { *best }
            });
            if self.keep {
                x.insert_axis_inplace(axis);
            }
        }
        Ok(x.into_tensor())
    }
}

impl Function for ReduceExtreme {
    fn name(&self) -> &'static str {
        if self.greatest {
            "ReduceMax"
        } else {
            "ReduceMin"
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
