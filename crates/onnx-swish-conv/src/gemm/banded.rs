//! Products over bands of rows: taps read a padded copy of the input where it lies.
//! Given: a share of the work, and its bands and tiles.
//! Promise: each input element is copied once for all taps. Columns run on through the copy's padding, whose sums are thrown
//! away, so that one row's end and the next one's beginning share a vector.

use std::ops::Range;

use onnx_swish_simd::{Kernel, Simd};

use super::tile::{Inputs, Spans, multiply};
use super::{Gemm, PANEL_VECTORS, Share, plan};
use crate::Frame;
use crate::padded::PaddedBand;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::{BAND_COLUMNS_PER_WASTE, L2_COPY, SHALLOW_DEPTH};

/// Bands of an image.
#[derive(Debug)]
pub(super) struct Bands {
    /// Of one channel's copy; the channels' copies follow each other.
    copy: PaddedBand,
    pub count: usize,
    /// For each step of the depth, in the order of the packed filters, where the row of the first output begins.
    offsets: Vec<usize>,
    /// Elements of all copies, and of what vectors read behind the last.
    len: usize,
    /// Whether to compute one tile for the whole band after the other, and not one panel after the other.
    tile_by_tile: bool,
}

impl Bands {
    /// The bands of images of this frame, if they are the better way.
    pub(super) fn new(gemm: &Gemm, frame: &Frame) -> Option<Bands> {
        let (window, lanes) = (&gemm.spec.window, gemm.isa.lanes());
        let [height, width] = frame.output;
        let pitch = width + window.beyond(1);
        // A vector may reach into the next row, not further; and what is computed for the padding is wasted.
        let narrow = width < lanes || BAND_COLUMNS_PER_WASTE * window.beyond(1) > width;
        if !plan::is_banded(&gemm.spec, gemm.isa) || narrow {
            return None;
        }
        let channels = gemm.group_channels();
        // Elements of one row of all copies.
        let row = channels * window.stride[0] * window.stride[1] * pitch;
        let fitting = L2_COPY / size_of::<f32>() / row;
        let rows = fitting.saturating_sub(window.beyond(0)).clamp(1, height);
        // Rows that reach far beyond a band would be copied again for each, and a row that does not fit for each thread.
        let copied = rows + window.beyond(0);
        if copied > rows * window.kernel[0] || row * copied * size_of::<f32>() > 4 * L2_COPY {
            return None;
        }
        // Bands of about the same height.
        let rows = height.div_ceil(height.div_ceil(rows));
        let copy = PaddedBand::new(window, frame, pitch, rows);
        let of_tap = |tap| (0..channels).map(move |channel| (channel, tap));
        let offsets = copy.taps.iter().flat_map(of_tap);
        let offsets: Vec<usize> = offsets
            .map(|(channel, tap)| channel * copy.len + tap)
            .collect();
        let len = channels * copy.len + PANEL_VECTORS * lanes + copy.pitch;
        // What tiles rely on: a panel fits behind every column and offset.
        let columns = (rows - 1) * copy.pitch + width;
        let furthest = offsets.iter().max().map_or(0, |offset| offset + columns);
        assert!(furthest + PANEL_VECTORS * lanes <= len);
        Some(Bands {
            count: height.div_ceil(rows),
            offsets,
            len,
            tile_by_tile: gemm.filters.depth() <= SHALLOW_DEPTH,
            copy,
        })
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<f32>(self.len)
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
        let panel = PANEL_VECTORS * self.gemm.isa.lanes();
        let copies = scratch.take::<f32>(bands.len);
        // Copies leave the padding columns alone: they are cleared once for all.
        copies.fill(0.0);
        for band in range {
            let first_row = band * copy.outputs;
            let rows = first_row..height.min(first_row + copy.outputs);
            for (channels, planes) in self.input.stretches() {
                self.gemm.isa.run(CopyBand {
                    band: copy,
                    planes,
                    area: self.plan.frame.input_area(),
                    outputs: rows.clone(),
                    copies: &mut copies[channels.start * copy.len..],
                });
            }
            let columns = (rows.len() - 1) * copy.pitch + width;
            let starts = (0..columns).step_by(panel);
            let compute =
                |tile, start| self.band_tile(bands, copies, tile, start, columns, first_row);
            if bands.tile_by_tile {
                for tile in tiles.clone() {
                    starts.clone().for_each(|start| compute(tile, start));
                }
            } else {
                for start in starts {
                    tiles.clone().for_each(|tile| compute(tile, start));
                }
            }
        }
    }

    /// One tile and panel of a band that has so many columns.
    fn band_tile(
        &self,
        bands: &Bands,
        copies: &[f32],
        tile: usize,
        start: usize,
        columns: usize,
        first_row: usize,
    ) {
        // Bands have the whole depth in one block.
        let [block] = self.gemm.filters.blocks() else {
            unreachable!("bands with several blocks of the depth")
        };
        let isa = self.gemm.isa;
        let [_, width] = self.plan.frame.output;
        let spans = std::array::from_fn(|v| {
            band_spans(
                isa.lanes(),
                bands.copy.pitch,
                width,
                start + v * isa.lanes(),
                columns,
            )
        });
        multiply(
            isa,
            &self.tile(tile, first_row * width, true, true),
            self.filters(block, tile),
            Inputs::Scattered(&copies[start..], &bands.offsets),
            &spans,
            columns - start,
        );
    }
}

/// Where a vector of columns goes that starts at column `start` of a band's `columns`.
fn band_spans(lanes: usize, pitch: usize, width: usize, start: usize, columns: usize) -> Spans {
    let (y, x) = (start / pitch, start % pitch);
    let stop = columns.saturating_sub(start).min(lanes);
    Spans {
        at: y * width + x,
        end: width.saturating_sub(x).min(stop),
        // The next row begins with lane `pitch - x`.
        next: ((y + 1) * width).wrapping_sub(pitch - x),
        start: (pitch - x).min(stop),
        stop,
    }
}

/// Copies the rows of some channels that a band reads.
struct CopyBand<'a> {
    band: &'a PaddedBand,
    planes: &'a [f32],
    /// Elements of a plane.
    area: usize,
    /// Output rows.
    outputs: Range<usize>,
    copies: &'a mut [f32],
}

impl Kernel for CopyBand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let planes = self.planes.chunks_exact(self.area);
        for (plane, copy) in planes.zip(self.copies.chunks_mut(self.band.len)) {
            self.band.copy(s, plane, self.outputs.clone(), copy);
        }
    }
}
