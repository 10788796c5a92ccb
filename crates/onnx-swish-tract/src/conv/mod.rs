//! Convolutions, each with what follows it, as one operator on `onnx-swish-conv`.
//!
//! Given a decluttered graph; promises that f32 convolutions over one or two spatial axes and linear layers with constant weights, with the gate
//! before them and the constant scales, offsets, activation, residual and plane sums after them, become one node each, and that
//! everything else stays as tract has it.

pub(crate) mod chain;
pub(crate) mod codes;
pub(crate) mod concatenated;
mod describe;
mod op;
mod place;
pub(crate) mod policy;
pub(crate) mod root;
mod squeeze;
mod transposed;

pub(crate) use codes::QConv;
pub use describe::Convolution;
pub use op::FusedConv;
pub use policy::Convolutions;
pub(crate) use policy::keeps_planes;

use tract_core::internal::*;
use tract_core::ops::cnn::Deconv;

use crate::cost::macs;
use crate::ops::{
    BatchedMatMul, CodePair, Join, PlaneSums, PoolPlanes, QElementwise, QLinear, ResizePlanes,
    RowNorm,
};
use chain::{Chain, Residuals};
use policy::Policy;
use root::{Found, Root};
use squeeze::{Gate, plane_sums};
use transposed::{FusedConvTransposed, Interleave};

/// Replaces what it covers and is to take, and lists what it found.
pub(crate) fn take_over(
    model: &mut TypedModel,
    asked: Convolutions,
    floats: &HashMap<String, String>,
) -> TractResult<Vec<Convolution>> {
    let policy = Policy::new(asked);
    let left = |model: &TypedModel, id: usize, why: String| Convolution {
        floats: floats.get(&model.node(id).name).cloned(),
        ..left(model, id, why)
    };
    let mut convolutions = Vec::new();
    // Patches add nodes behind the ones there are, so ids stay valid.
    for id in model.eval_order()? {
        if let Some(op) = model.node(id).op_as::<Deconv>().cloned() {
            let found = transposed::take_over(model, (id, &op), policy.left(false), asked)?;
            convolutions.push(found);
            continue;
        }
        let root = match Root::of(model, id)? {
            Found::Root(root) => root,
            Found::Left(why) => {
                convolutions.push(left(model, id, why));
                continue;
            }
            Found::Other => continue,
        };
        if let Some(why) = policy.left(root.is_depthwise()) {
            convolutions.push(left(model, id, why.to_owned()));
            continue;
        }
        let chain = Chain::after(model, &root, Residuals::Taken)?;
        let name = model.node(chain.last.node).name.clone();
        let gate = Gate::before(model, &root)?;
        let sums = plane_sums(model, &root, chain.last)?;
        let images = gate.as_ref().map_or(root.input, |gate| gate.input);
        let with = (gate.is_some(), sums.is_some(), asked.exact());
        let op = FusedConv::new(&root, &chain, model.outlet_fact(images)?, with)?;
        let inputs: TVec<OutletId> = std::iter::once(images)
            .chain(chain.residual)
            .chain(gate.as_ref().map(|gate| gate.factors))
            .collect();
        // Sizes that tract writes in another way than we do are not worth a proof that they are the same.
        let facts = op.output_facts(&[model.outlet_fact(images)?])?;
        if facts[0].shape != model.outlet_fact(chain.last)?.shape {
            convolutions.push(left(
                model,
                id,
                "of sizes written in another way".to_owned(),
            ));
            continue;
        }
        let by = method(&op, model.outlet_fact(images)?)?;
        let gate = gate.map(|gate| gate.node);
        let replaced: Vec<usize> = gate.into_iter().chain(chain.nodes).chain(sums).collect();
        convolutions.push(Convolution {
            node: model.node(id).name.clone(),
            op: op.name().into_owned(),
            ours: true,
            kind: Some(op.kind() + &by),
            info: Some(op.details() + &by),
            left: None,
            codes: false,
            floats: floats.get(&model.node(id).name).cloned(),
            nodes: replaced
                .iter()
                .map(|node| model.node(*node).name.clone())
                .collect(),
            macs: macs(&op, &[model.outlet_fact(images)?]),
        });
        let mut patch = TypedModelPatch::new("onnx-swish convolution");
        let taps = patch.taps(model, &inputs)?;
        let wires = patch.wire_node(name, op, &taps)?;
        let outlets = std::iter::once(chain.last).chain(sums.map(OutletId::from));
        for (outlet, wire) in outlets.zip(wires) {
            patch.shunt_outside(model, outlet, wire)?;
        }
        for node in replaced {
            patch.obliterate(node)?;
        }
        patch.apply(model)?;
    }
    Ok(convolutions)
}

/// By which method, as a clause, where that is to be said.
fn method(op: &FusedConv, images: &TypedFact) -> TractResult<String> {
    Ok(match op.method(images)? {
        Some(method) => format!(", by {method}"),
        None => String::new(),
    })
}

/// A convolution of codes that takes the place of these nodes.
pub(crate) fn of_codes(
    model: &TypedModel,
    node: &TypedNode,
    nodes: &[usize],
    op: &QConv,
    input: OutletId,
) -> TractResult<Convolution> {
    let names = nodes.iter().map(|node| model.node(*node).name.clone());
    Ok(Convolution {
        node: node.name.clone(),
        op: op.name().into_owned(),
        ours: true,
        kind: Some(op.kind()),
        info: Some(op.details()),
        left: None,
        codes: true,
        floats: None,
        nodes: names.collect(),
        macs: macs(op, &[model.outlet_fact(input)?]),
    })
}

/// Whether a node's operator is one of ours that takes and gives blocks of memory.
pub(crate) fn is_ours(node: &TypedNode) -> bool {
    node.op_is::<FusedConv>()
        || node.op_is::<FusedConvTransposed>()
        || node.op_is::<Interleave>()
        || node.op_is::<QConv>()
        || node.op_is::<CodePair>()
        || node.op_is::<QLinear>()
        || node.op_is::<QElementwise>()
        || node.op_is::<BatchedMatMul>()
        || node.op_is::<Join>()
        || node.op_is::<PoolPlanes>()
        || node.op_is::<PlaneSums>()
        || node.op_is::<ResizePlanes>()
        || node.op_is::<RowNorm>()
}

/// Where the packed weights of one of our operators are.
#[cfg(test)]
pub(crate) fn weights_of(node: &TypedNode) -> Option<usize> {
    let float = node.op_as::<FusedConv>().map(FusedConv::address);
    let codes = node.op_as::<QConv>().map(QConv::address);
    let transposed = node.op_as::<FusedConvTransposed>();
    float
        .or(codes)
        .or(transposed.map(FusedConvTransposed::address))
}

/// A convolution that stays on tract.
fn left(model: &TypedModel, node: usize, why: String) -> Convolution {
    let facts = model.node_input_facts(node).unwrap_or_default();
    let node = model.node(node);
    Convolution {
        node: node.name.clone(),
        op: node.op.name().into_owned(),
        ours: false,
        kind: None,
        info: None,
        left: Some(why),
        codes: false,
        floats: None,
        nodes: vec![node.name.clone()],
        macs: macs(&*node.op, &facts),
    }
}

/// A constant's elements, if it is plain f32.
pub(crate) fn f32_constant(tensor: &Tensor) -> Option<&[f32]> {
    if tensor.datum_type() != DatumType::F32 {
        return None;
    }
    tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()
}

#[cfg(test)]
pub(crate) mod tests;
