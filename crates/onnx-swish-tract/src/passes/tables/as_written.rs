//! What stands between 8-bit codes, kept as the file has it until tables are made of it.
//!
//! Given a graph that tract has not decluttered; promises that declutter changes no rounding where one code is computed from another,
//! element by element, wherever the elements move in between.

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::array::Slice;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::element_wise::ElementWiseOp;

use super::element_wise;
use super::regions::{is_element_wise, is_single};
use crate::ops::{Exact, ExactRoot, Quantize, is_code};

/// Puts operators in disguise.
pub(in crate::passes) fn keep(model: &mut TypedModel) -> TractResult<()> {
    let order = model.eval_order()?;
    let codes = origins(model, &order)?;
    let mut inside: HashSet<usize> = HashSet::new();
    for id in order.iter().rev() {
        let node = model.node(*id);
        let makes_codes = node.outputs.iter().any(|it| is_code(it.fact.datum_type));
        if makes_codes || inside.contains(id) {
            let computed = node.inputs.iter().filter(|input| codes.contains_key(input));
            inside.extend(computed.map(|input| input.node));
        }
    }
    for id in inside {
        let op = &model.node(id).op;
        let facts = model.node_input_facts(id)?;
        let floats = facts.iter().all(|fact| fact.datum_type.is_float());
        drop(facts);
        let kept: Option<Box<dyn TypedOp>> = if !floats {
            None
        } else if let Some(op) = op.downcast_ref::<TypedBinOp>() {
            Exact::of(op).map(Into::into)
        } else {
            let op = op.downcast_ref::<ElementWiseOp>();
            op.and_then(ExactRoot::of).map(Into::into)
        };
        if let Some(kept) = kept {
            model.node_mut(id).op = kept;
        }
    }
    Ok(())
}

/// Puts tract's operators back.
pub(in crate::passes) fn give_back(model: &mut TypedModel) {
    for node in &mut model.nodes {
        let plain: Option<Box<dyn TypedOp>> = if let Some(op) = node.op_as::<TypedBinOp>() {
            Exact::undone(op).map(Into::into)
        } else {
            let op = node.op_as::<ElementWiseOp>();
            op.and_then(ExactRoot::undone).map(Into::into)
        };
        if let Some(plain) = plain {
            node.op = plain;
        }
    }
}

/// The code that a value is computed from alone, if it is one; of a code that no other is behind, itself.
fn origins(model: &TypedModel, order: &[usize]) -> TractResult<HashMap<OutletId, OutletId>> {
    let mut origins: HashMap<OutletId, OutletId> = HashMap::new();
    // Exporters write one QuantizeLinear for each reader.
    let mut quantised: HashMap<OutletId, Vec<usize>> = HashMap::new();
    for id in order {
        let node = model.node(*id);
        let [output] = &*node.outputs else { continue };
        let outlet = OutletId::new(*id, 0);
        if let Some(origin) = origin(model, node, &origins)? {
            origins.insert(outlet, origin);
        } else if is_code(output.fact.datum_type) && output.fact.konst.is_none() {
            let equals = match &*node.inputs {
                &[of] if element_wise::<Quantize>(node).is_some() => {
                    quantised.entry(of).or_default()
                }
                _ => &mut vec![],
            };
            let same = |other: &&usize| model.node(**other).op.dyn_eq(&*node.op);
            let first = equals.iter().find(same).copied().unwrap_or(*id);
            equals.push(*id);
            origins.insert(outlet, OutletId::new(first, 0));
        }
    }
    Ok(origins)
}

fn origin(
    model: &TypedModel,
    node: &TypedNode,
    origins: &HashMap<OutletId, OutletId>,
) -> TractResult<Option<OutletId>> {
    if !is_element_wise(node) && !node.op_is::<AxisOp>() && !node.op_is::<Slice>() {
        return Ok(None);
    }
    let mut origin = None;
    for input in &node.inputs {
        let is_constant = is_single(model.outlet_fact(*input)?);
        match origins.get(input) {
            _ if is_constant => {}
            Some(own) if origin.is_none_or(|origin| origin == *own) => origin = Some(*own),
            _ => return Ok(None),
        }
    }
    Ok(origin)
}
