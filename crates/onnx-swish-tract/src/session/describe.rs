//! What a plan consists of, for profiles and for those who ask what the engine did.
//!
//! Given a plan; promises its nodes in the order of execution, the one in which a timed run lists their times.

use super::plans::Plan;
use crate::conv::Convolution;
use crate::cost::macs;

/// A node of the optimised graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// The node's name in tract's optimised graph, which keeps the model's names.
    pub node: String,
    /// The operator's name in tract.
    pub op: String,
    /// What the operator says of itself on one line; may be empty.
    pub info: String,
    /// Multiply-accumulates of one run, where the operator is a product and counts them.
    pub macs: Option<u64>,
}

impl Plan {
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let model = self.plan.model();
        let order = self.plan.order_without_consts().iter();
        let nodes = order.map(|id| {
            let node = model.node(*id);
            let facts = model.node_input_facts(*id).unwrap_or_default();
            NodeInfo {
                node: node.name.clone(),
                op: node.op.name().into_owned(),
                info: crate::error::one_line(&node.op.info().unwrap_or_default().join("; ")),
                macs: macs(&*node.op, &facts),
            }
        });
        nodes.collect()
    }

    pub fn convolutions(&self) -> &[Convolution] {
        &self.convolutions
    }
}
