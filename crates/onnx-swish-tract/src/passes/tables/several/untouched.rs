//! Which values no product of tract's has a hand in.
//!
//! Given a graph before tract lowers it; promises nodes behind which no element-wise path leads back to a convolution or a product of
//! matrices of tract's, which takes along what follows it.

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::ops::array::{MultiBroadcastTo, Slice, TypedConcat};
use tract_core::ops::change_axes::AxisOp;
use tract_core::ops::cnn::MaxPool;
use tract_core::ops::konst::Const;
use tract_core::ops::nn::Reduce;
use tract_core::ops::source::TypedSource;

use super::super::regions::is_element_wise;
use crate::conv::is_ours;
use crate::ops::{CodeSums, QuantizeBy, is_code};

/// The nodes by their numbers.
pub(super) struct Untouched(HashSet<usize>);

impl Untouched {
    pub fn of(model: &TypedModel, order: &[usize]) -> TractResult<Untouched> {
        let mut untouched = Untouched(HashSet::new());
        for id in order {
            let node = model.node(*id);
            let (mut passes_on, mut all) = (passes_on(node), true);
            for input in &node.inputs {
                // A factor for each plane is an operand to tract, never what it computes on.
                let whole = model.outlet_fact(*input)?.shape == node.outputs[0].fact.shape;
                all &= untouched.has(model, input.node) || is_element_wise(node) && !whole;
            }
            passes_on &= all;
            if passes_on || begins(node) {
                untouched.0.insert(*id);
            }
        }
        Ok(untouched)
    }

    pub fn has(&self, model: &TypedModel, id: usize) -> bool {
        // What was put in meanwhile is ours.
        self.0.contains(&id) || is_ours(model.node(id))
    }
}

/// Whether what comes out is tract's product if what comes in is.
fn passes_on(node: &TypedNode) -> bool {
    is_element_wise(node)
        || node.op_is::<AxisOp>()
        || node.op_is::<Slice>()
        || node.op_is::<TypedConcat>()
        || node.op_is::<MultiBroadcastTo>()
}

/// Whether a node computes by itself: tract takes no quantisation along.
fn begins(node: &TypedNode) -> bool {
    let makes_codes = |output: &Outlet<TypedFact>| is_code(output.fact.datum_type);
    is_ours(node)
        || node.outputs.iter().any(makes_codes)
        || node.op_is::<TypedSource>()
        || node.op_is::<Const>()
        || node.op_is::<MaxPool>()
        || node.op_is::<Reduce>()
        || node.op_is::<CodeSums>()
        || node.op_is::<QuantizeBy>()
}
