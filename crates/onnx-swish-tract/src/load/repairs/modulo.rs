//! Mod, by the sign of the divisor or of the dividend.
//!
//! At fault: tract-core, `ops/math/mod.rs`, `rem`, which does not say that its operands may not be swapped: a constant dividend, or one that is
//! broadcast, becomes the divisor. tract-onnx, `ops/math/rem.rs`, `RemInt::wire`, which leaves a zero of floats the sign of the dividend, and
//! what is left of data by a size too.

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_num_traits::{Float, PrimInt, WrappingAdd};
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::integers::{is_integer, of_integers};
use super::pairs::{of_pairs, shape_of_pairs, types_of};
use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

pub(super) fn modulo(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let like_dividend = node.get_attr_opt::<i64>("fmod")?.unwrap_or(0) != 0;
    rewired(ctx, node, "tract::Mod", Modulo { like_dividend })
}

#[derive(Debug, Clone, PartialEq)]
struct Modulo {
    /// Whether what is left has the sign of the dividend, as C's `fmod`.
    like_dividend: bool,
}

impl Rewiring for Modulo {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let plain = Plain(self.clone());
        match *types_of(model, inputs)? {
            [a, b] if a == b && (is_integer(a) || a.is_float()) => {
                model.wire_node(prefix, plain, inputs)
            }
            [DatumType::TDim, _] | [_, DatumType::TDim] => {
                let name = |what: &str| format!("{prefix}.{what}");
                let mut numbers = TVec::new();
                for (at, input) in inputs.iter().enumerate() {
                    let name = name(&format!("number-{at}"));
                    numbers.extend(model.wire_node(name, cast(DatumType::I64), &[*input])?);
                }
                let rest = model.wire_node(name("rest"), plain, &numbers)?;
                model.wire_node(prefix, cast(DatumType::TDim), &rest)
            }
            _ => own.wire(prefix, model, inputs),
        }
    }
}

/// x - y·⌊x/y⌋, exact: what is left has the sign of y.
fn of_floats<T: Float>(x: T, y: T) -> T {
    let rest = x % y;
    if rest == T::zero() {
        return if y.is_sign_negative() {
            -T::zero()
        } else {
            T::zero()
        };
    }
    if rest.is_sign_negative() == y.is_sign_negative() {
        rest
    } else {
        rest + y
    }
}

/// What is left with the sign of x; `None` by zero.
fn truncated<T: PrimInt>(x: T, y: T) -> Option<T> {
    if y.is_zero() {
        return None;
    }
    // The quotient of the least number by -1 overflows, and nothing is left.
    let fits = x.checked_div(&y).is_some();
    Some(if fits { x % y } else { T::zero() })
}

/// What is left with the sign of y; `None` by zero.
fn floored<T: PrimInt + WrappingAdd>(x: T, y: T) -> Option<T> {
    let rest = truncated(x, y)?;
    let other_sign = (rest < T::zero()) != (y < T::zero());
    Some(if !rest.is_zero() && other_sign {
        rest.wrapping_add(&y)
    } else {
        rest
    })
}

impl Modulo {
    fn floats<T: Datum + Float>(&self, x: &Tensor, y: &Tensor) -> TractResult<Tensor> {
        let one = if self.like_dividend {
            |x, y| x % y
        } else {
            of_floats
        };
        of_pairs(x, y, |x: &T, y: &T| Ok(one(*x, *y)))
    }
}

fn integers<T>(by: &Modulo, x: &Tensor, y: &Tensor) -> TractResult<Tensor>
where
    T: Datum + PrimInt + WrappingAdd,
{
    let one = if by.like_dividend { truncated } else { floored };
    of_pairs(x, y, |x: &T, y: &T| {
        one(*x, *y).context("an integer divided by zero")
    })
}

impl Function for Modulo {
    fn name(&self) -> &'static str {
        "Mod"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, ..] = inputs else {
            bail!("Mod of nothing");
        };
        Ok(tvec!(x.datum_type.fact(shape_of_pairs(inputs)?)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, y) = args_2!(inputs);
        let rest = match x.datum_type() {
            DatumType::F16 => self.floats::<f16>(&x, &y),
            DatumType::F32 => self.floats::<f32>(&x, &y),
            DatumType::F64 => self.floats::<f64>(&x, &y),
            whole => of_integers!(whole, integers(self, &x, &y)),
        };
        Ok(tvec!(rest?.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_has_the_sign_of_the_divisor() {
        for (x, y, rest) in [
            (-4.3f32, 2.1, 2.0),
            (4.3, -2.1, -2.0),
            (5.0, 3.0, 2.0),
            (-4.0, 2.0, 0.0),
            (4.0, -2.0, -0.0),
            (-0.0, 2.0, 0.0),
        ] {
            let found = of_floats(x, y);
            assert!((found - rest).abs() < 1e-6, "{x} mod {y} is {found}");
            assert_eq!(
                found.is_sign_negative(),
                y.is_sign_negative(),
                "{x} mod {y}"
            );
        }
        assert!(of_floats(1.0f32, 0.0).is_nan() && of_floats(f32::NAN, 1.0).is_nan());
    }

    #[test]
    fn what_is_left_of_integers() {
        for (x, y, floor, truncation) in [
            (7i64, 3, 1, 1),
            (-7, 3, 2, -1),
            (7, -3, -2, 1),
            (-7, -3, -1, -1),
            (6, -3, 0, 0),
            (i64::MIN, -1, 0, 0),
        ] {
            assert_eq!(floored(x, y), Some(floor), "{x} mod {y}");
            assert_eq!(truncated(x, y), Some(truncation), "{x} by {y}");
        }
        assert_eq!(floored(200u8, 7), Some(4));
        assert_eq!(floored(u64::MAX, u64::MAX), Some(0));
        assert_eq!((floored(1i32, 0), truncated(1u8, 0)), (None, None));
    }
}
