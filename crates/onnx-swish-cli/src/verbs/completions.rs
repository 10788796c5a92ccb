//! `completions`: what a shell needs to complete the command line.
//! Given the name of a shell.
//! Promises a script on standard output that knows every verb and option of this build.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::{Answer, Outcome};
use crate::term::Term;

/// Print a script that makes a shell complete this command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish completions bash > ~/.local/share/bash-completion/completions/onnx-swish
  onnx-swish completions zsh > ~/.zfunc/_onnx-swish
  onnx-swish completions fish > ~/.config/fish/completions/onnx-swish.fish")]
pub struct Arguments {
    /// For which shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let mut script = Vec::new();
    let command = &mut Cli::command();
    clap_complete::generate(arguments.shell, command, "onnx-swish", &mut script);
    term.raw(&script)?;
    Ok(Answer::Yes)
}
