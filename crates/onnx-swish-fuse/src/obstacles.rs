//! Why a runtime would not load a file, in words.
//! Given the runtime as somebody calls it, and what is known of the file's versions, its functions and of operators that stay.
//! Promises one sentence for each obstacle, and what would help where something does.

use crate::report::Report;
use crate::runtimes::{Runtime, TooNew, VersionOf};

/// How many sentences of one kind stand for the rest.
const SHOWN: usize = 3;

/// What keeps a runtime from loading a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obstacles {
    /// One sentence for each; none where it loads the file, as far as its activations, its functions and its versions are concerned.
    pub sentences: Vec<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Obstacles {
    /// Versions that are too new, functions that are called, and operators that stay: their outputs, each with why it cannot be taken apart.
    pub fn new<'a>(
        runtime: &str,
        too_new: &[TooNew],
        functions: &[String],
        stay: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut sentences: Vec<String> = too_new
            .iter()
            .map(|version| version_sentence(runtime, version))
            .collect();
        let calls = functions.iter();
        let calls = calls.map(|name| {
            format!("{runtime} loads no functions of a file, and this one calls `{name}`")
        });
        shortened(&mut sentences, calls.collect());
        let stay = stay.into_iter().map(|(output, why)| {
            format!(
                "{runtime} does not load what makes `{output}`, which cannot be taken apart: {why}"
            )
        });
        shortened(&mut sentences, stay.collect());
        let inline = "inline the functions with the Python package onnx: `onnx.inliner.inline_local_functions(model)`";
        let inline = (!functions.is_empty()).then(|| inline.to_owned());
        Self {
            sentences,
            help: help(too_new).or(inline),
        }
    }

    /// What keeps the runtime from loading the result of a report.
    pub fn of(runtime: &str, report: &Report) -> Self {
        let stay = report.not_loaded.iter();
        let stay = stay.map(|one| (&*one.output, one.stays.as_deref().unwrap_or(&one.op)));
        Self::new(runtime, &report.too_new, &report.functions_not_loaded, stay)
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }
}

fn version_sentence(runtime: &str, version: &TooNew) -> String {
    let (found, newest) = (version.found, version.newest);
    match version.what {
        VersionOf::FunctionOpset => format!(
            "{runtime} reads files up to opset {newest}, and a function of this one has opset {found}"
        ),
        what => {
            let what = what.name();
            format!("{runtime} reads files up to {what} {newest}, and this one has {what} {found}")
        }
    }
}

/// The first few, and how many more there are.
fn shortened(sentences: &mut Vec<String>, more: Vec<String>) {
    let rest = more.len().saturating_sub(SHOWN);
    sentences.extend(more.into_iter().take(SHOWN));
    if rest > 0 {
        sentences.push(format!("so it is with {rest} more"));
    }
}

/// A version of the runtime that reads all of it, and what else would.
fn help(too_new: &[TooNew]) -> Option<String> {
    let all = too_new.iter().map(|version| version.read_by.as_deref());
    let newer = all.collect::<Option<Vec<_>>>();
    let newer = newer.and_then(|names| {
        let from = |name: &&str| Runtime::find(name).map(|row| row.from).ok();
        names.into_iter().max_by_key(from)
    });
    let find = |what| too_new.iter().find(|version| version.what == what);
    let opset = find(VersionOf::Opset).or(find(VersionOf::FunctionOpset));
    let other = match (opset, find(VersionOf::IrVersion)) {
        (Some(opset), _) => format!("export the model at opset {}", opset.newest),
        (None, Some(ir)) => format!(
            "set `model.ir_version = {}` with the Python package onnx, if the file holds nothing that came later",
            ir.newest
        ),
        (None, None) => return None,
    };
    Some(match newer {
        Some(newer) => format!("{newer} reads it; or {other}"),
        None => other,
    })
}
