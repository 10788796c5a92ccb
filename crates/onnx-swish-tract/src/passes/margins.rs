//! Margins around images of one row or one column.
//!
//! Given a graph before declutter; promises that such an image is as large as its margin makes it. At fault: tract-core,
//! `ops/cnn/conv/conv.rs`, `Conv::change_axes`, which lets an axis of one pixel be taken away where the kernel has one tap along it, and the
//! margin goes with it: what is left is the image's row, repeated. A Pad in front becomes such a margin (`declutter_precusor_padding`).

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::array::{Pad, PadMode};
use tract_core::ops::cnn::{Conv, PaddingSpec};

use super::expansions::Hidden;

pub(super) fn keep(model: &mut TypedModel) -> TractResult<()> {
    margins_apart(model)?;
    for id in 0..model.nodes.len() {
        if makes_one_more(model, id)? {
            let pad = &mut model.node_mut(id).op;
            *pad = Box::new(Hidden(pad.clone()));
        }
    }
    Ok(())
}

/// Whether a node is a Pad of an axis of one element.
fn makes_one_more(model: &TypedModel, id: usize) -> TractResult<bool> {
    let Some(pad) = model.node(id).op_as::<Pad>() else {
        return Ok(false);
    };
    let facts = model.node_input_facts(id)?;
    let shape = facts.first().map(|fact| fact.shape.dims());
    let mut axes = pad.pads.iter().zip(shape.unwrap_or_default());
    Ok(axes.any(|(pad, size)| *pad != (0, 0) && size.is_one()))
}

/// Makes a Pad of a margin around one row.
fn margins_apart(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Conv>("margins", |_, model, node, name, conv| {
            let Some(&image) = node.inputs.first().filter(|_| conv.q_params.is_none()) else {
                return Ok(None);
            };
            let fact = model.outlet_fact(image)?;
            let spec = &conv.pool_spec;
            let shape = spec.data_format.shape(fact.shape.to_tvec())?;
            let sizes: TVec<TDim> = shape.hw_dims().into();
            let mut pads = vec![(0, 0); fact.rank()];
            let (mut before, mut after) = (TVec::new(), TVec::new());
            for (along, margin) in spec.computed_padding(&sizes).iter().enumerate() {
                let margin = (margin.pad_before.to_usize(), margin.pad_after.to_usize());
                let (Ok(first), Ok(last)) = margin else {
                    return Ok(None);
                };
                let margin = (first, last);
                let one = sizes.get(along).is_some_and(|size| size.is_one())
                    && spec.kernel_shape.get(along) == Some(&1);
                let (own, pad) = if one {
                    ((0, 0), margin)
                } else {
                    (margin, (0, 0))
                };
                before.push(own.0);
                after.push(own.1);
                if let Some(place) = pads.get_mut(shape.h_axis() + along) {
                    *place = pad;
                }
            }
            if pads.iter().all(|pad| *pad == (0, 0)) {
                return Ok(None);
            }
            let zero = Tensor::zero_scalar_dt(fact.datum_type)?.into_arc_tensor();
            let pad = Pad {
                pads,
                mode: PadMode::Constant(zero),
            };
            let mut patch = TypedModelPatch::default();
            let mut taps = patch.taps(model, &node.inputs)?;
            taps[0] = patch.wire_node(format!("{name}.margin"), pad, &taps[..1])?[0];
            let mut conv = conv.clone();
            conv.pool_spec.padding = PaddingSpec::Explicit(before, after);
            let wires = patch.wire_node(name, conv, &taps)?;
            patch.shunt_outside(model, node.id.into(), wires[0])?;
            Ok(Some(patch))
        })
        .rewrite(&(), model)
}
