//! Fusing a file for what its options name, in one step or in two.
//! Given: a model and options.
//! Promises: what a runtime does not load is taken apart before anything is fused, and the report is of both.

use onnx_swish_model::{Model, Spliced};

use crate::Error;
use crate::emit::apply::apply;
use crate::expand::{Expansion, expand_for};
use crate::plan::{Options, Plan, analyze};
use crate::report::Report;
use crate::runtimes::Runtime;

/// A fused file, not yet written anywhere.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rewrite {
    /// What was done.
    pub report: Report,
    /// The new file.
    pub file: Spliced,
    /// Whether operators were taken apart first, so that the pieces of `file` are of the file between the two steps and not of the model.
    pub in_two_steps: bool,
}

/// Fuses every Swish and HardSwish of a model. Where [`Options::runtime`] names a runtime, operators that it does not load are taken apart
/// first; what of them it has another operator for is fused again.
///
/// # Errors
/// The result exceeds what a model file may hold.
pub fn rewrite(model: &Model, options: &Options) -> Result<Rewrite, Error> {
    rewrite_planned(model, options, &analyze(model, options))
}

/// The same, where somebody has the plan that [`analyze`] makes of the model and these options.
///
/// # Errors
/// As [`rewrite`].
pub fn rewrite_planned(
    model: &Model,
    options: &Options,
    plan: &Plan<'_>,
) -> Result<Rewrite, Error> {
    let report = plan.report();
    if let Some(runtime) = options.runtime.filter(|_| !report.not_loaded.is_empty()) {
        return in_two_steps(model, options, runtime, report);
    }
    Ok(Rewrite {
        report,
        file: apply(model, plan)?,
        in_two_steps: false,
    })
}

/// Fuses what a model is without the operators that a runtime does not load.
fn in_two_steps(
    model: &Model,
    options: &Options,
    runtime: &Runtime,
    before: Report,
) -> Result<Rewrite, Error> {
    let Expansion {
        model: plain,
        expanded,
        kept,
        ..
    } = expand_for(model, runtime)?;
    let plain = plain.into_model()?;
    let plan = analyze(&plain, options);
    let file = apply(&plain, &plan)?;
    let mut report = plan.report();
    // The file is what was given, and an operator that was one is not nearly another.
    report.nodes = before.nodes;
    report.function_nodes = before.function_nodes;
    report
        .near_misses
        .retain(|miss| !expanded.contains(&miss.output));
    for one in &mut report.not_loaded {
        let kept = kept.iter().find(|(output, _)| *output == one.output);
        one.stays = kept.map(|(_, why)| why.clone());
    }
    report.expanded = expanded;
    Ok(Rewrite {
        report,
        file,
        in_two_steps: true,
    })
}
