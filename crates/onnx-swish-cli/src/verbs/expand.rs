//! `expand`: the reverse of `fuse`, back to plain operators of the model's own opset.
//! Given a model with fused operators, ours or the standard ones, and where its result goes.
//! Promises a complete file or none.

use std::fmt::Write as _;

use clap::Args;
use onnx_swish::{Obstacles, TooNew};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::args::{For, Sources, Target, runtimes_that};
use crate::failure::Outcome;
use crate::report;
use crate::rewrite::{self, Rewritten, Verb};
use crate::term::{Term, plain};

const FOR: &str =
    "The runtime that is to load the result: only what it does not load is taken apart";

/// Turn fused and standard Swish and HardSwish operators back into plain ones
#[derive(Debug, Args)]
#[command(mut_arg("runtime", |arg| arg.help(FOR).long_help(runtimes_that(FOR))))]
#[command(after_help = "\
Examples:
  onnx-swish expand model.fused.onnx            writes model.fused.plain.onnx beside it
  onnx-swish expand --in-place *.onnx           replaces them
  onnx-swish expand --for burn model.onnx       only what burn does not load
  onnx-swish expand --check --for qnn *.onnx    exit status 1 if there is such a thing")]
pub struct Arguments {
    #[command(flatten)]
    sources: Sources,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    runtime: For,
}

#[derive(Serialize)]
struct Document {
    schema_version: u32,
    model: Option<String>,
    /// The outputs of the operators that were taken apart.
    expanded: Vec<String>,
    kept: Vec<Kept>,
    /// The versions of the file that are newer than what the runtime reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    too_new: Vec<TooNew>,
    /// The functions of the file that are called and that the runtime does not load.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    functions_not_loaded: Vec<String>,
}

/// An operator that stays as it is.
#[derive(Serialize)]
struct Kept {
    output: String,
    message: String,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let Arguments {
        sources,
        target,
        runtime,
    } = arguments;
    let verb = Verb {
        doing: "expand",
        suffix: "plain",
        options: runtime.words(),
    };
    let would = target.dry_run || target.check;
    rewrite::main(term, &sources, &target, &verb, |model| {
        let expansion = match runtime.runtime() {
            Some(runtime) => onnx_swish::expand_for(model, runtime)?,
            None => onnx_swish::expand(model)?,
        };
        let kept = expansion
            .kept
            .into_iter()
            .map(|(output, message)| Kept { output, message });
        let document = Document {
            schema_version: 1,
            model: model.path().map(|path| path.display().to_string()),
            expanded: expansion.expanded,
            kept: kept.collect(),
            too_new: runtime
                .runtime()
                .map_or_else(Vec::new, |runtime| runtime.too_new(model)),
            functions_not_loaded: runtime
                .runtime()
                .map_or_else(Vec::new, |runtime| runtime.functions_not_loaded(model)),
        };
        let told = told(term, &document, runtime.name(), would);
        Ok(Rewritten {
            obstacles: obstacles(runtime.name(), &document),
            file: expansion.model,
            changes: document.expanded.len(),
            told,
            document,
        })
    })
}

/// What keeps the runtime from loading the result.
fn obstacles(runtime: Option<&str>, document: &Document) -> Obstacles {
    runtime.map_or_else(Obstacles::default, |runtime| {
        let stay = document.kept.iter();
        let stay = stay.map(|kept| (&*kept.output, &*kept.message));
        let functions = &document.functions_not_loaded;
        Obstacles::new(runtime, &document.too_new, functions, stay)
    })
}

fn told(term: &Term, document: &Document, runtime: Option<&str>, would: bool) -> String {
    let mut text = String::new();
    let expanded = document.expanded.len();
    let done = match (expanded, runtime) {
        (0, None) => "Nothing to expand".to_owned(),
        (0, Some(runtime)) if obstacles(Some(runtime), document).is_empty() => {
            format!("Nothing to expand: {runtime} loads what is there")
        }
        (0, Some(runtime)) => format!("Nothing to expand for {runtime}"),
        (_, whom) => {
            let whom = whom.map_or_else(String::new, |runtime| format!(" for {runtime}"));
            let done = if would { "Would expand" } else { "Expanded" };
            format!("{done} {}{whom}", report::count(expanded, "operator"))
        }
    };
    let _ = writeln!(text, "{}", done.bold());
    if term.verbose {
        for output in &document.expanded {
            let _ = writeln!(text, "  {}", plain(output));
        }
    }
    // With a runtime it is said what keeps that from loading the file.
    for kept in document.kept.iter().filter(|_| runtime.is_none()) {
        let _ = writeln!(
            text,
            "  kept {}: {}",
            plain(&kept.output),
            plain(&kept.message)
        );
    }
    text
}
