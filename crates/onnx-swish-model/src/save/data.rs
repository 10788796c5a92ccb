//! Copying files of external data along with a model.
//!
//! Given: a model and the folder its new file goes to. Promises: copies, never links, since readers refuse links; what
//! was copied is taken back if saving fails later.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use super::target::{Place, parent, same_file};
use super::write::replace;
use super::{SaveError, SaveOptions, SaveProgress, Saved, io_error};
use crate::error::{Result, display};
use crate::external::{ExternalFile, roots};
use crate::model::Model;

/// Bytes copied between two reports of progress.
const CHUNK: u64 = 16 << 20;

/// Files to copy, and those that have been.
pub(super) struct Copies {
    planned: Vec<(ExternalFile, PathBuf)>,
    done: Vec<PathBuf>,
    /// Those of them that were not there before.
    created: Vec<PathBuf>,
    created_folders: Vec<PathBuf>,
}

impl Copies {
    /// Finds out what has to be copied, before anything is.
    pub fn plan(
        model: &Model,
        place: &Place,
        saved: &mut Saved,
        options: &SaveOptions<'_>,
    ) -> Result<Self> {
        let mut copies = Copies {
            planned: Vec::new(),
            done: Vec::new(),
            created: Vec::new(),
            created_folders: Vec::new(),
        };
        let locations = model.external_locations();
        if locations.is_empty() {
            return Ok(copies);
        }
        let left_behind = || locations.iter().map(|location| display(location)).collect();
        // A device or a pipe has no folder: /dev is no place for weights.
        if place
            .replaces
            .as_ref()
            .is_some_and(|there| !there.is_file())
        {
            saved.left_behind = left_behind();
            return Ok(copies);
        }
        let folder = place
            .folder
            .canonicalize()
            .map_err(io_error("write to", &place.folder))?;
        let base = model.base_dir().and_then(|base| base.canonicalize().ok());
        if base.as_ref() == Some(&folder) {
            let reach = Reach::new(place, &folder);
            for location in &locations {
                reach.judge(model, location, saved);
            }
            // A model that loads is not made into one that does not.
            if let Some(location) = saved.left_behind.first()
                && place.replaces_link
                && !options.leave_external
            {
                return Err(SaveError::LosesData {
                    path: place.file.clone(),
                    location: location.clone(),
                }
                .into());
            }
            return Ok(copies);
        }
        if options.leave_external {
            saved.left_behind = left_behind();
            return Ok(copies);
        }
        let target = real_name(&place.file);
        for location in &locations {
            let source = model.external_file(location)?;
            let copy = folder.join(&source.relative);
            if target.is_some() && real_name(&copy) == target {
                return Err(SaveError::IsData {
                    path: place.file.clone(),
                }
                .into());
            }
            if copies.planned.iter().any(|(_, planned)| *planned == copy) {
                continue;
            }
            if copies.is_needed(&source, &copy, options)? {
                copies.planned.push((source, copy));
            }
        }
        for (_, copy) in &copies.planned {
            copies
                .created_folders
                .extend(make_folder(&folder, parent(copy))?);
        }
        for passed in locations
            .iter()
            .flat_map(|location| passed_through(location))
        {
            copies
                .created_folders
                .extend(make_folder(&folder, &folder.join(passed))?);
        }
        Ok(copies)
    }

    fn is_needed(
        &self,
        source: &ExternalFile,
        copy: &Path,
        options: &SaveOptions<'_>,
    ) -> Result<bool> {
        let there = match std::fs::metadata(copy) {
            Ok(metadata) => metadata,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(io_error("write", copy)(e)),
        };
        let metadata =
            std::fs::metadata(&source.canonical).map_err(io_error("read", &source.canonical))?;
        if same_file(&metadata, &there) {
            return Ok(false);
        }
        // A second model with the same weights finds them copied already.
        if there.is_file() && there.len() == source.len && same_bytes(&source.canonical, copy)? {
            return Ok(false);
        }
        if !options.force || !there.is_file() {
            return Err(SaveError::DataExists {
                path: copy.to_path_buf(),
            }
            .into());
        }
        Ok(true)
    }

    /// Copies.
    pub fn run(&mut self, options: &mut SaveOptions<'_>) -> Result<()> {
        let total = self.planned.iter().map(|(source, _)| source.len).sum();
        let mut before = 0;
        for (source, copy) in &self.planned {
            let there = std::fs::symlink_metadata(copy).ok();
            let mut from =
                File::open(&source.canonical).map_err(io_error("read", &source.canonical))?;
            replace(copy, there.as_ref(), |out| {
                let mut here = 0;
                loop {
                    // io::copy lets the kernel move the bytes where it can.
                    let n = std::io::copy(&mut (&mut from).take(CHUNK), out)?;
                    here += n;
                    if let Some(report) = &mut options.progress {
                        report(SaveProgress {
                            file: &source.relative,
                            done: before + here,
                            total,
                        });
                    }
                    if n < CHUNK {
                        return Ok(());
                    }
                }
            })?;
            before += source.len;
            if there.is_none() {
                self.created.push(copy.clone());
            }
            self.done.push(copy.clone());
        }
        Ok(())
    }

    /// Lets the copies stay.
    pub fn keep(mut self) -> Vec<PathBuf> {
        self.created.clear();
        self.created_folders.clear();
        std::mem::take(&mut self.done)
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for file in &self.created {
            // Nothing better can be done about a copy that will not go away.
            let _ = std::fs::remove_file(file);
        }
        for folder in self.created_folders.iter().rev() {
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// What a new file beside the model finds of data that are links, as in a cache of blobs: the model is a link to the same place, and the
/// new file is none.
struct Reach {
    /// Where everybody follows links to.
    near: Vec<PathBuf>,
    /// Where we do.
    far: Vec<PathBuf>,
}

impl Reach {
    fn new(place: &Place, folder: &Path) -> Self {
        let linked = parent(&place.file).canonicalize().ok();
        Self {
            near: linked.into_iter().chain([folder.to_path_buf()]).collect(),
            far: roots(folder, None),
        }
    }

    fn judge(&self, model: &Model, location: &[u8], saved: &mut Saved) {
        let Ok(data) = model.external_file(location) else {
            return;
        };
        let is_below =
            |roots: &[PathBuf]| roots.iter().any(|root| data.canonical.starts_with(root));
        if is_below(&self.near) {
            return;
        }
        if is_below(&self.far) {
            saved.linked.push(display(location));
        } else {
            saved.left_behind.push(display(location));
        }
    }
}

/// The folders that a location enters and leaves: `sub/../w.bin` is found only where there is a `sub`.
fn passed_through(location: &[u8]) -> Vec<PathBuf> {
    let mut passed = Vec::new();
    let mut here = PathBuf::new();
    let text = std::str::from_utf8(location).unwrap_or_default();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(part) => here.push(part),
            Component::ParentDir => {
                passed.push(here.clone());
                here.pop();
            }
            _ => {}
        }
    }
    passed
}

/// A path with the links in its folder resolved, whether the file is there or not.
fn real_name(path: &Path) -> Option<PathBuf> {
    Some(parent(path).canonicalize().ok()?.join(path.file_name()?))
}

/// Makes the folders between `root` and `folder` that are missing, and checks that no link leads out of `root`.
fn make_folder(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    let mut here = root.to_path_buf();
    for part in folder
        .strip_prefix(root)
        .unwrap_or(Path::new(""))
        .components()
    {
        here.push(part);
        match std::fs::create_dir(&here) {
            Ok(()) => made.push(here.clone()),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(io_error("create", &here)(e)),
        }
    }
    let real = folder
        .canonicalize()
        .map_err(io_error("write to", folder))?;
    if !real.starts_with(root) {
        return Err(SaveError::DataOutside { path: real }.into());
    }
    Ok(made)
}

fn same_bytes(a: &Path, b: &Path) -> Result<bool> {
    let mut left = File::open(a).map_err(io_error("read", a))?;
    let mut right = File::open(b).map_err(io_error("read", b))?;
    let (mut from_left, mut from_right) = (Vec::new(), Vec::new());
    loop {
        fill(&mut left, &mut from_left).map_err(io_error("read", a))?;
        fill(&mut right, &mut from_right).map_err(io_error("read", b))?;
        if from_left != from_right {
            return Ok(false);
        }
        if from_left.is_empty() {
            return Ok(true);
        }
    }
}

fn fill(file: &mut File, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    file.take(1 << 18).read_to_end(buffer).map(drop)
}
