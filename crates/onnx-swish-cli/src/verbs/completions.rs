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
    term.raw(&script(arguments.shell))?;
    Ok(Answer::Yes)
}

/// The script of a shell.
fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "onnx-swish", &mut script);
    if shell != Shell::Bash {
        return script;
    }
    // clap_complete 4.6 spells the hyphen of our name in two ways, so that bash finds nothing behind a verb.
    let text = String::from_utf8_lossy(&script);
    text.replace("onnx__subcmd__swish", "onnx__swish")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn shells_that_complete_values_complete_the_names_of_runtimes() {
        for &shell in Shell::value_variants() {
            // clap_complete 4.6 completes no values in these two.
            if matches!(shell, Shell::Elvish | Shell::PowerShell) {
                continue;
            }
            let script = String::from_utf8(script(shell)).unwrap();
            for name in onnx_swish::Runtime::names() {
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn bash_knows_what_comes_behind_each_verb() {
        let script = String::from_utf8(script(Shell::Bash)).unwrap();
        let verbs: Vec<&str> = script
            .lines()
            .filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"'))
            .collect();
        assert!(verbs.iter().any(|verb| verb.ends_with("fuse")), "{script}");
        for verb in verbs.into_iter().filter(|verb| !verb.is_empty()) {
            let label = format!("{verb})");
            assert!(script.lines().any(|line| line.trim() == label), "{label}");
        }
    }
}
