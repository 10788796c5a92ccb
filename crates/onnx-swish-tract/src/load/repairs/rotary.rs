//! com.microsoft's RotaryEmbedding whose positions are one number: the first of them.
//!
//! At fault: tract-onnx, `ops/nn/rotary_embedding.rs`, which turns all rows by that number.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::unread::Honoured;
use super::{Built, Delegate, Rewiring, builtin_op, rewired};
use crate::error::{decline, demand};
use crate::ops::function::{Function, Plain, integers};

const STANDARD: Honoured = Honoured {
    attributes: &["interleaved", "num_heads", "rotary_embedding_dim"],
    inputs: &[0, 1, 2, 3],
    outputs: &[0],
};
const MICROSOFT: Honoured = Honoured {
    // tract's builder refuses packed batches, and scales.
    attributes: &[
        "interleaved",
        "is_packed_batching",
        "num_heads",
        "rotary_embedding_dim",
        "scale",
    ],
    inputs: &[0, 1, 2, 3],
    outputs: &[0],
};

pub(super) fn rotary_embedding(ctx: &ParsingContext, node: &NodeProto) -> Built {
    if node.domain != "com.microsoft" {
        STANDARD.check(node)?;
        return builtin_op(ctx, node, "tract::RotaryEmbedding");
    }
    MICROSOFT.check(node)?;
    rewired(ctx, node, "tract::RotaryEmbedding", Rotary)
}

#[derive(Debug, Clone)]
struct Rotary;

impl Rewiring for Rotary {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let &[x, first, cos, sin] = inputs else {
            bail!("a rotary embedding of {} inputs", inputs.len());
        };
        if model.outlet_fact(first)?.rank() != 1 {
            return own.wire(prefix, model, inputs);
        }
        let name = format!("{prefix}.positions");
        let positions = model.wire_node(name, Plain(From), &[first, x])?;
        let positions = *positions.first().context("no positions")?;
        own.wire(prefix, model, &[x, positions, cos, sin])
    }
}

/// Positions from a first one on, of [1, positions], as many as a value has.
#[derive(Debug, Clone, PartialEq)]
struct From;

/// Rows of [batch, positions, all], or heads of [batch, heads, positions, size].
fn axis(rank: usize) -> TractResult<usize> {
    match rank {
        3 => Ok(1),
        4 => Ok(2),
        _ => decline!("an input of {rank} axes is not implemented"),
    }
}

impl Function for From {
    fn name(&self) -> &'static str {
        "RotaryPositions"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let &[first, x] = inputs else {
            bail!("positions of {} inputs", inputs.len());
        };
        demand!(
            first.shape.volume().to_usize().unwrap_or(1) == 1,
            "positions of {:?} are neither one number nor one for each",
            first.shape
        );
        let count = x.shape.dims().get(axis(x.rank())?).cloned();
        let shape = [1.to_dim(), count.context("no positions")?];
        Ok(tvec!(DatumType::I64.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [first, x] = inputs.as_slice() else {
            bail!("positions of {} inputs", inputs.len());
        };
        let count = x.shape().get(axis(x.rank())?).copied();
        let count = count.context("no positions")?;
        let first = *integers(first)?.first().context("no first position")?;
        let last = first.checked_add(i64::try_from(count)?);
        let last = last.context("positions that leave 64 bits")?;
        let positions: Vec<i64> = (first..last).collect();
        Ok(tvec!(
            Tensor::from_shape(&[1, count], &positions)?.into_tvalue()
        ))
    }
}
