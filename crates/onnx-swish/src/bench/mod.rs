//! How fast a model runs: tract as it is, tract with its register repair, and onnx-swish without and with its convolutions.
//!
//! Given a model and how often to run; promises interleaved runs on the same inputs, medians beside minima, and a warning where
//! the machine was too busy to tell. What the repair, the activations and the convolutions bring are never one figure.

mod markdown;
mod memory;
mod profile;
mod rounds;
mod stats;

pub use memory::{HeapMeter, Memory};
pub use profile::{NodeProfile, OpTime};
pub use stats::{Ratio, Timing};

use std::time::{Duration, Instant};

use onnx_swish_tract::{Convolutions, NodeTime, Operators, Session as Engine, Tensor};
use serde::Serialize;

use crate::Model;
use crate::diagnostics::Diagnostics;
use crate::engine::{EngineOptions, Limits, engine};
use crate::error::{Error, Result};
use crate::inputs::{self, Shapes};
use crate::progress::Progress;
use crate::words::counted;
use profile::Profile;

/// How to measure.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Threads per run. 1 by default.
    pub threads: usize,
    /// Timed runs of each contender. 30 by default.
    pub runs: usize,
    /// Runs of each contender before the first timed one. 3 by default.
    pub warmup: usize,
    /// Shapes for inputs with free dimensions.
    pub shapes: Shapes,
    /// Seed of the random inputs.
    pub seed: u64,
    /// Whether to time every node too, in runs of their own.
    pub profile: bool,
    /// Who computes onnx-swish's convolutions. Unless tract does, onnx-swish also takes part without them, so that the report tells what
    /// they bring from what the activations bring.
    pub convolutions: Convolutions,
    /// Whether what a quantised model computes from one 8-bit code runs as a table, as in
    /// [`SessionBuilder::tables`](crate::SessionBuilder::tables). On by default.
    pub tables: bool,
    /// Whether convolutions between 8-bit codes are computed on the codes, as in
    /// [`SessionBuilder::codes`](crate::SessionBuilder::codes). On by default.
    pub codes: bool,
    /// A counting allocator, if the application has installed one: the report then says how much memory each contender needs.
    pub heap: Option<HeapMeter>,
    /// Refuses models of more nodes, as [`SessionBuilder::max_nodes`](crate::SessionBuilder::max_nodes) does. No limit by default.
    pub max_nodes: Option<usize>,
    /// Gives up building a plan that takes longer, as [`SessionBuilder::max_build_time`](crate::SessionBuilder::max_build_time) does. No
    /// limit by default.
    pub max_build_time: Option<Duration>,
}

impl Default for BenchOptions {
    fn default() -> Self {
        BenchOptions {
            threads: 1,
            runs: 30,
            warmup: 3,
            shapes: Shapes::default(),
            seed: 0,
            profile: false,
            convolutions: Convolutions::Auto,
            tables: true,
            codes: true,
            heap: None,
            max_nodes: None,
            max_build_time: None,
        }
    }
}

/// One contender's figures.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Variant {
    /// `tract`, `tract+vzeroupper`, `onnx-swish-no-convolutions` or `onnx-swish`.
    pub name: &'static str,
    /// Its times.
    #[serde(flatten)]
    pub timing: Timing,
    /// Its memory, when it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The most bytes of intermediate tensors alive at once by the plan, weights and scratch space apart.
    pub peak_activation_bytes: usize,
    /// This contender's time over that of the one before it, round by round: what the one thing brings that it does more. Null for
    /// the first.
    pub over_previous: Option<Ratio>,
    /// onnx-swish's time over this contender's, round by round: 0.5 is twice as fast.
    pub onnx_swish_over_this: Ratio,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct BenchReport {
    /// The version of this structure.
    pub schema_version: u32,
    /// Threads per run.
    pub threads: usize,
    /// Timed runs of each contender.
    pub runs: usize,
    /// The instruction set of our kernels.
    pub isa: &'static str,
    /// The processor, as the operating system names it, or its architecture.
    pub processor: String,
    /// The version of onnx-swish.
    pub version: &'static str,
    /// The version of tract.
    pub tract_version: &'static str,
    /// Whether onnx-swish computed convolutions.
    pub convolutions: bool,
    /// The contenders, onnx-swish last.
    pub variants: Vec<Variant>,
    /// What to know before believing the figures.
    pub warnings: Vec<String>,
    /// onnx-swish's time by operator, longest first, when a profile was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Vec<OpTime>>,
    /// onnx-swish's time by node, in the order of execution, when a profile was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_nodes: Option<Vec<NodeProfile>>,
    /// The time of tract with the register repair by operator, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tract_profile: Option<Vec<OpTime>>,
    /// The time of tract with the register repair by node, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tract_profile_nodes: Option<Vec<NodeProfile>>,
}

/// A spread between the quartiles above this fraction of the median makes small differences meaningless.
const NOISY: f64 = 0.10;
/// Runs with a clock around every node.
const PROFILED_RUNS: usize = 5;

/// One way to run the model. Each does one thing more than the one before it.
struct Kind {
    name: &'static str,
    operators: Operators,
    vzeroupper: bool,
    convolutions: Convolutions,
}

/// Who takes part, onnx-swish last.
fn kinds(options: &BenchOptions) -> Vec<Kind> {
    let kind = |name, operators, vzeroupper, convolutions| Kind {
        name,
        operators,
        vzeroupper,
        convolutions,
    };
    let ours = Operators::OnnxSwish;
    let mut kinds = vec![
        kind("tract", Operators::Stock, false, Convolutions::Tract),
        kind(
            "tract+vzeroupper",
            Operators::Stock,
            true,
            Convolutions::Tract,
        ),
    ];
    if options.convolutions != Convolutions::Tract {
        let name = "onnx-swish-no-convolutions";
        kinds.push(kind(name, ours, true, Convolutions::Tract));
    }
    kinds.push(kind("onnx-swish", ours, true, options.convolutions));
    kinds
}

struct Contender {
    kind: Kind,
    engine: Engine,
    memory: Option<Memory>,
    times: Vec<Duration>,
    profile: Vec<Vec<NodeTime>>,
}

impl Contender {
    /// With everything that a session does for it, so that its memory is a session's.
    fn load(kind: Kind, model: &Model, options: &BenchOptions) -> Result<Contender> {
        let engine_options = EngineOptions {
            threads: options.threads,
            operators: kind.operators,
            vzeroupper: kind.vzeroupper,
            convolutions: kind.convolutions,
            tables: options.tables,
            codes: options.codes,
            fuse: kind.operators == Operators::OnnxSwish,
            native_half: false,
            shapes: options.shapes.clone(),
            cached_shapes: None,
            limits: Limits {
                nodes: options.max_nodes,
                time: options.max_build_time,
            },
            diagnostics: Diagnostics::default(),
        };
        let load = || engine(model, &engine_options);
        let (engine, memory) = match options.heap {
            Some(heap) => {
                let (engine, memory) = heap.load(load)?;
                (engine, Some(memory))
            }
            None => (load()?, None),
        };
        Ok(Contender {
            kind,
            engine,
            memory,
            times: Vec::new(),
            profile: Vec::new(),
        })
    }

    /// The time of one run, the outputs' end apart.
    fn run(&self, inputs: &[(String, Tensor)]) -> Result<Duration> {
        let start = Instant::now();
        let outputs = self.engine.run(named(inputs))?;
        let time = start.elapsed();
        drop(outputs);
        Ok(time)
    }

    /// Its profile, if it was profiled.
    fn profile(&self, shapes: &[Vec<usize>]) -> Result<Option<Profile>> {
        if self.profile.is_empty() {
            return Ok(None);
        }
        let nodes = self.engine.nodes(shapes)?;
        Ok(Some(Profile::of(nodes, &self.profile)))
    }
}

/// Times tract, tract with the register repair, and onnx-swish without and with its convolutions on one model, fused in memory
/// for the last two.
///
/// `progress` is called before each contender is loaded and after each run.
///
/// ```
/// use onnx_swish::{BenchOptions, Model, bench};
///
/// # fn main() -> Result<(), onnx_swish::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/hardswish.op13.onnx");
/// let options = BenchOptions { runs: 5, ..BenchOptions::default() };
/// let report = bench(&Model::open(path)?, &options, |_| ())?;
/// println!("{}", report.to_markdown());
/// # Ok(()) }
/// ```
///
/// # Errors
/// If the model cannot be fused, loaded or run, or a free dimension was not given. Rows of tract alone are left out, with a warning, where
/// only that does not load it.
pub fn bench(
    model: &Model,
    options: &BenchOptions,
    mut progress: impl FnMut(Progress),
) -> Result<BenchReport> {
    let mut contenders = Vec::new();
    let mut inputs = Vec::new();
    let mut doubts = Vec::new();
    for kind in kinds(options) {
        progress(Progress::Loading(kind.name));
        let is_stock = kind.operators == Operators::Stock;
        let mut contender = match Contender::load(kind, model, options) {
            Ok(contender) => contender,
            Err(error) if is_stock => {
                if doubts.is_empty() {
                    doubts.push(left_out(&error));
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        if inputs.is_empty() {
            let ports = contender.engine.inputs();
            inputs = inputs::random(ports, &options.shapes, options.seed, 1.0)?;
        }
        if let (Some(heap), Some(memory)) = (options.heap, &mut contender.memory) {
            let run = || contender.engine.run(named(&inputs)).map(drop);
            memory.running_bytes = memory.held_bytes + heap.work(run)?;
        }
        contenders.push(contender);
    }

    let runs = options.runs.max(1);
    let profiled = |contender: &Contender| {
        options.profile && matches!(contender.kind.name, "tract+vzeroupper" | "onnx-swish")
    };
    let profiles = PROFILED_RUNS * contenders.iter().filter(|one| profiled(one)).count();
    let turns = runs.saturating_add(options.warmup);
    let of = contenders
        .len()
        .saturating_mul(turns)
        .saturating_add(profiles);
    let mut done = 0;
    let mut step = || {
        done += 1;
        progress(Progress::Timed { done, of });
    };
    for round in 0..turns {
        for index in rounds::order(round, contenders.len()) {
            let contender = &mut contenders[index];
            if options.threads > 1 {
                rounds::settle();
            }
            let time = contender.run(&inputs)?;
            if round >= options.warmup {
                contender.times.push(time);
            }
            step();
        }
    }
    for _ in 0..PROFILED_RUNS {
        for contender in contenders.iter_mut().filter(|one| profiled(one)) {
            let (_, times) = contender.engine.run_timed(named(&inputs))?;
            contender.profile.push(times);
            step();
        }
    }
    let shapes: Vec<Vec<usize>> = inputs
        .iter()
        .map(|(_, tensor)| tensor.shape().to_vec())
        .collect();
    let mut report = report(options, &contenders, &shapes)?;
    report.warnings.splice(0..0, doubts);
    Ok(report)
}

/// What tract alone does not load has no rows of its own.
fn left_out(error: &Error) -> String {
    // What it advises, another runtime, is not needed: ours is one.
    let error = error.to_string();
    let why = error.split("; ").next().unwrap_or_default();
    format!("tract alone does not load this model, and its rows are left out: {why}")
}

fn named(inputs: &[(String, Tensor)]) -> impl Iterator<Item = (&String, &Tensor)> {
    inputs.iter().map(|(name, tensor)| (name, tensor))
}

fn report(
    options: &BenchOptions,
    contenders: &[Contender],
    shapes: &[Vec<usize>],
) -> Result<BenchReport> {
    let ours = contenders.last().map_or(&[][..], |last| &last.times);
    let mut variants = Vec::with_capacity(contenders.len());
    let (mut tract, mut onnx_swish) = (None, None);
    let mut previous: Option<&Contender> = None;
    for contender in contenders {
        variants.push(Variant {
            name: contender.kind.name,
            timing: Timing::of(&contender.times),
            memory: contender.memory,
            peak_activation_bytes: contender.engine.peak_activation_bytes(shapes)?,
            over_previous: previous.map(|previous| Ratio::of(&contender.times, &previous.times)),
            onnx_swish_over_this: Ratio::of(ours, &contender.times),
        });
        previous = Some(contender);
        let profile = contender.profile(shapes)?;
        let whose = match contender.kind.operators {
            Operators::OnnxSwish => &mut onnx_swish,
            _ => &mut tract,
        };
        *whose = profile.or(whose.take());
    }
    let (profile, profile_nodes) = onnx_swish.map(Profile::parts).unzip();
    let (tract_profile, tract_profile_nodes) = tract.map(Profile::parts).unzip();
    Ok(BenchReport {
        schema_version: 1,
        threads: options.threads,
        runs: ours.len(),
        isa: onnx_swish_kernels::Isa::best().name(),
        processor: crate::processor::name(),
        version: env!("CARGO_PKG_VERSION"),
        tract_version: onnx_swish_tract::TRACT_VERSION,
        convolutions: options.convolutions != Convolutions::Tract,
        warnings: warnings(&variants, ours.len()),
        variants,
        profile,
        profile_nodes,
        tract_profile,
        tract_profile_nodes,
    })
}

fn warnings(variants: &[Variant], runs: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    if cfg!(debug_assertions) {
        warnings.push(
            "this is a debug build, whose times mean nothing; build with --release".to_owned(),
        );
    }
    if runs < 10 {
        warnings.push(format!(
            "only {}; ten or more make the median steady (--runs)",
            counted(runs, "run")
        ));
    }
    let noisiest = variants
        .iter()
        .max_by(|a, b| a.timing.spread.total_cmp(&b.timing.spread));
    if let Some(noisiest) = noisiest.filter(|variant| variant.timing.spread > NOISY) {
        warnings.push(format!(
            "the middle half of {}'s runs spreads over {:.0} % of the median: something else uses this machine; \
             close it or raise --runs, and trust the ratios more than the times",
            noisiest.name,
            noisiest.timing.spread * 100.0
        ));
    }
    for variant in variants {
        let ratio = variant.onnx_swish_over_this;
        if variant.name != "onnx-swish" && ratio.lower < 1.0 && ratio.upper > 1.0 {
            warnings.push(format!(
                "onnx-swish against {}: the rounds disagree on which is faster ({:.2} to {:.2}); take it as no difference",
                variant.name, ratio.lower, ratio.upper
            ));
        }
    }
    warnings
}
