//! From a model's bytes to tract's graph.
//!
//! Given ONNX bytes and the directory of their external data; promises that every node means in tract what it means in the
//! file, or an error that names the node.

mod operators;
mod signature;
mod typed;

pub use operators::Operators;
pub use signature::{Dim, Port};

pub(crate) use signature::Signature;
pub(crate) use typed::typed_model;

use std::path::PathBuf;

use bytes::Bytes;
use prost::Message;
use tract_onnx::pb::ModelProto;

use crate::error::{Error, Result};

/// A model as it came: cheap to keep, decoded again for every set of input shapes that is built.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub bytes: Bytes,
    /// Where external data lies; tract refuses to leave it.
    pub base_dir: Option<PathBuf>,
}

impl Source {
    pub fn decode(&self) -> Result<ModelProto> {
        ModelProto::decode(self.bytes.clone()).map_err(|error| Error::Decode(error.to_string()))
    }
}
