//! Saving: the new file appears whole or not at all, and nothing that was there is harmed.
//!
//! Given: an edited model and where it should go. Promises: weights in other files are where the new file looks for
//! them before it appears; until then the old file, if any, is untouched; a failure leaves nothing behind.

mod data;
mod stream;
mod target;
mod write;

pub use self::target::check_target;

use std::path::{Path, PathBuf};

use crate::edit::Spliced;
use crate::error::{Error, Result};
use crate::model::Model;

/// Why saving was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// The output is there already.
    #[error("{} exists already: choose another name, or allow replacing it", path.display())]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The output is the input, by whatever name.
    #[error("{} is the model itself: choose another name, or allow changing it in place", path.display())]
    SameFile {
        /// The output.
        path: PathBuf,
    },
    /// The output is a file that holds the model's weights.
    #[error("{} holds weights of the model: choose another name", path.display())]
    IsData {
        /// The output.
        path: PathBuf,
    },
    /// The output is a folder.
    #[error("{} is a folder: give the name of a file in it", path.display())]
    IsFolder {
        /// The output.
        path: PathBuf,
    },
    /// A file with weights has to be copied onto a different file of that name.
    #[error("the weights have to be copied to {}, where there is another file: remove it, or allow replacing it", path.display())]
    DataExists {
        /// Where the weights should go.
        path: PathBuf,
    },
    /// A link in the target folder leads the weights out of it.
    #[error("the weights would be written to {}, outside the folder of the model", path.display())]
    DataOutside {
        /// Where they would go.
        path: PathBuf,
    },
    /// A link that would be replaced by a model which does not find its weights any more.
    #[error(
        "{} is a link, and a file in its place would not find the weights in `{location}`, a link to another folder: save the model to a \
         folder of its own instead",
        path.display()
    )]
    LosesData {
        /// The output.
        path: PathBuf,
        /// The weights as the model refers to them.
        location: String,
    },
    /// Links that lead in a circle.
    #[error("{} is a link that leads nowhere", path.display())]
    LinkLoop {
        /// The output.
        path: PathBuf,
    },
}

/// How far copying weights has come.
#[derive(Clone, Copy, Debug)]
pub struct SaveProgress<'a> {
    /// The file being copied, relative to the model.
    pub file: &'a Path,
    /// Bytes copied so far, of all files.
    pub done: u64,
    /// Bytes to copy, of all files.
    pub total: u64,
}

/// What saving may do.
#[derive(Default)]
pub struct SaveOptions<'a> {
    /// The output may be the input.
    pub in_place: bool,
    /// Files that are there may be replaced.
    pub force: bool,
    /// Leave weights in other files where they are, even if the new file will not find them.
    pub leave_external: bool,
    /// Called while weights are copied.
    pub progress: Option<&'a mut dyn FnMut(SaveProgress<'_>)>,
}

/// What saving has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Length of the model file in bytes.
    pub bytes: u64,
    /// Files with weights that were copied, where they are now.
    pub copied: Vec<PathBuf>,
    /// Locations of weights that the new file will not find, since they were to be left; worth a warning.
    pub left_behind: Vec<String>,
    /// Locations of weights that the new file finds through links out of its folder, into the cache that the folder belongs to; other
    /// readers may refuse them, as ONNX Runtime does. Worth a warning.
    pub linked: Vec<String>,
}

/// Saves an edited model. `spliced` has to come from an edit of `model`.
///
/// The file gets the permissions of the one it replaces, or those of any new file. If `target` is a link, the file it
/// leads to is replaced and the link stays; not so in place, and not in a cache of downloaded models, whose files others share: there a
/// new file replaces the link. External data is not touched when the folder stays the same, and copied
/// first when it does not.
///
/// # Errors
/// The output exists, is the input or is a file of weights and that is not allowed; external data is missing or unsafe
/// (see [`ExternalError`](crate::ExternalError)); or the operating system refuses, such as on a full disk. The output
/// is then as it was.
pub fn save(
    model: &Model,
    spliced: &Spliced,
    target: &Path,
    mut options: SaveOptions<'_>,
) -> Result<Saved> {
    let place = target::resolve(model, target, &options)?;
    let mut saved = Saved {
        bytes: spliced.len(),
        ..Saved::default()
    };
    let mut copies = data::Copies::plan(model, &place, &mut saved, &options)?;
    copies.run(&mut options)?;
    write::replace(&place.file, place.replaces.as_ref(), |out| {
        stream::write(spliced, out)
    })?;
    saved.copied = copies.keep();
    Ok(saved)
}

fn io_error<'a>(doing: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + use<'a> {
    move |source| Error::Io {
        doing,
        path: path.to_path_buf(),
        source,
    }
}
