//! Which keys a query sees.
//!
//! Given the shapes of queries and keys, and how many keys there are of each row; promises what is added to the scores: zero where a query sees
//! a key, negative infinity elsewhere.

use ndarray::{Array4, ArrayD, Axis};
use tract_core::internal::*;

use crate::error::{decline, demand};
use crate::ops::function::{Function, Plain, integers};

/// The mask of queries that see the keys up to their own position. Inputs: queries, new keys and all keys, of [batch, heads, positions, size];
/// then, where rows may be of several lengths, those and the total.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Seen {
    pub causal: bool,
    /// How many keys back a query sees, its own among them; 0 is all.
    pub window: usize,
}

impl Seen {
    pub fn causal() -> Plain<Seen> {
        Plain(Seen {
            causal: true,
            window: 0,
        })
    }
}

impl Function for Seen {
    fn name(&self) -> &'static str {
        "AttentionMask"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [q, _, k, filled @ ..] = inputs else {
            bail!("a mask of {} inputs", inputs.len());
        };
        let (Some(batch), Some(queries), Some(keys)) = (
            q.shape.dims().first(),
            q.shape.dims().get(2),
            k.shape.dims().get(2),
        ) else {
            bail!("queries or keys of fewer than three axes");
        };
        let rows = if filled.is_empty() {
            1.to_dim()
        } else {
            batch.clone()
        };
        let shape = [rows, 1.to_dim(), queries.clone(), keys.clone()];
        Ok(tvec!(DatumType::F32.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let [q, new, k, filled @ ..] = inputs.as_slice() else {
            bail!("a mask of {} inputs", inputs.len());
        };
        let (queries, keys) = (positions(q)?, positions(k)?);
        let past = keys.checked_sub(positions(new)?).context("fewer keys")?;
        // For each row how many keys there are, and where its first query stands among them.
        let rows = match filled {
            [lengths, total] => filled_rows(lengths, total, q, past)?,
            _ => vec![(keys, past)],
        };
        let mut mask = Array4::from_elem((rows.len(), 1, queries, keys), f32::NEG_INFINITY);
        for (mut mask, (length, first)) in mask.outer_iter_mut().zip(rows) {
            for ((_, query, key), mask) in mask.indexed_iter_mut() {
                let own = first + query;
                let near = self.window == 0 || own < key + self.window;
                if key < length && near && (key <= own || !self.causal) {
                    *mask = 0.0;
                }
            }
        }
        Ok(tvec!(mask.into_tensor().into_tvalue()))
    }
}

/// The size of the axis of positions.
pub(super) fn positions(x: &Tensor) -> TractResult<usize> {
    let size = x.shape().get(2).copied();
    size.context("heads without an axis of positions")
}

/// What GroupQueryAttention is told of a cache of `past` places: for each row the number of its keys, and how many of them were there before.
pub(super) fn filled_rows(
    lengths: &Tensor,
    total: &Tensor,
    q: &Tensor,
    past: usize,
) -> TractResult<Vec<(usize, usize)>> {
    let new = positions(q)?;
    let total = match integers(total)?.as_slice() {
        &[total] => total,
        other => decline!("total_sequence_length of {} elements", other.len()),
    };
    if usize::try_from(total).ok() != past.checked_add(new) {
        decline!(
            "total_sequence_length is {total}, and only {past} past and {new} new keys are implemented, not a cache with room left"
        );
    }
    let batch = q.shape().first().copied().unwrap_or(0);
    let lengths = integers(lengths)?;
    demand!(
        lengths.len() == batch,
        "seqlens_k has {} elements for {batch} rows",
        lengths.len()
    );
    let row = |last: i64| {
        let length = usize::try_from(last).ok().and_then(|it| it.checked_add(1));
        let length = length.filter(|length| *length <= past + new);
        let before = length.and_then(|length| match past {
            // A first prompt begins where its row does, and ends before others do.
            0 => Some(0),
            _ => length.checked_sub(new),
        });
        let (Some(length), Some(before)) = (length, before) else {
            decline!("seqlens_k holds {last}, of {past} past and {new} new keys");
        };
        Ok((length, before))
    };
    lengths.into_iter().map(row).collect()
}

/// A mask, and which rows of it leave a key: those that leave none are opened, and their factor is zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Open;

impl Function for Open {
    fn name(&self) -> &'static str {
        "OpenAttentionMask"
    }

    fn outputs(&self) -> usize {
        2
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let mask = inputs.first().context("no mask")?;
        let mut shape = mask.shape.to_tvec();
        *shape.last_mut().context("a mask without an axis")? = 1.to_dim();
        let kept = mask.datum_type.fact(shape);
        Ok(tvec!(mask.datum_type.fact(mask.shape.to_tvec()), kept))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mask = inputs.first().context("no mask")?;
        let dt = mask.datum_type();
        let mut open: ArrayD<f64> = mask.cast_to::<f64>()?.to_plain_array_view()?.to_owned();
        let last = Axis(
            open.ndim()
                .checked_sub(1)
                .context("a mask without an axis")?,
        );
        let kept = open.map_axis_mut(last, |mut row| {
            if row.iter().any(|mask| *mask != f64::NEG_INFINITY) {
                1.0
            } else {
                row.fill(0.0);
                0.0
            }
        });
        let kept: Tensor = kept.insert_axis(last).into_tensor();
        let typed = |tensor: Tensor| -> TractResult<TValue> {
            Ok(tensor.cast_to_dt(dt)?.into_owned().into_tvalue())
        };
        Ok(tvec!(typed(open.into_tensor())?, typed(kept)?))
    }
}
