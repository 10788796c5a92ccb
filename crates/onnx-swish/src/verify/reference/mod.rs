//! What computes the numbers that a fused model is compared with.
//!
//! Given a model and the caller's choice; promises its outputs by name, and a name for the report.

#[cfg(feature = "onnxruntime")]
mod onnxruntime;
#[cfg(feature = "onnxruntime")]
mod probe;
mod runtime_error;

pub use runtime_error::OnnxRuntimeError;

use std::path::PathBuf;

use onnx_swish_tract::{Operators, Port, Session as Engine};

use super::VerifyOptions;
use crate::engine::{EngineOptions, engine};
use crate::error::{Error, Result};
use crate::words::counted;
use crate::{Model, NamedTensors};

/// What computes the numbers that a fused model is compared with.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Reference {
    /// tract's plain operators, nothing of ours and nothing fused by tract either. It shares tract's loader, and with it tract's
    /// defects, with the model that it judges.
    #[default]
    Tract,
    /// ONNX Runtime's CPU provider with its optimiser off, on one thread. Needs the cargo feature `onnxruntime`.
    OnnxRuntime {
        /// Its shared library; without it `ORT_DYLIB_PATH` in the environment says where. A process uses the first one it loads
        /// for good.
        library: Option<PathBuf>,
    },
    /// Outputs that are known, one list for each set of [`inputs`](VerifyOptions::inputs). Outputs that a list does not name are not
    /// compared.
    Expected(Vec<NamedTensors>),
}

/// A reference, ready to compute.
pub(super) enum Runner<'a> {
    Tract(Box<Engine>),
    #[cfg(feature = "onnxruntime")]
    OnnxRuntime(Box<onnxruntime::Session>),
    Stored(&'a [NamedTensors]),
}

impl<'a> Runner<'a> {
    /// Loads the model that is the reference.
    pub fn load(model: &Model, options: &'a VerifyOptions) -> Result<Runner<'a>> {
        match &options.reference {
            Reference::Tract => {
                let engine = engine(model, &EngineOptions::of(options, Operators::Reference))?;
                Ok(Runner::Tract(Box::new(engine)))
            }
            #[cfg(feature = "onnxruntime")]
            Reference::OnnxRuntime { library } => {
                let session = onnxruntime::Session::load(model, library.as_deref())?;
                Ok(Runner::OnnxRuntime(Box::new(session)))
            }
            #[cfg(not(feature = "onnxruntime"))]
            Reference::OnnxRuntime { .. } => Err(OnnxRuntimeError::NotBuiltIn.into()),
            Reference::Expected(sets) if sets.len() != options.inputs.len() => {
                Err(Error::NotComparable(format!(
                    "{} of expected outputs for {} of inputs; outputs are expected of inputs that are known",
                    counted(sets.len(), "set"),
                    counted(options.inputs.len(), "set")
                )))
            }
            Reference::Expected(sets) => Ok(Runner::Stored(sets)),
        }
    }

    /// Its name in the report: `tract`, `onnxruntime 1.32`, `file`.
    pub fn name(&self) -> String {
        match self {
            Runner::Tract(_) => "tract".to_owned(),
            #[cfg(feature = "onnxruntime")]
            Runner::OnnxRuntime(session) => format!("onnxruntime {}", session.version()),
            Runner::Stored(_) => "file".to_owned(),
        }
    }

    /// The original's inputs, where they differ from what the fused model says of its own.
    pub fn inputs(&self) -> Option<&[Port]> {
        match self {
            Runner::Tract(engine) => Some(engine.inputs()),
            #[cfg(feature = "onnxruntime")]
            Runner::OnnxRuntime(_) => None,
            Runner::Stored(_) => None,
        }
    }

    /// Whether it has values between inputs and outputs to compare with.
    pub fn has_values(&self) -> bool {
        !matches!(self, Runner::Stored(_))
    }

    /// The outputs for this set of inputs, by name.
    pub fn run(&mut self, set: usize, inputs: &NamedTensors) -> Result<NamedTensors> {
        match self {
            Runner::Tract(engine) => {
                let outputs = engine.run(inputs.iter().map(|(name, tensor)| (name, tensor)))?;
                Ok(outputs.into_iter().collect())
            }
            #[cfg(feature = "onnxruntime")]
            Runner::OnnxRuntime(session) => Ok(session.run(inputs)?),
            Runner::Stored(sets) => Ok(sets.get(set).cloned().unwrap_or_default()),
        }
    }
}
