//! `fuse`: rewrites a model with one operator for each activation.
//! Given a model and where its result goes.
//! Promises a complete file or none, and a report of what was done that is the one `--dry-run` printed.

use std::fmt::Write as _;

use clap::Args;
use onnx_swish::{Emit, Fused, Obstacles, Report};
use owo_colors::OwoColorize;

use crate::args::{Emission, Sources, Target};
use crate::failure::{Failure, Outcome};
use crate::report;
use crate::rewrite::{self, Rewritten, Verb};
use crate::term::Term;

/// Put one operator in the place of every Swish, SiLU and HardSwish
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish fuse model.onnx                    writes model.fused.onnx beside it
  onnx-swish fuse --in-place a.onnx b.onnx      replaces both
  onnx-swish fuse *.onnx -o fused/              writes into a folder, under the same names
  onnx-swish fuse --check *.onnx                exit status 1 if there is something to fuse
  onnx-swish fuse --for onnxruntime model.onnx  what ONNX Runtime loads and is fastest with
  onnx-swish fuse - < in.onnx > out.onnx        a filter")]
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    emit: Emission,
    /// Also put a function of the file in the place of every quantised activation, from one 8-bit code to another, with its own nodes as
    /// the body; without this they stay as they are
    #[arg(long)]
    quantized: bool,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let options = arguments.emit.options().quantized(arguments.quantized);
    if options.quantized && !options.writes_functions() {
        let (asked, other) = match options.runtime {
            Some(runtime) => (
                format!("{} does not load functions", runtime.name),
                "name a runtime that does, such as --for onnxruntime",
            ),
            None => (
                "--emit rules functions out".to_owned(),
                "leave --emit out, or name a runtime that loads functions: --for onnxruntime",
            ),
        };
        let problem = format!("--quantized writes functions of the file, and {asked}");
        return Err(Failure::new(problem).help(other));
    }
    let quantized = options.quantized.then(|| "--quantized".to_owned());
    let verb = Verb {
        doing: "fuse",
        suffix: "fused",
        options: quantized
            .into_iter()
            .chain(arguments.emit.words())
            .collect(),
    };
    let would = arguments.target.dry_run || arguments.target.check;
    rewrite::main(
        term,
        &arguments.sources,
        &arguments.target,
        &verb,
        |model| {
            let Fused { report, file, .. } = onnx_swish::fuse(model, &options)?;
            Ok(Rewritten {
                file,
                changes: report.changes(),
                obstacles: obstacles(arguments.emit.runtime(), &report),
                told: told(term, &report, arguments.emit.runtime(), would),
                document: report,
            })
        },
    )
}

fn told(term: &Term, report: &Report, runtime: Option<&str>, would: bool) -> String {
    let mut text = String::new();
    let (fused, apart) = (report.fused(), report.apart());
    let whom = runtime.map_or_else(String::new, |runtime| format!(" for {runtime}"));
    if fused == 0 {
        let found = if apart > 0 {
            "Nothing to fuse, only to expand"
        } else {
            "Nothing to fuse"
        };
        let _ = writeln!(text, "{}", format!("{found}{whom}").bold());
    } else {
        let done = if would { "Would fuse" } else { "Fused" };
        let _ = writeln!(
            text,
            "{}",
            format!("{done} {}{whom}", report::count(fused, "activation")).bold()
        );
        text.push_str(&report::fusions(term, report));
        text.push_str(&report::quantised(term, report.functions()));
    }
    if let Some(runtime) = runtime.filter(|_| !report.expanded.is_empty()) {
        let again = match report.expanded.len() - apart {
            0 => String::new(),
            again => format!("; {again} of them fused again"),
        };
        let what = report::count(report.expanded.len(), "operator");
        let done = if would { "Would take" } else { "Took" };
        let _ = writeln!(
            text,
            "{done} apart {what} that {runtime} does not load{again}"
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "Note: {note}");
    }
    text.push_str(&report::kept(report));
    // HardSigmoid and Mul, where that is what would be written.
    let pairs = report.already_fused.iter();
    let pairs = pairs.filter(|one| one.op.contains('+')).count();
    let operators = report.already_fused.len() - pairs;
    for (number, what) in [
        (operators, "stood as one operator already"),
        (pairs, "stood as the two operators that would be written"),
    ] {
        if number > 0 {
            let _ = writeln!(text, "{} {what}", report::count(number, "activation"));
        }
    }
    if !report.near_misses.is_empty() {
        let nearly = report::count(report.near_misses.len(), "gate");
        if term.verbose {
            let _ = writeln!(text, "{nearly} nearly matched:");
            text.push_str(&report::near_misses(term, report));
        } else {
            let how = match (runtime, report.emit) {
                (Some(runtime), _) => format!(" --for {runtime}"),
                (None, Emit::Custom) => String::new(),
                (None, Emit::Contrib) => " --emit contrib".to_owned(),
                (None, Emit::Standard) => " --emit standard".to_owned(),
            };
            let _ = writeln!(
                text,
                "{}",
                format!("{nearly} nearly matched; `onnx-swish inspect{how}` says why not").dimmed()
            );
        }
    }
    text
}

/// What keeps the runtime from loading the result.
fn obstacles(runtime: Option<&str>, report: &Report) -> Obstacles {
    runtime.map_or_else(Obstacles::default, |runtime| Obstacles::of(runtime, report))
}
