//! `verify`, `run` and `bench` in a command that was built without an engine.
//! Given whatever was typed behind the verb.
//! Promises a sentence that says how to get the verb, in place of "unknown command".

use std::ffi::OsString;

use clap::Args;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Failure, Outcome};

/// Not in this build: it has no engine to run models with
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    ignored: Vec<OsString>,
}

/// How to get one.
const INSTALL: &str = "install it with its default features: `cargo install onnx-swish-cli`";

/// Options of the other verbs that load or run a model.
const OPTIONS: [&str; 9] = [
    "--engine",
    "--verify",
    "--bench",
    "--runs",
    "--shape",
    "--seed",
    "--threads",
    "--convolutions",
    "--no-convolutions",
];

/// What to say of an option that this build does not know, where another does.
pub fn option(error: &clap::Error) -> Option<Failure> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(option))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let option = option.split('=').next().unwrap_or_default();
    let problem =
        format!("this onnx-swish was built without an engine, and `{option}` loads models");
    let known = OPTIONS.contains(&option);
    known.then(|| Failure::new(problem).help(INSTALL))
}

pub fn main(verb: &str, arguments: Arguments) -> Outcome {
    let Arguments { ignored: _ } = arguments;
    Err(Failure::new(format!(
        "this onnx-swish was built without an engine, and `{verb}` runs models"
    ))
    .help(INSTALL))
}
