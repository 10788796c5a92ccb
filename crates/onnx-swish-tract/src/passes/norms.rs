//! Layer and RMS normalisation: what tract has in pieces, as one operator.
//!
//! Given a graph that tract has decluttered, in which divisions by the root of a mean square are its `RmsNorm` however the file spells
//! them; promises that those of f32 over the last axis are ours, that a mean which is taken off before goes with them, and a scale and
//! a bias of one row behind, unless somebody else reads what would no longer be there.
//!
//! tract 0.23.9 has registers for it on AVX-512, NEON and WebAssembly; elsewhere it takes more than a nanosecond for an element, and a
//! layer normalisation is five operators in any case.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::math::{Add, Mul, Sub};
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

use crate::conv::f32_constant;
use crate::ops::RowNorm;

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<RmsNorm>("normalisation", |_, model, node, _, op| {
            ours(model, node, op)
        })
        .rewrite(&(), model)
}

fn ours(
    model: &TypedModel,
    node: &TypedNode,
    op: &RmsNorm,
) -> TractResult<Option<TypedModelPatch>> {
    let Some(&input) = node.inputs.first() else {
        return Ok(None);
    };
    let fact = model.outlet_fact(input)?;
    let of_rows = fact.datum_type == DatumType::F32
        && fact.is_plain()
        && op.axis + 1 == fact.rank()
        && op.eps.len() == 1;
    let Some(length) = fact
        .shape
        .last()
        .filter(|_| of_rows)
        .and_then(|it| it.to_usize().ok())
    else {
        return Ok(None);
    };
    let centre = centre(model, input, length)?;
    let (end, scale, bias) = affine(model, node, length)?;
    let norm = RowNorm {
        centred: centre.is_some(),
        epsilon: op.eps.cast_to_scalar::<f32>()?,
        scale,
        bias,
    };
    let mut patch = TypedModelPatch::default();
    let rows = patch.tap_model(model, centre.unwrap_or(input))?;
    // The name of what tract would compute last, which a profile shows.
    let output = patch.wire_node(&end.name, norm, &[rows])?;
    patch.shunt_outside(model, end.id.into(), output[0])?;
    Ok(Some(patch))
}

/// The rows of which these are the differences from their means, if they are.
fn centre(
    model: &TypedModel,
    differences: OutletId,
    length: usize,
) -> TractResult<Option<OutletId>> {
    let node = model.node(differences.node);
    let (Some(_), [rows, mean]) = (binary::<Sub>(node), &*node.inputs) else {
        return Ok(None);
    };
    let mean = model.node(mean.node);
    let (Some(_), [a, b]) = (binary::<Mul>(mean), &*mean.inputs) else {
        return Ok(None);
    };
    for (sum, factor) in [(a, b), (b, a)] {
        let sum = model.node(sum.node);
        let rank = model.outlet_fact(*rows)?.rank();
        let of_rows = sum.op_as::<Reduce>().is_some_and(|it| {
            let last = matches!(*it.axes, [axis] if axis + 1 == rank);
            it.reducer == Reducer::Sum && last && sum.inputs.first() == Some(rows)
        });
        if !of_rows {
            continue;
        }
        let Some(factor) = row(model, *factor, 1)? else {
            continue;
        };
        // What f32 makes of one over the length.
        let is_mean = factor.first().is_some_and(|it| {
            (f64::from(*it) * length as f64 - 1.0).abs() <= 1.0 / (1 << 23) as f64
        });
        if is_mean {
            return Ok(Some(*rows));
        }
    }
    Ok(None)
}

type Row = Option<Arc<[f32]>>;

/// A factor and an addend of one row behind a node, and the last of the three.
fn affine<'a>(
    model: &'a TypedModel,
    node: &'a TypedNode,
    length: usize,
) -> TractResult<(&'a TypedNode, Row, Row)> {
    let (end, scale) = step::<Mul>(model, node, length)?;
    let (end, bias) = step::<Add>(model, end, length)?;
    Ok((end, scale, bias))
}

/// The only reader of a node, if it multiplies by or adds a constant row; else the node itself.
fn step<'a, Operation: BinMiniOp>(
    model: &'a TypedModel,
    node: &'a TypedNode,
    length: usize,
) -> TractResult<(&'a TypedNode, Row)> {
    let own = OutletId::from(node.id);
    let alone = (node, None);
    let [reader] = model.outlet_successors(own) else {
        return Ok(alone);
    };
    let reader = model.node(reader.node);
    let same_shape = reader.outputs.first().map(|it| &it.fact.shape)
        == node.outputs.first().map(|it| &it.fact.shape);
    if model.output_outlets()?.contains(&own)
        || binary::<Operation>(reader).is_none()
        || !same_shape
    {
        return Ok(alone);
    }
    let Some(&other) = reader.inputs.iter().find(|it| **it != own) else {
        return Ok(alone);
    };
    let row = row(model, other, length)?;
    Ok(match row {
        Some(row) => (reader, Some(row)),
        None => alone,
    })
}

/// The operator of a node, if it is this one on f32.
fn binary<Operation: BinMiniOp>(node: &TypedNode) -> Option<&TypedBinOp> {
    let op = node.op_as::<TypedBinOp>()?;
    let plain = op.1.is_none() && op.0.is::<Operation>();
    Some(op).filter(|_| plain)
}

/// A constant of f32 as one row of this length: its last axis is that or one, and the others are one.
fn row(model: &TypedModel, outlet: OutletId, length: usize) -> TractResult<Option<Arc<[f32]>>> {
    let Some(constant) = &model.outlet_fact(outlet)?.konst else {
        return Ok(None);
    };
    let Some(elements) = f32_constant(constant) else {
        return Ok(None);
    };
    Ok(match elements {
        [all] => Some(vec![*all; length].into()),
        _ if elements.len() == length && constant.shape().last() == Some(&length) => {
            Some(elements.into())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;
