//! `verify`, `run` and `bench` in a command that was built without an engine.
//! Given whatever was typed behind the verb.
//! Promises a sentence that says how to get the verb, in place of "unknown command".

use std::ffi::OsString;

use clap::Args;

use crate::failure::{Failure, Outcome};

/// Not in this build: it has no engine to run models with
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    ignored: Vec<OsString>,
}

pub fn main(verb: &str, arguments: Arguments) -> Outcome {
    let Arguments { ignored: _ } = arguments;
    Err(Failure::new(format!(
        "this onnx-swish was built without an engine, and `{verb}` runs models"
    ))
    .help("install it with its default features: `cargo install onnx-swish-cli`"))
}
