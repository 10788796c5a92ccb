//! The matrix product of packed filters and unfolded panels.
//! Given: a share of one image's panels and tiles of output channels.
//! Promise: sums stay in registers over a block of the depth; bias, residual and activation are applied to them
//! before the last store. Every output is one chain of multiply-adds in the order of the packed filters.

mod columns;
mod tile;

use std::marker::PhantomData;
use std::ops::Range;

use onnx_swish_kernels::Isa;

use self::columns::{Columns, Spread};
use self::tile::{Multiply, Tile};
use super::pack::Unfold;
use super::{dispatch, lanes, tile_rows};
use crate::conv2d::Operands;
use crate::geometry::Frame;
use crate::product::{PANEL_VECTORS, Product};

/// An output tensor that several workers write to, each its own rows and columns.
pub(crate) struct SharedOutput<'a> {
    start: *mut f32,
    len: usize,
    tensor: PhantomData<&'a mut [f32]>,
}

// SAFETY: shares of one product cover disjoint elements (see `Share`), so writes from several threads never meet.
unsafe impl Sync for SharedOutput<'_> {}

impl<'a> SharedOutput<'a> {
    pub(crate) fn new(tensor: &'a mut [f32]) -> Self {
        SharedOutput {
            start: tensor.as_mut_ptr(),
            len: tensor.len(),
            tensor: PhantomData,
        }
    }
}

/// A share of the work: the elements of one image and group in the given panels of columns and tiles of rows.
/// Shares that run at the same time must differ in image or group, or have disjoint panels, or disjoint tiles.
pub(crate) struct Share<'a> {
    pub product: &'a Product,
    pub frame: &'a Frame,
    /// Whole tensors.
    pub operands: Operands<'a>,
    pub output: &'a SharedOutput<'a>,
    pub image: usize,
    pub group: usize,
    pub panels: Range<usize>,
    pub tiles: Range<usize>,
    /// Room for one panel over the deepest block.
    pub scratch: &'a mut [f32],
}

/// Computes a share.
pub(crate) fn compute(share: Share) {
    let Share { product, frame, .. } = &share;
    let area = frame.output_area();
    let rows = product.group_rows();
    // What the unsafe code below relies on.
    assert!(share.group < product.groups && share.tiles.end <= product.group_tiles());
    assert!(share.panels.end <= panel_count(product.isa, area));
    assert!(share.output.len >= (share.image + 1) * product.out_channels * area);
    let Operands {
        input,
        residual,
        gate,
    } = share.operands;
    assert!(residual.is_empty() || residual.len() == share.output.len);
    assert!(gate.is_empty() || gate.len() >= (share.image + 1) * product.in_channels);
    assert!(input.len() >= (share.image + 1) * product.in_channels * frame.input_area());
    let padded = product.group_tiles() * tile_rows(product.isa);
    assert_eq!(
        product.depth(),
        product.in_channels / product.groups * product.window.taps()
    );
    assert_eq!(
        product.packed.len(),
        product.groups * product.depth() * padded
    );
    assert_eq!(product.bias.len(), product.groups * padded);
    assert!(rows <= padded);
    let rows_of_tile = tile_rows(product.isa);
    if rows_of_tile == 8 {
        panels::<8>(share)
    } else {
        panels::<4>(share)
    }
}

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
    depth * tile_rows(isa) + lanes(isa)
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

/// The blocks of the depth: first channel and number of channels.
fn blocks(product: &Product) -> impl Iterator<Item = (usize, usize)> + Clone {
    product.blocks.iter().scan(0, |next, channels| {
        let first = *next;
        *next += channels;
        Some((first, *channels))
    })
}

fn panels<const MR: usize>(share: Share) {
    let Share {
        product,
        frame,
        operands: Operands {
            input,
            residual,
            gate,
        },
        output,
        image,
        group,
        panels,
        tiles,
        scratch,
    } = share;
    let isa = product.isa;
    let taps = product.window.taps();
    let (ins, outs) = (product.in_channels / product.groups, product.group_rows());
    let (area, input_area) = (frame.output_area(), frame.input_area());
    let pitch = PANEL_VECTORS * lanes(isa);
    let packed_rows = product.group_tiles() * MR;
    let bias = &product.bias[group * packed_rows..][..packed_rows];
    let first_channel = image * product.in_channels + group * ins;
    let input = &input[first_channel * input_area..][..ins * input_area];
    let gate = gate.get(first_channel..).unwrap_or_default();
    let corner = (image * product.out_channels + group * outs) * area;
    let unfold = |(channel, channels): (usize, usize), columns: Range<usize>, panel: &mut [f32]| {
        dispatch(
            isa,
            Unfold {
                window: &product.window,
                frame,
                input: &input[channel * input_area..],
                gate: gate.get(channel..channel + channels).unwrap_or_default(),
                channels,
                first: columns.start,
                columns: columns.len(),
                panel,
            },
        );
    };
    let filters = |(channel, channels): (usize, usize), tile: usize| {
        let depth = channels * taps;
        let block = (group * ins + channel) * taps * packed_rows;
        &product.packed[block + tile * depth * MR..][..depth * MR]
    };
    // `compute` checked that the output and the residual have this image's rows; `rows` and the number of columns keep the
    // tile inside them, and nobody else writes there (see `Share`).
    let tile_at = |tile: usize, column: usize, first: bool, last: bool| {
        let at = corner + tile * MR * area + column;
        Tile {
            output: output.start.wrapping_add(at),
            residual: if residual.is_empty() {
                std::ptr::null()
            } else {
                residual.as_ptr().wrapping_add(at)
            },
            row_step: area,
            rows: MR.min(outs - tile * MR),
            bias: &bias[tile * MR..][..MR],
            first,
            last,
            product,
        }
    };
    let together = panels_together(isa, product, product.deepest());
    let (scratch, spread) = scratch.split_at_mut(together * product.deepest() * pitch);
    if is_vector(product, area) {
        let spread_pitch = spread_len(product.depth(), isa);
        for block in blocks(product) {
            let depth = block.1 * taps;
            unfold(block, 0..area, &mut scratch[..depth * pitch]);
            dispatch(
                isa,
                Spread::<MR> {
                    panel: scratch,
                    depth,
                    columns: area,
                    spread: &mut spread[block.0 * taps * MR..],
                    pitch: spread_pitch,
                },
            );
        }
        for tile in tiles {
            dispatch(
                isa,
                Columns::<MR, _> {
                    tile: &tile_at(tile, 0, true, true),
                    filters: blocks(product).map(|block| filters(block, tile)),
                    spread,
                    pitch: spread_pitch,
                    columns: area,
                },
            );
        }
        return;
    }
    let last_panel = panel_count(isa, area) - 1;
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
                unfold(block, apart_from..area, &mut scratch[..depth * pitch]);
                dispatch(
                    isa,
                    Spread::<MR> {
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
                unfold(block, first..first + columns(panel), scratch);
            }
            let (is_first, is_last) = (i == 0, i + 1 == product.blocks.len());
            for tile in tiles.clone() {
                let filters = filters(block, tile);
                for (panel, scratch) in run.clone().zip(scratch.chunks_exact(depth * pitch)) {
                    let tile = tile_at(tile, panel * pitch, is_first, is_last);
                    multiply::<MR>(isa, &tile, filters, scratch, columns(panel));
                }
                if apart > 0 {
                    dispatch(
                        isa,
                        Columns::<MR, _> {
                            tile: &tile_at(tile, apart_from, is_first, is_last),
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

/// One tile of rows by the columns of a panel, in whole vectors.
fn multiply<const MR: usize>(
    isa: Isa,
    tile: &Tile,
    filters: &[f32],
    panel: &[f32],
    columns: usize,
) {
    match columns.div_ceil(lanes(isa)) {
        0 => {}
        1 => dispatch(
            isa,
            Multiply::<MR, 1> {
                tile,
                filters,
                panel,
                columns,
            },
        ),
        2 => dispatch(
            isa,
            Multiply::<MR, 2> {
                tile,
                filters,
                panel,
                columns,
            },
        ),
        _ => dispatch(
            isa,
            Multiply::<MR, PANEL_VECTORS> {
                tile,
                filters,
                panel,
                columns,
            },
        ),
    }
}
