//! `inspect`: what would be fused, what is one operator already, and what nearly matched.
//! Given a model, which is only read.
//! Promises that every gate which multiplies something is named, or counted in a group that `-v` lists.

use std::fmt::Write as _;

use clap::Args;
use onnx_swish::{FuseOptions, Report};
use owo_colors::OwoColorize;

use crate::args::Source;
use crate::failure::{Answer, Outcome};
use crate::term::Term;
use crate::{files, report};

/// Say what would be fused, what already is, and what nearly matched and why not
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let model = files::open(&arguments.source)?;
    let report = onnx_swish::inspect(&model, &FuseOptions::default());
    if term.json() {
        term.document(&report)?;
    } else {
        term.result(&told(term, &arguments.source, &report))?;
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
