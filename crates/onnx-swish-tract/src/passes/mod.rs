//! Our rewrites of tract's graph, between its declutter and its code generation.
//!
//! Given a decluttered graph of concrete shapes; promises the same numbers within the bounds that each pass documents.

mod activations;
mod softmax;

use tract_core::internal::*;

use crate::conv::{self, Convolution};

/// What the passes found on their way.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The graph's convolutions, ours and those that stay on tract.
    pub convolutions: Vec<Convolution>,
}

/// When a pass runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// On every graph: what it writes can also be stored in an archive.
    Loaded,
    /// On a graph that is about to run: it writes operators that NNEF does not know, and need not.
    BeforeRun,
    /// As `BeforeRun`, where convolutions are to be ours.
    BeforeRunWithConvolutions,
}

/// A rewrite: named in errors, run once.
struct Pass {
    name: &'static str,
    when: When,
    run: fn(&mut TypedModel, &mut Findings) -> TractResult<()>,
}

/// Every rewrite, in the order in which they run. Convolutions take activations along, so these are ours first.
const PASSES: &[Pass] = &[
    Pass {
        name: "activations",
        when: When::Loaded,
        run: |model, _| activations::take_over(model),
    },
    Pass {
        name: "convolutions",
        when: When::BeforeRunWithConvolutions,
        run: |model, findings| {
            findings.convolutions = conv::take_over(model)?;
            Ok(())
        },
    },
    Pass {
        name: "softmax",
        when: When::BeforeRun,
        run: |model, _| softmax::take_over(model),
    },
];

/// Runs the passes for a graph that may also be written out.
pub(crate) fn loaded(model: &mut TypedModel) -> TractResult<()> {
    run(model, |when| when == When::Loaded).map(drop)
}

/// Runs the passes for a graph that is about to run, after [`loaded`].
pub(crate) fn before_run(model: &mut TypedModel, convolutions: bool) -> TractResult<Findings> {
    run(model, |when| match when {
        When::Loaded => false,
        When::BeforeRun => true,
        When::BeforeRunWithConvolutions => convolutions,
    })
}

fn run(model: &mut TypedModel, wanted: impl Fn(When) -> bool) -> TractResult<Findings> {
    let mut findings = Findings::default();
    for pass in PASSES.iter().filter(|pass| wanted(pass.when)) {
        (pass.run)(model, &mut findings)
            .with_context(|| format!("in onnx-swish's pass \"{}\"", pass.name))?;
    }
    Ok(findings)
}
