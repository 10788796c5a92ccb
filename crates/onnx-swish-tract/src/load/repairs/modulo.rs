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

use super::integers::is_integer;
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
        let types = inputs
            .iter()
            .map(|input| Ok(model.outlet_fact(*input)?.datum_type));
        let types: Vec<DatumType> = types.collect::<TractResult<_>>()?;
        let plain = Plain(self.clone());
        match *types {
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

fn all<T: Datum + Copy>(
    x: &Tensor,
    y: &Tensor,
    one: impl Fn(T, T) -> Option<T>,
) -> TractResult<Tensor> {
    let shape = tract_core::broadcast::multi_broadcast(&[x.shape(), y.shape()])?;
    let broadcast = "sizes that do not fit each other";
    let (x, y) = (x.to_plain_array_view::<T>()?, y.to_plain_array_view::<T>()?);
    let x = x.broadcast(&*shape).context(broadcast)?;
    let y = y.broadcast(&*shape).context(broadcast)?;
    let rest = x.iter().zip(y.iter()).map(|(x, y)| one(*x, *y));
    let rest = rest.collect::<Option<Vec<T>>>();
    Tensor::from_shape(&shape, &rest.context("an integer divided by zero")?)
}

impl Modulo {
    fn floats<T: Datum + Float>(&self, x: &Tensor, y: &Tensor) -> TractResult<Tensor> {
        if self.like_dividend {
            all::<T>(x, y, |x, y| Some(x % y))
        } else {
            all::<T>(x, y, |x, y| Some(of_floats(x, y)))
        }
    }

    fn integers<T>(&self, x: &Tensor, y: &Tensor) -> TractResult<Tensor>
    where
        T: Datum + PrimInt + WrappingAdd,
    {
        if self.like_dividend {
            all::<T>(x, y, truncated)
        } else {
            all::<T>(x, y, floored)
        }
    }
}

impl Function for Modulo {
    fn name(&self) -> &'static str {
        "Mod"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, y] = inputs else {
            bail!("Mod takes two inputs");
        };
        let shapes = [x.shape.to_tvec(), y.shape.to_tvec()];
        let shape = tract_core::broadcast::multi_broadcast(&shapes)?;
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, y) = args_2!(inputs);
        let rest = match x.datum_type() {
            DatumType::F16 => self.floats::<f16>(&x, &y),
            DatumType::F32 => self.floats::<f32>(&x, &y),
            DatumType::F64 => self.floats::<f64>(&x, &y),
            DatumType::I8 => self.integers::<i8>(&x, &y),
            DatumType::I16 => self.integers::<i16>(&x, &y),
            DatumType::I32 => self.integers::<i32>(&x, &y),
            DatumType::I64 => self.integers::<i64>(&x, &y),
            DatumType::U8 => self.integers::<u8>(&x, &y),
            DatumType::U16 => self.integers::<u16>(&x, &y),
            DatumType::U32 => self.integers::<u32>(&x, &y),
            DatumType::U64 => self.integers::<u64>(&x, &y),
            other => bail!("Mod of {other:?}"),
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
