//! Range between numbers in vectors of one element.
//!
//! At fault: tract-hir, `ops/array/range.rs`, `Range::rules`, which takes scalars only, where ONNX Runtime takes both.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, builtin};
use crate::error::demand;

pub(super) fn range(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let own = builtin(ctx, node, "tract::Range")?;
    Ok((expand(Range { own }), vec![]))
}

#[derive(Debug, Clone)]
struct Range {
    own: Delegate,
}

/// How many numbers there are, where that can be told: not of sizes that are no numbers yet.
fn length(values: &[Arc<Tensor>]) -> Option<i64> {
    let number = |value: &Arc<Tensor>| value.nth(0).ok()?.cast_to_scalar::<f64>().ok();
    let [start, limit, step] = values else {
        return None;
    };
    let length = ((number(limit)? - number(start)?) / number(step)?).ceil();
    // Rust's `as` gives the nearest number, and 0 for NaN.
    Some(length.max(0.0) as i64)
}

impl Expansion for Range {
    fn name(&self) -> StaticName {
        self.own.as_ref().name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        check_output_arity(outputs, 1)?;
        let ranks = inputs.iter().map(|input| &input.rank);
        s.given_all(ranks, move |s, ranks| {
            if ranks.iter().all(|rank| *rank == 0) {
                return self.own.rules(s, inputs, outputs);
            }
            demand!(
                ranks.iter().all(|rank| (0..2).contains(rank)),
                "it takes three numbers, and one of its inputs has several axes"
            );
            s.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
            s.equals(&outputs[0].rank, 1)?;
            let values = inputs.iter().map(|input| &input.value);
            s.given_all(values, move |s, values| match length(&values) {
                Some(length) => s.equals(&outputs[0].shape[0], length.to_dim()),
                None => Ok(()),
            })
        })
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut numbers: TVec<OutletId> = inputs.into();
        for (at, number) in numbers.iter_mut().enumerate() {
            let fact = model.outlet_fact(*number)?;
            if fact.rank() == 0 {
                continue;
            }
            demand!(
                fact.shape.volume().is_one(),
                "it takes three numbers, and one of its inputs has {} elements",
                fact.shape.volume()
            );
            let name = format!("{prefix}.number-{at}");
            *number = match fact.konst.clone() {
                Some(constant) => model.add_const(name, constant.into_tensor().into_shape(&[])?)?,
                None => model.wire_node(name, AxisOp::Rm(0), &[*number])?[0],
            };
        }
        self.own.wire(prefix, model, &numbers)
    }
}
