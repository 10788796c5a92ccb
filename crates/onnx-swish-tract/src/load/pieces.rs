//! A file's bytes that are in several places.
//!
//! Given pieces, one behind the other; promises their bytes in order, without a copy of them all in one.

use std::sync::Arc;

use bytes::{Buf, Bytes};

/// The bytes of a file, cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pieces(Arc<[Bytes]>);

/// Reads them from the first to the last.
pub(crate) struct Reader<'a> {
    /// What is left of the piece that is being read.
    current: &'a [u8],
    others: std::slice::Iter<'a, Bytes>,
    remaining: usize,
}

impl Pieces {
    pub fn new(pieces: Arc<[Bytes]>) -> Pieces {
        Pieces(pieces)
    }

    pub fn reader(&self) -> Reader<'_> {
        let mut reader = Reader {
            current: &[],
            others: self.0.iter(),
            remaining: self.0.iter().map(Bytes::len).sum(),
        };
        reader.open_next();
        reader
    }
}

impl Reader<'_> {
    /// An empty piece must not look like the end.
    fn open_next(&mut self) {
        while self.current.is_empty() {
            let Some(next) = self.others.next() else {
                return;
            };
            self.current = next;
        }
    }
}

impl Buf for Reader<'_> {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        self.current
    }

    fn advance(&mut self, count: usize) {
        assert!(count <= self.remaining, "more bytes than there are");
        let mut left = count;
        while left > 0 {
            let step = left.min(self.current.len());
            self.current = &self.current[step..];
            left -= step;
            self.open_next();
        }
        self.remaining -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one() {
        let pieces: Vec<Bytes> = [&b""[..], b"ab", b"", b"", b"c", b"def", b""]
            .into_iter()
            .map(Bytes::from_static)
            .collect();
        let pieces = Pieces::new(pieces.into());
        for step in 1..=6 {
            let mut reader = pieces.reader();
            let mut read = Vec::new();
            while reader.has_remaining() {
                assert!(!reader.chunk().is_empty());
                let count = step.min(reader.remaining());
                read.extend_from_slice(&reader.copy_to_bytes(count));
            }
            assert_eq!(read, b"abcdef");
        }
        assert!(!Pieces::new(Arc::new([])).reader().has_remaining());
    }
}
