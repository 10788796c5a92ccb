//! CumSum and Trilu: their number may be a vector of one element, and as large as it likes.
//!
//! At fault: tract-onnx, `ops/cumsum.rs` and `ops/array/trilu.rs`, which take scalars only, where ONNX Runtime takes both; tract-core,
//! `ops/array/trilu.rs`, `Trilu::eval`, which adds to the number and overflows.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, builtin};
use crate::error::reject;
use crate::ops::function::{Function, Plain, integers};

/// No tensor has more rows or columns; a sum of two such numbers fits.
const FARTHEST: i64 = 1 << 48;

pub(super) fn cum_sum(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let own = builtin(ctx, node, "tract::CumSum")?;
    Ok((expand(WithNumber { own }), vec![]))
}

pub(super) fn trilu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let own = builtin(ctx, node, "tract::Trilu")?;
    Ok((expand(WithNumber { own }), vec![]))
}

/// An operator of a tensor and perhaps a number, out of which comes a tensor of the same type and shape.
#[derive(Debug, Clone)]
struct WithNumber {
    own: Delegate,
}

impl Expansion for WithNumber {
    fn name(&self) -> StaticName {
        self.own.as_ref().name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        ensure!(
            (1..=2).contains(&inputs.len()) && outputs.len() == 1,
            "a tensor and a number"
        );
        s.equals(&inputs[0].datum_type, &outputs[0].datum_type)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut inputs: TVec<OutletId> = inputs.into();
        if let Some(number) = inputs.get_mut(1) {
            let fact = model.outlet_fact(*number)?;
            let name = format!("{prefix}.number");
            *number = match fact.konst.clone() {
                Some(constant) => model.add_const(name, one(&constant)?)?,
                None => {
                    let wired = model.wire_node(name, Plain(Number), &[*number])?;
                    *wired.first().context("a number")?
                }
            };
        }
        self.own.wire(prefix, model, &inputs)
    }
}

fn one(tensor: &Tensor) -> TractResult<Tensor> {
    match integers(tensor)?.as_slice() {
        [one] => Ok(tensor0((*one).clamp(-FARTHEST, FARTHEST))),
        all => reject!("one number is needed, and {} are given", all.len()),
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Number;

impl Function for Number {
    fn name(&self) -> &'static str {
        "Number"
    }

    fn facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(i64::fact([] as [usize; 0])))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let number = args_1!(inputs);
        Ok(tvec!(one(&number)?.into_tvalue()))
    }
}
