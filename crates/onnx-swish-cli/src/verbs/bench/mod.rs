//! `bench`: how fast a model runs on stock tract, on tract with the vzeroupper repair, and on ours without and with convolutions.
//! Given a model; the library does the interleaved timing.
//! Promises figures with the doubts that belong to them: warnings are printed even when all else is quiet.

mod text;
mod trace;

use std::path::{Path, PathBuf};

use clap::Args;
use onnx_swish::{BenchOptions, BenchReport, Model};

use crate::args::{Limits, Running, Source};
use crate::failure::{Answer, Failure, Outcome};
use crate::term::Term;
use crate::{feed, files, heap, page};

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
    /// Write the time of each node as a trace, for Perfetto (ui.perfetto.dev) or Chrome
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    /// Write the time of each node by the name of its tensor, as node data for Model Explorer
    #[arg(long, value_name = "FILE.json")]
    model_explorer: Option<PathBuf>,
    /// Overwrite existing files of these three
    #[arg(long)]
    force: bool,
}

/// Another way than `--force`.
const OTHERWISE: &str = "or name another file";

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let model = files::open(&arguments.source)?;
    let outputs = [
        &arguments.export_markdown,
        &arguments.trace,
        &arguments.model_explorer,
    ];
    let mut taken: Vec<&PathBuf> = Vec::new();
    for path in outputs.into_iter().flatten() {
        refuse_unwritable(path)?;
        if taken.contains(&path) {
            let problem = format!("{} is given for two files", path.display());
            return Err(Failure::new(problem).help("name a file for each"));
        }
        taken.push(path);
        files::refuse_a_model(path, [&model])?;
        files::refuse_existing(path, arguments.force, OTHERWISE)?;
    }
    let options = BenchOptions {
        threads: arguments.running.threads.into(),
        convolutions: arguments.running.convolutions(),
        tables: !arguments.running.no_tables,
        codes: !arguments.running.no_codes,
        runs: arguments.runs as usize,
        shapes: feed::shapes(&model, &arguments.running.sizes)?,
        seed: arguments.running.seed,
        profile: arguments.profile
            || arguments.trace.is_some()
            || arguments.model_explorer.is_some(),
        heap: heap::meter(),
        max_nodes: arguments.limits.max_nodes,
        max_build_time: arguments.limits.max_build_time,
        ..BenchOptions::default()
    };
    let progress = term.progress("loading");
    let report = onnx_swish::bench(&model, &options, |step| progress.tell(step))
        .map_err(|error| Failure::on("time", &arguments.source.model, error))?;
    drop(progress);
    // The figures took their time; they are shown even where a file of them cannot be written.
    let written = exported(term, &arguments, &model, &report);
    for warning in &report.warnings {
        term.warn(warning);
    }
    if term.json() {
        term.document(&report)?
    } else {
        term.result(&text::told(term, &report))?
    }
    written.map(|()| Answer::Yes)
}

/// Refuses a path that nothing can be written to, before the measuring.
fn refuse_unwritable(path: &Path) -> Result<(), Failure> {
    if files::is_stream(path) {
        return Err(Failure::new("the figures go to files, and `-` is none")
            .help("name a file; `--format json` writes all of them to standard output"));
    }
    if path.is_dir() {
        let problem = format!("cannot write {}: it is a folder", path.display());
        return Err(Failure::new(problem).help("name a file in it"));
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let cannot = format!("cannot write {}", path.display());
    match folder.metadata() {
        Err(error) => Err(Failure::caused(cannot, &error)
            .help("its folder does not exist: make it first, or name another")),
        Ok(data) if !data.is_dir() => {
            let problem = format!("{cannot}: {} is not a folder", folder.display());
            Err(Failure::new(problem).help("name a file in another"))
        }
        // Whoever may write where nobody may (root) is found out when it is written.
        Ok(data) if data.permissions().readonly() => {
            let problem = format!("{cannot}: {} is read-only", folder.display());
            Err(Failure::new(problem).help("nothing may be written there: name another folder"))
        }
        Ok(_) => Ok(()),
    }
}

/// The files that were asked for.
fn exported(
    term: &Term,
    arguments: &Arguments,
    model: &Model,
    report: &BenchReport,
) -> Result<(), Failure> {
    if let Some(path) = &arguments.export_markdown {
        let table = report.to_markdown();
        page::write(path, table.as_bytes(), arguments.force, OTHERWISE)?;
    }
    viewers(term, arguments, model, report)
}

/// What other people's viewers open.
fn viewers(
    term: &Term,
    arguments: &Arguments,
    model: &Model,
    report: &BenchReport,
) -> Result<(), Failure> {
    if let Some(path) = &arguments.trace {
        write(path, &trace::trace(report), arguments.force)?;
    }
    if let Some(path) = &arguments.model_explorer {
        let (data, unknown) =
            trace::node_data(report.profile_nodes.as_deref().unwrap_or_default(), model);
        write(path, &data, arguments.force)?;
        if unknown > 0 {
            term.note(&format!(
                "{} has no time of {} that the engine made itself",
                path.display(),
                crate::report::count(unknown, "node")
            ));
        }
    }
    Ok(())
}

fn write(path: &Path, data: &serde_json::Value, force: bool) -> Result<(), Failure> {
    page::write(path, format!("{data}\n").as_bytes(), force, OTHERWISE)
}
