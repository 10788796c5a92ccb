//! Equal of truths, and of sizes that data decides.
//!
//! At fault: tract-core, `ops/logic/comparison.rs`, `comp_bin_mini_op`, which compares what it takes for numbers, and boolean is none of
//! them; of sizes it compares how they are written, and a symbol may turn out to be the number that it is compared with.

use tract_core::ops::cast::{cast, wire_cast};
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::pairs::{of_pairs, shape_of_pairs, types_of};
use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

pub(super) fn equal(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Equal", Equal)
}

#[derive(Debug, Clone)]
struct Equal;

impl Rewiring for Equal {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        if types_of(model, inputs)?.contains(&DatumType::TDim) {
            let wires = wire_cast(prefix, model, inputs, DatumType::TDim)?;
            return model.wire_node(prefix, Plain(EqualSizes), &wires);
        }
        let mut numbers: TVec<OutletId> = inputs.into();
        for (at, number) in numbers.iter_mut().enumerate() {
            if model.outlet_fact(*number)?.datum_type == DatumType::Bool {
                let name = format!("{prefix}.number-{at}");
                *number = model.wire_node(name, cast(DatumType::U8), &[*number])?[0];
            }
        }
        own.wire(prefix, model, &numbers)
    }
}

/// Whether sizes are the same, of which some may be symbols.
#[derive(Debug, Clone, PartialEq)]
struct EqualSizes;

/// An error where it depends on data.
fn equal_sizes(a: &TDim, b: &TDim) -> TractResult<bool> {
    let apart = a.clone() - b.clone();
    if let Ok(apart) = apart.to_i64() {
        return Ok(apart == 0);
    }
    // No size is negative.
    let never =
        |a: &TDim, b: &TDim| matches!((a, b), (TDim::Sym(_), TDim::Val(number)) if *number < 0);
    if never(a, b)
        || never(b, a)
        || apart.prove_strict_positive()
        || (b.clone() - a.clone()).prove_strict_positive()
    {
        return Ok(false);
    }
    Ok(apart.to_i64()? == 0)
}

impl Function for EqualSizes {
    fn name(&self) -> &'static str {
        "Equal"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(DatumType::Bool.fact(shape_of_pairs(inputs)?)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        Ok(tvec!(of_pairs(&a, &b, equal_sizes)?.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_data_decides_is_equal_to_nothing_that_it_may_be() {
        let symbols = SymbolScope::default();
        let size = symbols.sym("size").to_dim();
        let one = |number: i64| TDim::Val(number);
        assert!(equal_sizes(&size, &size).unwrap());
        assert!(!equal_sizes(&size, &(size.clone() + 1)).unwrap());
        assert!(!equal_sizes(&size, &one(-1)).unwrap());
        assert!(equal_sizes(&one(3), &one(3)).unwrap());
        assert!(equal_sizes(&size, &one(3)).is_err());
        assert!(equal_sizes(&(size.clone() * 2), &size).is_err());
    }
}
