//! Which convolutions our kernels compute, and why the rest is tract's.
//!
//! Given what the engine says of a graph; promises an entry for each convolution in the order of execution, as a document.

use serde::Serialize;

/// A convolution of a model, or a product with constant weights, and who computes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Convolution {
    /// The node's name in tract's graph, which keeps the model's names.
    pub node: String,
    /// The operator: `FusedConv`, `FusedConvDepthwise`, `FusedConvPointwise`, or the one of tract that stays.
    pub op: String,
    /// Whether our kernels compute it.
    pub ours: bool,
    /// What ours computes, without sizes: `depthwise 3x3, HardSwish, plane sums`. Null for one of tract's.
    pub kind: Option<String>,
    /// The same with sizes.
    pub info: Option<String>,
    /// Why it stays on tract: a clause about the convolution. Null for one of ours.
    pub left: Option<String>,
    /// The nodes of tract's graph that went into it, itself included.
    pub nodes: Vec<String>,
    /// Multiply-accumulates of one run; null where they are not known.
    pub macs: Option<u64>,
}

impl From<onnx_swish_tract::Convolution> for Convolution {
    fn from(found: onnx_swish_tract::Convolution) -> Self {
        let ours = found.left.is_none();
        Convolution {
            node: found.node,
            op: found.op,
            ours,
            kind: ours.then_some(found.kind),
            info: ours.then_some(found.info),
            left: found.left,
            nodes: found.nodes,
            macs: found.macs,
        }
    }
}
