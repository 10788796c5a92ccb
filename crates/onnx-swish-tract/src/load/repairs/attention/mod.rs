//! Attention, and com.microsoft's MultiHeadAttention and GroupQueryAttention.
//!
//! At fault: tract-onnx, `ops/nn/attention.rs`, `multi_head_attention.rs` and `group_query_attention.rs`: a causal mask does not count
//! past keys, or is none; and tract-transformers, `ops/flash_sdpa.rs`: NaN where a block of a row's keys is masked by negative infinities.
//! All three are written out here, as products, masks and a softmax. Types and shapes tract infers rightly.

mod grouped;
mod heads;
mod mask;

pub(super) use grouped::group_query_attention;

use tract_core::ops::array::TypedConcat;
use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;

use super::unread::{Honoured, integer};
use super::wire::Wire;
use super::{Built, Delegate, Rewiring, rewired};
use crate::error::decline;
use heads::{Product, merged, split};
use mask::Seen;

const ATTENTION: Honoured = Honoured {
    attributes: &[
        "is_causal",
        "kv_num_heads",
        "left_window_size",
        "q_num_heads",
        "qk_matmul_output_mode",
        "right_window_size",
        "scale",
        "softcap",
        // At least float32 is what is computed in.
        "softmax_precision",
    ],
    inputs: &[0, 1, 2, 3, 4, 5],
    outputs: &[0, 1, 2],
};

const MULTI_HEAD: Honoured = Honoured {
    // Without a mask its filter value says nothing.
    attributes: &["mask_filter_value", "num_heads", "scale", "unidirectional"],
    inputs: &[0, 1, 2],
    outputs: &[0, 1, 2],
};

pub(super) fn attention(ctx: &ParsingContext, node: &NodeProto) -> Built {
    ATTENTION.check(node)?;
    for window in ["left_window_size", "right_window_size"] {
        if integer(node, window, -1)? >= 0 {
            decline!("attention within a window ({window}) is not implemented");
        }
    }
    let by = Attention {
        q_heads: integer(node, "q_num_heads", 0)?,
        kv_heads: integer(node, "kv_num_heads", 0)?,
        scale: node.get_attr_opt("scale")?,
        causal: integer(node, "is_causal", 0)? != 0,
        mask: place(node, 3),
        past: [place(node, 4), place(node, 5)],
        present: [present(node, 1), present(node, 2)],
        masked_is_zero: true,
    };
    rewired(ctx, node, "tract::Attention", by)
}

pub(super) fn multi_head_attention(ctx: &ParsingContext, node: &NodeProto) -> Built {
    MULTI_HEAD.check(node)?;
    let heads = integer(node, "num_heads", 0)?;
    let by = Attention {
        q_heads: heads,
        kv_heads: heads,
        scale: scale(node)?,
        causal: integer(node, "unidirectional", 0)? != 0,
        mask: None,
        past: [None, None],
        present: [present(node, 1), present(node, 2)],
        masked_is_zero: false,
    };
    rewired(ctx, node, "tract::MultiHeadAttention", by)
}

/// Where tract has the input that the standard calls by this number; it skips those that are left out.
fn place(node: &NodeProto, number: usize) -> Option<usize> {
    optional_inputs(node).nth(number).flatten()
}

fn present(node: &NodeProto, number: usize) -> bool {
    node.output.get(number).is_some_and(|name| !name.is_empty())
}

/// com.microsoft's factor of the scores; zero is one that is left out.
fn scale(node: &NodeProto) -> TractResult<Option<f32>> {
    let scale = node.get_attr_opt::<f32>("scale")?;
    Ok(scale.filter(|scale| *scale != 0.0))
}

/// The standard's operator, and com.microsoft's without a cache.
#[derive(Debug, Clone)]
struct Attention {
    q_heads: i64,
    kv_heads: i64,
    scale: Option<f32>,
    causal: bool,
    mask: Option<usize>,
    past: [Option<usize>; 2],
    present: [bool; 2],
    /// Whether a query that no key is left to is zero; otherwise it is NaN.
    masked_is_zero: bool,
}

impl Rewiring for Attention {
    fn wire(
        &self,
        _: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut wire = Wire { prefix, model };
        let &[q, k, v, ..] = inputs else {
            bail!("an attention of {} inputs", inputs.len());
        };
        let rank = wire.fact(q)?.rank();
        let q = split(&mut wire, "q", q, self.q_heads)?;
        let new = split(&mut wire, "k", k, self.kv_heads)?;
        let v = split(&mut wire, "v", v, self.kv_heads)?;
        let k = self.joined(&mut wire, "k-cache", self.past[0], inputs, new)?;
        let v = self.joined(&mut wire, "v-cache", self.past[1], inputs, v)?;
        let mask = match self.mask {
            Some(at) => Some(*inputs.get(at).context("no mask")?),
            None => None,
        };
        if self.causal && !self.masked_is_zero {
            let sizes = [q, k].map(|x| wire.fact(x).map(|fact| fact.shape.get(2).cloned()));
            let [queries, keys] = sizes;
            if queries? != keys? {
                decline!(
                    "unidirectional attention to another number of keys than of queries is not implemented"
                );
            }
        }
        let seen = if self.causal {
            Some(wire.op("seen", Seen::causal(), &[q, new, k])?)
        } else {
            None
        };
        let product = Product {
            scale: self.scale,
            masked_is_zero: self.masked_is_zero && mask.is_some(),
        };
        let masks: TVec<OutletId> = mask.into_iter().chain(seen).collect();
        let y = product.wire(&mut wire, [q, k, v], &masks)?;
        let y = if rank == 3 { merged(&mut wire, y)? } else { y };
        let mut outputs = tvec!(y);
        for (named, cache) in self.present.iter().zip([k, v]) {
            if *named {
                outputs.push(cache);
            }
        }
        Ok(outputs)
    }
}

impl Attention {
    fn joined(
        &self,
        wire: &mut Wire<'_>,
        name: &str,
        past: Option<usize>,
        inputs: &[OutletId],
        new: OutletId,
    ) -> TractResult<OutletId> {
        let Some(at) = past else {
            return Ok(new);
        };
        let past = *inputs.get(at).context("no past")?;
        wire.op(name, TypedConcat { axis: 2 }, &[past, new])
    }
}
