//! `expand`: the reverse of `fuse`, back to plain operators of the model's own opset.
//! Given a model with fused operators, ours or the standard ones, and where its result goes.
//! Promises a complete file or none.

use std::fmt::Write as _;

use clap::Args;
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::args::{For, Sources, Target};
use crate::failure::Outcome;
use crate::report;
use crate::rewrite::{self, Rewritten, Verb};
use crate::term::{Term, plain};

/// Turn fused and standard Swish and HardSwish operators back into plain ones
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish expand model.fused.onnx            writes model.fused.plain.onnx beside it
  onnx-swish expand --in-place *.onnx           replaces them")]
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
        let expansion = match runtime.runtime {
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
        };
        let told = told(term, &document, would);
        Ok(Rewritten {
            file: expansion.model,
            changes: document.expanded.len(),
            told,
            document,
        })
    })
}

fn told(term: &Term, document: &Document, would: bool) -> String {
    let mut text = String::new();
    let _ = if document.expanded.is_empty() {
        writeln!(text, "{}", "Nothing to expand".bold())
    } else {
        let done = if would { "Would expand" } else { "Expanded" };
        writeln!(
            text,
            "{}",
            format!(
                "{done} {}",
                report::count(document.expanded.len(), "operator")
            )
            .bold()
        )
    };
    if term.verbose {
        for output in &document.expanded {
            let _ = writeln!(text, "  {}", plain(output));
        }
    }
    for kept in &document.kept {
        let _ = writeln!(
            text,
            "  kept {}: {}",
            plain(&kept.output),
            plain(&kept.message)
        );
    }
    text
}
