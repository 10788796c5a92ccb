//! Our rewrites of tract's graph, between its declutter and its code generation.
//!
//! Given a decluttered graph of concrete shapes; promises the same numbers within the bounds that each pass documents.

mod activations;
mod softmax;

use tract_core::internal::*;

/// A rewrite: named in errors, run once, in the order of the list.
struct Pass {
    name: &'static str,
    run: fn(&mut TypedModel) -> TractResult<()>,
}

/// Every rewrite that `Operators::OnnxSwish` brings to a graph, archives included.
const PASSES: &[Pass] = &[Pass {
    name: "activations",
    run: activations::take_over,
}];

/// Those that it brings to a graph which is about to run: operators that NNEF does not know, and need not.
const PASSES_TO_RUN: &[Pass] = &[Pass {
    name: "softmax",
    run: softmax::take_over,
}];

/// Runs all passes for a graph that may also be written out.
pub(crate) fn run_all(model: &mut TypedModel) -> TractResult<()> {
    run(PASSES, model)
}

/// Runs all passes for a graph that is about to run, after [`run_all`].
pub(crate) fn run_last(model: &mut TypedModel) -> TractResult<()> {
    run(PASSES_TO_RUN, model)
}

fn run(passes: &[Pass], model: &mut TypedModel) -> TractResult<()> {
    for pass in passes {
        (pass.run)(model).with_context(|| format!("in onnx-swish's pass \"{}\"", pass.name))?;
    }
    Ok(())
}
