//! Mod of floats by the sign of the divisor, which a remainder of zero has too.
//!
//! At fault: tract-onnx, `ops/math/rem.rs`, `RemInt::wire`, which leaves a zero the sign of the dividend, and what is left of data by a
//! size too.

use tract_core::ops::cast::cast;
use tract_hir::internal::*;
use tract_num_traits::Float;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, builtin_op, rewired};
use crate::ops::function::{Function, Plain};

pub(super) fn modulo(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if node.get_attr_opt::<i64>("fmod")? == Some(1) {
        return builtin_op(ctx, node, "tract::Mod");
    }
    rewired(ctx, node, "tract::Mod", Modulo)
}

#[derive(Debug, Clone, PartialEq)]
struct Modulo;

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
        match *types {
            [DatumType::F32, DatumType::F32] | [DatumType::F64, DatumType::F64] => {
                model.wire_node(prefix, Plain(self.clone()), inputs)
            }
            [DatumType::TDim, _] | [_, DatumType::TDim] => {
                let name = |what: &str| format!("{prefix}.{what}");
                let mut numbers = TVec::new();
                for (at, input) in inputs.iter().enumerate() {
                    let number = cast(DatumType::I64);
                    numbers.extend(model.wire_node(
                        name(&format!("number-{at}")),
                        number,
                        &[*input],
                    )?);
                }
                let rest = own.wire(&name("rest"), model, &numbers)?;
                model.wire_node(prefix, cast(DatumType::TDim), &rest)
            }
            _ => own.wire(prefix, model, inputs),
        }
    }
}

/// x - y·⌊x/y⌋, exact: what is left has the sign of y.
fn one<T: Float>(x: T, y: T) -> T {
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

fn all<T: Datum + Float>(x: &Tensor, y: &Tensor) -> TractResult<Tensor> {
    let shape = tract_core::broadcast::multi_broadcast(&[x.shape(), y.shape()])?;
    let broadcast = "sizes that do not fit each other";
    let (x, y) = (x.to_plain_array_view::<T>()?, y.to_plain_array_view::<T>()?);
    let x = x.broadcast(&*shape).context(broadcast)?;
    let y = y.broadcast(&*shape).context(broadcast)?;
    let rest = x.iter().zip(y.iter()).map(|(x, y)| one(*x, *y));
    Tensor::from_shape(&shape, &rest.collect::<Vec<T>>())
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
        let rest = if x.datum_type() == DatumType::F64 {
            all::<f64>(&x, &y)?
        } else {
            all::<f32>(&x, &y)?
        };
        Ok(tvec!(rest.into_tvalue()))
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
            let found = one(x, y);
            assert!((found - rest).abs() < 1e-6, "{x} mod {y} is {found}");
            assert_eq!(
                found.is_sign_negative(),
                y.is_sign_negative(),
                "{x} mod {y}"
            );
        }
        assert!(one(1.0f32, 0.0).is_nan() && one(f32::NAN, 1.0).is_nan());
    }
}
