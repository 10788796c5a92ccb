//! How much an operator multiplies.
//!
//! Given an operator and its inputs' facts; promises multiply-accumulates, counted by the operator itself, and nothing for
//! operators whose figure would be an estimate per element.

use tract_core::internal::*;

/// Operators that are products: tract's elementwise ones state a cost too, of which no rate can be made.
const PRODUCTS: [&str; 8] = [
    "Conv",
    "DepthWiseConv",
    "DirectSpatialConv",
    "BlockedConv",
    "OptMatMul",
    "EinSum",
    "BatchedMatMul",
    "BatchedMatMulSoftmax",
];

/// Multiply-accumulates of one evaluation, of operators that are products.
pub(crate) fn macs(op: &dyn TypedOp, inputs: &[&TypedFact]) -> Option<u64> {
    let name = op.name();
    let ours = name.starts_with("Fused") || name.starts_with("QConv");
    if !PRODUCTS.contains(&&*name) && !ours {
        return None;
    }
    let costs = op.cost(inputs).ok()?;
    let products = costs
        .into_iter()
        .filter(|(cost, _)| matches!(cost, Cost::FMA(_)));
    let macs: TDim = products.map(|(_, count)| count).sum();
    macs.to_usize()
        .ok()
        .filter(|macs| *macs > 0)
        .map(|macs| macs as u64)
}
