//! `man`: the manual pages.
//! Given a folder.
//! Promises `onnx-swish.1` and a page for each verb, made from the same text as `--help`.

use std::path::PathBuf;

use clap::{ArgAction, Args, Command, CommandFactory};

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
    for (name, page) in pages() {
        std::fs::write(folder.join(name), page).map_err(failed)?;
    }
    term.note(&format!("Wrote the manual pages to {}", folder.display()));
    Ok(Answer::Yes)
}

/// Each page by the name of its file: that of the command, and those of its verbs.
fn pages() -> Vec<(String, String)> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let verbs: Vec<Command> = command.get_subcommands().cloned().collect();
    std::iter::once(command).chain(verbs).map(page).collect()
}

fn page(command: Command) -> (String, String) {
    const MODEL: &str = "<\\fIMODEL\\fR>";
    let several = command
        .get_positionals()
        .any(|arg| matches!(arg.get_action(), ArgAction::Append));
    let man = clap_mangen::Man::new(command);
    let mut page = Vec::new();
    // Nothing that is written to memory fails.
    let _ = man.render(&mut page);
    let mut page = String::from_utf8_lossy(&page).into_owned();
    if several {
        // clap_mangen 0.3 leaves that out of the synopsis.
        page = page.replacen(MODEL, &format!("{MODEL}..."), 1);
    }
    (man.get_filename(), with_status(sections(&page)))
}

/// A verb's page says the exit status, too; that of the command has its own words.
fn with_status(page: String) -> String {
    const STATUS: &str = ".SH \"EXIT STATUS\"\n.nf\n";
    if page.contains(STATUS) {
        return page;
    }
    let status =
        format!("{STATUS}0 done, 1 the answer is no (verify, --check), 2 usage or failure\n.fi\n");
    match page.split_once(".SH VERSION") {
        Some((before, behind)) => format!("{before}{status}.SH VERSION{behind}"),
        None => page + &status,
    }
}

/// clap_mangen 0.3 has one section for what stands behind the options, EXTRA; readers look for EXAMPLES and EXIT STATUS.
fn sections(page: &str) -> String {
    let page = page.replace(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n");
    let Some((before, behind)) = page.split_once(".SH EXAMPLES\n") else {
        return page;
    };
    let behind = behind.replacen(".SH VERSION", ".fi\n.SH VERSION", 1);
    let behind = behind.replacen("\n\nExit status: ", "\n.fi\n.SH \"EXIT STATUS\"\n.nf\n", 1);
    format!("{before}.SH EXAMPLES\n{behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_the_names_that_readers_look_for() {
        let pages = pages();
        let mut with_examples = 0;
        for (name, page) in &pages {
            assert!(
                !page.contains("EXTRA") && !page.contains("Examples:"),
                "{name}"
            );
            let lines = |line: &str| page.lines().filter(|one| *one == line).count();
            assert_eq!(lines(".nf"), lines(".fi"), "{name}");
            // Verbs that need an engine have none in a command without one.
            with_examples += page.matches(".SH EXAMPLES\n.nf\n  onnx").count();
        }
        assert!(with_examples >= 8, "{with_examples}");
        let whole = pages.iter().find(|(name, _)| name == "onnx-swish.1");
        assert!(whole.is_some_and(|(_, page)| page.contains(".SH \"EXIT STATUS\"\n.nf\n0 done")));
        for (name, page) in &pages {
            assert_eq!(page.matches("EXIT STATUS").count(), 1, "{name}");
        }
        let fuse = pages.iter().find(|(name, _)| name == "onnx-swish-fuse.1");
        assert!(fuse.is_some_and(|(_, page)| page.contains("<\\fIMODEL\\fR>...")));
    }
}
