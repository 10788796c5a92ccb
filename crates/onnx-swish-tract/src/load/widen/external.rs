//! The data of a tensor that lies in a file beside the model.
//!
//! Given a tensor that says where; promises to open regular files inside of the model's folder only, and to read no more than
//! the tensor's shape asks for.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use tract_onnx::pb::TensorProto;

use super::tensors::damaged;
use crate::error::{Error, Result};

/// The bytes, as many as `expected`.
pub(super) fn read(
    tensor: &TensorProto,
    expected: usize,
    base_dir: Option<&Path>,
) -> Result<Vec<u8>> {
    let entry = |key: &str| {
        let entries = tensor.external_data.iter();
        entries
            .filter(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
            .next()
    };
    let number = |key: &str| {
        let parsed = entry(key).map(str::parse::<u64>).transpose();
        parsed.map_err(|_| damaged(tensor, &format!("gives no number as the {key} of its data")))
    };
    let location =
        entry("location").ok_or_else(|| damaged(tensor, "does not say where its data is"))?;
    if number("length")?.is_some_and(|length| length != expected as u64) {
        return Err(damaged(
            tensor,
            "has a length of data that does not fit its shape",
        ));
    }
    let path =
        resolve(location, base_dir).map_err(|reason| unreadable(tensor, location, &reason))?;
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(expected).is_err() {
        return Err(Error::Memory {
            node: None,
            what: format!("the data of tensor `{}`", tensor.name),
            bytes: Some(expected as u128),
        });
    }
    bytes.resize(expected, 0);
    let offset = number("offset")?.unwrap_or(0);
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)
    });
    read.map_err(|error| unreadable(tensor, location, &error.to_string()))?;
    Ok(bytes)
}

fn unreadable(tensor: &TensorProto, location: &str, reason: &str) -> Error {
    Error::Build {
        node: None,
        reason: format!(
            "the data of tensor `{}` in {location:?} cannot be read: {reason}",
            tensor.name
        ),
    }
}

fn resolve(location: &str, base_dir: Option<&Path>) -> Result<PathBuf, String> {
    let base_dir = base_dir.ok_or("the model's folder is not known")?;
    let base_dir = if base_dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        base_dir
    };
    let inside = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(location).components().all(inside) {
        return Err("the path leaves the model's folder".to_owned());
    }
    let real = |path: &Path| path.canonicalize().map_err(|error| error.to_string());
    let path = real(&base_dir.join(location))?;
    if !path.starts_with(real(base_dir)?) {
        return Err("the path leaves the model's folder".to_owned());
    }
    if !path.is_file() {
        return Err("it is no regular file".to_owned());
    }
    Ok(path)
}
