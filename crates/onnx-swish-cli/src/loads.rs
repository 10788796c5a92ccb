//! Why the runtime of `--for` would not load a file, in words.
//! Given the runtime as it was typed, and what the library says of the file's versions and of operators that stay.
//! Promises one sentence for each obstacle, and what would help where something does.

use onnx_swish::{Runtime, TooNew, VersionOf};

use crate::failure::Failure;
use crate::term::plain;

/// How many sentences of one kind stand for the rest.
const SHOWN: usize = 3;

/// What keeps a runtime from loading a file.
#[derive(Debug, Default)]
pub struct Obstacles {
    sentences: Vec<String>,
    help: Option<String>,
}

impl Obstacles {
    /// Versions that are too new, and operators that stay: their outputs, each with why it cannot be taken apart.
    pub fn new<'a>(
        runtime: &str,
        too_new: &[TooNew],
        stay: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut sentences: Vec<String> = too_new
            .iter()
            .map(|version| {
                let (what, found, newest) = (version.what.name(), version.found, version.newest);
                format!(
                    "{runtime} reads files up to {what} {newest}, and this one has {what} {found}"
                )
            })
            .collect();
        let stay: Vec<_> = stay.into_iter().collect();
        sentences.extend(stay.iter().take(SHOWN).map(|(output, why)| {
            let (output, why) = (plain(output), plain(why));
            format!(
                "{runtime} does not load what makes `{output}`, which cannot be taken apart: {why}"
            )
        }));
        if let Some(more) = stay.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            sentences.push(format!("so it is with {more} more"));
        }
        Self {
            sentences,
            help: help(too_new),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.sentences.is_empty()
    }

    /// One line each.
    pub fn lines(&self) -> String {
        let help = self.help.iter().map(|help| format!("  help: {help}"));
        let lines = self.sentences.iter().cloned().chain(help);
        lines.map(|line| line + "\n").collect()
    }

    /// Why nothing is written.
    pub fn failure(self, problem: String) -> Failure {
        let failure = Failure::new(problem).because(self.sentences);
        match self.help {
            Some(help) => failure.help(help),
            None => failure,
        }
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
    let other = match (find(VersionOf::Opset), find(VersionOf::IrVersion)) {
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
