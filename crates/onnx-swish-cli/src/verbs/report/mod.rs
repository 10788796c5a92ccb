//! `report`: one HTML file that shows what was fused and what was not, with the nodes around each.
//! Given a model, and the fused file that was made of it, if there is one.
//! Promises a file that opens offline, whatever the names in the model are; `--format json` gives what it shows as data.

#[cfg(feature = "engine")]
mod engine;

use std::path::{Path, PathBuf};

use clap::Args;
use onnx_swish::{Document, Model};
use owo_colors::OwoColorize;

use crate::args::{Emission, Source};
use crate::failure::{Failure, Outcome};
use crate::files;
use crate::page::Page;
use crate::report::count;
use crate::term::{Term, plain};

/// Show what was fused and what was not, before and after, in one HTML file
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish report model.onnx                          writes model.report.html beside it
  onnx-swish report model.onnx model.fused.onnx -o r.html
  onnx-swish report --format json model.onnx            what the page shows, as data")]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// The fused file that was made of MODEL; without it MODEL is fused in memory
    fused: Option<PathBuf>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    emit: Emission,
    #[cfg(feature = "engine")]
    #[command(flatten)]
    engine: engine::Engine,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    #[cfg(feature = "engine")]
    arguments.engine.check()?;
    let target = target(term, &arguments)?;
    let source = &arguments.source;
    let model = files::open(source)?;
    let fused = match &arguments.fused {
        Some(path) => Some(open(path)?),
        None => None,
    };
    if let Some(path) = &target {
        files::refuse_a_model(path, [&model].into_iter().chain(&fused))?;
    }
    let document = onnx_swish::report(&model, &arguments.emit.options(), fused.as_ref())
        .map_err(|error| Failure::on("fuse", &source.model, error))?;
    if let (false, Some(other)) = (document.summary.in_common, &arguments.fused) {
        return Err(Failure::new(format!(
            "{} was not made of {}: they have nothing in common, no node and no stored tensor",
            other.display(),
            files::display(&source.model)
        ))
        .help("`onnx-swish diff` compares any two models"));
    }
    #[cfg(feature = "engine")]
    let (document, ran) = {
        let mut document = document;
        let engine = &arguments.engine;
        let ran = engine.enter(term, source, &model, fused.as_ref(), &mut document)?;
        (document, ran)
    };
    #[cfg(not(feature = "engine"))]
    let ran = (crate::failure::Answer::Yes, String::new());
    for sentence in &document.obstacles {
        term.warn(&plain(sentence));
    }
    if let Some(path) = &target {
        let bytes = arguments.page.write(term, path, &document)?;
        if !term.json() && !term.quiet && !files::is_stream(path) {
            let text = told(&document, path, bytes);
            term.result(&format!("{}{text}", ran.1))?;
        }
    }
    if term.json() {
        term.document(&document)?;
    }
    Ok(ran.0)
}

/// A file on disk; only the model itself may come from standard input.
pub fn open(path: &Path) -> Result<Model, Failure> {
    files::open(&Source {
        model: path.to_owned(),
        base_dir: None,
    })
}

/// Where the page goes; nowhere when only the data is asked for.
fn target(term: &Term, arguments: &Arguments) -> Result<Option<PathBuf>, Failure> {
    match &arguments.page.output {
        Some(path) if files::is_stream(path) && term.json() => Err(Failure::new(
            "the page and the JSON document cannot both go to standard output",
        )
        .help("name a file for the page with -o, or leave one of them out")),
        Some(path) => Ok(Some(path.clone())),
        None if term.json() => Ok(None),
        None if files::is_stream(&arguments.source.model) => Ok(Some(PathBuf::from("-"))),
        None => Ok(Some(arguments.source.model.with_extension("report.html"))),
    }
}

fn told(document: &Document, path: &Path, bytes: u64) -> String {
    let summary = &document.summary;
    let mut parts = vec![format!("{} fused", count(summary.fusions, "activation"))];
    if summary.quantised > 0 {
        parts.push(format!("{} quantised", summary.quantised));
    }
    if summary.near_misses > 0 {
        parts.push(format!(
            "{} nearly matched",
            count(summary.near_misses, "gate")
        ));
    }
    if summary.changes > 0 {
        parts.push(count(summary.changes, "other change"));
    }
    let size = files::size(bytes);
    format!(
        "Wrote {} ({size}): {}\n",
        path.display().bold(),
        parts.join(", ")
    )
}
