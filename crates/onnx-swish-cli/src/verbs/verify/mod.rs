//! `verify`: whether fusing changed the numbers, and by how much.
//! Given a model and its fused form, or the model alone, which is then fused in memory, and what to compare with.
//! Promises exit status 1 when an output or an activation is not as it should be, and says which one is worst.

mod against;
pub(super) mod text;

use std::path::PathBuf;

use clap::Args;
use onnx_swish::VerifyOptions;

use crate::args::{Feed, Limits, Running, Source};
use crate::failure::{Answer, Outcome};
use crate::term::Term;
use crate::{feed, files};
use against::Against;

/// Run the original and the fused model on the same inputs and compare every output
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish verify model.onnx                               fused in memory, against tract
  onnx-swish verify model.onnx --against onnxruntime         against ONNX Runtime
  onnx-swish verify model.onnx model.fused.onnx --inputs batch.npz")]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The fused model; without it MODEL is fused in memory
    fused: Option<PathBuf>,
    #[command(flatten)]
    against: Against,
    #[command(flatten)]
    feed: Feed,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    limits: Limits,
    /// Compare each fused activation's value, too, and name the first that is off
    #[arg(long)]
    each: bool,
    /// Tolerance relative to the original's value [default: what is usual for the output's element type]
    #[arg(long, value_name = "R", value_parser = parse_tolerance)]
    rtol: Option<f64>,
    /// Absolute tolerance, for outputs beyond 1 in units of their largest magnitude [default: likewise]
    #[arg(long, value_name = "A", value_parser = parse_tolerance)]
    atol: Option<f64>,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let source = &arguments.source;
    let original = files::open(source)?;
    let fused = match &arguments.fused {
        Some(path) => Some(files::open(&Source {
            model: path.clone(),
            base_dir: source.base_dir.clone(),
        })?),
        None => None,
    };
    let given = feed::from_files(&original, &arguments.feed)?;
    let (reference, inputs) = arguments.against.with(&original, given)?;
    let options = VerifyOptions {
        reference,
        each: arguments.each,
        inputs,
        shapes: feed::shapes(&original, &arguments.running.sizes)?,
        seed: arguments.running.seed,
        rtol: arguments.rtol,
        atol: arguments.atol,
        threads: arguments.running.threads.into(),
        convolutions: arguments.running.convolutions(),
        tables: !arguments.running.no_tables,
        codes: !arguments.running.no_codes,
        max_nodes: arguments.limits.max_nodes,
        max_build_time: arguments.limits.max_build_time,
    };
    let progress = term.progress("loading");
    let report = onnx_swish::verify(&original, fused.as_ref(), &options, |step| {
        progress.tell(step)
    })
    .map_err(|error| against::failure(&source.model, error))?;
    drop(progress);
    for warning in &report.warnings {
        term.warn(warning);
    }
    if term.json() {
        term.document(&report)?
    } else {
        term.result(&text::told(term, &report, arguments.each))?
    }
    Ok(if report.equal {
        Answer::Yes
    } else {
        Answer::No
    })
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value >= 0.0 && value.is_finite() => Ok(value),
        _ => Err("a tolerance is a finite number that is not negative, e.g. 1e-4".to_owned()),
    }
}
