//! Writing a file so that it appears whole or not at all.
//!
//! Given: a path, links followed, what was there, and a function that writes the bytes. Promises: the bytes are on the disk before the
//! name leads to them. On Linux the file has no name until then, so that even a killed process leaves nothing behind.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use super::io_error;
use super::target::parent;
use crate::error::Result;

/// Permissions of a new file before the process's mask is applied.
#[cfg(unix)]
const NEW_FILE: u32 = 0o666;

/// Writes to `path`, replacing `old`. What has appeared there meanwhile is not replaced.
pub(super) fn replace(
    path: &Path,
    old: Option<&Metadata>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<()> {
    let fail = io_error("write", path);
    if old.is_some_and(|old| !old.is_file() && !old.is_symlink()) {
        let mut device = File::options().write(true).open(path).map_err(&fail)?;
        return write(&mut device).map_err(&fail);
    }
    let like = old.filter(|old| old.is_file());
    #[cfg(target_os = "linux")]
    if let Some(mut file) = unnamed::create(parent(path), NEW_FILE) {
        finish(&mut file, like, write).map_err(&fail)?;
        unnamed::persist(&file, path, old.is_some()).map_err(&fail)?;
        return sync_folder(parent(path)).map_err(&fail);
    }
    with_a_name(path, old, like, write).map_err(&fail)
}

/// By a temporary file with a name, for systems and file systems that have no other kind.
fn with_a_name(
    path: &Path,
    old: Option<&Metadata>,
    like: Option<&Metadata>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = parent(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".onnx-swish-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(NEW_FILE));
    }
    let mut file = builder.tempfile_in(folder).map_err(without_path)?;
    finish(file.as_file_mut(), like, write)?;
    let persisted = match old {
        Some(_) => file.persist(path),
        None => file.persist_noclobber(path),
    };
    persisted.map_err(|e| e.error)?;
    sync_folder(folder)
}

/// What the system said, without the temporary file's name, which the user never chose.
fn without_path(error: io::Error) -> io::Error {
    match error.to_string().split_once(" at path ") {
        Some((said, _)) => io::Error::new(error.kind(), said.to_owned()),
        None => error,
    }
}

fn finish(
    file: &mut File,
    like: Option<&Metadata>,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    write(file)?;
    if let Some(like) = like {
        keep_owner(file, like);
        file.set_permissions(like.permissions())?;
    }
    file.sync_all()
}

/// A file that root replaces stays its owner's, who could not read it otherwise. Others may at most keep the group.
#[cfg(unix)]
fn keep_owner(file: &File, like: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(new) = file.metadata() else { return };
    let (owner, group) = (like.uid(), like.gid());
    if (new.uid(), new.gid()) != (owner, group) && fchown(file, Some(owner), Some(group)).is_err() {
        // The contents matter more than whose they are.
        let _ = fchown(file, None, Some(group));
    }
}

#[cfg(not(unix))]
fn keep_owner(_file: &File, _like: &Metadata) {}

/// Makes the new name last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        match File::open(folder)?.sync_all() {
            // Some network file systems cannot; the file itself is safe.
            Err(e)
                if e.kind() == io::ErrorKind::InvalidInput
                    || e.kind() == io::ErrorKind::Unsupported =>
            {
                Ok(())
            }
            result => result,
        }
    } else {
        Ok(())
    }
}

/// Files that have no name until they are complete.
#[cfg(target_os = "linux")]
mod unnamed {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat};

    /// `None` where the file system or the missing `/proc` does not allow it.
    pub fn create(folder: &Path, mode: u32) -> Option<File> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(openat(CWD, folder, flags, Mode::from_raw_mode(mode)).ok()?);
        Path::new(&proc_path(&file)).exists().then_some(file)
    }

    /// Gives the file its name. A link cannot replace a name: to replace, there is a temporary one for a moment.
    pub fn persist(file: &File, path: &Path, replace: bool) -> io::Result<()> {
        let from = proc_path(file);
        let link = |to: &Path| {
            linkat(CWD, &from, CWD, to, AtFlags::SYMLINK_FOLLOW).map_err(io::Error::from)
        };
        match link(path) {
            Err(e) if replace && e.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        let folder = super::parent(path);
        let temporary = tempfile::Builder::new()
            .prefix(".onnx-swish-")
            .suffix(".tmp")
            .make_in(folder, link)?;
        temporary.persist(path).map(drop).map_err(|e| e.error)
    }

    fn proc_path(file: &File) -> String {
        format!("/proc/self/fd/{}", file.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// The way of systems without unnamed files, which the tests from outside do not come by on Linux.
    #[test]
    fn a_temporary_file_with_a_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out");
        let text = |text: &'static [u8]| move |file: &mut File| file.write_all(text);
        let read = || std::fs::read(&path).expect("there");
        with_a_name(&path, None, None, text(b"first")).expect("saved");
        assert_eq!(read(), b"first");
        let there = std::fs::metadata(&path).expect("there");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let plain = folder.path().join("plain");
            std::fs::write(&plain, "").expect("writable");
            let plain = std::fs::metadata(&plain)
                .expect("there")
                .permissions()
                .mode();
            assert_eq!(there.permissions().mode(), plain);
        }
        // It has appeared since we looked: not replaced.
        assert!(with_a_name(&path, None, None, text(b"second")).is_err());
        assert_eq!(read(), b"first");
        with_a_name(&path, Some(&there), None, text(b"third")).expect("saved");
        assert_eq!(read(), b"third");
        let failing = |_: &mut File| Err(io::Error::other("no"));
        assert!(with_a_name(&path, Some(&there), None, failing).is_err());
        assert_eq!(read(), b"third");
        let hidden = std::fs::read_dir(folder.path()).expect("there").flatten();
        assert!(
            hidden
                .map(|entry| entry.file_name())
                .all(|name| !name.to_string_lossy().starts_with('.'))
        );
    }
}
