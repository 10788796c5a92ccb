//! `man`: the manual pages.
//! Given a folder.
//! Promises `onnx-swish.1` and a page for each verb, made from the same text as `--help`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::cli::Cli;
use crate::failure::{Answer, Failure, Outcome};
use crate::term::Term;

/// Write the manual pages into a folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  onnx-swish man ~/.local/share/man/man1")]
pub struct Arguments {
    /// Where the pages go; the folder is made if it is missing, and older pages are replaced
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub fn main(term: &Term, arguments: Arguments) -> Outcome {
    let folder = &arguments.folder;
    let failed = |error: std::io::Error| {
        Failure::caused(
            format!("cannot write manual pages to {}", folder.display()),
            &error,
        )
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder).map_err(failed)?;
    term.note(&format!("Wrote the manual pages to {}", folder.display()));
    Ok(Answer::Yes)
}
