//! Where a graph computes one 8-bit code from another, element by element.
//!
//! Given a decluttered graph; promises regions in which every value is a function of one code at the same place, all other operands
//! being single constants.

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;
use tract_core::ops::logic::Iff;

use super::{element_wise, is_sane};
use crate::ops::{Dequantize, QLinear, Quantize, is_code};

/// From one code to another.
pub(super) struct Region {
    /// The code that all else is computed from. It is itself computed from no single code.
    pub root: OutletId,
    pub end: OutletId,
    /// What lies between, in the order of evaluation, the last of them the end's.
    pub nodes: Vec<usize>,
}

/// More nodes than any activation has. What has more is left, so that a hostile file cannot ask for tables of tables without end.
pub(super) const MOST_NODES: usize = 256;

/// The largest region of each code that is needed: of those within others only such as somebody else reads.
pub(super) fn find(model: &TypedModel) -> TractResult<Vec<Region>> {
    let order = model.eval_order()?;
    let mut roots: HashMap<OutletId, OutletId> = HashMap::new();
    for id in &order {
        let node = model.node(*id);
        let root = root_of(model, node, &roots)?;
        for (slot, output) in node.outputs.iter().enumerate() {
            let outlet = OutletId::new(*id, slot);
            let fact = &output.fact;
            if let Some(root) = root {
                roots.insert(outlet, root);
            } else if is_code(fact.datum_type)
                && fact.is_plain()
                && fact.konst.is_none()
                && fact.rank() > 0
            {
                roots.insert(outlet, outlet);
            }
        }
    }
    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(i, id)| (*id, i)).collect();
    let mut regions = Vec::new();
    for (end, root) in needed(model, &roots)? {
        if let Some(mut nodes) = between(model, root, end.node) {
            nodes.sort_unstable_by_key(|id| place.get(id).copied());
            regions.push(Region { root, end, nodes });
        }
    }
    regions.sort_unstable_by_key(|region| place.get(&region.end.node).copied());
    Ok(regions)
}

/// The codes that are needed when each is had from its root alone, with these.
fn needed(
    model: &TypedModel,
    roots: &HashMap<OutletId, OutletId>,
) -> TractResult<Vec<(OutletId, OutletId)>> {
    let mut ahead = model.output_outlets()?.to_vec();
    let (mut seen, mut needed) = (HashSet::new(), Vec::new());
    while let Some(outlet) = ahead.pop() {
        if !seen.insert(outlet) {
            continue;
        }
        let is_code = is_code(model.outlet_fact(outlet)?.datum_type);
        match roots.get(&outlet) {
            Some(root) if is_code && *root != outlet => {
                needed.push((outlet, *root));
                ahead.push(*root);
            }
            _ => ahead.extend(&model.node(outlet.node).inputs),
        }
    }
    Ok(needed)
}

/// The code that a node's output is a function of, element by element.
fn root_of(
    model: &TypedModel,
    node: &TypedNode,
    roots: &HashMap<OutletId, OutletId>,
) -> TractResult<Option<OutletId>> {
    let [output] = &*node.outputs else {
        return Ok(None);
    };
    if !is_element_wise(node) || !output.fact.is_plain() {
        return Ok(None);
    }
    let inputs = model.node_input_facts(node.id)?;
    if node.op_is::<TypedBinOp>() && !inputs.iter().all(|fact| fact.datum_type.is_float()) {
        // A division of integers may fail for codes that never occur.
        return Ok(None);
    }
    let mut root = None;
    for input in &node.inputs {
        let fact = model.outlet_fact(*input)?;
        match (&fact.konst, roots.get(input)) {
            (Some(_), _) if is_single(fact) => {}
            (None, Some(own)) if root.is_none_or(|root| root == *own) => root = Some(*own),
            _ => return Ok(None),
        }
    }
    let Some(root) = root else {
        return Ok(None);
    };
    // Of one element, ONNX Runtime's sum rounds in another order.
    let one = node.op_is::<QLinear>() && output.fact.shape.volume() == 1.to_dim();
    // A constant of more axes, or another operand's, would broadcast.
    let same_shape = model.outlet_fact(root)?.shape == output.fact.shape;
    Ok((same_shape && !one).then_some(root))
}

/// Whether a value is one constant.
pub(super) fn is_single(fact: &TypedFact) -> bool {
    let constant = fact.konst.as_ref();
    constant.is_some_and(|constant| constant.len() == 1)
}

/// Whether an element of the output depends on the elements at the same place only.
pub(super) fn is_element_wise(node: &TypedNode) -> bool {
    if let Some(op) = element_wise::<Quantize>(node) {
        return is_sane(op.scale);
    }
    if let Some(op) = element_wise::<Dequantize>(node) {
        return is_sane(op.scale);
    }
    node.op_is::<ElementWiseOp>()
        || node.op_is::<TypedBinOp>()
        || node.op_is::<Cast>()
        || node.op_is::<Identity>()
        || node.op_is::<Iff>()
        || node.op_is::<QLinear>()
}

/// The nodes from behind the root to this one, if they are not too many.
fn between(model: &TypedModel, root: OutletId, last: usize) -> Option<Vec<usize>> {
    let (mut nodes, mut ahead) = (HashSet::from([last]), vec![last]);
    while let Some(id) = ahead.pop() {
        for input in &model.node(id).inputs {
            let fact = model.outlet_fact(*input).ok()?;
            if *input != root && fact.konst.is_none() && nodes.insert(input.node) {
                ahead.push(input.node);
            }
        }
        if nodes.len() > MOST_NODES {
            return None;
        }
    }
    Some(nodes.into_iter().collect())
}
