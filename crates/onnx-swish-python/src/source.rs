//! A model as Python has it: a path, bytes, or a message of `onnx`.
//! Given any object.
//! Promises that `onnx` is never imported, that bytes are not copied, and that reading runs without the interpreter's lock.

use std::path::PathBuf;

use bytes::Bytes;
use onnx_swish::Model;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::errors::raised;

/// Where a model comes from.
#[derive(Debug)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// The bytes of one.
    Bytes(Bytes),
}

impl<'py> FromPyObject<'_, 'py> for Source {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if given.is_instance_of::<PyBytes>() || given.is_instance_of::<PyByteArray>() {
            return Ok(Source::Bytes(Bytes::from_owner(
                given.extract::<PyBackedBytes>()?,
            )));
        }
        if given.is_instance_of::<PyMemoryView>() {
            let bytes = given.call_method0("tobytes")?;
            return bytes.extract();
        }
        // What protobuf calls a message: onnx.ModelProto, whichever version and implementation it is of.
        if given.hasattr("SerializeToString")? {
            if let Some(kind) = other_message(&given) {
                return Err(PyTypeError::new_err(format!(
                    "a model is a path, bytes or an onnx.ModelProto, and this is a message of {kind}"
                )));
            }
            let bytes = given.call_method0("SerializeToString")?;
            return Ok(Source::Bytes(Bytes::from_owner(
                bytes.extract::<PyBackedBytes>()?,
            )));
        }
        given.extract().map(Source::Path).map_err(|_| {
            PyTypeError::new_err(format!(
                "a model is a path, bytes or an onnx.ModelProto, and {} is none of them",
                type_name(&given)
            ))
        })
    }
}

/// What a message is of, where it says that it is of something else than a model. Any bytes may be read as any message of protobuf, and
/// some of a tensor's make an empty model.
fn other_message(given: &Bound<'_, PyAny>) -> Option<String> {
    let kind = given
        .getattr("DESCRIPTOR")
        .ok()?
        .getattr("full_name")
        .ok()?;
    let kind: String = kind.extract().ok()?;
    (kind.rsplit('.').next() != Some("ModelProto")).then_some(kind)
}

fn type_name(given: &Bound<'_, PyAny>) -> String {
    let name = given.get_type().name();
    name.map_or_else(|_| "this object".to_owned(), |name| name.to_string())
}

impl Source {
    /// Reads and indexes the model; `base_dir` is the folder that external data is relative to, by default that of the file.
    pub fn open(self, py: Python<'_>, base_dir: Option<PathBuf>) -> PyResult<Model> {
        let open = || match self {
            Source::Path(path) => Model::open(path),
            Source::Bytes(bytes) => Model::from_bytes(bytes),
        };
        let model = py.detach(open).map_err(raised)?;
        Ok(match base_dir {
            Some(folder) => model.with_base_dir(folder),
            None => model,
        })
    }
}
