//! Whether fusion changed the numbers, and by how much.
//!
//! Given a model and its fused form (or nothing: it is fused in memory); promises that the original runs on tract's plain
//! operators with nothing of ours and nothing fused by tract either, on inputs that reach the tails and the bend
//! of every activation.

mod compare;

pub use compare::{OutputComparison, Tolerance, Worst};

use onnx_swish_tract::{ActivationRange, ElementType, Operators, Session as Engine, Tensor};
use serde::Serialize;

use crate::diagnostics::Diagnostics;
use crate::engine::{EngineOptions, engine};
use crate::error::{Error, Result};
use crate::inputs::{self, Shapes};
use crate::{Model, Outputs};

/// How to compare.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Inputs by name. Random ones when empty.
    pub inputs: Vec<(String, Tensor)>,
    /// Shapes for inputs with free dimensions, when the inputs are random.
    pub shapes: Shapes,
    /// Seed of the random inputs.
    pub seed: u64,
    /// Relative tolerance instead of the [usual](Tolerance::usual) one.
    pub rtol: Option<f64>,
    /// Absolute tolerance instead of the [usual](Tolerance::usual) one.
    pub atol: Option<f64>,
    /// Threads per run. 1 by default.
    pub threads: usize,
    /// Whether the fused model's convolutions run on our kernels, as in [`SessionBuilder`](crate::SessionBuilder::convolutions).
    /// On by default.
    pub convolutions: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            inputs: Vec::new(),
            shapes: Shapes::default(),
            seed: 0,
            rtol: None,
            atol: None,
            threads: 1,
            convolutions: true,
        }
    }
}

/// What has just been done, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The original is being loaded.
    LoadingOriginal,
    /// The fused model is being loaded.
    LoadingFused,
    /// Both are run on this set of inputs, counted from 0.
    Running(usize),
}

/// What one fused activation was given, over all input sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// The node.
    pub node: String,
    /// The activation.
    pub op: String,
    /// The smallest finite value it was given.
    pub min: f64,
    /// The largest finite value it was given.
    pub max: f64,
}

/// Everything that was compared.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The version of this structure.
    pub schema_version: u32,
    /// Whether every element of every output is within the tolerance.
    pub equal: bool,
    /// The seed of the random inputs; null when inputs were given.
    pub seed: Option<u64>,
    /// The standard deviations of the random input sets; empty when inputs were given.
    pub input_scales: Vec<f64>,
    /// Each output.
    pub outputs: Vec<OutputComparison>,
    /// What each fused activation was given.
    pub coverage: Vec<Coverage>,
    /// What to know before believing the judgement.
    pub warnings: Vec<String>,
}

/// The magnitude that inputs of activations should reach: there SiLU is flat to within f32, and HardSwish long straight.
const TAILS: f64 = 12.0;
/// Larger factors would overflow half precision in the first layers rather than visit more of an activation.
const LARGEST_SCALE: f64 = 64.0;

/// Runs the original and the fused model on the same inputs and compares every output.
///
/// Without `fused` the model is fused in memory. Without inputs it runs on two random sets: standard normal, and one scaled
/// so that the median activation is driven to magnitude 12.
///
/// ```
/// use onnx_swish::{Model, VerifyOptions, verify};
///
/// # fn main() -> Result<(), onnx_swish::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/exporters/beta_channel.op13.onnx");
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
/// If a model cannot be fused, loaded or run, a free dimension was not given, or the two have different outputs.
pub fn verify(
    original: &Model,
    fused: Option<&Model>,
    options: &VerifyOptions,
    mut progress: impl FnMut(Progress),
) -> Result<VerifyReport> {
    let engine_options = |operators, fuse| EngineOptions {
        threads: options.threads,
        operators,
        vzeroupper: true,
        convolutions: options.convolutions,
        fuse,
        shapes: options.shapes.clone(),
        diagnostics: Diagnostics::default(),
    };
    progress(Progress::LoadingOriginal);
    let reference = engine(original, &engine_options(Operators::Reference, false))?;
    progress(Progress::LoadingFused);
    let fused = engine(
        fused.unwrap_or(original),
        &engine_options(Operators::OnnxSwish, fused.is_none()),
    )?;

    let mut report = VerifyReport {
        schema_version: 1,
        equal: true,
        seed: options.inputs.is_empty().then_some(options.seed),
        input_scales: Vec::new(),
        outputs: Vec::new(),
        coverage: Vec::new(),
        warnings: Vec::new(),
    };
    let mut run = |inputs: &[(String, Tensor)], report: &mut VerifyReport, set: usize| {
        progress(Progress::Running(set));
        let expected = reference.run(inputs.iter().map(|(name, tensor)| (name, tensor)))?;
        let found = fused.run(inputs.iter().map(|(name, tensor)| (name, tensor)))?;
        // A run of its own: what is observed is not what is fast.
        let (_, ranges) = fused.run_observed(inputs.iter().map(|(name, tensor)| (name, tensor)))?;
        let tolerance = |output| tolerance(options, output, &ranges);
        compare(&expected, &found, report, set, tolerance)?;
        cover(report, &ranges);
        Ok::<_, Error>(ranges)
    };
    if options.inputs.is_empty() {
        let random =
            |scale| inputs::random(reference.inputs(), &options.shapes, options.seed, scale);
        let ranges = run(&random(1.0)?, &mut report, 0)?;
        report.input_scales.push(1.0);
        if let Some(scale) = reaching_scale(&reference, &ranges) {
            run(&random(scale)?, &mut report, 1)?;
            report.input_scales.push(scale);
        }
    } else {
        run(&options.inputs, &mut report, 0)?;
    }
    report.equal = report.outputs.iter().all(|output| output.equal);
    report.warnings = warnings(&report);
    Ok(report)
}

fn compare(
    expected: &Outputs,
    found: &Outputs,
    report: &mut VerifyReport,
    set: usize,
    tolerance: impl Fn(ElementType) -> Tolerance,
) -> Result<()> {
    if expected.len() != found.len() {
        let (expected, found) = (expected.len(), found.len());
        return Err(Error::NotComparable(format!(
            "one has {expected} outputs, the other {found}"
        )));
    }
    for (index, (name, expected)) in expected.iter().enumerate() {
        let found = found.get(name)?;
        let one = OutputComparison::of(name, expected, found, tolerance(found.element_type()), set)
            .map_err(Error::NotComparable)?;
        match report.outputs.get_mut(index) {
            Some(output) => output.merge(one),
            None => report.outputs.push(one),
        }
    }
    Ok(())
}

/// The usual tolerance of the narrowest float type that takes part, or what the caller said.
fn tolerance(
    options: &VerifyOptions,
    output: ElementType,
    ranges: &[ActivationRange],
) -> Tolerance {
    let in_half = ranges
        .iter()
        .any(|range| range.element_type == Some(ElementType::F16));
    let usual = Tolerance::usual(if in_half { ElementType::F16 } else { output });
    Tolerance {
        rtol: options.rtol.unwrap_or(usual.rtol),
        atol: options.atol.unwrap_or(usual.atol),
        floor: options.atol.unwrap_or(usual.floor),
    }
}

fn warnings(report: &VerifyReport) -> Vec<String> {
    let mut warnings = Vec::new();
    for output in report
        .outputs
        .iter()
        .filter(|output| output.is_below_tolerance())
    {
        warnings.push(format!(
            "output `{}` is nowhere above {:.1e}, so a tolerance of {:.1e} accepts anything; give real inputs, or a \
             smaller absolute tolerance",
            output.name, output.largest, output.tolerance.floor
        ));
    }
    if report.coverage.is_empty() {
        warnings.push("no fused activation was run: both sides computed the same".to_owned());
    }
    warnings
}

fn cover(report: &mut VerifyReport, ranges: &[ActivationRange]) {
    for range in ranges {
        match report
            .coverage
            .iter_mut()
            .find(|own| own.node == range.node)
        {
            Some(own) => {
                own.min = own.min.min(range.min);
                own.max = own.max.max(range.max);
            }
            None => report.coverage.push(Coverage {
                node: range.node.clone(),
                op: range.op.clone(),
                min: range.min,
                max: range.max,
            }),
        }
    }
}

/// The standard deviation of inputs that would drive the median activation to its tails; `None` where scaling brings nothing
/// (no float inputs, no activations, tails reached already).
fn reaching_scale(reference: &Engine, ranges: &[ActivationRange]) -> Option<f64> {
    use ElementType::{F16, F32, F64};
    let scalable =
        |port: &onnx_swish_tract::Port| matches!(port.element_type, Some(F16 | F32 | F64));
    if !reference.inputs().iter().any(scalable) {
        return None;
    }
    let mut reached: Vec<f64> = ranges
        .iter()
        .map(|range| range.max.abs().max(range.min.abs()))
        .collect();
    reached.sort_by(f64::total_cmp);
    let median = *reached.get(reached.len() / 2)?;
    let scale = (TAILS / median).min(LARGEST_SCALE);
    (scale > 1.5).then_some(scale)
}
