//! What can go wrong, whichever part of the work it goes wrong in.
//!
//! Given the errors of the crates below; promises one type whose message is the whole story on one line.

/// Why a model could not be read, fused, verified or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is no model, or could not be read.
    #[error(transparent)]
    Model(#[from] onnx_swish_model::Error),
    /// The model breaks rules that every runtime relies on.
    #[error(transparent)]
    Invalid(#[from] onnx_swish_model::Invalid),
    /// Fusing a valid model gave an invalid one.
    #[error(
        "fusing gave a model that breaks the rules: {0}; this is a defect of onnx-swish, and running without fusing avoids it"
    )]
    Splice(onnx_swish_model::Invalid),
    /// The model's external data is missing, or may not be read.
    #[error(transparent)]
    External(#[from] onnx_swish_model::ExternalError),
    /// The model could not be fused.
    #[error(transparent)]
    Fuse(#[from] onnx_swish_fuse::Error),
    /// tract cannot load or run the model.
    #[cfg(feature = "engine")]
    #[error(transparent)]
    Run(#[from] onnx_swish_tract::Error),
    /// An input has free dimensions and no shape was given.
    #[cfg(feature = "engine")]
    #[error(
        "input `{input}` has shape {declared} and no size was given for its free dimensions; give a shape, for example {input}={example}{}",
        others.iter().map(|(input, example)| format!(", and {input}={example}")).collect::<String>()
    )]
    ShapeNeeded {
        /// The input.
        input: String,
        /// Its declared shape.
        declared: String,
        /// A shape that would do.
        example: String,
        /// The other inputs for which this is so, each with a shape that would do.
        others: Vec<(String, String)>,
    },
    /// An input could not be made.
    #[cfg(feature = "engine")]
    #[error("input `{input}`: {reason}")]
    Input {
        /// The input.
        input: String,
        /// Why.
        reason: String,
    },
    /// A tolerance that would call anything equal, or nothing.
    #[cfg(feature = "engine")]
    #[error("{name} is {value}; give a finite number that is not below zero")]
    Tolerance {
        /// `rtol` or `atol`.
        name: &'static str,
        /// What was given.
        value: f64,
    },
    /// The tensors of a run do not fit into memory.
    #[cfg(feature = "engine")]
    #[error(
        "{what} of the shapes given would take {bytes} bytes, and there is not that much memory; give smaller shapes"
    )]
    Memory {
        /// Which tensors.
        what: String,
        /// How much they would take.
        bytes: u128,
    },
    /// ONNX Runtime cannot be the reference.
    #[cfg(feature = "engine")]
    #[error(transparent)]
    OnnxRuntime(#[from] crate::OnnxRuntimeError),
    /// A folder of test data cannot be read.
    #[cfg(feature = "engine")]
    #[error(transparent)]
    TestData(#[from] crate::TestDataError),
    /// Two models have no outputs in common to compare.
    #[cfg(feature = "engine")]
    #[error("the two models cannot be compared: {0}")]
    NotComparable(String),
}

#[cfg(feature = "engine")]
impl Error {
    /// Whether what the caller gave is at fault, an input or its shape, rather than the model or the machine: what a service answers with
    /// "bad request".
    #[must_use]
    pub fn is_input_error(&self) -> bool {
        match self {
            Error::Run(error) => error.is_input_error(),
            // The tensors that do not fit are of the shapes that the caller gave.
            Error::ShapeNeeded { .. }
            | Error::Input { .. }
            | Error::Tolerance { .. }
            | Error::Memory { .. } => true,
            _ => false,
        }
    }
}

/// The result of anything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;
