//! What compares elements, and samples at them, where some are NaN or infinite.
//!
//! Given a graph that tract has lowered to its machine's operators; promises that maxima, minima, MaxPool, TopK and GridSample of
//! floats are [`Selection`], [`Ranking`] and [`Sampling`], which say what is wrong with tract's.

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::array::Topk;
use tract_core::ops::cnn::{MaxPool, OptMaxPool};
use tract_core::ops::nn::grid_sample::GridSample;
use tract_core::ops::nn::{Reduce, Reducer};

use crate::ops::{Ranking, Sampling, Selection};

pub(super) fn take_over(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<OptMaxPool>("pool", |_, model, node, _, op| {
            floats(model, node, Selection::Pool(Box::new(op.clone())))
        })
        .with_rule_for::<MaxPool>("open pool", |_, model, node, _, op| {
            floats(model, node, Selection::OpenPool(Box::new(op.clone())))
        })
        .with_rule_for::<Reduce>("reduce", |_, model, node, _, op| {
            if matches!(op.reducer, Reducer::Max | Reducer::Min) {
                floats(model, node, Selection::Reduce(op.clone()))
            } else {
                Ok(None)
            }
        })
        .with_rule_for::<Topk>("top", |_, model, node, _, op| {
            floats(model, node, Ranking(op.clone()))
        })
        .with_rule_for::<GridSample>("grid", |_, model, node, _, op| {
            floats(model, node, Sampling(op.clone()))
        })
        .rewrite(&(), model)
}

/// An operator in the place of one whose first input is of floats.
fn floats(
    model: &TypedModel,
    node: &TypedNode,
    op: impl Into<Box<dyn TypedOp>>,
) -> TractResult<Option<TypedModelPatch>> {
    let facts = model.node_input_facts(node.id)?;
    let dt = facts.first().context("no input")?.datum_type;
    if !matches!(dt, DatumType::F16 | DatumType::F32 | DatumType::F64) {
        return Ok(None);
    }
    TypedModelPatch::replace_single_op(model, node, &node.inputs, op).map(Some)
}
