//! Products over bands of rows: taps read a padded copy of the input where it lies.
//! Given: a part of the work, and its bands and tiles.
//! Promise: each input element is copied once for all taps. Columns run on through the copy's padding, whose sums are thrown
//! away, so that one row's end and the next one's beginning share a vector.

use std::ops::Range;

use super::tile::{Place, Rows, multiply};
use super::{Part, blocks};
use crate::arch::band::copy_band;
use crate::arch::{Kernel, Simd, dispatch, lanes};
use crate::bands::Bands;
use crate::product::PANEL_VECTORS;

/// Computes the elements of a part in the given bands and tiles of `MR` rows.
pub(super) fn bands<const MR: usize>(
    part: &Part,
    bands: &Bands,
    range: Range<usize>,
    tiles: Range<usize>,
    scratch: &mut [f32],
) {
    let product = part.product;
    let isa = product.isa;
    let [height, width] = part.frame.output;
    let layout = &bands.layout;
    let panel = PANEL_VECTORS * lanes(isa);
    // What the scattered rows rely on: a panel fits behind every column and offset.
    let columns = (layout.band - 1) * layout.pitch + width;
    let furthest = bands
        .offsets
        .iter()
        .max()
        .map_or(0, |offset| offset + columns);
    assert!(bands.offsets.len() == product.depth() && furthest + panel <= scratch.len());
    // Copies leave the padding columns alone: they are cleared once for all.
    scratch.fill(0.0);
    for band in range {
        let first_row = band * layout.band;
        let rows = layout.band.min(height - first_row);
        dispatch(
            isa,
            CopyBand {
                part,
                bands,
                first_row,
                rows,
                scratch,
            },
        );
        let columns = (rows - 1) * layout.pitch + width;
        let starts = (0..columns).step_by(panel);
        let mut step = 0;
        let blocks = blocks(product).enumerate().map(|(i, block)| {
            let depth = block.1 * product.window.taps();
            step += depth;
            let offsets = &bands.offsets[step - depth..step];
            (block, offsets, i == 0, i + 1 == product.blocks.len())
        });
        let blocks: Vec<_> = blocks.collect();
        let compute = |tile: usize, start: usize, i: usize| {
            let (block, offsets, first, last) = blocks[i];
            let count = panel.min(columns - start);
            let places =
                std::array::from_fn(|v| place(part, bands, start + v * lanes(isa), columns));
            let to = part.tile::<MR>(tile, first_row * width, first, last);
            let from = Rows::Scattered(&scratch[start..], offsets);
            multiply::<MR>(
                isa,
                &to,
                part.filters::<MR>(block, tile),
                from,
                &places,
                count,
            );
        };
        if bands.tile_by_tile {
            for tile in tiles.clone() {
                starts.clone().for_each(|start| compute(tile, start, 0));
            }
        } else {
            for start in starts {
                for block in 0..blocks.len() {
                    tiles.clone().for_each(|tile| compute(tile, start, block));
                }
            }
        }
    }
}

/// Where a vector of columns goes that starts at column `start` of a band's `columns`.
fn place(part: &Part, bands: &Bands, start: usize, columns: usize) -> Place {
    let lanes = lanes(part.product.isa);
    let (pitch, width) = (bands.layout.pitch, part.frame.output[1]);
    let (y, x) = (start / pitch, start % pitch);
    let stop = columns.saturating_sub(start).min(lanes);
    Place {
        at: y * width + x,
        end: width.saturating_sub(x).min(stop),
        // The next row begins with lane `pitch - x`.
        next: ((y + 1) * width).wrapping_sub(pitch - x),
        start: (pitch - x).min(stop),
        stop,
    }
}

/// Copies the rows of all channels that a band reads.
struct CopyBand<'a> {
    part: &'a Part<'a>,
    bands: &'a Bands,
    first_row: usize,
    rows: usize,
    scratch: &'a mut [f32],
}

impl Kernel for CopyBand<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let CopyBand {
            part,
            bands,
            first_row,
            rows,
            scratch,
        } = self;
        let window = &part.product.window;
        let planes = part.input.chunks_exact(part.frame.input_area());
        for (plane, to) in planes.zip(scratch.chunks_mut(bands.layout.len)) {
            copy_band(
                s,
                window,
                part.frame,
                &bands.layout,
                plane,
                first_row,
                rows,
                to,
            );
        }
    }
}
