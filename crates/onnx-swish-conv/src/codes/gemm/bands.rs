//! Products over bands of rows: taps read a padded copy of the codes where it lies.
//! Given: a share of the work, and its bands and tiles.
//! Promise: each code is copied once for all taps. Columns run on through the copy's padding, whose sums are thrown away.

use std::ops::Range;

use super::plan::whole_words;
use super::tile::{Tiles, multiply};
use super::words::Pack;
use super::{Gemm, Share};
use crate::Frame;
use crate::padded::PaddedBand;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::L2_COPY;

/// The most bytes of an element.
const ELEMENT: usize = 4;

/// Bands of an image.
#[derive(Debug)]
pub(super) struct Bands {
    /// Of one channel's copy; the channels' copies follow each other.
    copy: PaddedBand,
    pub count: usize,
    /// For each step of the depth, where the row of the first output begins.
    offsets: Vec<usize>,
    /// Bytes of all copies.
    len: usize,
    /// Of a panel.
    words: usize,
    /// Bytes of a tile whose rows are not whole in the output.
    staged: usize,
}

impl Bands {
    /// The bands of images of this frame.
    pub(super) fn new(gemm: &Gemm, frame: &Frame) -> Bands {
        let window = &gemm.spec.window;
        let [height, width] = frame.output;
        let pitch = width + window.beyond(1);
        let channels = gemm.group_channels();
        // Bytes of one row of all copies.
        let row = channels * window.stride[0] * window.stride[1] * pitch;
        let rows = (L2_COPY / row)
            .saturating_sub(window.beyond(0))
            .clamp(1, height);
        // Bands of about the same height.
        let rows = height.div_ceil(height.div_ceil(rows));
        let copy = PaddedBand::new(window, frame, pitch, rows);
        let of_channel = |channel| copy.taps.iter().map(move |tap| (channel, tap));
        let offsets = (0..channels).flat_map(of_channel);
        let offsets = offsets.map(|(channel, tap)| channel * copy.len + tap);
        Bands {
            count: height.div_ceil(rows),
            offsets: whole_words(offsets.collect(), gemm.format.group),
            // What a panel reads behind the last; words beyond would be made from a copy.
            len: channels * copy.len + 4 * gemm.dot.lanes(),
            words: gemm.filters.steps * gemm.panel(),
            staged: gemm.filters.tile_rows * gemm.panel() * ELEMENT,
            copy,
        }
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<u32>(self.words) + bytes_for::<u8>(self.len) + bytes_for::<u8>(self.staged)
    }
}

impl Share<'_> {
    /// Computes the elements in the given bands and tiles.
    pub(super) fn bands(
        &self,
        bands: &Bands,
        range: Range<usize>,
        tiles: Range<usize>,
        mut scratch: Scratch,
    ) {
        let [height, width] = self.plan.frame.output;
        let copy = &bands.copy;
        let words = scratch.take::<u32>(bands.words);
        let copies = scratch.take::<u8>(bands.len);
        let staged = scratch.take::<u8>(bands.staged);
        // Copies leave the padding columns alone: they are cleared once for all.
        copies.fill(self.call.padding);
        for band in range {
            let first_row = band * copy.outputs;
            let rows = first_row..height.min(first_row + copy.outputs);
            let planes = self.input.chunks_exact(self.plan.frame.input_area());
            for (plane, to) in planes.zip(copies.chunks_mut(copy.len)) {
                copy.copy_bytes(plane, rows.clone(), to, self.call.padding);
            }
            let columns = (rows.len() - 1) * copy.pitch + width;
            for start in (0..columns).step_by(self.gemm.panel()) {
                self.gemm.dot.run(Pack {
                    bytes: copies,
                    offsets: &bands.offsets,
                    start,
                    flip: self.call.flip,
                    words,
                });
                let end = columns.min(start + self.gemm.panel());
                self.band_panel(bands, &tiles, first_row, start..end, words, staged);
            }
            self.look_up(rows.start * width..rows.end * width, tiles.clone());
        }
    }

    /// Tiles of a panel: these columns of a band, counted with the copy's padding.
    fn band_panel(
        &self,
        bands: &Bands,
        tiles: &Range<usize>,
        first_row: usize,
        columns: Range<usize>,
        words: &[u32],
        staged: &mut [u8],
    ) {
        let [_, width] = self.plan.frame.output;
        let pitch = bands.copy.pitch;
        let (y, x) = (columns.start / pitch, columns.start % pitch);
        if pitch == width || x + columns.len() <= width {
            // One behind the other in the output too.
            let first = (first_row + y) * width + x;
            self.multiply(tiles.clone(), first, columns.len(), words);
            return;
        }
        for number in tiles.clone() {
            let apart = Tiles {
                share: self,
                numbers: number..number + 1,
                first: first_row * width,
                columns: columns.len(),
                staged: Some((
                    staged.as_mut_ptr(),
                    self.gemm.panel() * self.gemm.finish.element_bytes(),
                )),
            };
            multiply(self.gemm.dot, &apart, words);
            self.unstage(bands, number, first_row, columns.clone(), staged);
        }
    }

    /// Copies what a tile gave of these columns to where it belongs, without the padding's.
    fn unstage(
        &self,
        bands: &Bands,
        number: usize,
        first_row: usize,
        columns: Range<usize>,
        staged: &[u8],
    ) {
        let [_, width] = self.plan.frame.output;
        let pitch = bands.copy.pitch;
        let bytes = self.gemm.finish.element_bytes();
        let left = self.gemm.group_rows() - number * self.gemm.filters.tile_rows;
        let tile_rows = self.gemm.filters.tile_rows.min(left);
        let mut column = columns.start;
        while column < columns.end {
            let (y, x) = (column / pitch, column % pitch);
            let len = width.saturating_sub(x).min(columns.end - column);
            // Of the padding's columns, which may be more than the image's, nothing is kept.
            let rows = if len > 0 { tile_rows } else { 0 };
            for row in 0..rows {
                let from = row * self.gemm.panel() + column - columns.start;
                let to = (self.row(number, row) + (first_row + y) * width + x) * bytes;
                // SAFETY: these columns of rows of this task, which nobody else has (see `compute`).
                #[allow(unsafe_code)]
                let to = unsafe { self.output.part(to..to + len * bytes) };
                to.copy_from_slice(&staged[from * bytes..][..len * bytes]);
            }
            column += pitch - x;
        }
    }

    /// The first element of a tile's row.
    fn row(&self, tile: usize, row: usize) -> usize {
        let row = self.first_row + tile * self.gemm.filters.tile_rows + row;
        row * self.plan.frame.output_area()
    }
}
