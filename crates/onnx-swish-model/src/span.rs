//! Positions in a file.
//!
//! Given: a file of at most [`MAX_FILE_LEN`](crate::MAX_FILE_LEN) bytes, so that 32 bits hold any position.
//! Promises: spans made by the index lie inside their file and nest as the messages do.

/// A range of bytes of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// One past the last byte.
    pub fn end(self) -> u32 {
        self.start.saturating_add(self.len)
    }

    /// Whether there are no bytes in it; a missing name and an empty one look alike.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes
            .get(self.start as usize..self.end() as usize)
            .unwrap_or_default()
    }
}

/// A length-delimited field: where its tag starts, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Located {
    /// First byte of the field's tag.
    pub field: u32,
    /// The payload. The field ends where the payload ends.
    pub span: Span,
}

/// A run of entries of a shared table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub start: u32,
    pub len: u32,
}

impl Run {
    pub fn of<T>(self, table: &[T]) -> &[T] {
        table
            .get(self.start as usize..self.start as usize + self.len as usize)
            .unwrap_or_default()
    }
}
