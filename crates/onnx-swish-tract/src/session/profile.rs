//! What a plan consists of, and how long each node takes.
//!
//! Given a plan; promises its nodes in the order of execution, the one in which a timed run lists their times.

use std::time::{Duration, Instant};

use super::plan::Plan;
use crate::cost::macs;
use crate::error::Result;
use crate::tensor::Tensor as Value;

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

/// How long one node took in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeTime {
    /// The node's name in tract's optimised graph, which keeps the model's names.
    pub node: String,
    /// The operator's name in tract.
    pub op: String,
    /// How long it took.
    pub time: Duration,
}

impl Plan {
    pub fn nodes(&self) -> Vec<NodeInfo> {
        let model = self.model();
        let nodes = self.order().iter().map(|id| {
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

    pub fn run_timed(&self, inputs: Vec<Value>) -> Result<(Vec<Value>, Vec<NodeTime>)> {
        let mut times = Vec::new();
        let outputs = self.run_with(inputs, |node, inputs, work| {
            let start = Instant::now();
            let result = work(inputs);
            let time = start.elapsed();
            times.push(NodeTime {
                node: node.name.clone(),
                op: node.op.name().into_owned(),
                time,
            });
            result
        })?;
        Ok((outputs, times))
    }
}
