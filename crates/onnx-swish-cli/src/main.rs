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
use crate::failure::Answer;
use crate::term::Term;

fn main() -> ExitCode {
    let Cli { global, verb } = Cli::parse();
    let term = Term::new(&global);
    // The engine's panics become errors with a sentence; nobody needs to see them twice.
    #[cfg(feature = "engine")]
    onnx_swish::silence_contained_panics();
    match verb.carry_out(&term) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        Err(failure) => {
            // Standard error may be closed; the exit status still tells.
            let _ = anstream::stderr().write_all(failure.render().as_bytes());
            ExitCode::from(2)
        }
    }
}
