//! Convolutions that read the tensors of a concatenation where they are.
//!
//! Given a graph whose convolutions are ours already; promises that a concatenation of channels which only such convolutions read, as their
//! images, is gone, and that all others stay. The convolutions copy their input in the order of their products in any case, from one tensor
//! or from several: the concatenation would be a copy more, and memory for all of it.

use tract_core::internal::*;
use tract_core::ops::array::TypedConcat;

use super::{Convolution, FusedConv, method};

/// Takes out the concatenations that nobody needs, and says so of their readers in `convolutions`.
pub(crate) fn take_out(
    model: &mut TypedModel,
    convolutions: &mut [Convolution],
) -> TractResult<()> {
    // Patches add nodes behind the ones there are, so ids stay valid.
    for id in model.eval_order()? {
        let Some(readers) = readers(model, id)? else {
            continue;
        };
        let images = model.outlet_fact(id.into())?.clone();
        for (reader, op) in readers {
            let (concatenation, reader) = (model.node(id), model.node(reader));
            let by = method(&op, &images)?;
            let named = |found: &&mut Convolution| found.nodes.contains(&reader.name);
            if let Some(found) = convolutions.iter_mut().find(named) {
                found.kind = Some(op.kind() + &by);
                found.info = Some(op.details() + &by);
                found.nodes.push(concatenation.name.clone());
            }
            let others = reader.inputs.iter().skip(1);
            let inputs: TVec<OutletId> =
                concatenation.inputs.iter().chain(others).copied().collect();
            // One after the other: a reader may be an operand of the next.
            TypedModelPatch::replace_single_op(model, reader, &inputs, op)?.apply(model)?;
        }
    }
    Ok(())
}

/// The readers of a concatenation as convolutions of its parts, if all of them can be.
fn readers(model: &TypedModel, id: usize) -> TractResult<Option<Vec<(usize, FusedConv)>>> {
    let node = model.node(id);
    let Some(op) = node.op_as::<TypedConcat>() else {
        return Ok(None);
    };
    let is_output = model.output_outlets()?.contains(&id.into());
    let successors = node.outputs.first().map_or(&[][..], |it| &it.successors);
    if is_output || successors.is_empty() {
        return Ok(None);
    }
    for fact in model.node_input_facts(id)? {
        let channels = fact.shape.get(op.axis).and_then(|dim| dim.to_usize().ok());
        let plain = fact.datum_type == DatumType::F32 && fact.is_plain();
        if !plain || channels.is_none_or(|channels| channels == 0) {
            return Ok(None);
        }
    }
    let as_parts = |reader: &InletId| {
        let conv = model.node(reader.node).op_as::<FusedConv>();
        let conv = conv.filter(|_| reader.slot == 0)?;
        Some((reader.node, conv.of_parts(op.axis, node.inputs.len())?))
    };
    Ok(successors.iter().map(as_parts).collect())
}
