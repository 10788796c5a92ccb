//! `bench`: how fast a model runs on stock tract, on tract with the vzeroupper repair, and on ours.
//! Given a model; the library does the interleaved timing.
//! Promises figures with the doubts that belong to them: warnings are printed even when all else is quiet.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use onnx_swish::{BenchOptions, BenchProgress, BenchReport};
use owo_colors::OwoColorize;

use crate::args::{Running, Source};
use crate::failure::{Answer, Failure, Outcome};
use crate::term::{self, Term};
use crate::{feed, files};

/// Time stock tract, tract with the vzeroupper repair, and ours, interleaved
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    running: Running,
    /// Timed runs of each contender
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Also time every operator
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
        runs: arguments.runs as usize,
        shapes: feed::shapes(&model, &arguments.running)?,
        seed: arguments.running.seed,
        profile: arguments.profile,
        ..BenchOptions::default()
    };
    let progress = term.progress("loading");
    let report = onnx_swish::bench(&model, &options, |step| match step {
        BenchProgress::Run { done, of } => progress.set(done as u64, of as u64),
        BenchProgress::Loading(name) => progress.say(name),
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
        term.result(&told(term, &report))?
    }
    Ok(Answer::Yes)
}

fn told(term: &Term, report: &BenchReport) -> String {
    let mut table = term.table([
        "",
        "median",
        "fastest",
        "spread",
        "peak memory",
        "onnx-swish takes",
    ]);
    for variant in &report.variants {
        let timing = &variant.timing;
        let takes = if variant.name == "onnx-swish" {
            String::new()
        } else {
            format!("{:.2}x of it", variant.onnx_swish_over_this.median)
        };
        table.add_row([
            variant.name.to_owned(),
            milliseconds(timing.median_ms),
            milliseconds(timing.min_ms),
            format!("{:.0} %", timing.spread * 100.0),
            files::size(variant.peak_activation_bytes as u64),
            takes,
        ]);
    }
    term::align_right(&mut table, 1..6);
    let mut text = format!("{}\n", table.trim_fmt());
    if let Some(profile) = &report.profile {
        let total: f64 = profile.iter().map(|op| op.ms).sum();
        let mut table = term.table(["operator", "nodes", "time", "share"]);
        for op in profile {
            table.add_row([
                op.op.clone(),
                op.count.to_string(),
                milliseconds(op.ms),
                format!("{:.1} %", 100.0 * op.ms / total),
            ]);
        }
        term::align_right(&mut table, 1..4);
        let heading = "onnx-swish by operator".bold();
        let _ = write!(text, "\n{heading}\n{}\n", table.trim_fmt());
    }
    let threads = if report.threads == 1 {
        "1 thread".to_owned()
    } else {
        format!("{} threads", report.threads)
    };
    let summary = format!(
        "{threads}, {} interleaved runs, {} kernels",
        report.runs, report.isa
    );
    let _ = writeln!(text, "\n{}", summary.dimmed());
    text
}

fn milliseconds(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.1} us", ms * 1e3)
    } else {
        format!("{ms:.2} ms")
    }
}
