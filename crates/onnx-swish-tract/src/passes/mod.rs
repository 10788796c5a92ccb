//! Our rewrites of tract's graph, between its declutter and its code generation.
//!
//! Given a decluttered graph of concrete shapes; promises the same numbers within the bounds that each pass documents.

mod activations;

use tract_core::internal::*;

/// A rewrite: named in errors, run once, in the order of the list.
struct Pass {
    name: &'static str,
    run: fn(&mut TypedModel) -> TractResult<()>,
}

/// Every rewrite that `Operators::OnnxSwish` brings.
const PASSES: &[Pass] = &[Pass {
    name: "activations",
    run: activations::take_over,
}];

/// Runs all passes.
pub(crate) fn run_all(model: &mut TypedModel) -> TractResult<()> {
    for pass in PASSES {
        (pass.run)(model).with_context(|| format!("in onnx-swish's pass \"{}\"", pass.name))?;
    }
    Ok(())
}
