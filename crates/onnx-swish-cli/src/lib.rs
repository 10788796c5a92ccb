//! The `onnx-swish` command, for the binary of that name and for packages that bring it along.
//! Given the process's arguments.
//! Promises exit status 0 (done), 1 (the answer is no) or 2 (usage or failure), and a readable line for every failure.
#![forbid(unsafe_code)]

mod args;
mod cli;
#[cfg(feature = "engine")]
mod engine;
mod failure;
#[cfg(feature = "engine")]
mod feed;
mod files;
#[cfg(feature = "engine")]
mod heap;
mod loads;
mod many;
mod page;
mod report;
mod rewrite;
#[cfg(feature = "engine")]
mod table;
#[cfg(feature = "engine")]
mod tensors;
mod term;
mod verbs;

use std::ffi::OsString;
use std::io::Write as _;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::{Answer, Failure};
use crate::term::Term;

#[cfg(feature = "engine")]
pub use crate::heap::count_memory_with;

/// Carries the command out, as a process whose arguments these are, its name first: reads and writes files and the standard streams.
///
/// Returns the exit status: 0 done, 1 the answer is no, 2 usage or failure.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let Cli { global, verb } = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words),
    };
    // Behind a verb that this build lacks, all words are its own.
    #[cfg(not(feature = "engine"))]
    let global = if verb.is_absent() && wants_json(&words) {
        args::Global {
            format: args::Format::Json,
            ..global
        }
    } else {
        global
    };
    let term = Term::new(&global);
    // The engine's panics become errors with a sentence; nobody needs to see them twice.
    #[cfg(feature = "engine")]
    onnx_swish::silence_contained_panics();
    match verb.carry_out(&term) {
        Ok(Answer::Yes) => 0,
        Ok(Answer::No) => 1,
        Ok(Answer::Failed) => 2,
        Err(failure) => {
            term.error(&failure);
            2
        }
    }
}

/// Whether JSON is asked for, in a command line that did not parse.
fn wants_json(words: &[OsString]) -> bool {
    words.iter().any(|word| word == "--format=json")
        || words
            .windows(2)
            .any(|pair| pair[0] == "--format" && pair[1] == "json")
}

/// Help, the version, or what is wrong with the command line; the latter as JSON where JSON was asked for.
fn usage(error: &clap::Error, words: &[OsString]) -> u8 {
    #[cfg(not(feature = "engine"))]
    if let Some(failure) = verbs::no_engine::option(error) {
        if wants_json(words) {
            return document(&failure);
        }
        // Standard error may be closed; the exit status still tells.
        let _ = write!(anstream::stderr(), "{}", failure.render());
        return 2;
    }
    if error.use_stderr() && wants_json(words) {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        // What is wrong, then how it should be.
        let failure = match text.split_once("\n\n") {
            Some((what, help)) => Failure::new(what).help(help),
            None => Failure::new(text),
        };
        return document(&failure);
    }
    let _ = error.print();
    if error.use_stderr() { 2 } else { 0 }
}

/// A failure for machines, and the exit status.
fn document(failure: &Failure) -> u8 {
    if let Ok(document) = serde_json::to_string_pretty(&failure.document()) {
        // Standard output may be closed; the exit status still tells.
        let _ = writeln!(std::io::stdout(), "{document}");
    }
    2
}
