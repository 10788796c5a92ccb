//! ArgMax and ArgMin of floats, NaN and infinities among them.
//!
//! At fault: tract-core, `ops/nn/reduce.rs`, `argmax_t` and `argmin_t`, which begin at the least or greatest finite number: a NaN in
//! front is passed over, and of nothing but infinities the last is never found. ONNX says nothing of NaN; ONNX Runtime begins at the
//! first element, which then stays if it is a NaN, and passes over those behind it.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::unread::integer;
use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain, resolved_axis};

pub(super) fn arg_max(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::ArgMax", described(node, true)?)
}

pub(super) fn arg_min(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::ArgMin", described(node, false)?)
}

fn described(node: &NodeProto, greatest: bool) -> TractResult<Extreme> {
    Ok(Extreme {
        greatest,
        axis: integer(node, "axis", 0)?,
        keep: integer(node, "keepdims", 1)? != 0,
        last: integer(node, "select_last_index", 0)? != 0,
    })
}

/// Where the greatest or least element along an axis is.
#[derive(Debug, Clone, PartialEq)]
struct Extreme {
    greatest: bool,
    axis: i64,
    keep: bool,
    /// Which of several equal ones.
    last: bool,
}

impl Rewiring for Extreme {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("an operator without an input")?;
        match model.outlet_fact(x)?.datum_type {
            DatumType::F16 | DatumType::F32 | DatumType::F64 => {
                model.wire_node(prefix, Plain(self.clone()), &[x])
            }
            _ => own.wire(prefix, model, inputs),
        }
    }
}

impl Extreme {
    fn of<T: Datum + PartialOrd>(&self, x: &Tensor) -> TractResult<Tensor> {
        let x = x.to_plain_array_view::<T>()?;
        let axis = tract_ndarray::Axis(resolved_axis(self.axis, x.ndim())?);
        let found = x.map_axis(axis, |lane| self.position(lane.iter()));
        Ok(if self.keep {
            found.insert_axis(axis).into_tensor()
        } else {
            found.into_tensor()
        })
    }

    fn position<'x, T: PartialOrd + 'x>(&self, mut values: impl Iterator<Item = &'x T>) -> i64 {
        let Some(mut best) = values.next() else {
            return 0;
        };
        let mut at = 0;
        for (index, value) in (1i64..).zip(values) {
            let better = match self.greatest {
                true => value > best,
                false => value < best,
            };
            if better || (self.last && value == best) {
                (at, best) = (index, value);
            }
        }
        at
    }
}

impl Function for Extreme {
    fn name(&self) -> &'static str {
        if self.greatest { "ArgMax" } else { "ArgMin" }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("an operator without an input")?;
        let axis = resolved_axis(self.axis, x.rank())?;
        let mut shape: TVec<TDim> = x.shape.iter().cloned().collect();
        if self.keep {
            shape[axis] = 1.to_dim();
        } else {
            shape.remove(axis);
        }
        Ok(tvec!(i64::fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = inputs.first().context("an operator without an input")?;
        let found = match x.datum_type() {
            DatumType::F16 => self.of::<f16>(x)?,
            DatumType::F32 => self.of::<f32>(x)?,
            DatumType::F64 => self.of::<f64>(x)?,
            other => bail!("the greatest of {other:?}"),
        };
        Ok(tvec!(found.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(greatest: bool, last: bool, values: &[f32]) -> i64 {
        let extreme = Extreme {
            greatest,
            axis: 0,
            keep: false,
            last,
        };
        extreme.position(values.iter())
    }

    /// As ONNX Runtime 1.32 has it.
    #[test]
    fn a_nan_in_front_stays_and_others_are_passed_over() {
        let nan = f32::NAN;
        for last in [false, true] {
            assert_eq!(position(true, last, &[nan, 2.0, 5.0]), 0);
            assert_eq!(position(false, last, &[nan, nan, 1.0]), 0);
            assert_eq!(position(true, last, &[1.0, nan, 3.0]), 2);
            assert_eq!(position(false, last, &[4.0, 5.0, nan]), 0);
        }
    }

    #[test]
    fn the_last_of_equals_is_found_among_infinities() {
        let low = f32::NEG_INFINITY;
        assert_eq!(position(true, true, &[low, low]), 1);
        assert_eq!(position(true, false, &[low, low]), 0);
        assert_eq!(position(false, true, &[-low, -low, -low]), 2);
    }
}
