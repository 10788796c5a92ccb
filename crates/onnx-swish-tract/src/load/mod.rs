//! From a model's bytes to tract's graph.
//!
//! Given ONNX bytes and the directory of their external data, or an NNEF archive; promises that every node means in tract
//! what it means in the file, or an error that names the node.

mod limits;
mod operators;
mod repairs;
mod signature;
mod typed;

pub use operators::Operators;
pub use signature::{Dim, Port};

pub(crate) use limits::{Limits, TimeIsUp, watch_passes};
pub(crate) use signature::Signature;

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use tract_core::internal::{Framework, TypedModel};
use tract_onnx::pb::ModelProto;

use crate::error::{Error, Result};
use crate::guard::{Stage, guard};
use crate::nnef::nnef;
use crate::tensor::Tensor;

/// A model as it came: cheap to keep, decoded again for every set of input shapes that is built.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub bytes: Bytes,
    pub format: Format,
    pub limits: Limits,
}

/// What the bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Format {
    /// An ONNX model.
    Onnx {
        /// Where external data lies; tract refuses to leave it.
        base_dir: Option<PathBuf>,
    },
    /// An NNEF archive that tract wrote.
    Nnef,
}

impl Source {
    /// The model's inputs and outputs, its operators checked.
    pub fn signature(&self, operators: Operators) -> Result<Signature> {
        match self.format {
            Format::Onnx { .. } => {
                let proto = self.decode()?;
                self.limits.check_nodes(&proto)?;
                operators.check(&proto)?;
                Signature::of(&proto)
            }
            Format::Nnef => {
                let model = self.archive()?;
                guard(Stage::Build, || Signature::of_typed(&model))
            }
        }
    }

    /// The decluttered graph for inputs of these shapes, our passes applied.
    ///
    /// Of inputs whose value is given too, what they decide is decided; others that read them still may.
    pub fn typed_model(
        &self,
        operators: Operators,
        signature: &Signature,
        shapes: &[Vec<usize>],
        values: &[Option<Tensor>],
    ) -> Result<TypedModel> {
        match &self.format {
            Format::Onnx { base_dir } => {
                let proto = self.decode()?;
                guard(Stage::Build, || {
                    let inputs = typed::Inputs { shapes, values };
                    typed::from_onnx(proto, base_dir.as_deref(), operators, signature, inputs)
                })
            }
            Format::Nnef => {
                let model = self.archive()?;
                guard(Stage::Build, || {
                    typed::from_archive(model, operators, shapes)
                })
            }
        }
    }

    fn decode(&self) -> Result<ModelProto> {
        ModelProto::decode(self.bytes.clone()).map_err(|error| Error::Decode(error.to_string()))
    }

    fn archive(&self) -> Result<TypedModel> {
        guard(Stage::Build, || {
            nnef().model_for_read(&mut self.bytes.as_ref())
        })
    }
}
