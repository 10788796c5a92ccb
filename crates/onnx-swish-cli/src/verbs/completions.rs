//! `completions`: what a shell needs to complete the command line.
//! Given the name of a shell.
//! Promises a script on standard output that knows every verb and option of this build.

use clap::{Args, CommandFactory, ValueEnum};
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
    shell: Choice,
}

/// The shells, named here so that the help lists them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Choice {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let shell = match arguments.shell {
        Choice::Bash => Shell::Bash,
        Choice::Elvish => Shell::Elvish,
        Choice::Fish => Shell::Fish,
        Choice::Powershell => Shell::PowerShell,
        Choice::Zsh => Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "onnx-swish", &mut script);
    term.raw(&script)?;
    Ok(Answer::Yes)
}
