//! What can go wrong with a file, in words for the person who has it.

use std::path::PathBuf;

use crate::limits::{MAX_DEPTH, MAX_FILE_LEN, MAX_INLINED_NODES};
use crate::wire::{WireDefect, WireError};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model could not be read, edited or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The reason given.
        source: std::io::Error,
    },
    /// A folder, a pipe or a device where a file was expected.
    #[error("{} is not a regular file: give the path of a model file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is longer than any reader of ONNX accepts.
    #[error(
        "the model is {len} bytes long; no reader of ONNX takes more than {MAX_FILE_LEN}: store the weights as external data"
    )]
    TooLong {
        /// Its length in bytes.
        len: u64,
    },
    /// The file has no bytes.
    #[error("the file is empty: it may be an unfinished download")]
    Empty,
    /// A placeholder that Git LFS puts where the file belongs.
    #[error(
        "this is a Git LFS pointer, not the model itself: run `git lfs pull` to fetch the file"
    )]
    LfsPointer,
    /// The bytes are not a protobuf message, or end early.
    #[error(
        "not a readable ONNX model: {defect} (in {message}, at byte {at}); the file is damaged, cut short or of another format"
    )]
    Wire {
        /// What is wrong.
        defect: WireDefect,
        /// In which message.
        message: &'static str,
        /// At which byte.
        at: u32,
    },
    /// A file of another format.
    #[error("not an ONNX model: it is {}; {}", .0.what, .0.advice)]
    Foreign(crate::foreign::Foreign),
    /// The message holds no graph.
    #[error("not an ONNX model: there is no graph in it")]
    NoGraph,
    /// A field that may stand once stands twice; readers disagree on what that means.
    #[error(
        "{message}.{field} is given twice (again at byte {at}); readers disagree on what that means, so it is refused"
    )]
    Duplicate {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Where the second one starts.
        at: u32,
    },
    /// A field without which the message means nothing.
    #[error("a {message} at byte {at} has no {field}")]
    Missing {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Where the message starts.
        at: u32,
    },
    /// Graphs inside graphs inside graphs.
    #[error("graphs are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More of something than memory should be taken for.
    #[error("the model has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most there may be.
        limit: usize,
    },
    /// A part that had to be understood does not follow the schema.
    #[error("cannot decode a {message} at byte {at}: {source}")]
    Decode {
        /// The message.
        message: &'static str,
        /// Where it starts.
        at: u32,
        /// What prost says.
        source: prost::DecodeError,
    },
    /// An edit names a node, value or function that is not there.
    #[error("there is no {what} number {index}")]
    NoSuch {
        /// What was named.
        what: &'static str,
        /// By which position.
        index: usize,
    },
    /// A node that carries something that this version cannot carry over.
    #[error("{node} carries {what}, which replacing it would lose")]
    WouldLose {
        /// The node, for people.
        node: String,
        /// What would be lost.
        what: &'static str,
    },
    /// Two edits of one place.
    #[error("two edits overlap at byte {at}")]
    Conflict {
        /// Where.
        at: u32,
    },
    /// A stored value cannot be read.
    #[error(transparent)]
    Tensor(#[from] crate::tensor::TensorError),
    /// External data that must not or cannot be used.
    #[error(transparent)]
    External(#[from] crate::external::ExternalError),
    /// Saving was refused.
    #[error(transparent)]
    Save(#[from] crate::save::SaveError),
    /// The model breaks rules that every runtime relies on.
    #[error(transparent)]
    Invalid(#[from] crate::validate::Invalid),
    /// Functions call each other so often that writing them out takes too much.
    #[error("writing the functions out would make more than {MAX_INLINED_NODES} nodes")]
    InlineTooLarge,
    /// Functions call each other in a circle.
    #[error("function {name} calls itself, directly or through others")]
    RecursiveFunction {
        /// One of them.
        name: String,
    },
    /// A function whose operators mean something else in the model.
    #[error(
        "function {name} is written for version {function} of domain `{domain}`, the model for version {model}; it cannot be written out"
    )]
    InlineOpset {
        /// The function.
        name: String,
        /// The domain.
        domain: String,
        /// The function's version.
        function: i64,
        /// The model's version.
        model: i64,
    },
}

impl Error {
    pub(crate) fn wire(message: &'static str) -> impl Fn(WireError) -> Error {
        move |WireError { at, defect }| Error::Wire {
            defect,
            message,
            at,
        }
    }
}

/// Text of a file for people: what is not UTF-8 or would disturb a terminal is escaped.
pub fn display(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                out.extend(c.escape_default());
            } else {
                out.push(c);
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}
