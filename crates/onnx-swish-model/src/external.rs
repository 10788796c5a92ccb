//! External data: files beside the model that hold the elements of tensors.
//!
//! Given: what a tensor says of its data, which may lie. Promises: only regular files inside the model's folder are
//! ever opened, and only for a small constant or to be copied.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use crate::error::display;
use crate::model::Model;
use crate::tensor::{Tensor, raw_len};
use crate::wire::fields;

/// Why external data cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// The model came without a folder.
    #[error(
        "the model stores `{location}` in another file, and where to look for it is not known: give the folder, or open the model by its path"
    )]
    NoBaseDir {
        /// The file's location as written.
        location: String,
    },
    /// A tensor says that its data is elsewhere and not where.
    #[error("a tensor says that its data is in another file, but not in which")]
    NoLocation,
    /// Absolute, empty, outside the folder, or with bytes no path has.
    #[error("the model refers to `{location}` for its weights, which is refused: {why}")]
    Unsafe {
        /// The location as written.
        location: String,
        /// Why.
        why: &'static str,
    },
    /// An offset or a length that is no number, or reaches past the end of the file.
    #[error(
        "the model says of its data in `{location}` what cannot be: the place and the length do not fit the shape, or the file, which has {len} bytes"
    )]
    Range {
        /// The location as written.
        location: String,
        /// The length of the file in bytes.
        len: u64,
    },
    /// The operating system refused.
    #[error(
        "cannot read `{location}`, where the model keeps weights: {source}; put the file beside the model"
    )]
    Io {
        /// The location as written.
        location: String,
        /// The reason given.
        source: std::io::Error,
    },
}

/// What a tensor says of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalData<'m> {
    /// Path relative to the model's folder, as written; empty when there is none.
    pub location: &'m [u8],
    /// First byte; `None` when it is no number.
    pub offset: Option<u64>,
    /// Number of bytes; `Some(None)` when it is not given, `None` when it is no number.
    pub length: Option<Option<u64>>,
}

impl ExternalData<'_> {
    fn out_of_range(&self, len: u64) -> ExternalError {
        ExternalError::Range {
            location: display(self.location),
            len,
        }
    }
}

/// A file of external data that may be used.
#[derive(Clone, Debug)]
pub struct ExternalFile {
    /// The location with `.` and inner `..` removed, relative to the model's folder.
    pub relative: PathBuf,
    /// Where the file really is, links resolved.
    pub canonical: PathBuf,
    /// Its length in bytes.
    pub len: u64,
}

impl Model {
    /// What an external tensor says of its data.
    pub fn external_data(&self, tensor: &Tensor) -> Option<ExternalData<'_>> {
        if !tensor.is_external() {
            return None;
        }
        let mut data = ExternalData {
            location: b"",
            offset: Some(0),
            length: Some(None),
        };
        for entry in fields(self.bytes(), tensor.located.span).filter(|f| f.number == 13) {
            let (mut key, mut value) = (&b""[..], &b""[..]);
            for field in fields(self.bytes(), entry.bytes().unwrap_or_default()) {
                let text = self.text(field.bytes().unwrap_or_default());
                match field.number {
                    1 => key = text,
                    2 => value = text,
                    _ => {}
                }
            }
            match key {
                b"location" => data.location = value,
                b"offset" => data.offset = number(value),
                b"length" => data.length = number(value).map(Some),
                _ => {}
            }
        }
        Some(data)
    }

    /// The locations of all external data, each once, in the file's order. Tensors without a location have none.
    pub fn external_locations(&self) -> Vec<&[u8]> {
        let mut seen = HashSet::new();
        let mut locations = Vec::new();
        self.each_tensor(|tensor| {
            let location = self
                .external_data(tensor)
                .map(|data| data.location)
                .unwrap_or_default();
            if !location.is_empty() && seen.insert(location) {
                locations.push(location);
            }
        });
        locations
    }

    /// Checks that all external data is there, may be used, and is as long as its tensors say; nothing is read.
    ///
    /// # Errors
    /// The first tensor whose data is not.
    pub fn check_external_data(&self) -> Result<(), ExternalError> {
        let mut files = HashMap::new();
        let mut result = Ok(());
        self.each_tensor(|tensor| {
            if tensor.is_external() && result.is_ok() {
                result = self.check_external_tensor(tensor, &mut files);
            }
        });
        result
    }

    fn check_external_tensor<'m>(
        &'m self,
        tensor: &Tensor,
        files: &mut HashMap<&'m [u8], u64>,
    ) -> Result<(), ExternalError> {
        let data = self
            .external_data(tensor)
            .ok_or(ExternalError::NoLocation)?;
        if data.location.is_empty() {
            return Err(ExternalError::NoLocation);
        }
        let len = match files.get(data.location) {
            Some(&len) => len,
            None => *files
                .entry(data.location)
                .or_insert(self.external_file(data.location)?.len),
        };
        let expected = tensor
            .data_type()
            .zip(tensor.elements())
            .and_then(|(data_type, elements)| raw_len(data_type, elements));
        let (Some(offset), Some(length), Some(expected)) = (data.offset, data.length, expected)
        else {
            return Err(data.out_of_range(len));
        };
        let wrong = length.is_some_and(|length| length != expected);
        if wrong || offset.checked_add(expected).is_none_or(|end| end > len) {
            return Err(data.out_of_range(len));
        }
        Ok(())
    }

    /// Finds a file of external data and checks that it may be used.
    ///
    /// # Errors
    /// The folder is not known, the location is not a relative path that stays inside it (links resolved), or there is
    /// no regular file.
    pub fn external_file(&self, location: &[u8]) -> Result<ExternalFile, ExternalError> {
        let shown = || display(location);
        let refuse = |why| ExternalError::Unsafe {
            location: shown(),
            why,
        };
        let io = |source| ExternalError::Io {
            location: shown(),
            source,
        };
        let relative = relative_path(location).map_err(refuse)?;
        let base = self
            .base_dir()
            .ok_or_else(|| ExternalError::NoBaseDir { location: shown() })?;
        let canonical = base.join(&relative).canonicalize().map_err(io)?;
        let roots = roots(base, self.path());
        if !roots.iter().any(|root| canonical.starts_with(root)) {
            return Err(refuse("it leads outside the model's folder"));
        }
        let metadata = std::fs::metadata(&canonical).map_err(io)?;
        if !metadata.is_file() {
            return Err(refuse("it is not a regular file"));
        }
        Ok(ExternalFile {
            relative,
            canonical,
            len: metadata.len(),
        })
    }

    /// Reads `len` bytes of an external tensor.
    pub(crate) fn read_external(
        &self,
        tensor: &Tensor,
        len: u64,
    ) -> Result<Vec<u8>, ExternalError> {
        let data = self
            .external_data(tensor)
            .ok_or(ExternalError::NoLocation)?;
        let file = self.external_file(data.location)?;
        let range = || data.out_of_range(file.len);
        let io = |source| ExternalError::Io {
            location: display(data.location),
            source,
        };
        let (Some(offset), Some(length)) = (data.offset, data.length) else {
            return Err(range());
        };
        if length.is_some_and(|length| length != len)
            || offset.checked_add(len).is_none_or(|end| end > file.len)
        {
            return Err(range());
        }
        let mut source = File::open(&file.canonical).map_err(io)?;
        source.seek(SeekFrom::Start(offset)).map_err(io)?;
        let mut bytes = vec![0; len as usize];
        source.read_exact(&mut bytes).map_err(io)?;
        Ok(bytes)
    }
}

/// The folders below which a model's data may really be, wherever links beside the model lead: the model's own; that of the file which
/// `path` links to, as model caches keep model and data as links into one folder; and the cache's, from a snapshot in it, where a
/// model that is no link stands beside links to data.
pub(crate) fn roots(base: &Path, path: Option<&Path>) -> Vec<PathBuf> {
    let linked = path.and_then(|path| path.canonicalize().ok());
    let linked = linked.and_then(|path| path.parent().map(Path::to_path_buf));
    let Ok(base) = base.canonicalize() else {
        return linked.into_iter().collect();
    };
    let blobs = cache_of(&base);
    [base].into_iter().chain(linked).chain(blobs).collect()
}

/// The files of a cache as Hugging Face's tools lay it out, from a folder in one of its snapshots: `NAME/snapshots/REVISION/...` has
/// links into `NAME/blobs`, and nowhere else. `base` has no links in it; where `blobs` is a link itself, nothing is found below it.
pub(crate) fn cache_of(base: &Path) -> Option<PathBuf> {
    let mut above = base.ancestors().skip(1);
    let snapshots = above.find(|folder| folder.ends_with("snapshots"))?;
    Some(snapshots.parent()?.join("blobs"))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A location as a path that cannot leave its folder by itself.
fn relative_path(location: &[u8]) -> Result<PathBuf, &'static str> {
    if location.is_empty() {
        return Err("it is empty");
    }
    if location.contains(&0) {
        return Err("it has a NUL in it");
    }
    let text = std::str::from_utf8(location).map_err(|_| "it is not UTF-8")?;
    let drive = matches!(location, [letter, b':', ..] if letter.is_ascii_alphabetic());
    if drive || text.starts_with(['/', '\\']) {
        return Err("it is an absolute path");
    }
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return Err("it leads outside the model's folder");
                }
            }
            Component::RootDir | Component::Prefix(_) => return Err("it is an absolute path"),
        }
    }
    if path.as_os_str().is_empty() {
        return Err("it names a folder");
    }
    Ok(path)
}
