//! The table of verbs: which words the command knows, and the file that carries out each.
//! Given the process's arguments.
//! Promises that a verb is added here and in a file of `verbs/`, and nowhere else.

use clap::{Parser, Subcommand};

use crate::args::Global;
use crate::failure::Outcome;
use crate::page;
use crate::term::Term;
#[cfg(feature = "engine")]
use crate::verbs::{bench, run, verify};
use crate::verbs::{completions, diff, expand, fuse, inspect, man, report};
#[cfg(not(feature = "engine"))]
use crate::verbs::{no_engine as bench, no_engine as run, no_engine as verify};

/// Fuse the pieces of Swish, SiLU and HardSwish in ONNX models, prove the result, and run it.
#[derive(Debug, Parser)]
#[command(name = "onnx-swish", version, propagate_version = true, styles = crate::term::HELP_STYLES)]
#[command(after_help = "\
Examples:
  onnx-swish fuse model.onnx               writes model.fused.onnx
  onnx-swish inspect *.onnx                what would be fused, and why the rest is not
  onnx-swish fuse --check *.onnx           for CI: exit status 1 if there is something to fuse

Exit status: 0 done, 1 the answer is no (verify, --check), 2 usage or failure.
Models and JSON go to standard output, everything else for people to standard error.")]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs; each is one file of `verbs/`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    Fuse(fuse::Arguments),
    Inspect(inspect::Arguments),
    Report(report::Arguments),
    Diff(diff::Arguments),
    Verify(verify::Arguments),
    Run(run::Arguments),
    Bench(bench::Arguments),
    Expand(expand::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Verb {
    /// Whether it is one of those that need an engine.
    #[cfg(not(feature = "engine"))]
    pub fn is_absent(&self) -> bool {
        matches!(self, Verb::Verify(_) | Verb::Run(_) | Verb::Bench(_))
    }

    pub fn carry_out(self, term: &Term) -> Outcome {
        if !matches!(self, Verb::Diff(_)) {
            page::refuse(term.format)?;
        }
        #[cfg(feature = "engine")]
        if matches!(self, Verb::Verify(_) | Verb::Run(_) | Verb::Bench(_)) {
            warn_of_instruction_set(term);
        }
        match self {
            Verb::Fuse(arguments) => fuse::main(term, arguments),
            Verb::Inspect(arguments) => inspect::main(term, arguments),
            Verb::Report(arguments) => report::main(term, arguments),
            Verb::Diff(arguments) => diff::main(term, arguments),
            Verb::Expand(arguments) => expand::main(term, arguments),
            Verb::Completions(arguments) => completions::main(term, arguments),
            Verb::Man(arguments) => man::main(term, arguments),
            #[cfg(feature = "engine")]
            Verb::Verify(arguments) => verify::main(term, arguments),
            #[cfg(feature = "engine")]
            Verb::Run(arguments) => run::main(term, arguments),
            #[cfg(feature = "engine")]
            Verb::Bench(arguments) => bench::main(term, arguments),
            #[cfg(not(feature = "engine"))]
            Verb::Verify(arguments) => verify::main("verify", arguments),
            #[cfg(not(feature = "engine"))]
            Verb::Run(arguments) => run::main("run", arguments),
            #[cfg(not(feature = "engine"))]
            Verb::Bench(arguments) => bench::main("bench", arguments),
        }
    }
}

/// The kernels ignore what they cannot do; whoever asked for it should know.
#[cfg(feature = "engine")]
fn warn_of_instruction_set(term: &Term) {
    if let Err(error) = onnx_swish::Isa::from_environment() {
        term.warn(&format!(
            "{}: {error}; computing with {}",
            onnx_swish::ISA_VARIABLE,
            onnx_swish::Isa::best()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
