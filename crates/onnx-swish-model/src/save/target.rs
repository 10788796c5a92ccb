//! Where a file really goes, and whether it may.
//!
//! Given: the path a person gave. Promises: links followed or replaced, and no way to harm the model that is being read, nor a file that
//! others share with it.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::{SaveError, SaveOptions, io_error};
use crate::error::Result;
use crate::external::cache_of;
use crate::model::Model;

/// As many as Linux follows.
const MAX_LINKS: usize = 40;

/// A place for a file.
pub(super) struct Place {
    /// The file, links followed unless they are replaced.
    pub file: PathBuf,
    /// Whether a link becomes a file of its own, and what it leads to stays.
    pub replaces_link: bool,
    /// The folder that the given path names, where readers will look for external data.
    pub folder: PathBuf,
    /// What is there now, if anything.
    pub replaces: Option<Metadata>,
}

pub(super) fn resolve(model: &Model, target: &Path, options: &SaveOptions<'_>) -> Result<Place> {
    let mut file = follow(target)?;
    let folder = parent(target).to_path_buf();
    let replaces_link = file != target && (options.in_place || is_in_cache(&file, &folder));
    if replaces_link && !is_of_the_system(&folder) {
        file = target.to_path_buf();
    }
    let replaces = match std::fs::metadata(&file) {
        Ok(metadata) => Some(metadata),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(io_error("write", target)(e)),
    };
    let path = || target.to_path_buf();
    if let Some(there) = &replaces {
        if there.is_dir() {
            return Err(SaveError::IsFolder { path: path() }.into());
        }
        let is_input = is_model(model, there);
        if is_input && !options.in_place {
            return Err(SaveError::SameFile { path: path() }.into());
        }
        // A device or a pipe, such as /dev/null, is written to, not replaced.
        if !is_input && there.is_file() && !options.force {
            return Err(SaveError::Exists { path: path() }.into());
        }
        if holds_data(model, there) {
            return Err(SaveError::IsData { path: path() }.into());
        }
    }
    Ok(Place {
        replaces_link: replaces_link && file == target,
        file,
        folder,
        replaces,
    })
}

/// Whether something else than a model may be written to `target`: a report, a table.
///
/// # Errors
/// [`SaveError::SameFile`] and [`SaveError::IsData`] where that is the file of the model or one of its external data, by whichever name.
pub fn check_target(model: &Model, target: &Path) -> std::result::Result<(), SaveError> {
    let path = || target.to_path_buf();
    match std::fs::metadata(target) {
        Ok(there) if is_model(model, &there) => Err(SaveError::SameFile { path: path() }),
        Ok(there) if holds_data(model, &there) => Err(SaveError::IsData { path: path() }),
        _ => Ok(()),
    }
}

fn is_model(model: &Model, there: &Metadata) -> bool {
    let input = model.path().and_then(|path| std::fs::metadata(path).ok());
    input.is_some_and(|input| same_file(&input, there))
}

fn holds_data(model: &Model, there: &Metadata) -> bool {
    let mut files = model
        .external_locations()
        .into_iter()
        .filter_map(|location| {
            let data = model.external_file(location).ok()?;
            std::fs::metadata(data.canonical).ok()
        });
    files.any(|data| same_file(&data, there))
}

/// The folder of a path; a bare name is in the current one.
pub(super) fn parent(path: &Path) -> &Path {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Whether a link in `folder` leads to a file that belongs to a cache, and so to every revision of a model that has the same bytes.
fn is_in_cache(file: &Path, folder: &Path) -> bool {
    let blobs = folder.canonicalize().ok().and_then(|base| cache_of(&base));
    let real = file.canonicalize();
    blobs.is_some_and(|blobs| real.is_ok_and(|real| real.starts_with(blobs)))
}

/// What /dev/stdin leads to is the shell's business, and the link nobody's to replace.
fn is_of_the_system(folder: &Path) -> bool {
    let real = folder.canonicalize();
    real.is_ok_and(|real| real.starts_with("/dev") || real.starts_with("/proc"))
}

/// Follows links at the end of a path, also those that lead to nothing yet.
fn follow(target: &Path) -> Result<PathBuf> {
    // What /dev/stdout and the shell's >(...) lead to has no name of its own, and is written to by this one.
    if std::fs::metadata(target).is_ok_and(|there| !there.is_file()) {
        return Ok(target.to_path_buf());
    }
    let mut path = target.to_path_buf();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(next) => path = parent(&path).join(next),
            Err(_) => return Ok(path),
        }
    }
    Err(SaveError::LinkLoop {
        path: target.to_path_buf(),
    }
    .into())
}

/// Whether two names are one file.
#[cfg(unix)]
pub(super) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether two names are one file; where files have no number, equal length and times must do, erring on the safe side.
#[cfg(not(unix))]
pub(super) fn same_file(a: &Metadata, b: &Metadata) -> bool {
    a.len() == b.len()
        && a.modified().ok() == b.modified().ok()
        && a.created().ok() == b.created().ok()
}
