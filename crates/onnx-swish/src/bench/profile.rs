//! Time by operator and by node.
//!
//! Given several runs of one contender with a clock around every node; promises medians over the runs.

use std::collections::BTreeMap;
use std::time::Duration;

use onnx_swish_tract::{NodeInfo, NodeTime};
use serde::Serialize;

use super::Timing;

/// Time of one kind of operator in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpTime {
    /// tract's name of the operator; ours begin with `Fused`, or `Simd` where they fuse nothing. `LookUp` is a table of 8-bit codes, and
    /// `Requantize` floats that go through codes.
    pub op: String,
    /// Milliseconds, median over the profiled runs.
    pub ms: f64,
    /// How many nodes.
    pub count: usize,
    /// Multiply-accumulates of all of them; null for operators that are no convolutions or products of matrices.
    pub macs: Option<u64>,
}

/// Time of one node in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeProfile {
    /// The node's name in the optimised graph, which keeps the model's names.
    pub node: String,
    /// tract's name of its operator.
    pub op: String,
    /// Milliseconds, median over the profiled runs.
    pub ms: f64,
    /// What the operator says of itself: for a convolution of ours its kernel, stride, channels, and what is computed with it.
    pub info: String,
    /// Multiply-accumulates; null for operators that are no convolutions or products of matrices.
    pub macs: Option<u64>,
}

/// The profile of one contender.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub operators: Vec<OpTime>,
    pub nodes: Vec<NodeProfile>,
}

impl Profile {
    /// Of runs that all list their nodes in the order of `nodes`.
    pub fn of(nodes: Vec<NodeInfo>, runs: &[Vec<NodeTime>]) -> Profile {
        let time = |index: usize| {
            runs.iter()
                .filter_map(move |run| run.get(index))
                .map(|node| node.time)
        };
        let nodes = nodes
            .into_iter()
            .enumerate()
            .map(|(index, node)| NodeProfile {
                node: node.node,
                op: node.op,
                ms: median_ms(time(index)),
                info: node.info,
                macs: node.macs,
            });
        let nodes: Vec<NodeProfile> = nodes.collect();
        Profile {
            operators: by_operator(&nodes, runs),
            nodes,
        }
    }
}

impl Profile {
    pub fn parts(self) -> (Vec<OpTime>, Vec<NodeProfile>) {
        (self.operators, self.nodes)
    }
}

fn median_ms(times: impl Iterator<Item = Duration>) -> f64 {
    Timing::of(&times.collect::<Vec<_>>()).median_ms
}

/// Longest first. Times are added up within each run, because medians do not add.
fn by_operator(nodes: &[NodeProfile], runs: &[Vec<NodeTime>]) -> Vec<OpTime> {
    let mut kinds: BTreeMap<&str, (OpTime, Vec<Duration>)> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let (kind, times) = kinds.entry(&node.op).or_insert_with(|| {
            let kind = OpTime {
                op: node.op.clone(),
                ms: 0.0,
                count: 0,
                macs: None,
            };
            (kind, vec![Duration::ZERO; runs.len()])
        });
        kind.count += 1;
        if let Some(macs) = node.macs {
            *kind.macs.get_or_insert(0) += macs;
        }
        for (time, run) in times.iter_mut().zip(runs) {
            *time += run.get(index).map_or(Duration::ZERO, |node| node.time);
        }
    }
    let kinds = kinds.into_values().map(|(kind, times)| OpTime {
        ms: median_ms(times.into_iter()),
        ..kind
    });
    let mut kinds: Vec<OpTime> = kinds.collect();
    kinds.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_add_up_within_a_run_and_products_are_counted() {
        let info = |node: &str, op: &str, macs| NodeInfo {
            node: node.to_owned(),
            op: op.to_owned(),
            info: String::new(),
            macs,
        };
        let nodes = vec![
            info("a", "Conv", Some(3)),
            info("b", "Add", None),
            info("c", "Conv", Some(4)),
        ];
        let run = |times: [u64; 3]| {
            let times = nodes.iter().zip(times).map(|(node, ms)| NodeTime {
                node: node.node.clone(),
                op: node.op.clone(),
                time: Duration::from_millis(ms),
            });
            times.collect::<Vec<_>>()
        };
        let runs = [run([1, 9, 5]), run([5, 9, 1]), run([1, 9, 1])];
        let profile = Profile::of(nodes, &runs);
        let found: Vec<_> = profile
            .operators
            .iter()
            .map(|op| (&*op.op, op.ms, op.count, op.macs))
            .collect();
        // The medians of the two are 1 each; together they took 6, 6 and 2.
        assert_eq!(found, [("Add", 9.0, 1, None), ("Conv", 6.0, 2, Some(7))]);
        assert_eq!(profile.nodes[2].ms, 1.0);
    }
}
