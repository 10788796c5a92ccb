//! Whether fusion changed the numbers, and by how much.
//!
//! Given a model and its fused form (or nothing: it is fused in memory), and what to compare with: tract's plain operators, ONNX
//! Runtime, or outputs that are known. Promises that nothing of ours computes the reference, and that inputs reach the tails and the
//! bend of every activation.

mod codes;
mod compare;
mod formula;
mod judge;
mod options;
mod origin;
mod reference;
mod report;
mod rows;
mod test_data;
mod tolerance;
mod ulps;
mod values;

pub use codes::Codes;
pub use compare::{JudgedBy, OutputComparison, Worst};
pub use formula::{Coverage, Inexact};
pub use options::{Progress, VerifyOptions};
pub use reference::{OnnxRuntimeError, Reference};
pub use report::{FirstOff, OffFrom, VerifyReport};
pub use rows::Rows;
pub use test_data::{TestDataError, TestSet, read_test_data};
pub use tolerance::Tolerance;

use onnx_swish_tract::{Operators, Port, Session as Engine};

use crate::engine::{EngineOptions, engine, flattened, fused_in_memory};
use crate::error::Result;
use crate::{ElementType, Model, NamedTensors, inputs};
use formula::Watcher;
use judge::{Judge, narrower};
use reference::Runner;

/// The magnitude that inputs of activations should reach: there SiLU is flat to within f32, and HardSwish long straight.
const TAILS: f64 = 12.0;
/// Larger factors would overflow half precision in the first layers rather than visit more of an activation.
const LARGEST_SCALE: f64 = 64.0;

/// Runs the original and the fused model on the same inputs and compares every output, and every fused activation with its formula.
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
/// If a model cannot be fused, loaded or run, the reference cannot be had, a free dimension was not given, or the two have
/// different outputs.
pub fn verify(
    original: &Model,
    fused: Option<&Model>,
    options: &VerifyOptions,
    mut progress: impl FnMut(Progress),
) -> Result<VerifyReport> {
    progress(Progress::LoadingOriginal);
    let reference = Runner::load(original, options)?;
    progress(Progress::LoadingFused);
    let in_memory;
    let fused = match fused {
        Some(fused) => fused,
        None => {
            in_memory = fused_in_memory(original)?;
            &in_memory
        }
    };
    let engine = engine(fused, &EngineOptions::of(options, Operators::OnnxSwish))?;
    let narrowest = origin::narrowest_float(original);
    let mut sides = Sides {
        origins: origin::of_outputs(original),
        reference,
        engine,
        options,
        narrowest,
        watcher: Watcher::default(),
    };
    let seed = options.inputs.is_empty().then_some(options.seed);
    let mut report = VerifyReport::new(sides.reference.name(), seed);
    let inputs = sides.run_all(&mut report, &mut progress)?;
    report.warnings.extend(sides.not_compared(&report));
    report.coverage = named(sides.watcher.seen, fused)?;
    if options.each && sides.reference.has_values() {
        // Both are loaded again, with more outputs.
        drop((sides.engine, sides.reference));
        let models = values::Models {
            original,
            fused,
            inputs: &inputs,
            options,
            narrowest,
        };
        let left = values::compare(&models, &mut report.coverage, &mut progress)?;
        if left > 0 {
            report.warnings.push(format!(
                "{left} of {} activations make no value of the original's main graph: only their formulas were compared",
                report.coverage.len()
            ));
        }
    }
    Ok(report.concluded())
}

/// The two models, loaded, and what has been seen of them.
struct Sides<'a> {
    reference: Runner<'a>,
    engine: Engine,
    options: &'a VerifyOptions,
    origins: std::collections::HashMap<String, origin::Origin>,
    narrowest: Option<ElementType>,
    watcher: Watcher,
}

impl Sides<'_> {
    /// Runs on all sets of inputs, given ones or random ones, and returns them.
    fn run_all(
        &mut self,
        report: &mut VerifyReport,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<NamedTensors>> {
        if !self.options.inputs.is_empty() {
            for (set, inputs) in self.options.inputs.iter().enumerate() {
                self.run(set, inputs, report, progress)?;
            }
            return Ok(self.options.inputs.clone());
        }
        let mut sets = Vec::new();
        let mut scale = Some(1.0);
        while let Some(now) = scale {
            let inputs =
                inputs::random(self.ports(), &self.options.shapes, self.options.seed, now)?;
            self.run(sets.len(), &inputs, report, progress)?;
            sets.push(inputs);
            report.input_scales.push(now);
            scale = if sets.len() == 1 {
                self.reaching_scale()
            } else {
                None
            };
        }
        Ok(sets)
    }

    fn run(
        &mut self,
        set: usize,
        inputs: &NamedTensors,
        report: &mut VerifyReport,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        progress(Progress::Running(set));
        let named = || inputs.iter().map(|(name, tensor)| (name, tensor));
        let found = self.engine.run(named())?;
        let expected = self.reference.run(set, inputs)?;
        // A run of its own: what is watched is not what is fast.
        let watcher = &mut self.watcher;
        self.engine
            .run_watched(named(), |watched| watcher.see(&watched))?;
        let computed = self.computed_in();
        let tolerance = |output| {
            let narrowest = Some(narrower(output, computed));
            Tolerance::chosen(self.options, output, self.narrowest.or(narrowest))
        };
        let judge = Judge {
            origins: &self.origins,
            tolerance: &tolerance,
        };
        report.add(judge.compare(&expected, &found, set)?);
        Ok(())
    }

    /// The original's inputs: where the two models differ, those of the fused one are wrong.
    fn ports(&self) -> &[Port] {
        self.reference.inputs().unwrap_or(self.engine.inputs())
    }

    /// The narrowest float type that an activation computed in.
    fn computed_in(&self) -> Option<ElementType> {
        let halves = [ElementType::BF16, ElementType::F16];
        let seen = &self.watcher.seen;
        let computed = |half: &ElementType| seen.iter().any(|one| one.element_type == half.name());
        halves.into_iter().find(computed)
    }

    /// The standard deviation of inputs that would drive the median activation to its tails; `None` where scaling brings nothing
    /// (no float inputs, no activations, tails reached already).
    fn reaching_scale(&self) -> Option<f64> {
        use ElementType::{BF16, F16, F32, F64};
        let scalable = |port: &Port| matches!(port.element_type, Some(BF16 | F16 | F32 | F64));
        if !self.ports().iter().any(scalable) {
            return None;
        }
        let seen = self.watcher.seen.iter();
        let mut reached: Vec<f64> = seen.map(|one| one.max.abs().max(one.min.abs())).collect();
        reached.sort_by(f64::total_cmp);
        let median = *reached.get(reached.len() / 2)?;
        let scale = (TAILS / median).min(LARGEST_SCALE);
        (scale > 1.5).then_some(scale)
    }

    /// Says which outputs the reference did not give.
    fn not_compared(&self, report: &VerifyReport) -> Option<String> {
        let compared = |name: &str| report.outputs.iter().any(|output| output.name == name);
        let left = self.engine.outputs().iter().map(|port| port.name.as_str());
        let left: Vec<String> = left
            .filter(|name| !compared(name))
            .map(|name| format!("`{name}`"))
            .collect();
        (!left.is_empty()).then(|| {
            format!(
                "nothing to compare with was given for output {}",
                left.join(", ")
            )
        })
    }
}

/// Says which value each activation makes, by the fused file's node of that name.
fn named(mut coverage: Vec<Coverage>, fused: &Model) -> Result<Vec<Coverage>> {
    let flat = flattened(fused, Operators::OnnxSwish)?;
    let model = flat.as_ref().unwrap_or(fused);
    let nodes = model.scopes().first().map(|main| main.nodes());
    let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let values: std::collections::HashMap<String, String> = nodes
        .unwrap_or_default()
        .iter()
        .map(|node| model.node_ref(node))
        .filter_map(|node| {
            let output = text(node.outputs().next()?);
            // As tract does: a node without a name goes by its output.
            let name = match node.name() {
                b"" => output.clone(),
                name => text(name),
            };
            Some((name, output))
        })
        .collect();
    for one in &mut coverage {
        one.output = values.get(&one.node).cloned();
    }
    Ok(coverage)
}
