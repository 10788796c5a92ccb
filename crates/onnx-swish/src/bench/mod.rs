//! How fast a model runs: tract as it is, tract with its register repair, and onnx-swish.
//!
//! Given a model and how often to run; promises interleaved runs on the same inputs, medians beside minima, and a warning where
//! the machine was too busy to tell. What the repair brings and what the fusion brings are never one figure.

mod markdown;
mod stats;

pub use stats::{Ratio, Timing};

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use onnx_swish_tract::{NodeTime, Operators, Session as Engine, Tensor};
use serde::Serialize;

use crate::Model;
use crate::diagnostics::Diagnostics;
use crate::engine::{EngineOptions, engine, fused_in_memory};
use crate::error::Result;
use crate::inputs::{self, Shapes};

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
        }
    }
}

/// What has just been done, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A contender is about to be loaded.
    Loading(&'static str),
    /// This many runs of this many are done, warm-up and profile included.
    Run {
        /// Runs done.
        done: usize,
        /// Runs in all.
        of: usize,
    },
}

/// One contender's figures.
#[derive(Debug, Clone, Serialize)]
pub struct Variant {
    /// `tract`, `tract+vzeroupper` or `onnx-swish`.
    pub name: &'static str,
    /// Its times.
    #[serde(flatten)]
    pub timing: Timing,
    /// The most bytes of intermediate tensors alive at once, weights and scratch space apart.
    pub peak_activation_bytes: usize,
    /// onnx-swish's time over this contender's, round by round: 0.5 is twice as fast.
    pub onnx_swish_over_this: Ratio,
}

/// Time of one kind of operator in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpTime {
    /// tract's name of the operator.
    pub op: String,
    /// Milliseconds, median over the profiled runs.
    pub ms: f64,
    /// How many nodes.
    pub count: usize,
}

/// Time of one node in one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeProfile {
    /// The node's name in the optimised graph, which keeps the model's names.
    pub node: String,
    /// tract's name of its operator.
    pub op: String,
    /// Milliseconds, median over the profiled runs.
    pub ms: f64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// The version of this structure.
    pub schema_version: u32,
    /// Threads per run.
    pub threads: usize,
    /// Timed runs of each contender.
    pub runs: usize,
    /// The instruction set of our kernels.
    pub isa: &'static str,
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
}

/// A spread between the quartiles above this fraction of the median makes small differences meaningless.
const NOISY: f64 = 0.10;
/// Runs with a clock around every node.
const PROFILED_RUNS: usize = 5;

struct Contender {
    name: &'static str,
    engine: Engine,
    times: Vec<Duration>,
}

/// Times tract, tract with the register repair and onnx-swish on one model, fused in memory for the last.
///
/// `progress` is called before each contender is loaded and after each run.
///
/// ```
/// use onnx_swish::{BenchOptions, Model, bench};
///
/// # fn main() -> Result<(), onnx_swish::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/exporters/hardswish.op13.onnx");
/// let options = BenchOptions { runs: 5, ..BenchOptions::default() };
/// let report = bench(&Model::open(path)?, &options, |_| ())?;
/// println!("{}", report.to_markdown());
/// # Ok(()) }
/// ```
///
/// # Errors
/// If the model cannot be fused, loaded or run, or a free dimension was not given.
pub fn bench(
    model: &Model,
    options: &BenchOptions,
    mut progress: impl FnMut(Progress),
) -> Result<BenchReport> {
    let fused = fused_in_memory(model, &Diagnostics::default())?;
    let runs = options.runs.max(1);
    let mut contenders = Vec::new();
    for (name, model, operators, vzeroupper) in [
        ("tract", model, Operators::Stock, false),
        ("tract+vzeroupper", model, Operators::Stock, true),
        ("onnx-swish", &fused, Operators::OnnxSwish, true),
    ] {
        progress(Progress::Loading(name));
        let options = EngineOptions {
            threads: options.threads,
            operators,
            vzeroupper,
            convolutions: true,
            shapes: options.shapes.clone(),
            diagnostics: Diagnostics::default(),
        };
        contenders.push(Contender {
            name,
            engine: engine(model, &options)?,
            times: Vec::with_capacity(runs),
        });
    }
    let ports = contenders
        .first()
        .map_or(&[][..], |first| first.engine.inputs());
    let inputs = inputs::random(ports, &options.shapes, options.seed, 1.0)?;

    let profiled = if options.profile { PROFILED_RUNS } else { 0 };
    let of = contenders.len() * (runs + options.warmup) + profiled;
    let mut done = 0;
    for round in 0..options.warmup + runs {
        // Each round begins with another contender, so that none always runs on the caches of the same neighbour.
        let first = round % contenders.len();
        contenders.rotate_left(first);
        for contender in &mut contenders {
            let time = timed(&contender.engine, &inputs)?;
            if round >= options.warmup {
                contender.times.push(time);
            }
            done += 1;
            progress(Progress::Run { done, of });
        }
        contenders.rotate_right(first);
    }

    let mut profile = Vec::new();
    if let (true, Some(ours)) = (options.profile, contenders.last()) {
        for _ in 0..PROFILED_RUNS {
            profile.push(ours.engine.run_timed(named(&inputs))?.1);
            done += 1;
            progress(Progress::Run { done, of });
        }
    }
    let shapes: Vec<Vec<usize>> = inputs
        .iter()
        .map(|(_, tensor)| tensor.shape().to_vec())
        .collect();
    report(options, contenders, profile, &shapes)
}

fn named(inputs: &[(String, Tensor)]) -> impl Iterator<Item = (&String, &Tensor)> {
    inputs.iter().map(|(name, tensor)| (name, tensor))
}

fn timed(engine: &Engine, inputs: &[(String, Tensor)]) -> Result<Duration> {
    let start = Instant::now();
    let outputs = engine.run(named(inputs))?;
    let time = start.elapsed();
    drop(outputs);
    Ok(time)
}

fn report(
    options: &BenchOptions,
    contenders: Vec<Contender>,
    profile: Vec<Vec<NodeTime>>,
    shapes: &[Vec<usize>],
) -> Result<BenchReport> {
    let ours = contenders
        .last()
        .map(|contender| contender.times.clone())
        .unwrap_or_default();
    let mut variants = Vec::with_capacity(contenders.len());
    for contender in contenders {
        variants.push(Variant {
            name: contender.name,
            timing: Timing::of(&contender.times),
            peak_activation_bytes: contender.engine.peak_activation_bytes(shapes)?,
            onnx_swish_over_this: Ratio::of(&ours, &contender.times),
        });
    }
    Ok(BenchReport {
        schema_version: 1,
        threads: options.threads,
        runs: ours.len(),
        isa: onnx_swish_kernels::Isa::best().name(),
        warnings: warnings(&variants, ours.len()),
        variants,
        profile: (!profile.is_empty()).then(|| by_operator(&profile)),
        profile_nodes: (!profile.is_empty()).then(|| by_node(&profile)),
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
            "only {runs} runs; ten or more make the median steady (--runs)"
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

fn median_ms(times: impl Iterator<Item = Duration>) -> f64 {
    Timing::of(&times.collect::<Vec<_>>()).median_ms
}

fn by_node(runs: &[Vec<NodeTime>]) -> Vec<NodeProfile> {
    let Some(first) = runs.first() else {
        return vec![];
    };
    let nodes = first.iter().enumerate().map(|(index, node)| NodeProfile {
        node: node.node.clone(),
        op: node.op.clone(),
        ms: median_ms(
            runs.iter()
                .filter_map(|run| run.get(index))
                .map(|node| node.time),
        ),
    });
    nodes.collect()
}

fn by_operator(runs: &[Vec<NodeTime>]) -> Vec<OpTime> {
    let mut per_run: BTreeMap<&str, (usize, Vec<Duration>)> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        for node in run {
            let (count, times) = per_run
                .entry(&node.op)
                .or_insert_with(|| (0, vec![Duration::ZERO; runs.len()]));
            *count += usize::from(index == 0);
            if let Some(time) = times.get_mut(index) {
                *time += node.time;
            }
        }
    }
    let ops = per_run.into_iter().map(|(op, (count, times))| OpTime {
        op: op.to_owned(),
        ms: median_ms(times.into_iter()),
        count,
    });
    let mut ops: Vec<OpTime> = ops.collect();
    ops.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    ops
}
