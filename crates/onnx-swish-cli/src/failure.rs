//! Why a command could not be carried out, in words for the person who typed it.
//! Given an error of a library, or a sentence; turned into `error:`, `because:` and `help:` lines on standard error.
//! Promises one message per failure: a cause that the sentence above it already quotes is not repeated.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

#[cfg(feature = "engine")]
use onnx_swish::RunError;
use owo_colors::OwoColorize;
use serde::Serialize;

/// What failed, why, and what to do.
#[derive(Debug, Serialize)]
pub struct Failure {
    #[serde(rename = "message")]
    what: String,
    because: Vec<String>,
    help: Option<String>,
}

/// A failure for machines.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema_version: u32,
    error: &'a Failure,
}

/// What a verb answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done, or nothing to do: exit status 0.
    Yes,
    /// The question's answer is no: exit status 1.
    No,
    /// Some of several files failed, and that is said: exit status 2.
    Failed,
}

pub type Outcome = Result<Answer, Failure>;

impl Failure {
    /// A failure that needs no further cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            because: Vec::new(),
            help: None,
        }
    }

    /// A failure with an error of a library or the system as its cause.
    pub fn caused(what: impl Into<String>, cause: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(what);
        failure.add_causes(Some(cause));
        failure
    }

    /// Causes in words.
    pub fn because(mut self, causes: impl IntoIterator<Item = String>) -> Self {
        self.because.extend(causes);
        self
    }

    /// What to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// A failure of the library with the model that it happened on, unless its message names the file already.
    pub fn on(doing: &str, path: &Path, error: onnx_swish::Error) -> Self {
        let help = match &error {
            #[cfg(feature = "engine")]
            onnx_swish::Error::ShapeNeeded {
                input,
                example,
                others,
                ..
            } => {
                let mut help = format!("--shape {input}={example}");
                for (input, example) in others {
                    help += &format!(" --shape {input}={example}");
                }
                Some(help)
            }
            onnx_swish::Error::Model(onnx_swish::ModelError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Some("check the path".to_owned())
            }
            #[cfg(feature = "engine")]
            onnx_swish::Error::Run(RunError::TooManyNodes { found, .. }) => {
                Some(format!("--max-nodes {found}"))
            }
            #[cfg(feature = "engine")]
            onnx_swish::Error::Run(RunError::BuildTime { limit }) => Some(format!(
                "--max-build-time {}",
                2.0 * limit.as_secs_f64().max(0.5)
            )),
            onnx_swish::Error::External(onnx_swish::ExternalError::NoBaseDir { .. }) => {
                Some("--base-dir DIR says where the data is".to_owned())
            }
            onnx_swish::Error::Model(onnx_swish::ModelError::Wire { .. }) => {
                Some("download or export it again, and give the path of an .onnx file".to_owned())
            }
            _ => None,
        };
        let mut failure = if names_model(&error, path) {
            Self::from(error)
        } else {
            Self::caused(
                format!("cannot {doing} {}", crate::files::display(path)),
                &error,
            )
        };
        failure.help = help;
        failure
    }

    fn add_causes(&mut self, mut cause: Option<&(dyn Error + 'static)>) {
        while let Some(error) = cause {
            let text = error.to_string();
            let said = self.because.last().unwrap_or(&self.what);
            if !said.contains(&text) {
                self.because.push(text);
            }
            cause = error.source();
        }
    }

    /// The same for machines.
    pub fn document(&self) -> Document<'_> {
        Document {
            schema_version: 1,
            error: self,
        }
    }

    /// The message, styled; the stream that it is written to strips styles that are not wanted.
    pub fn render(&self) -> String {
        let mut text = format!("{} {}\n", "error:".red().bold(), self.what);
        for cause in &self.because {
            let _ = writeln!(text, "  {} {cause}", "because:".bold());
        }
        if let Some(help) = &self.help {
            let _ = writeln!(text, "  {} {help}", "help:".cyan().bold());
        }
        text
    }
}

/// Whether an error's message names the model; that of its weights, whose name may begin with the model's, does not.
fn names_model(error: &onnx_swish::Error, path: &Path) -> bool {
    let of_weights = matches!(
        error,
        onnx_swish::Error::External(_)
            | onnx_swish::Error::Model(onnx_swish::ModelError::External(_))
    );
    !of_weights && error.to_string().contains(&*path.to_string_lossy())
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut failure = Self::new(error.to_string());
        failure.add_causes(error.source());
        failure
    }
}
