//! `inspect`: what would be fused, what is one operator already, and what nearly matched; and what the engine makes of convolutions.
//! Given a model, which is only read.
//! Promises that every gate which multiplies something is named, or counted in a group that `-v` lists.

use std::fmt::Write as _;

use clap::Args;
use onnx_swish::{Convolution, FuseOptions, Report, Session};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::args::{Sizes, Source};
use crate::failure::{Answer, Failure, Outcome};
use crate::term::Term;
use crate::{feed, files, report};

/// Say what would be fused, what already is, and what nearly matched and why not
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Also load the model, and say which convolutions our kernels compute, and why the rest is tract's
    #[arg(long)]
    engine: bool,
    #[command(flatten)]
    sizes: Sizes,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    convolutions: Option<&'a [Convolution]>,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let Arguments {
        source,
        engine,
        sizes,
    } = arguments;
    if !engine && !sizes.shapes.is_empty() {
        return Err(
            Failure::new("--shape is of no use to what a file says of itself")
                .help("--engine loads the model, for inputs of this shape"),
        );
    }
    let model = files::open(&source)?;
    let report = onnx_swish::inspect(&model, &FuseOptions::default());
    let convolutions = if engine {
        let failed = |error| Failure::on("load", &source.model, error);
        let session = Session::builder().load(&model).map_err(failed)?;
        let shapes = feed::shapes(&model, &sizes)?;
        Some(session.convolutions(&shapes).map_err(failed)?)
    } else {
        None
    };
    if term.json() {
        term.document(&Document {
            report: &report,
            convolutions: convolutions.as_deref(),
        })?;
    } else {
        let mut text = told(term, &source, &report);
        if let Some(convolutions) = &convolutions {
            text += &report::convolutions(term, convolutions);
        }
        term.result(&text)?;
    }
    Ok(Answer::Yes)
}

fn told(term: &Term, source: &Source, report: &Report) -> String {
    let opset = report
        .opset
        .map_or_else(|| "no opset".to_owned(), |opset| format!("opset {opset}"));
    let facts = format!(
        "{opset}, IR {}, {}",
        report.ir_version,
        report::count(report.nodes, "node")
    );
    let mut text = format!("{} ({facts})\n", files::display(&source.model).bold());
    let sections = [
        (
            "Would be fused",
            report.fusions.len(),
            report::fusions(term, report),
        ),
        (
            "Quantised, from one 8-bit code to another",
            report.quantised.len(),
            report::quantised(term, report),
        ),
        (
            "One operator already",
            report.already_fused.len(),
            report::already_fused(term, report),
        ),
        (
            "Nearly matched, left as it is",
            report.near_misses.len(),
            report::near_misses(term, report),
        ),
    ];
    if sections.iter().all(|(_, count, _)| *count == 0) {
        text.push_str("No Swish, SiLU or HardSwish, and no gate that comes near one\n");
    }
    for (title, count, groups) in sections.iter().filter(|(_, count, _)| *count > 0) {
        let _ = write!(text, "\n{}\n{groups}", format!("{title}: {count}").bold());
    }
    text
}
