//! `bench`: how fast a model runs on stock tract, on tract with the vzeroupper repair, and on ours without and with convolutions.
//! Given a model; the library does the interleaved timing.
//! Promises figures with the doubts that belong to them: warnings are printed even when all else is quiet.

mod text;

use std::path::PathBuf;

use clap::Args;
use onnx_swish::{BenchOptions, Progress};

use crate::args::{Limits, Running, Source};
use crate::failure::{Answer, Failure, Outcome};
use crate::term::Term;
use crate::{feed, files, heap};

/// Time stock tract, tract with the vzeroupper repair, and ours, interleaved, and measure their memory
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish bench model.onnx --shape 1,3,224,224
  onnx-swish bench model.onnx --threads 4 --profile")]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    running: Running,
    #[command(flatten)]
    limits: Limits,
    /// Timed runs of each contender
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Also time every operator; with -v every node
    #[arg(long)]
    profile: bool,
    /// Write the figures as a Markdown table
    #[arg(long, value_name = "FILE")]
    export_markdown: Option<PathBuf>,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let model = files::open(&arguments.source)?;
    let options = BenchOptions {
        threads: arguments.running.threads.into(),
        convolutions: arguments.running.convolutions(),
        tables: !arguments.running.no_tables,
        codes: !arguments.running.no_codes,
        runs: arguments.runs as usize,
        shapes: feed::shapes(&model, &arguments.running.sizes)?,
        seed: arguments.running.seed,
        profile: arguments.profile,
        heap: heap::meter(),
        max_nodes: arguments.limits.max_nodes,
        max_build_time: arguments.limits.max_build_time,
        ..BenchOptions::default()
    };
    let progress = term.progress("loading");
    let report = onnx_swish::bench(&model, &options, |step| match step {
        Progress::Timed { done, of } => {
            progress.say("timing, --runs for fewer");
            progress.set(done as u64, of as u64);
        }
        Progress::Loading(name) => progress.say(format!("loading {name}")),
        _ => {}
    })
    .map_err(|error| Failure::on("time", &arguments.source.model, error))?;
    drop(progress);
    if let Some(path) = &arguments.export_markdown {
        std::fs::write(path, report.to_markdown())
            .map_err(|error| Failure::caused(format!("cannot write {}", path.display()), &error))?;
    }
    for warning in &report.warnings {
        term.warn(warning);
    }
    if term.json() {
        term.document(&report)?
    } else {
        term.result(&text::told(term, &report))?
    }
    Ok(Answer::Yes)
}
