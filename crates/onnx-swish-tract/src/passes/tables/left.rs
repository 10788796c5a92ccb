//! Codes that floats still become, and why.
//!
//! Given a graph behind the other rewrites; promises a clause for each QuantizeLinear that is still a node of its own.

use tract_core::internal::*;

use super::{CodeTable, element_wise, is_sane};
use crate::ops::{Dequantize, Direction, LookUp, Quantize, QuantizeBy, is_code};

pub(super) fn of(model: &TypedModel) -> TractResult<Vec<CodeTable>> {
    let mut left = Vec::new();
    for id in model.eval_order()? {
        let node = model.node(id);
        let why = match (element_wise::<Quantize>(node), node.op_as::<QuantizeBy>()) {
            (Some(op), _) => why(model, node, op)?,
            (None, Some(op)) if op.direction == Direction::Quantize => {
                "a scale with several elements, or one that the model computes".to_owned()
            }
            _ => continue,
        };
        left.push(CodeTable {
            node: node.name.clone(),
            what: "QuantizeLinear".to_owned(),
            between_codes: false,
            table: false,
            left: Some(why),
            nodes: vec![node.name.clone()],
        });
    }
    Ok(left)
}

fn why(model: &TypedModel, node: &TypedNode, op: &Quantize) -> TractResult<String> {
    if !is_code(op.to) {
        return Ok("codes of 16 bits".to_owned());
    }
    if !is_sane(op.scale) {
        let scale = op.scale;
        return Ok(format!(
            "a scale of {scale:e}, about which engines disagree"
        ));
    }
    // Of the codes, or of those that a table makes of them.
    let mut codes = node;
    loop {
        if model.output_outlets()?.contains(&codes.id.into()) {
            return Ok("the codes are an output of the model".to_owned());
        }
        let successors = codes.outputs.iter().flat_map(|output| &output.successors);
        let readers: Vec<&TypedNode> = successors.map(|inlet| model.node(inlet.node)).collect();
        let other = readers.iter().find(|reader| {
            element_wise::<LookUp>(reader).is_none() && element_wise::<Dequantize>(reader).is_none()
        });
        if let Some(other) = other {
            return Ok(format!("{} reads the codes", other.op.name()));
        }
        match *readers {
            [only] if element_wise::<LookUp>(only).is_some() => codes = only,
            _ => return Ok("the codes are read in several ways".to_owned()),
        }
    }
}
