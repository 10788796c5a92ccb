//! Why ONNX Runtime cannot be the reference.
//!
//! Given what the library or the system said; promises sentences that say what to do about it.

use std::path::PathBuf;

/// Why ONNX Runtime cannot be the reference.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxRuntimeError {
    /// This build cannot load it.
    #[error(
        "this build cannot compare with ONNX Runtime: it was made without the cargo feature `onnxruntime`"
    )]
    NotBuiltIn,
    /// Nobody said where the library is.
    #[error(
        "where ONNX Runtime's shared library is was not said; name it, or set ORT_DYLIB_PATH. `pip install onnxruntime` brings one: \
         `onnxruntime/capi/libonnxruntime.so.*` below Python's site-packages"
    )]
    NoLibrary,
    /// The file is no library that the system can load.
    #[error("{path} cannot be loaded as a shared library: {reason}")]
    Library {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// A library of something else.
    #[error("{path} is a shared library, but not ONNX Runtime's: it has no OrtGetApiBase")]
    NotOnnxRuntime {
        /// The file.
        path: PathBuf,
    },
    /// A library whose `OrtGetApiBase` gives no interface: a stand-in, or a broken build.
    #[error(
        "{path} is a shared library with an OrtGetApiBase, but not a working ONNX Runtime: {reason}"
    )]
    NoInterface {
        /// The file.
        path: PathBuf,
        /// What it does not give.
        reason: &'static str,
    },
    /// An ONNX Runtime from before the interface that is used here.
    #[error("{path} is ONNX Runtime {found}, and 1.{needed} or newer is needed")]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: String,
        /// The oldest minor version that would do.
        needed: u32,
    },
    /// A process loads one library, once.
    #[error(
        "{wanted} cannot be loaded beside {loaded}, which this process uses already; compare with one ONNX Runtime at a time"
    )]
    Another {
        /// The one that was asked for.
        wanted: PathBuf,
        /// The one that is in use.
        loaded: PathBuf,
    },
    /// It refuses the model.
    #[error("ONNX Runtime {version} cannot load the original: {reason}")]
    Load {
        /// Its version.
        version: String,
        /// What it says.
        reason: String,
    },
    /// It fails while it runs the model.
    #[error("ONNX Runtime {version} failed while running the original: {reason}")]
    Run {
        /// Its version.
        version: String,
        /// What it says.
        reason: String,
    },
    /// An output that is no tensor, or one of a type that tensors do not have here.
    #[error("ONNX Runtime's output `{name}` is {found}, which is not compared here")]
    Output {
        /// The output.
        name: String,
        /// What it is.
        found: String,
    },
}

#[cfg(feature = "onnxruntime")]
impl OnnxRuntimeError {
    /// What the system says of a file that it cannot load.
    pub(super) fn unloadable(path: PathBuf, error: &libloading::Error) -> OnnxRuntimeError {
        let reason =
            std::error::Error::source(error).map_or_else(|| error.to_string(), |it| it.to_string());
        // The system begins with the path, as the sentence does.
        let own = format!("{}: ", path.display());
        let reason = reason.strip_prefix(&own).unwrap_or(&reason).to_owned();
        OnnxRuntimeError::Library { path, reason }
    }
}
