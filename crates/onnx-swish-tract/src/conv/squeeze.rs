//! Squeeze-and-excite around convolutions (arXiv:1709.01507).
//!
//! Given a convolution; promises the product that gates its input, channel by channel, and the sum over each plane of its output,
//! where nobody else needs the former and the planes are at hand for the latter.

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::math::Mul;
use tract_core::ops::nn::{Reduce, Reducer};

use super::root::Root;

/// A product of images and a factor for each of their channels.
pub(super) struct Gate {
    pub node: usize,
    pub input: OutletId,
    pub factors: OutletId,
}

impl Gate {
    /// The gate that `root` reads, if `root` is its only reader.
    pub fn before(model: &TypedModel, root: &Root) -> TractResult<Option<Gate>> {
        let node = model.node(root.input.node);
        let Some(TypedBinOp(op, None)) = node.op_as::<TypedBinOp>() else {
            return Ok(None);
        };
        let lone =
            node.outputs[0].successors.len() == 1 && !model.output_outlets()?.contains(&root.input);
        if !op.is::<Mul>() || !lone || root.is_depthwise() {
            return Ok(None);
        }
        let whole = &model.outlet_fact(root.input)?.shape;
        let pixels = root.place.input_channel_axis() + 1;
        for (images, factors) in [(0, 1), (1, 0)] {
            let (input, factors) = (node.inputs[images], node.inputs[factors]);
            let (x, gate) = (model.outlet_fact(input)?, model.outlet_fact(factors)?);
            let plain = [x, gate].map(|fact| fact.datum_type == DatumType::F32 && fact.is_plain());
            if plain == [true, true]
                && x.shape == *whole
                && gate.shape != *whole
                && gate.rank() == x.rank()
                && gate.shape[..pixels] == whole[..pixels]
                && gate.shape[pixels..].iter().all(|size| *size == 1.to_dim())
            {
                return Ok(Some(Gate {
                    node: node.id,
                    input,
                    factors,
                }));
            }
        }
        Ok(None)
    }
}

/// The node that sums each plane of `outlet`, which `root` computes.
pub(super) fn plane_sums(
    model: &TypedModel,
    root: &Root,
    outlet: OutletId,
) -> TractResult<Option<usize>> {
    if !root.is_depthwise() {
        return Ok(None);
    }
    let first = root.place.channel_axis() + 1;
    for successor in &model.node(outlet.node).outputs[outlet.slot].successors {
        let node = model.node(successor.node);
        let Some(reduce) = node.op_as::<Reduce>() else {
            continue;
        };
        let mut axes = reduce.axes.to_vec();
        axes.sort_unstable();
        if reduce.reducer == Reducer::Sum
            && axes
                .into_iter()
                .eq(first..model.outlet_fact(outlet)?.rank())
        {
            return Ok(Some(node.id));
        }
    }
    Ok(None)
}
