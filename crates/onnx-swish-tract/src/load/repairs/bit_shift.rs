//! BitShift by more bits than there are, or by fewer than none.
//!
//! At fault: tract-core, `ops/math/mod.rs`, `ShiftLeft` and `ShiftRight`, which take the amount modulo the width. The specification
//! (opset 28) shifts everything out: the sign's bits are left of what goes right, and zero otherwise.

use tract_core::broadcast::multi_broadcast;
use tract_hir::internal::*;
use tract_num_traits::PrimInt;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::ops::function::{Function, plain};

pub(super) fn bit_shift(_: &ParsingContext, node: &NodeProto) -> Built {
    let right = node.get_attr_opt("direction")?.unwrap_or("LEFT") == "RIGHT";
    Ok((plain(BitShift { right }), vec![]))
}

#[derive(Debug, Clone, PartialEq)]
struct BitShift {
    right: bool,
}

impl BitShift {
    fn shifted<T: Datum + PrimInt>(
        &self,
        x: &Tensor,
        amounts: &Tensor,
        shape: &[usize],
    ) -> TractResult<Tensor> {
        let (x, amounts) = (
            x.to_plain_array_view::<T>()?,
            amounts.to_plain_array_view::<T>()?,
        );
        let (x, amounts) = (x.broadcast(shape), amounts.broadcast(shape));
        let (Some(x), Some(amounts)) = (x, amounts) else {
            bail!("shapes that do not broadcast to {shape:?}");
        };
        let width = T::zero().count_zeros() as usize;
        let one = |x: &T, amount: &T| match amount.to_usize().filter(|amount| *amount < width) {
            Some(amount) if self.right => *x >> amount,
            Some(amount) => *x << amount,
            // All but the sign are gone.
            None if self.right => *x >> (width - 1) >> 1,
            None => T::zero(),
        };
        Ok(tract_ndarray::Zip::from(x)
            .and(amounts)
            .map_collect(one)
            .into_tensor())
    }
}

impl Function for BitShift {
    fn name(&self) -> &'static str {
        "BitShift"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, amounts] = inputs else {
            bail!("BitShift takes two inputs");
        };
        let shape = multi_broadcast(&[&*x.shape, &*amounts.shape])?;
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, amounts) = args_2!(inputs);
        let shape = multi_broadcast(&[x.shape(), amounts.shape()])?;
        let shifted = match x.datum_type() {
            DatumType::U8 => self.shifted::<u8>(&x, &amounts, &shape),
            DatumType::U16 => self.shifted::<u16>(&x, &amounts, &shape),
            DatumType::U32 => self.shifted::<u32>(&x, &amounts, &shape),
            DatumType::U64 => self.shifted::<u64>(&x, &amounts, &shape),
            DatumType::I8 => self.shifted::<i8>(&x, &amounts, &shape),
            DatumType::I16 => self.shifted::<i16>(&x, &amounts, &shape),
            DatumType::I32 => self.shifted::<i32>(&x, &amounts, &shape),
            _ => self.shifted::<i64>(&*x.cast_to::<i64>()?, &*amounts.cast_to::<i64>()?, &shape),
        }?;
        Ok(tvec!(shifted.into_tvalue()))
    }
}
