//! Heads: rows split into them, attended to, and put together again.
//!
//! Given queries, keys and values of [batch, heads, positions, size]; promises softmax(q·kᵀ·scale + masks)·v, where several heads of queries
//! may share one of keys, in float32 at least.

use tract_core::ops::cast::cast;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::logic::Iff;
use tract_core::ops::math::{add, mul};
use tract_core::ops::nn::{Softmax, SoftmaxKind};
use tract_hir::internal::*;

use super::mask::Open;
use crate::error::{decline, demand};
use crate::load::repairs::wire::Wire;
use crate::ops::function::Plain;

/// Rows of [batch, positions, heads·size] as [batch, heads, positions, size]; four axes stay.
pub(super) fn split(
    wire: &mut Wire<'_>,
    name: &str,
    x: OutletId,
    heads: i64,
) -> TractResult<OutletId> {
    let fact = wire.fact(x)?;
    let all = match *fact.shape.dims() {
        [_, _, _, _] => return Ok(x),
        [_, _, ref all] => all.clone(),
        _ => decline!("inputs of {} axes are not implemented", fact.rank()),
    };
    demand!(heads > 0, "it has {heads} heads");
    let size = all.clone() / heads;
    demand!(
        size.clone() * heads == all,
        "{all} elements are no {heads} heads of one size"
    );
    let apart = AxisOp::Reshape(2, tvec!(all), tvec!(heads.to_dim(), size));
    let apart = wire.op(&format!("{name}.apart"), apart, &[x])?;
    wire.op(&format!("{name}.heads"), AxisOp::Move(2, 1), &[apart])
}

/// The reverse of [`split`].
pub(super) fn merged(wire: &mut Wire<'_>, y: OutletId) -> TractResult<OutletId> {
    let shape = wire.fact(y)?.shape.to_tvec();
    let [_, heads, _, size] = shape.as_slice() else {
        bail!("heads of {} axes", shape.len());
    };
    let all = heads.clone() * size;
    let rows = wire.op("rows", AxisOp::Move(1, 2), &[y])?;
    let together = AxisOp::Reshape(2, tvec!(heads.clone(), size.clone()), tvec!(all));
    wire.op("", together, &[rows])
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    /// One by the square root of the heads' size if there is none.
    pub scale: Option<f32>,
    /// Whether queries may be left without a key, and are zero then.
    pub masked_is_zero: bool,
}

impl Product {
    /// Masks are added to the scores; those of booleans say which keys are seen.
    pub fn wire(
        &self,
        wire: &mut Wire<'_>,
        [q, k, v]: [OutletId; 3],
        masks: &[OutletId],
    ) -> TractResult<OutletId> {
        let of = wire.fact(q)?.datum_type;
        let dt = match of {
            DatumType::F64 => of,
            _ => DatumType::F32,
        };
        let q = cast_to(wire, "q-cast", q, dt)?;
        let k = cast_to(wire, "k-cast", k, dt)?;
        let v = cast_to(wire, "v-cast", v, dt)?;
        let (q_shape, k_shape) = (wire.fact(q)?.shape.clone(), wire.fact(k)?.shape.clone());
        let [_, heads, _, size] = q_shape.dims() else {
            bail!("queries of {} axes", q_shape.rank());
        };
        let kv_heads = k_shape.dims().get(1).context("keys without heads")?;
        let (heads, kv_heads) = (heads.to_usize()?, kv_heads.to_usize()?);
        demand!(
            kv_heads > 0 && heads % kv_heads == 0,
            "{heads} heads of queries do not share {kv_heads} heads of keys"
        );
        let shared = heads / kv_heads;
        let scale = match self.scale {
            Some(scale) => scale.into(),
            None => (size.to_usize()? as f64).sqrt().recip(),
        };
        let scale = wire.scalar("scale", scale, q)?;
        let q = wire.binary("scaled", mul(), q, scale)?;
        let (mut mask, mut alive) = (None, None);
        if let Some(sum) = summed(wire, masks, dt)? {
            if self.masked_is_zero {
                let outputs = wire.all("open", Plain(Open), &[sum])?;
                let &[open, kept] = outputs.as_slice() else {
                    bail!("a mask without rows");
                };
                mask = Some(open);
                alive = Some(kept);
            } else {
                mask = Some(sum);
            }
        }
        let grouped = |wire: &mut Wire<'_>, name: &str, x| in_groups(wire, name, x, shared);
        let q = grouped(wire, "q-groups", q)?;
        let (scores, weighted) = if shared == 1 {
            ("bhmk,bhnk->bhmn", "bhmn,bhnv->bhmv")
        } else {
            ("bhgmk,bhnk->bhgmn", "bhgmn,bhnv->bhgmv")
        };
        let mut scores = wire.op("scores", EinSum::new(scores.parse()?, dt), &[q, k])?;
        if let Some(mask) = mask {
            let mask = grouped(wire, "mask-groups", mask)?;
            scores = wire.binary("masked", add(), scores, mask)?;
        }
        let last = wire.fact(scores)?.rank() - 1;
        let softmax = Softmax::new(tvec!(last), None, SoftmaxKind::Softmax);
        let weights = wire.op("weights", softmax, &[scores])?;
        let mut y = wire.op(
            "weighted",
            EinSum::new(weighted.parse()?, dt),
            &[weights, v],
        )?;
        if shared != 1 {
            let apart = tvec!(kv_heads.to_dim(), shared.to_dim());
            let together = AxisOp::Reshape(1, apart, tvec!(heads.to_dim()));
            y = wire.op("ungrouped", together, &[y])?;
        }
        if let Some(alive) = alive {
            y = wire.binary("alive", mul(), y, alive)?;
        }
        cast_to(wire, "cast", y, of)
    }
}

/// The heads that share keys on an axis of their own; one that stands for all heads, for all groups too.
fn in_groups(wire: &mut Wire<'_>, name: &str, x: OutletId, shared: usize) -> TractResult<OutletId> {
    if shared == 1 {
        return Ok(x);
    }
    let heads = wire.fact(x)?.shape.dims().get(1).cloned();
    let heads = heads.context("heads")?.to_usize()?;
    let apart = if heads == 1 {
        AxisOp::Add(2)
    } else {
        let groups = tvec!((heads / shared).to_dim(), shared.to_dim());
        AxisOp::Reshape(1, tvec!(heads.to_dim()), groups)
    };
    wire.op(name, apart, &[x])
}

fn cast_to(wire: &mut Wire<'_>, name: &str, x: OutletId, dt: DatumType) -> TractResult<OutletId> {
    if wire.fact(x)?.datum_type == dt {
        return Ok(x);
    }
    wire.op(name, cast(dt), &[x])
}

/// What is added to the scores, of four axes.
fn summed(wire: &mut Wire<'_>, masks: &[OutletId], dt: DatumType) -> TractResult<Option<OutletId>> {
    let mut sum = None;
    for (at, &mask) in masks.iter().enumerate() {
        let mut mask = if wire.fact(mask)?.datum_type == DatumType::Bool {
            let shape = wire.fact(mask)?.rank();
            let one = vec![1; shape];
            let seen = tensor0(0f32).broadcast_to_shape(&one)?;
            let hidden = tensor0(f32::NEG_INFINITY).broadcast_to_shape(&one)?;
            let seen = wire.constant(&format!("mask-{at}.seen"), seen)?;
            let hidden = wire.constant(&format!("mask-{at}.hidden"), hidden)?;
            wire.op(&format!("mask-{at}"), Iff, &[mask, seen, hidden])?
        } else {
            mask
        };
        mask = cast_to(wire, &format!("mask-{at}.cast"), mask, dt)?;
        for axis in wire.fact(mask)?.rank()..4 {
            mask = wire.op(&format!("mask-{at}.axis-{axis}"), AxisOp::Add(0), &[mask])?;
        }
        sum = Some(match sum {
            Some(sum) => wire.binary(&format!("masks-{at}"), add(), sum, mask)?,
            None => mask,
        });
    }
    Ok(sum)
}
