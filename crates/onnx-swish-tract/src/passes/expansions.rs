//! What is repeated along an axis that is summed over next.
//!
//! Given a graph before declutter; promises that sums go over every copy. At fault: tract-core, `ops/einsum/mod.rs`, `declutter_broadcast`,
//! which takes the repeating away before any EinSum, and convolutions of single pixels are one: along an axis of theirs that no other input
//! makes as long, the sum is then taken once, or the output is too short.

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::array::{MultiBroadcastTo, Tile};
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::Conv;
use tract_core::ops::cnn::deconv::Deconv;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::identity::Identity;

/// Puts what repeats in front of a sum in disguise.
pub(super) fn keep(model: &mut TypedModel) -> TractResult<()> {
    let mut summed: HashSet<usize> = HashSet::new();
    for id in model.eval_order()?.into_iter().rev() {
        let node = model.node(id);
        let sums = node.op_is::<EinSum>() || node.op_is::<Conv>() || node.op_is::<Deconv>();
        // What declutter pulls to the other side of the repeating.
        let moves = node.op_is::<AxisOp>()
            || node.op_is::<ElementWiseOp>()
            || node.op_is::<Cast>()
            || node.op_is::<Identity>()
            || repeats(node);
        if sums || (moves && summed.contains(&id)) {
            summed.extend(node.inputs.iter().map(|input| input.node));
        }
    }
    for id in summed {
        let node = model.node_mut(id);
        if repeats(node) {
            node.op = Box::new(Hidden(node.op.clone()));
        }
    }
    Ok(())
}

/// Puts tract's operators back, for an archive.
pub(super) fn give_back(model: &mut TypedModel) {
    for node in &mut model.nodes {
        if let Some(Hidden(own)) = node.op_as() {
            node.op = own.clone();
        }
    }
}

fn repeats(node: &TypedNode) -> bool {
    node.op_is::<MultiBroadcastTo>() || node.op_is::<Tile>()
}

/// tract's own operator, which its rewrites do not recognise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden(pub Box<dyn TypedOp>);

impl Op for Hidden {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Hidden {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(context, inputs)
    }
}

impl TypedOp for Hidden {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
