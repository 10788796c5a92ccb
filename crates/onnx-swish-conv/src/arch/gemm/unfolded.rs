//! Products over unfolded panels: a few vectors of output columns and all input elements they meet.
//! Given: a part of the work, and its panels and tiles.
//! Promise: a panel exists for one block of the depth at a time, small enough for a first-level cache.

use std::ops::Range;

use onnx_swish_kernels::Isa;

use super::columns::{Columns, Spread};
use super::tile::{Place, Rows, multiply};
use super::{Part, blocks};
use crate::arch::pack::Unfold;
use crate::arch::{dispatch, lanes};
use crate::product::{PANEL_VECTORS, Product};

/// Columns beyond whole vectors that are computed one by one, with a vector along the rows: up to a quarter of a
/// vector that is cheaper than a vector along the columns most of whose lanes are thrown away.
fn columns_apart(isa: Isa, columns: usize) -> usize {
    let rest = columns % lanes(isa);
    if 4 * rest <= lanes(isa) { rest } else { 0 }
}

/// Panels of an image of so many output elements. A few columns beyond the last whole panel go with it.
pub(crate) fn panel_count(isa: Isa, area: usize) -> usize {
    let pitch = PANEL_VECTORS * lanes(isa);
    let rest = area % pitch;
    let alone = rest > columns_apart(isa, rest) || area < pitch;
    area / pitch + usize::from(rest > 0 && alone)
}

/// Elements that one column takes in the layout of [`Columns`].
fn spread_len(depth: usize, isa: Isa) -> usize {
    depth + lanes(isa)
}

/// Panels that are unfolded together.
///
/// Tiles of a shallow product are over before the first-level cache has brought the lines they write. One tile of rows
/// then goes through several panels, so that it writes on where it stopped, as the processor's prefetching expects.
fn panels_together(isa: Isa, product: &Product, depth: usize) -> usize {
    /// Elements of all panels together: half of a second-level cache of 512 KiB.
    const TOGETHER: usize = 65_536;
    const SHALLOW: usize = 64;
    if product.blocks.len() == 1 && depth <= SHALLOW {
        (TOGETHER / (depth * PANEL_VECTORS * lanes(isa))).max(1)
    } else {
        1
    }
}

/// Whether all columns of an image are single ones, whose tiles then go through the whole depth at once: a product of a
/// matrix and a vector is over before its sums are worth putting away in between.
fn is_vector(product: &Product, area: usize) -> bool {
    /// Elements of all spread columns: half of a second-level cache of 512 KiB.
    const SPREAD: usize = 65_536;
    columns_apart(product.isa, area) == area
        && area * spread_len(product.depth(), product.isa) <= SPREAD
}

/// Elements of scratch that a share of images of this area needs.
pub(crate) fn scratch_len(product: &Product, area: usize) -> usize {
    let isa = product.isa;
    let depth = product.deepest();
    let spread = if is_vector(product, area) {
        area * spread_len(product.depth(), isa)
    } else {
        lanes(isa) / 4 * spread_len(depth, isa)
    };
    panels_together(isa, product, depth) * depth * PANEL_VECTORS * lanes(isa) + spread
}

impl Part<'_> {
    /// Unfolds the input that output columns meet, over one block of the depth.
    fn unfold(
        &self,
        (channel, channels): (usize, usize),
        columns: Range<usize>,
        panel: &mut [f32],
    ) {
        dispatch(
            self.product.isa,
            Unfold {
                window: &self.product.window,
                frame: self.frame,
                input: &self.input[channel * self.frame.input_area()..],
                gate: self
                    .gate
                    .get(channel..channel + channels)
                    .unwrap_or_default(),
                channels,
                first: columns.start,
                columns: columns.len(),
                panel,
            },
        );
    }
}

/// Computes the elements of a part in the given panels and tiles of `MR` rows.
pub(super) fn panels<const MR: usize>(
    part: &Part,
    panels: Range<usize>,
    tiles: Range<usize>,
    scratch: &mut [f32],
) {
    let product = part.product;
    let isa = product.isa;
    let taps = product.window.taps();
    let area = part.frame.output_area();
    let pitch = PANEL_VECTORS * lanes(isa);
    let together = panels_together(isa, product, product.deepest());
    let (scratch, spread) = scratch.split_at_mut(together * product.deepest() * pitch);
    if is_vector(product, area) {
        let spread_pitch = spread_len(product.depth(), isa);
        for block in blocks(product) {
            let depth = block.1 * taps;
            part.unfold(block, 0..area, &mut scratch[..depth * pitch]);
            dispatch(
                isa,
                Spread {
                    panel: scratch,
                    depth,
                    columns: area,
                    spread: &mut spread[block.0 * taps..],
                    pitch: spread_pitch,
                },
            );
        }
        for tile in tiles {
            dispatch(
                isa,
                Columns::<MR, _> {
                    tile: &part.tile::<MR>(tile, 0, true, true),
                    filters: blocks(product).map(|block| part.filters::<MR>(block, tile)),
                    spread,
                    pitch: spread_pitch,
                    columns: area,
                },
            );
        }
        return;
    }
    let last_panel = panel_count(isa, area) - 1;
    let places = |columns: usize| std::array::from_fn(|v| Place::flat(isa, v, columns));
    let (whole, last) = (places(pitch), places(area - last_panel * pitch));
    for first_panel in panels.clone().step_by(together) {
        let run = first_panel..panels.end.min(first_panel + together);
        // The columns of a panel, without those apart.
        let columns = |panel: usize| {
            if panel < last_panel {
                pitch
            } else {
                let columns = area - panel * pitch;
                columns - columns_apart(isa, columns)
            }
        };
        let apart_from = last_panel * pitch + columns(last_panel);
        let apart = if run.contains(&last_panel) {
            area - apart_from
        } else {
            0
        };
        for (i, block) in blocks(product).enumerate() {
            let depth = block.1 * taps;
            let spread_pitch = spread_len(depth, isa);
            if apart > 0 {
                part.unfold(block, apart_from..area, &mut scratch[..depth * pitch]);
                dispatch(
                    isa,
                    Spread {
                        panel: scratch,
                        depth,
                        columns: apart,
                        spread,
                        pitch: spread_pitch,
                    },
                );
            }
            for (panel, scratch) in run.clone().zip(scratch.chunks_exact_mut(depth * pitch)) {
                let first = panel * pitch;
                part.unfold(block, first..first + columns(panel), scratch);
            }
            let (is_first, is_last) = (i == 0, i + 1 == product.blocks.len());
            for tile in tiles.clone() {
                let filters = part.filters::<MR>(block, tile);
                for (panel, scratch) in run.clone().zip(scratch.chunks_exact(depth * pitch)) {
                    let tile = part.tile::<MR>(tile, panel * pitch, is_first, is_last);
                    let rows = Rows::Unfolded(&scratch[..depth * pitch]);
                    let places = if panel < last_panel { &whole } else { &last };
                    multiply::<MR>(isa, &tile, filters, rows, places, columns(panel));
                }
                if apart > 0 {
                    dispatch(
                        isa,
                        Columns::<MR, _> {
                            tile: &part.tile::<MR>(tile, apart_from, is_first, is_last),
                            filters: std::iter::once(filters),
                            spread,
                            pitch: spread_pitch,
                            columns: apart,
                        },
                    );
                }
            }
        }
    }
}
