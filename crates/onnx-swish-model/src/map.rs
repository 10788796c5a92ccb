//! Mapping a file into memory: the one place of this crate with `unsafe` code.
//!
//! Given: an open regular file. Promises: its bytes, fetched when they are touched.

use std::fs::File;
use std::io;

use bytes::Bytes;

/// The file's bytes without reading them.
#[allow(unsafe_code)]
pub(crate) fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the map is private and read-only. What remains is another process that changes the file under us: a
    // change in place could be seen as changed bytes, cutting the file short as SIGBUS. Neither breaks an invariant of
    // ours: spans are checked against the map's fixed length on every access, and text is never assumed to be UTF-8.
    // Our own saving replaces files by renaming, which leaves the mapped file as it was.
    let map = unsafe { memmap2::Mmap::map(file) }?;
    Ok(Bytes::from_owner(map))
}
