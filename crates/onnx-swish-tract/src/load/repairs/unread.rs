//! Attributes that tract's builders do not read although they change the result.
//!
//! At fault: the builders named below, in tract-onnx. A node with another value than the usual one is refused, because it would
//! run and give other numbers.

use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::{Built, builtin_op};
use crate::error::decline;

/// `ops/s2d.rs` and `ops/d2s.rs`: the order of opset 28.
pub(super) fn space_to_depth(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let mode = node.get_attr_opt("mode")?.unwrap_or("DCR");
    if mode != "DCR" {
        decline!("the order {mode} is not implemented, only DCR is");
    }
    builtin_op(ctx, node, "tract::SpaceToDepth")
}

/// What of an operator is honoured. Nodes that ask for more are refused, because whoever does not read what they ask for computes
/// something else.
pub(super) struct Honoured {
    pub attributes: &'static [&'static str],
    /// By number; inputs and outputs that are left out are none.
    pub inputs: &'static [usize],
    pub outputs: &'static [usize],
}

impl Honoured {
    pub fn check(&self, node: &NodeProto) -> TractResult<()> {
        for attribute in &node.attribute {
            if !self.attributes.contains(&attribute.name.as_str()) {
                decline!("the attribute {} is not implemented", attribute.name);
            }
        }
        let given = |(at, name): (usize, &String)| (!name.is_empty()).then_some(at);
        let mut inputs = node.input.iter().enumerate().filter_map(given);
        if let Some(at) = inputs.find(|at| !self.inputs.contains(at)) {
            decline!("its input {} is not implemented", at + 1);
        }
        let mut outputs = node.output.iter().enumerate().filter_map(given);
        if let Some(at) = outputs.find(|at| !self.outputs.contains(at)) {
            decline!("its output {} is not implemented", at + 1);
        }
        Ok(())
    }
}

/// The integer that a node gives an attribute, or what it is otherwise.
pub(super) fn integer(node: &NodeProto, name: &str, otherwise: i64) -> TractResult<i64> {
    Ok(node.get_attr_opt::<i64>(name)?.unwrap_or(otherwise))
}
