//! The `onnx-swish` command.
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

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::failure::{Answer, Failure};
use crate::term::Term;

fn main() -> ExitCode {
    let Cli { global, verb } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let term = Term::new(&global);
    // The engine's panics become errors with a sentence; nobody needs to see them twice.
    #[cfg(feature = "engine")]
    onnx_swish::silence_contained_panics();
    match verb.carry_out(&term) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Ok(Answer::Failed) => ExitCode::from(2),
        Err(failure) => {
            term.error(&failure);
            ExitCode::from(2)
        }
    }
}

/// Help, the version, or what is wrong with the command line; the latter as JSON where JSON was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = || {
        let words: Vec<_> = std::env::args_os().collect();
        words.iter().any(|word| word == "--format=json")
            || words
                .windows(2)
                .any(|pair| pair[0] == "--format" && pair[1] == "json")
    };
    if error.use_stderr() && wants_json() {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
        if let Ok(document) = serde_json::to_string_pretty(&Failure::new(text).document()) {
            // Standard output may be closed; the exit status still tells.
            let _ = writeln!(std::io::stdout(), "{document}");
        }
        return ExitCode::from(2);
    }
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
