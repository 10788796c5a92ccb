//! Convolutions, each with what follows it, as one operator on `onnx-swish-conv`.
//!
//! Given a decluttered graph; promises that f32 convolutions over one or two spatial axes with constant weights, with the gate
//! before them and the constant scales, offsets, activation, residual and plane sums after them, become one node each, and that everything else stays as tract has it.

mod chain;
mod op;
mod root;
mod squeeze;

pub use op::FusedConv;

use tract_core::internal::*;

use chain::Chain;
use root::Root;
use squeeze::{Gate, plane_sums};

/// Replaces what it covers.
pub(crate) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    // Patches add nodes behind the ones there are, so ids stay valid.
    for id in model.eval_order()? {
        let Some(root) = Root::of(model, id)? else {
            continue;
        };
        let chain = Chain::after(model, &root)?;
        let name = model.node(chain.last.node).name.clone();
        let gate = Gate::before(model, &root)?;
        let sums = plane_sums(model, &root, chain.last)?;
        let op = FusedConv::new(&root, &chain, gate.is_some(), sums.is_some())?;
        let images = gate.as_ref().map_or(root.input, |gate| gate.input);
        let inputs: TVec<OutletId> = std::iter::once(images)
            .chain(chain.residual)
            .chain(gate.as_ref().map(|gate| gate.factors))
            .collect();
        // Sizes that tract writes in another way than we do are not worth a proof that they are the same.
        let facts = op.output_facts(&[model.outlet_fact(images)?])?;
        if facts[0].shape != model.outlet_fact(chain.last)?.shape {
            continue;
        }
        let mut patch = TypedModelPatch::new("onnx-swish convolution");
        let taps = patch.taps(model, &inputs)?;
        let wires = patch.wire_node(name, op, &taps)?;
        let replaced = std::iter::once(chain.last).chain(sums.map(OutletId::from));
        for (outlet, wire) in replaced.zip(wires) {
            patch.shunt_outside(model, outlet, wire)?;
        }
        let gate = gate.map(|gate| gate.node);
        for node in chain.nodes.iter().copied().chain(gate).chain(sums) {
            patch.obliterate(node)?;
        }
        patch.apply(model)?;
    }
    Ok(())
}

/// A constant's elements, if it is plain f32.
fn f32_constant(tensor: &Tensor) -> Option<&[f32]> {
    if tensor.datum_type() != DatumType::F32 {
        return None;
    }
    tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
}

#[cfg(test)]
mod tests;
