//! Convolutions and products between 8-bit codes, on the codes.
//!
//! Given a decluttered graph whose tables are made; promises what its nodes compute, up to the rounding of float sums: sums of codes are
//! exact, and a code may differ by one where the float next to the middle between two codes went to the other side.

mod convolutions;
mod integers;
pub(super) mod moves;
mod pairs;

#[cfg(test)]
mod tests;

use onnx_swish_kernels::codes::Linear;
use tract_core::internal::*;

use super::Findings;
use super::tables::{element_wise, is_sane};
use crate::conv::policy::{AS_ASKED, Policy};
use crate::conv::{Convolution, Convolutions, QConv, of_codes};
use crate::ops::{Dequantize, Direction, Quantize, QuantizeBy, is_code};

/// Replaces what it covers, and notes what it leaves and why.
pub(super) fn take_over(
    model: &mut TypedModel,
    asked: Convolutions,
    findings: &mut Findings,
) -> TractResult<()> {
    let policy = Policy::new(asked);
    if policy.codes_left().is_some() {
        return Ok(());
    }
    integers::take_over(model, findings)?;
    if !any_dequantized(model) {
        return Ok(());
    }
    convolutions::take_over(model, &policy, findings)?;
    pairs::take_over(model, findings)?;
    // Floats that nobody reads any more must not count as readers of the codes.
    model.compact()
}

/// Notes why convolutions that could run on codes are left in floats, if that was nobody's decision about one of them: the caller's, or
/// the processor's.
pub(super) fn note_floats(
    model: &TypedModel,
    asked: Convolutions,
    findings: &mut Findings,
) -> TractResult<()> {
    if !any_dequantized(model) {
        return Ok(());
    }
    // Where they would have run on codes, they were not wanted there.
    let why = Policy::new(asked).codes_left().unwrap_or(AS_ASKED);
    convolutions::note_floats(model, why, findings)
}

fn any_dequantized(model: &TypedModel) -> bool {
    let is_dequantized =
        |node: &TypedNode| element_wise::<Dequantize>(node).is_some() || dequantizes_by(node);
    model.nodes().iter().any(is_dequantized)
}

/// Whether a node makes numbers of codes with more than one scale, or with one that the model computes.
fn dequantizes_by(node: &TypedNode) -> bool {
    let op = node.op_as::<QuantizeBy>();
    op.is_some_and(|op| op.direction == Direction::Dequantize)
}

/// The codes that this value is dequantised from, and how, if it is.
fn dequantized(model: &TypedModel, floats: OutletId) -> TractResult<Option<(OutletId, Linear)>> {
    let node = model.node(floats.node);
    let Some(op) = element_wise::<Dequantize>(node) else {
        return Ok(None);
    };
    let &[codes] = &*node.inputs else {
        return Ok(None);
    };
    let fact = model.outlet_fact(codes)?;
    let sane = is_sane(op.scale) && op.to == DatumType::F32;
    if !sane || !is_code(fact.datum_type) || !fact.is_plain() {
        return Ok(None);
    }
    Ok(op.linear(fact.datum_type).map(|linear| (codes, linear)))
}

/// The QuantizeLinear that is the only reader of this value, and how it quantises.
fn quantized(model: &TypedModel, floats: OutletId) -> TractResult<Option<(usize, Linear)>> {
    let Some(reader) = only_reader(model, floats)? else {
        return Ok(None);
    };
    let Some(op) = element_wise::<Quantize>(model.node(reader)) else {
        return Ok(None);
    };
    let linear = op.linear().filter(|linear| is_sane(linear.scale));
    Ok(linear.map(|linear| (reader, linear)))
}

/// The only node that reads this value, if it is no output of the model.
fn only_reader(model: &TypedModel, value: OutletId) -> TractResult<Option<usize>> {
    let &[reader] = &*model.node(value.node).outputs[value.slot].successors else {
        return Ok(None);
    };
    let is_output = model.output_outlets()?.contains(&value);
    Ok((!is_output).then_some(reader.node))
}

/// Puts a convolution of codes in the place of these nodes, the last of which gives `last`, if it gives the same shape.
fn put(
    model: &mut TypedModel,
    convolution: usize,
    nodes: Vec<usize>,
    last: OutletId,
    op: QConv,
    inputs: &[OutletId],
) -> TractResult<Option<Convolution>> {
    let facts = op.output_facts(&[model.outlet_fact(inputs[0])?])?;
    if facts[0].shape != model.outlet_fact(last)?.shape {
        return Ok(None);
    }
    let found = of_codes(model, model.node(convolution), &nodes, &op, inputs[0])?;
    let name = model.node(last.node).name.clone();
    let mut patch = TypedModelPatch::new("onnx-swish convolution of codes");
    let taps = patch.taps(model, inputs)?;
    let wire = patch.wire_node(name, op, &taps)?[0];
    patch.shunt_outside(model, last, wire)?;
    for node in nodes {
        patch.obliterate(node)?;
    }
    patch.apply(model)?;
    Ok(Some(found))
}
