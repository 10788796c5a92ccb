//! A tensor that several tasks write to.
//! Given: a slice, for as long as the tasks run.
//! Promise: nothing; whoever takes a part promises that nobody else has it.

use std::marker::PhantomData;
use std::ops::Range;

use crate::scratch::Element;

/// Numbers as the bytes they are.
pub(crate) fn as_bytes<T: Element>(numbers: &mut [T]) -> &mut [u8] {
    let len = size_of_val(numbers);
    // SAFETY: so many bytes, borrowed from the slice; any bytes are elements, and elements leave no byte undefined.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), len) }
}

/// A slice whose parts go to several threads.
pub(crate) struct SharedSlice<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a slice that is borrowed for writing; whoever takes parts of it promises that they are disjoint.
unsafe impl<T: Send> Sync for SharedSlice<'_, T> {}

impl<'a, T> SharedSlice<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        SharedSlice {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where it begins. What is written through the pointer must be nobody else's meanwhile.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }

    /// The elements of a range.
    ///
    /// # Panics
    /// If the range is not inside the slice.
    ///
    /// # Safety
    /// Ranges that are in use at the same time are disjoint.
    pub(crate) unsafe fn part(&self, range: Range<usize>) -> &'a mut [T] {
        assert!(range.start <= range.end && range.end <= self.len);
        // SAFETY: inside the slice, as just checked, and nobody else's, as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
