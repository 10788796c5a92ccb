//! com.microsoft's GroupQueryAttention, whose rows may be of several lengths.
//!
//! Given new rows and a cache of keys and values; promises attention of each row to its own keys, and a cache in which each row's new keys stand
//! behind its own past, with zeros behind them. A cache with more room than for the new keys is refused when it is run.

use tract_core::ops::array::{Gather, Slice, TypedConcat};
use tract_core::ops::cast::cast;
use tract_core::ops::math::{add, mul, sub};
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::heads::{Product, merged, split};
use super::mask::{Seen, filled_rows, positions};
use super::{Honoured, integer, place, scale};
use crate::error::{decline, demand};
use crate::load::repairs::wire::Wire;
use crate::load::repairs::{Built, Delegate, Rewiring, rewired};
use crate::ops::function::{Function, Plain};

const HONOURED: Honoured = Honoured {
    // tract's builder refuses the values of some that it does not implement.
    attributes: &[
        "causal",
        "do_rotary",
        "k_quant_type",
        "kv_num_heads",
        "local_window_size",
        "num_heads",
        "qk_output",
        "rotary_interleaved",
        "scale",
        "sliding_window_cache",
        "smooth_softmax",
        "softcap",
        "v_quant_type",
    ],
    inputs: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 10],
    outputs: &[0, 1, 2],
};

pub(in crate::load::repairs) fn group_query_attention(
    ctx: &ParsingContext,
    node: &NodeProto,
) -> Built {
    HONOURED.check(node)?;
    let window = integer(node, "local_window_size", -1)?;
    if window == 0 {
        decline!("a window of 0 keys (local_window_size) is not implemented");
    }
    let causal = integer(node, "causal", 1)? != 0;
    if window > 0 && !causal {
        decline!("a window (local_window_size) is not implemented unless attention is causal");
    }
    let by = Grouped {
        heads: [
            integer(node, "num_heads", 0)?,
            integer(node, "kv_num_heads", 0)?,
        ],
        scale: scale(node)?,
        seen: Seen {
            causal,
            window: usize::try_from(window).unwrap_or(0),
        },
        rotated: integer(node, "do_rotary", 0)? != 0,
        places: [3, 4, 5, 6, 7, 8, 10].map(|number| place(node, number)),
    };
    rewired(ctx, node, "tract::GroupQueryAttention", by)
}

#[derive(Debug, Clone)]
struct Grouped {
    /// Of queries, and of keys.
    heads: [i64; 2],
    scale: Option<f32>,
    seen: Seen,
    rotated: bool,
    /// Of past keys and values, the rows' lengths, the total, cosines, sines and what is added to the scores.
    places: [Option<usize>; 7],
}

impl Rewiring for Grouped {
    fn wire(
        &self,
        _: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut wire = Wire { prefix, model };
        let at = |place: Option<usize>| place.and_then(|at| inputs.get(at).copied());
        let [past_k, past_v, lengths, total, cos, sin, bias] = self.places.map(at);
        let (&[q, k, v, ..], Some(lengths), Some(total)) = (inputs, lengths, total) else {
            decline!("attention without seqlens_k or total_sequence_length is not implemented");
        };
        let [heads, kv_heads] = self.heads;
        let mut q = split(&mut wire, "q", q, heads)?;
        let mut new = split(&mut wire, "k", k, kv_heads)?;
        let v = split(&mut wire, "v", v, kv_heads)?;
        if self.rotated {
            let (Some(cos), Some(sin)) = (cos, sin) else {
                bail!("do_rotary without cosines and sines");
            };
            let mut of = tvec!(q, lengths, total);
            of.extend(past_k);
            let rotation = Rotation::at(&mut wire, &of, cos, sin)?;
            q = rotation.turned(&mut wire, "q-turned", q)?;
            new = rotation.turned(&mut wire, "k-turned", new)?;
        }
        let cached = |wire: &mut Wire<'_>, name: &str, new, past: Option<OutletId>| {
            let mut of = tvec!(new, lengths, total);
            of.extend(past);
            wire.op(name, Plain(Cached), &of)
        };
        let k = cached(&mut wire, "k-cache", new, past_k)?;
        let v = cached(&mut wire, "v-cache", v, past_v)?;
        let seen = Plain(self.seen.clone());
        let seen = wire.op("seen", seen, &[q, new, k, lengths, total])?;
        let masks: TVec<OutletId> = [seen].into_iter().chain(bias).collect();
        let product = Product {
            scale: self.scale,
            masked_is_zero: true,
        };
        let y = product.wire(&mut wire, [q, k, v], &masks)?;
        Ok(tvec!(merged(&mut wire, y)?, k, v))
    }
}

/// New keys or values behind each row's past. Inputs: what is new, the rows' lengths, the total, and the past.
#[derive(Debug, Clone, PartialEq)]
struct Cached;

impl Function for Cached {
    fn name(&self) -> &'static str {
        "AttentionCache"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let new = inputs.first().context("nothing to cache")?;
        let mut shape = new.shape.to_tvec();
        if let (Some(length), Some(past)) = (shape.get_mut(2), inputs.get(3)) {
            let past_length = past.shape.dims().get(2).context("a past of few axes")?;
            *length = past_length.clone() + &*length;
        }
        Ok(tvec!(new.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [new, lengths, total, past @ ..] = inputs.as_slice() else {
            bail!("a cache of {} inputs", inputs.len());
        };
        let past = past.first();
        let places = past.map_or(Ok(0), |past| positions(past))?;
        let rows = filled_rows(lengths, total, new, places)?;
        let &[batch, heads, count, size] = new.shape() else {
            bail!("new keys of {} axes", new.rank());
        };
        if let Some(past) = past {
            demand!(
                past.shape() == [batch, heads, places, size]
                    && past.datum_type() == new.datum_type(),
                "a cache of {:?} does not fit new keys of {:?}",
                past.shape(),
                new.shape()
            );
        }
        let shape = [batch, heads, places + count, size];
        let mut cache = Tensor::zero_dt(new.datum_type(), &shape)?;
        for (row, (_, before)) in rows.into_iter().enumerate() {
            for head in 0..heads {
                let mut cache_of = |from: usize, source: &Tensor, count: usize| {
                    copy_places(&mut cache, [row, head], from, source, count)
                };
                if let Some(past) = past {
                    cache_of(0, past, before)?;
                }
                cache_of(before, new, count)?;
            }
        }
        Ok(tvec!(cache.into_tvalue()))
    }
}

/// Copies the first places of a row's head to where they begin in another tensor.
fn copy_places(
    to: &mut Tensor,
    [row, head]: [usize; 2],
    at: usize,
    from: &Tensor,
    count: usize,
) -> TractResult<()> {
    let element = from.datum_type().size_of();
    let place = from.shape().get(3).copied().unwrap_or(0) * element;
    let start = |tensor: &Tensor| -> TractResult<usize> {
        let heads = tensor.shape().get(1).copied().unwrap_or(0);
        Ok((row * heads + head) * positions(tensor)? * place)
    };
    let (read, write) = (start(from)?, start(to)? + at * place);
    let length = count * place;
    let source = from.try_as_plain_ram()?;
    let source = source.as_bytes().get(read..read + length);
    let mut target = to.try_as_plain_ram_mut()?;
    let target = target.as_bytes_mut().get_mut(write..write + length);
    match (source, target) {
        (Some(source), Some(target)) => target.copy_from_slice(source),
        _ => bail!("places beyond a cache"),
    }
    Ok(())
}

/// The positions of new rows: for each row of the batch and each new place, of [batch, positions]. Inputs as [`Cached`]'s.
#[derive(Debug, Clone, PartialEq)]
struct Positions;

impl Function for Positions {
    fn name(&self) -> &'static str {
        "AttentionPositions"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let q = inputs.first().context("no queries")?;
        let [batch, _, count, _] = q.shape.dims() else {
            bail!("queries of {} axes", q.rank());
        };
        Ok(tvec!(DatumType::I64.fact([batch.clone(), count.clone()])))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [q, lengths, total, past @ ..] = inputs.as_slice() else {
            bail!("positions of {} inputs", inputs.len());
        };
        let places = past.first().map_or(Ok(0), |past| positions(past))?;
        let count = positions(q)?;
        let rows = filled_rows(lengths, total, q, places)?;
        let mut found = Vec::with_capacity(rows.len() * count);
        for (_, before) in &rows {
            for at in 0..count {
                found.push(i64::try_from(before + at)?);
            }
        }
        let found = Tensor::from_shape(&[rows.len(), count], &found)?;
        Ok(tvec!(found.into_tvalue()))
    }
}

/// Cosines and sines of [batch, 1, positions, size / 2].
struct Rotation {
    cos: OutletId,
    sin: OutletId,
}

impl Rotation {
    fn at(
        wire: &mut Wire<'_>,
        of: &[OutletId],
        cos: OutletId,
        sin: OutletId,
    ) -> TractResult<Rotation> {
        let positions = wire.op("positions", Plain(Positions), of)?;
        let mut gathered = |name: &str, table| -> TractResult<OutletId> {
            let rows = wire.op(&format!("{name}.rows"), Gather::new(0), &[table, positions])?;
            wire.op(name, AxisOp::Add(1), &[rows])
        };
        Ok(Rotation {
            cos: gathered("cos", cos)?,
            sin: gathered("sin", sin)?,
        })
    }

    /// Each element of the first half and its fellow of the second, turned in their plane.
    fn turned(&self, wire: &mut Wire<'_>, name: &str, x: OutletId) -> TractResult<OutletId> {
        let size = wire.fact(x)?.shape.dims().last().cloned();
        let size = size.context("heads without an axis")?;
        let half = wire.fact(self.cos)?.shape.dims().last().cloned();
        let half = half.context("cosines without an axis")?;
        if half.clone() * 2 != size {
            decline!(
                "a rotation of a part of {size} elements, by {half} cosines, is not implemented"
            );
        }
        let of = wire.fact(x)?.datum_type;
        let tables = wire.fact(self.cos)?.datum_type;
        let mut named = |name: &str, op: Box<dyn TypedOp>, inputs: &[OutletId]| match *inputs {
            [a, b] => wire.binary(name, op, a, b),
            _ => wire.op(name, op, inputs),
        };
        let x = named(&format!("{name}.typed"), Box::new(cast(tables)), &[x])?;
        let slice = |from: TDim, to: TDim| Box::new(Slice::new(3, from, to));
        let left = named(
            &format!("{name}.left"),
            slice(0.to_dim(), half.clone()),
            &[x],
        )?;
        let right = named(&format!("{name}.right"), slice(half, size), &[x])?;
        let mut product =
            |what: &str, half, by| named(&format!("{name}.{what}"), Box::new(mul()), &[half, by]);
        let left_cos = product("left-cos", left, self.cos)?;
        let right_sin = product("right-sin", right, self.sin)?;
        let left_sin = product("left-sin", left, self.sin)?;
        let right_cos = product("right-cos", right, self.cos)?;
        let real = wire.binary(&format!("{name}.real"), sub(), left_cos, right_sin)?;
        let imaginary = wire.binary(&format!("{name}.imaginary"), add(), left_sin, right_cos)?;
        let joined = wire.op(
            &format!("{name}.joined"),
            TypedConcat { axis: 3 },
            &[real, imaginary],
        )?;
        wire.op(name, cast(of), &[joined])
    }
}
