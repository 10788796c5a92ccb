//! Working memory that outlives a call.
//! Given: a number of bytes.
//! Promise: buffers of each thread, one for what it computes alone and one for what it shares, grown to the largest request and kept,
//! so that inference does not allocate. Parts of them begin on a cache line and hold anything.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::thread::LocalKey;

/// A cache line: vectors that start on one never straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

const LINE: usize = 64;

thread_local! {
    static BUFFER: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    static SHARED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// An element type of scratch memory.
///
/// # Safety
/// Any bytes must be a value of it, it has no padding, and no alignment above a cache line's.
pub(crate) unsafe trait Element: Copy {}

// SAFETY: any bits are a number.
unsafe impl Element for f32 {}
// SAFETY: as above.
unsafe impl Element for u32 {}
// SAFETY: as above.
unsafe impl Element for i32 {}
// SAFETY: as above.
unsafe impl Element for u8 {}

/// Bytes that [`Scratch::take`] needs for so many elements.
pub(crate) const fn bytes_for<T>(len: usize) -> usize {
    (len * size_of::<T>()).next_multiple_of(LINE)
}

/// Scratch memory that is being handed out.
pub(crate) struct Scratch<'a> {
    rest: &'a mut [Line],
}

impl<'a> Scratch<'a> {
    /// The next `len` elements.
    ///
    /// # Panics
    /// If the request did not count them.
    pub(crate) fn take<T: Element>(&mut self, len: usize) -> &'a mut [T] {
        let start = self.take_lines(bytes_for::<T>(len)).as_mut_ptr();
        // SAFETY: the lines have room for `len` elements, are aligned to a cache line and belong to the caller alone; any
        // bytes are elements, and elements leave no byte undefined.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), len) }
    }

    /// All that is left, to be handed out now and once more later.
    pub(crate) fn again(&mut self) -> Scratch<'_> {
        Scratch { rest: self.rest }
    }

    /// Room for `len` values that an instruction set defines, such as its masks.
    ///
    /// # Panics
    /// As [`Scratch::take`].
    ///
    /// # Safety
    /// `T` has no padding: the next request finds these bytes as they were left. Its alignment is not above a cache line's.
    pub(crate) unsafe fn take_room<T>(&mut self, len: usize) -> &'a mut [MaybeUninit<T>] {
        assert!(align_of::<T>() <= LINE);
        let start = self.take_lines(bytes_for::<T>(len)).as_mut_ptr();
        // SAFETY: as above; nothing is read before it is written.
        unsafe { std::slice::from_raw_parts_mut(start.cast(), len) }
    }

    fn take_lines(&mut self, bytes: usize) -> &'a mut [Line] {
        let (lines, rest) = std::mem::take(&mut self.rest).split_at_mut(bytes / LINE);
        self.rest = rest;
        lines
    }
}

/// Calls `work` with so many bytes of this thread's buffer, the sum of what [`bytes_for`] says of its parts.
pub(crate) fn with<R>(bytes: usize, work: impl FnOnce(Scratch) -> R) -> R {
    with_buffer(&BUFFER, bytes, work)
}

/// As [`with`], for what several tasks share: one of them may well run on this thread, and then finds its own buffer untouched.
pub(crate) fn with_shared<R>(bytes: usize, work: impl FnOnce(Scratch) -> R) -> R {
    with_buffer(&SHARED, bytes, work)
}

fn with_buffer<R>(
    kept: &'static LocalKey<RefCell<Vec<Line>>>,
    bytes: usize,
    work: impl FnOnce(Scratch) -> R,
) -> R {
    // Taken out, not borrowed: should `work` come back here, it gets a buffer of its own.
    let mut buffer = kept.take();
    let lines = bytes.div_ceil(LINE);
    if buffer.len() < lines {
        buffer.resize(lines, Line([0; LINE]));
    }
    let rest = &mut buffer[..lines];
    let result = work(Scratch { rest });
    kept.replace(buffer);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_apart_and_begin_on_a_cache_line() {
        with(bytes_for::<f32>(3) + bytes_for::<f32>(17), |mut scratch| {
            let (a, b) = (scratch.take::<f32>(3), scratch.take::<f32>(17));
            a.fill(1.0);
            b.fill(2.0);
            assert_eq!((a.len(), b.len(), a[2], b[16]), (3, 17, 1.0, 2.0));
            assert_eq!(a.as_ptr().addr() % LINE, 0);
            assert_eq!(b.as_ptr().addr() % LINE, 0);
        });
    }

    #[test]
    fn a_request_inside_another_gets_memory_of_its_own() {
        with(bytes_for::<f32>(8), |mut outer| {
            let outer = outer.take::<f32>(8);
            outer.fill(1.0);
            with(bytes_for::<f32>(8), |mut inner| {
                inner.take::<f32>(8).fill(2.0)
            });
            assert_eq!(outer, [1.0; 8]);
        });
    }

    #[test]
    #[should_panic(expected = "mid")]
    fn more_than_was_asked_for_is_refused() {
        with(LINE, |mut scratch| scratch.take::<f32>(17).len());
    }
}
