//! Working memory that outlives a call.
//! Given: a number of elements.
//! Promise: one buffer per thread, grown to the largest request and kept, so that inference does not allocate.

use std::cell::RefCell;

/// Elements of a cache line: vectors that start on one never straddle two.
const LINE: usize = 16;

thread_local! {
    static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` elements of this thread's buffer, which start on a cache line and hold anything.
pub(crate) fn with<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    // Taken out, not borrowed: should `work` come back here, it gets a buffer of its own.
    let mut buffer = BUFFER.take();
    if buffer.len() < len + LINE {
        buffer.resize(len + LINE, 0.0);
    }
    let start = buffer
        .as_ptr()
        .align_offset(LINE * size_of::<f32>())
        .min(LINE);
    let result = work(&mut buffer[start..start + len]);
    BUFFER.replace(buffer);
    result
}
