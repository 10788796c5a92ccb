//! Numbers that meet sizes which data decides.
//!
//! Given a graph before declutter; promises that a cast to the type of sizes keeps all 64 bits. At fault: tract-data, `tensor.rs`,
//! `Tensor::cast_to_dt`, which goes by way of int32.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::cast::Cast;
use tract_core::ops::konst::Const;

use crate::ops::function::{Function, Plain};

pub(super) fn keep_their_bits(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Cast>("casts to sizes", |_, model, node, _, op| {
            let input = *node.inputs.first().context("a cast without an input")?;
            let fact = model.outlet_fact(input)?;
            if op.to != DatumType::TDim || fact.datum_type != DatumType::I64 {
                return Ok(None);
            }
            match &fact.konst {
                Some(numbers) => {
                    let sizes = Const::new(sizes(numbers)?.into_arc_tensor())?;
                    TypedModelPatch::replace_single_op(model, node, &[], sizes).map(Some)
                }
                None => TypedModelPatch::replace_single_op(model, node, &[input], Plain(AsSizes))
                    .map(Some),
            }
        })
        .rewrite(&(), model)
}

/// int64 as sizes.
#[derive(Debug, Clone, PartialEq)]
struct AsSizes;

fn sizes(numbers: &Tensor) -> TractResult<Tensor> {
    let numbers = numbers.to_plain_array_view::<i64>()?;
    Ok(numbers.mapv(TDim::from).into_tensor())
}

impl Function for AsSizes {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("a cast without an input")?;
        Ok(tvec!(DatumType::TDim.fact(x.shape.clone())))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let numbers = args_1!(inputs);
        Ok(tvec!(sizes(&numbers)?.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_64_bits() {
        let numbers = tensor1(&[i64::MAX, -(1 << 40), 3_000_000_000, -1]);
        let there = sizes(&numbers).unwrap();
        assert_eq!(there.datum_type(), DatumType::TDim);
        assert_eq!(*there.cast_to::<i64>().unwrap(), numbers);
    }
}
