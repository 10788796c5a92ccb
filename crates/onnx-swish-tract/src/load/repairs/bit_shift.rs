//! BitShift by more bits than there are, or by fewer than none.
//!
//! At fault: tract-core, `ops/math/mod.rs`, `ShiftLeft` and `ShiftRight`, which take the amount modulo the width. The specification
//! (opset 28) shifts everything out: the sign's bits are left of what goes right, and zero otherwise.

use tract_hir::internal::*;
use tract_num_traits::PrimInt;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use super::integers::{is_integer, of_integers};
use super::pairs::{of_pairs, shape_of_pairs};
use crate::ops::function::{Function, plain};

pub(super) fn bit_shift(_: &ParsingContext, node: &NodeProto) -> Built {
    let right = node.get_attr_opt("direction")?.unwrap_or("LEFT") == "RIGHT";
    Ok((plain(BitShift { right }), vec![]))
}

#[derive(Debug, Clone, PartialEq)]
struct BitShift {
    right: bool,
}

fn shifted<T: Datum + PrimInt>(right: bool, x: &Tensor, amounts: &Tensor) -> TractResult<Tensor> {
    let width = T::zero().count_zeros() as usize;
    of_pairs(x, amounts, |x: &T, amount: &T| {
        Ok(match amount.to_usize().filter(|amount| *amount < width) {
            Some(amount) if right => *x >> amount,
            Some(amount) => *x << amount,
            // All but the sign are gone.
            None if right => *x >> (width - 1) >> 1,
            None => T::zero(),
        })
    })
}

impl Function for BitShift {
    fn name(&self) -> &'static str {
        "BitShift"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, ..] = inputs else {
            bail!("BitShift of nothing");
        };
        Ok(tvec!(x.datum_type.fact(shape_of_pairs(inputs)?)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, amounts) = args_2!(inputs);
        let shifted = if is_integer(x.datum_type()) {
            of_integers!(x.datum_type(), shifted(self.right, &x, &amounts))
        } else {
            shifted::<i64>(
                self.right,
                &*x.cast_to::<i64>()?,
                &*amounts.cast_to::<i64>()?,
            )
        }?;
        Ok(tvec!(shifted.into_tvalue()))
    }
}
