//! Operators that tract computes for float32 and float16 only, here for float64: LeakyRelu and Round.
//!
//! At fault: tract-core, `ops/nn/mod.rs`, `leaky_relu`, and `ops/math/mod.rs`, `round_half_to_even`, whose tables of types have no f64.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

/// The alpha of a LeakyRelu that names none (its schema's default).
const SLOPE: f32 = 0.01;

pub(super) fn leaky_relu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let slope = node.get_attr_opt::<f32>("alpha")?.unwrap_or(SLOPE);
    let op = Double::LeakyRelu {
        slope: slope.into(),
    };
    rewired(ctx, node, "tract::LeakyRelu", op)
}

pub(super) fn round(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Round", Double::Round)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Double {
    LeakyRelu { slope: f64 },
    Round,
}

impl Rewiring for Double {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("an operator without an input")?;
        if model.outlet_fact(x)?.datum_type == DatumType::F64 {
            model.wire_node(prefix, Plain(*self), inputs)
        } else {
            own.wire(prefix, model, inputs)
        }
    }
}

impl Function for Double {
    fn name(&self) -> &'static str {
        match self {
            Double::LeakyRelu { .. } => "LeakyRelu",
            Double::Round => "Round",
        }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("an operator without an input")?;
        Ok(tvec!(x.without_value()))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut x = args_1!(inputs).into_tensor();
        {
            let mut plain = x.try_as_plain_ram_mut()?;
            for x in plain.as_slice_mut::<f64>()? {
                *x = match *self {
                    Double::LeakyRelu { slope } if *x < 0.0 => *x * slope,
                    Double::LeakyRelu { .. } => *x,
                    Double::Round => x.round_ties_even(),
                };
            }
        }
        Ok(tvec!(x.into_tvalue()))
    }
}
