//! The words that a few vectors of columns meet, over the whole depth, or a single column.
//! Given: bytes, and where the row of each step of the depth begins among them.
//! Promise: words in the order in which tiles read them; what lies beyond the bytes is zero.

use onnx_swish_simd::{Dot, DotKernel, Memory, Registers, Simd};

use super::PANEL_VECTORS;

/// The most bytes that are interleaved at once: four registers of lanes.
const MOST: usize = 256;

/// Makes the words of a panel: `[step][PANEL_VECTORS vectors]`.
pub(super) struct Pack<'a> {
    pub bytes: &'a [u8],
    /// Of each step of the depth, and the last again up to a whole word.
    pub offsets: &'a [usize],
    /// The first column, counted from each offset.
    pub start: usize,
    pub flip: u8,
    pub words: &'a mut [u32],
}

impl DotKernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        let s = d.simd();
        let lanes = D::S::LANES;
        let group = D::FORMAT.group;
        let pitch = PANEL_VECTORS * lanes;
        assert!(self.words.len() >= self.offsets.len() / group * pitch && PANEL_VECTORS <= 4);
        let mut buffers = [[0u8; MOST]; 4];
        for (step, offsets) in self.offsets.chunks_exact(group).enumerate() {
            let mut rows = [self.bytes.as_ptr(); 4];
            for (i, offset) in offsets.iter().enumerate() {
                let row = self.bytes.get(offset + self.start..).unwrap_or(&[]);
                rows[i] = if row.len() >= 4 * lanes {
                    row.as_ptr()
                } else {
                    buffers[i][..row.len()].copy_from_slice(row);
                    buffers[i].as_ptr()
                };
            }
            // SAFETY: the first rows, one for each field, have the bytes, as just seen to; the words have room, as asserted.
            unsafe {
                let vectors = d.interleave(rows, self.flip);
                let to = self.words.as_mut_ptr().add(step * pitch).cast::<f32>();
                unrolled!(v < PANEL_VECTORS, of 3, {
                    s.store(to.add(v * lanes), s.from_bits(vectors[v]));
                });
            }
        }
    }
}

/// Makes the words of single columns, each column's one behind the other.
pub(super) struct PackColumns<'a> {
    pub bytes: &'a [u8],
    /// Of each step of the depth, and the last again up to a whole word.
    pub offsets: &'a [usize],
    /// The first column, counted from each offset.
    pub start: usize,
    pub columns: usize,
    pub flip: u8,
    pub words: &'a mut [u32],
    /// Words from one column to the next.
    pub pitch: usize,
}

impl DotKernel for PackColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, _: D) {
        let group = D::FORMAT.group;
        let bits = 32 / group;
        let columns = self.words.chunks_mut(self.pitch).take(self.columns);
        for (column, words) in columns.enumerate() {
            let from = self.start + column;
            let words = words.iter_mut().zip(self.offsets.chunks_exact(group));
            for (word, offsets) in words {
                *word = 0;
                for (i, offset) in offsets.iter().enumerate() {
                    let byte = self.bytes[offset + from] ^ self.flip;
                    *word |= u32::from(byte) << (bits * i);
                }
            }
        }
    }
}
