//! The options that every verb has, and those that several share. Knows no verb.
//! Given the process's arguments by clap; each verb declares its own options in its own file.
//! Promises that options which contradict each other do not parse.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command, ValueEnum};
use onnx_swish::{Emit, FuseOptions, Runtime, UnknownRuntime};

#[cfg(feature = "engine")]
mod running;

#[cfg(feature = "engine")]
pub use running::{Feed, Limits, Precision, Running, Sizes, Who};

/// Options that every verb obeys.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// How the result is written
    #[arg(long, global = true, value_enum, default_value_t = Format::Human, value_name = "FORMAT")]
    pub format: Format,
    /// Say nothing but the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// List everything instead of a summary
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to colour; NO_COLOR and CLICOLOR_FORCE are respected
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    Human,
    /// One JSON document, `schema_version` 1
    Json,
    /// Markdown, for the summary of a pull request; `diff` only
    Markdown,
    /// One HTML file; `diff` only
    Html,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// Where external data lives when the model comes from standard input.
#[derive(Debug, Args)]
pub struct Source {
    /// The ONNX model; `-` reads standard input
    pub model: PathBuf,
    /// Folder that external data is relative to, when the model comes from standard input
    #[arg(long, value_name = "DIR")]
    pub base_dir: Option<PathBuf>,
}

/// The models of a verb that takes any number of them.
#[derive(Debug, Args)]
pub struct Sources {
    /// ONNX models; `-` alone reads standard input
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// Folder that external data is relative to, when the model comes from standard input
    #[arg(long, value_name = "DIR")]
    base_dir: Option<PathBuf>,
}

impl Sources {
    /// One by one.
    pub fn each(&self) -> Vec<Source> {
        let source = |model: &PathBuf| Source {
            model: model.clone(),
            base_dir: self.base_dir.clone(),
        };
        self.models.iter().map(source).collect()
    }

    pub fn are_several(&self) -> bool {
        self.models.len() > 1
    }
}

/// What fused activations are written as.
#[derive(Debug, Args)]
pub struct Emission {
    /// What a fused activation is written as
    #[arg(long, value_enum, default_value_t = Spelling::Custom, value_name = "SPELLING", conflicts_with = "runtime")]
    emit: Spelling,
    #[command(flatten)]
    runtime: For,
}

/// The runtime that is to load the result.
#[derive(Debug, Args)]
pub struct For {
    /// The runtime that is to load the result; --help lists those that are known
    #[arg(long = "for", value_name = "RUNTIME[@VERSION]", value_parser = Runtimes, hide_possible_values = true, long_help = runtimes())]
    runtime: Option<Asked>,
}

/// A runtime that is asked for.
#[derive(Clone, Debug)]
struct Asked {
    /// As it was typed.
    name: String,
    runtime: &'static Runtime,
}

/// The help of `--for`, with the names that it takes.
fn runtimes() -> String {
    runtimes_that(
        "The runtime that is to load the result: it is written as what that loads and is fastest with",
    )
}

/// The same for a verb for which a runtime means something of its own.
pub fn runtimes_that(mean: &str) -> String {
    let aliases = Runtime::aliases().iter();
    let aliases: Vec<String> = aliases
        .map(|(alias, name)| format!("{alias} ({name})"))
        .collect();
    format!(
        "{mean}. VERSION, as in `onnxruntime@1.20`, is the oldest release that has to load it; without it the newest that was looked at \
         counts. This is about activations, functions of the file and its versions, not about its other \
         operators\n\n[runtimes: {}]\n[or, in short: {}]",
        Runtime::names().join(", "),
        aliases.join(", ")
    )
}

impl For {
    pub fn runtime(&self) -> Option<&'static Runtime> {
        self.runtime.as_ref().map(|asked| asked.runtime)
    }

    /// The runtime's name as it was typed.
    pub fn name(&self) -> Option<&str> {
        self.runtime.as_ref().map(|asked| asked.name.as_str())
    }

    /// As it is typed.
    pub fn words(&self) -> Vec<String> {
        let name = self.name().map(|name| ["--for", name].map(str::to_owned));
        name.into_iter().flatten().collect()
    }
}

fn parse_runtime(text: &str) -> Result<Asked, UnknownRuntime> {
    Ok(Asked {
        name: text.to_owned(),
        runtime: Runtime::find(text)?,
    })
}

/// Takes a runtime, with a version or without; shells complete the names.
#[derive(Clone)]
struct Runtimes;

impl TypedValueParser for Runtimes {
    type Value = Asked;

    fn parse_ref(
        &self,
        command: &Command,
        option: Option<&Arg>,
        text: &OsStr,
    ) -> Result<Asked, clap::Error> {
        TypedValueParser::parse_ref(&parse_runtime, command, option, text)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let aliases = Runtime::aliases().iter().map(|(alias, _)| *alias);
        let names = Runtime::names().into_iter().chain(aliases);
        Some(Box::new(names.map(PossibleValue::new)))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spelling {
    /// Operators of this project, each with a model-local function
    Custom,
    /// com.microsoft::QuickGelu, and HardSwish from opset 14
    Contrib,
    /// HardSwish from opset 14, Swish from opset 24
    Standard,
}

impl Emission {
    /// The name of the runtime, as it was typed.
    pub fn runtime(&self) -> Option<&str> {
        self.runtime.name()
    }

    /// As it is typed, where it is not what is written anyway.
    pub fn words(&self) -> Vec<String> {
        let spelling = match self.emit {
            Spelling::Custom => return self.runtime.words(),
            Spelling::Contrib => "contrib",
            Spelling::Standard => "standard",
        };
        vec!["--emit".to_owned(), spelling.to_owned()]
    }

    pub fn options(&self) -> FuseOptions {
        match (self.runtime.runtime(), self.emit) {
            (Some(runtime), _) => FuseOptions::runtime(runtime),
            (None, Spelling::Custom) => FuseOptions::emit(Emit::Custom),
            (None, Spelling::Contrib) => FuseOptions::emit(Emit::Contrib),
            (None, Spelling::Standard) => FuseOptions::emit(Emit::Standard),
        }
    }
}

/// Where a rewritten model goes.
#[derive(Debug, Args)]
pub struct Target {
    /// Where the result goes, a file or a folder, with several models a folder; `-` writes standard output
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Replace MODEL itself
    #[arg(long, conflicts_with = "output")]
    pub in_place: bool,
    /// Overwrite an existing output
    #[arg(long)]
    pub force: bool,
    /// Report what would be done, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write nothing; exit with 1 if there is something to do, or the runtime of --for would not load the result
    #[arg(long, conflicts_with_all = ["output", "in_place", "force"])]
    pub check: bool,
    /// Write into another folder without copying the external data the model refers to
    #[arg(long)]
    pub no_copy_external: bool,
}
