//! Writing an edited model to a file.
//!
//! Given: the pieces of the result and an open file. Promises: their bytes in order. On Linux the kernel moves long
//! untouched ranges from file to file, so that the weights never enter this process's memory.

use std::fs::File;
use std::io;

use crate::edit::Spliced;

#[cfg(not(target_os = "linux"))]
pub(super) fn write(spliced: &Spliced, out: &mut File) -> io::Result<()> {
    spliced.write_to(out)
}

#[cfg(target_os = "linux")]
pub(super) fn write(spliced: &Spliced, out: &mut File) -> io::Result<()> {
    use std::io::Write;

    use crate::edit::Segment;

    /// Shorter ranges are cheaper to copy than to ask for.
    const LONG: u32 = 1 << 20;

    let mut source = spliced.original_file();
    let mut out = io::BufWriter::with_capacity(1 << 18, out);
    for &segment in spliced.segments() {
        let mut bytes = spliced.bytes_of(segment);
        if let (Segment::Original(span), Some(file)) = (segment, source)
            && span.len >= LONG
        {
            out.flush()?;
            let moved = kernel_copy(file, span.start, span.len, out.get_mut());
            bytes = bytes.get(moved..).unwrap_or_default();
            if !bytes.is_empty() {
                // This pair of file systems cannot, or no more: the rest goes the ordinary way, and so do later ranges.
                source = None;
            }
        }
        out.write_all(bytes)?;
    }
    out.flush()
}

/// Lets the kernel copy a range; returns how much of it was copied. A real error, such as a full disk, shows again when
/// the rest is written.
#[cfg(target_os = "linux")]
fn kernel_copy(from: &File, start: u32, len: u32, to: &File) -> usize {
    let mut position = u64::from(start);
    let mut left = len as usize;
    while left > 0 {
        match rustix::fs::copy_file_range(from, Some(&mut position), to, None, left) {
            Ok(0) => break,
            Ok(n) => left = left.saturating_sub(n),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    len as usize - left
}
