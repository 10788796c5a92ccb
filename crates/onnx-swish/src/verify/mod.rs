//! Whether fusion changed the numbers, and by how much.
//!
//! Given a model and its fused form (or nothing: it is fused in memory), and what to compare with: tract's plain operators, ONNX
//! Runtime, or outputs that are known. Promises that nothing of ours computes the reference, and that inputs reach the tails and the
//! bend of every activation.

mod choice;
mod codes;
mod compare;
mod cuts;
mod formula;
mod judge;
mod layers;
mod layout;
mod names;
mod on_codes;
mod options;
mod origin;
mod reference;
mod report;
mod rows;
mod saturation;
mod sides;
mod suppressions;
mod test_data;
mod tolerance;
#[cfg(test)]
mod traps;
mod ulps;
mod values;

pub use codes::Codes;
pub use compare::{JudgedBy, OutputComparison, Worst};
pub use formula::{Coverage, Inexact};
pub use layers::Layers;
pub use on_codes::OnCodes;
pub use options::VerifyOptions;
pub use reference::{OnnxRuntimeError, Reference};
pub use report::{FirstOff, OffFrom, VerifyReport};
pub use rows::Rows;
pub use test_data::{TestDataError, TestSet, read_test_data};
pub use tolerance::Tolerance;

use onnx_swish_tract::Operators;

use crate::Model;
use crate::engine::{EngineOptions, engine, flattened, fused_in_memory};
use crate::error::Result;
use crate::progress::Progress;
use crate::words::counted;
use reference::Runner;
use sides::Sides;

/// Runs the original and the fused model on the same inputs and compares every output, and every fused activation with its formula.
///
/// Without `fused` the model is fused in memory. Without inputs it runs on two random sets: standard normal, and one scaled
/// so that the median activation is driven to magnitude 12.
///
/// ```
/// use onnx_swish::{Model, VerifyOptions, verify};
///
/// # fn main() -> Result<(), onnx_swish::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/beta_channel.op13.onnx");
/// let model = Model::open(path)?;
/// let report = verify(&model, None, &VerifyOptions::default(), |_| ())?;
/// for output in &report.outputs {
///     println!("{}: {} elements, {} ulp at most", output.name, output.elements, output.max_ulp);
/// }
/// assert!(report.equal);
/// # Ok(()) }
/// ```
///
/// # Errors
/// If a model cannot be fused, loaded or run, the reference cannot be had, a free dimension was not given, a tolerance is no finite number
/// from zero up, or the two have different outputs.
pub fn verify(
    original: &Model,
    fused: Option<&Model>,
    options: &VerifyOptions,
    mut progress: impl FnMut(Progress),
) -> Result<VerifyReport> {
    options.check_tolerances()?;
    progress(Progress::Loading("original"));
    let reference = Runner::load(original, options)?;
    progress(Progress::Loading("fused"));
    let in_memory;
    let fused = match fused {
        Some(fused) => fused,
        None => {
            in_memory = fused_in_memory(original)?;
            &in_memory
        }
    };
    let engine = engine(fused, &EngineOptions::of(options, Operators::OnnxSwish))?;
    let seed = options.inputs.is_empty().then_some(options.seed);
    let mut report = VerifyReport::new(reference.name(), seed);
    let has_values = reference.has_values();
    let mut sides = Sides::new(reference, engine, original, options);
    let inputs = sides.run_all(&mut report, &mut progress)?;
    report.warnings.extend(sides.unknown());
    report.warnings.extend(sides.not_compared());
    // What is looked at closer is loaded again, with more outputs.
    let mut seen = sides.unloaded();
    let models = values::Models {
        original,
        fused,
        inputs: &inputs,
        options,
        narrowest: seen.narrowest,
    };
    for outputs in seen.settled(&models, &mut report.warnings) {
        report.add(outputs);
    }
    report.on_codes = seen.on_codes;
    report.coverage = named(seen.watcher.seen, fused)?;
    let each = options.each && has_values;
    if each {
        let left = values::compare(&models, &mut report.coverage, &mut progress)?;
        if left > 0 {
            report.warnings.push(format!(
                "{left} of {} with no value in the original's main graph: only the formula was compared",
                counted(report.coverage.len(), "activation")
            ));
        }
    }
    if report.has_moved_codes() {
        progress(Progress::Loading("layers"));
        report.look_into(if has_values {
            layers::compare(&models)
        } else {
            Err("of known outputs the values in front are not known".to_owned())
        });
    }
    let mut report = report.concluded();
    if matches!(options.reference, Reference::OnnxRuntime { .. })
        && report.outputs.iter().any(|output| !output.equal)
        && saturation::processor_saturates()
    {
        report.warnings.extend(saturation::hint(original));
    }
    if each && let Some(first) = &mut report.first_off {
        values::look_at_inputs(&models, first)?;
    }
    Ok(report)
}

/// Says which value each activation makes, by the fused file's names.
fn named(mut coverage: Vec<Coverage>, fused: &Model) -> Result<Vec<Coverage>> {
    let flat = flattened(fused, Operators::OnnxSwish)?;
    let nodes: Vec<(&str, &str)> = coverage
        .iter()
        .map(|one| (one.node.as_str(), one.op.as_str()))
        .collect();
    let outputs = names::outputs(flat.as_ref().unwrap_or(fused), &nodes);
    for (one, output) in coverage.iter_mut().zip(outputs) {
        one.output = output;
    }
    Ok(coverage)
}
