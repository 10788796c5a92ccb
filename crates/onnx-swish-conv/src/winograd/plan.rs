//! How an image falls into parts, and how their values lie in scratch memory.
//! Given: a convolution and a frame.
//! Promise: every tile of outputs belongs to one part, and what a part keeps stays in a second-level cache where the
//! channels allow it.

use std::ops::Range;

use super::transform::TileSize;
use crate::gemm::{PANEL_VECTORS, tile_rows};
use crate::scratch::bytes_for;
use crate::tuning::WINOGRAD_PART;
use crate::{Frame, Isa, Spec};

/// Tiles of an image, in rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    pub rows: usize,
    pub columns: usize,
}

impl Tiles {
    pub(super) fn of(spec: &Spec, frame: &Frame) -> Tiles {
        let [height, width] = TileSize::of(spec.window.kernel).outs;
        Tiles {
            rows: frame.output[0].div_ceil(height),
            columns: frame.output[1].div_ceil(width),
        }
    }
}

/// Some tiles of an image, numbered row by row: the lanes of its vectors.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub rows: Range<usize>,
    pub columns: Range<usize>,
}

/// Parts of an image, and the layout of what a part keeps.
#[derive(Debug)]
pub(super) struct Plan {
    pub frame: Frame,
    pub tile: TileSize,
    tiles: Tiles,
    lanes: usize,
    /// Rows of tiles of a part.
    rows: usize,
    /// Tiles of a row of a part.
    columns: usize,
    /// Elements of a row of input with its padding.
    pub line: usize,
    /// Elements of one of the planes that a channel is split to.
    pub plane: usize,
    /// Elements from a channel's panel of transformed input to the next channel's.
    pub panel: usize,
    /// Elements from one panel of transformed input to the next.
    pub panel_step: usize,
    /// Elements from the transformed input of one point to that of the next.
    pub input_step: usize,
    /// Elements from one row of products to the next.
    pub product_row: usize,
    /// Elements from the products of one point to those of the next.
    pub product_step: usize,
}

impl Plan {
    pub(super) fn new(spec: &Spec, isa: Isa, tile_rows: usize, frame: &Frame) -> Plan {
        let (tiles, lanes) = (Tiles::of(spec, frame), isa.lanes());
        let tile = TileSize::of(spec.window.kernel);
        let [below, behind] = [tile.beyond(0), tile.beyond(1)];
        let (rows, columns) = part_size(spec, isa, tiles);
        let vectors = (rows * columns).div_ceil(lanes);
        let panel = PANEL_VECTORS * lanes;
        let panel_step = panel * spec.in_channels;
        let product_row = vectors * lanes;
        // Keeps points from falling on the same sets of a cache.
        let skew = 16;
        Plan {
            frame: *frame,
            tile,
            tiles,
            lanes,
            rows,
            columns,
            line: tile.outs[1] * (columns + behind).next_multiple_of(lanes),
            plane: (rows + below) * columns + lanes,
            panel,
            panel_step,
            input_step: vectors.div_ceil(PANEL_VECTORS) * panel_step + skew,
            product_row,
            product_step: tile_rows * product_row + skew,
        }
    }

    /// Parts of an image.
    pub(super) fn parts(&self) -> usize {
        self.tiles.rows.div_ceil(self.rows) * self.across()
    }

    /// Parts beside each other.
    fn across(&self) -> usize {
        self.tiles.columns.div_ceil(self.columns)
    }

    pub(super) fn part(&self, number: usize) -> Part {
        let (row, column) = (
            number / self.across() * self.rows,
            number % self.across() * self.columns,
        );
        Part {
            rows: row..self.tiles.rows.min(row + self.rows),
            columns: column..self.tiles.columns.min(column + self.columns),
        }
    }

    /// Vectors of a part's tiles.
    pub(super) fn vectors(&self, part: &Part) -> usize {
        (part.rows.len() * part.columns.len()).div_ceil(self.lanes)
    }

    /// Elements of transformed input.
    pub(super) fn inputs(&self) -> usize {
        self.tile.points() * self.input_step
    }

    /// Elements of products of one tile of output channels.
    pub(super) fn products(&self) -> usize {
        self.tile.points() * self.product_step
    }

    /// Elements of the outputs of one channel: all rows of each row of tiles.
    pub(super) fn outputs(&self) -> usize {
        self.tile.outs[0] * self.tile.outs[1] * self.product_row
    }

    /// Bytes that a task needs for what it transforms on the way in, the transformed input apart.
    pub(super) fn scratch_in(&self) -> usize {
        bytes_for::<f32>(self.line) + bytes_for::<f32>(self.tile.planes() * self.plane)
    }

    /// Bytes of transformed input.
    pub(super) fn scratch_of_inputs(&self) -> usize {
        bytes_for::<f32>(self.inputs())
    }

    /// Bytes that a task needs for products and what becomes of them.
    pub(super) fn scratch_out(&self) -> usize {
        bytes_for::<f32>(self.products()) + bytes_for::<f32>(self.outputs())
    }
}

/// What the tiles of an image take, in vectors.
pub(super) fn vectors(spec: &Spec, isa: Isa, frame: &Frame) -> usize {
    let tiles = Tiles::of(spec, frame);
    let (rows, columns) = part_size(spec, isa, tiles);
    vectors_in(tiles, rows, columns, isa)
}

fn vectors_in(tiles: Tiles, rows: usize, columns: usize, isa: Isa) -> usize {
    let of_rows = |rows: usize| {
        let of = |columns: usize| counted(rows * columns, isa);
        tiles.columns / columns * of(columns) + of(tiles.columns % columns)
    };
    tiles.rows / rows * of_rows(rows) + of_rows(tiles.rows % rows)
}

/// Vectors of so many tiles. One that has a register tile of four rows to itself takes as long as two: four sums are too few to
/// keep two multipliers of four steps busy.
fn counted(tiles: usize, isa: Isa) -> usize {
    let vectors = tiles.div_ceil(isa.lanes());
    let alone = vectors % PANEL_VECTORS == 1 && tile_rows(isa.registers()) < 8;
    vectors + usize::from(alone)
}

/// Rows and columns of tiles of a part: of those whose transformed input keeps to [`WINOGRAD_PART`] bytes the ones that take the
/// fewest vectors, and then the largest.
fn part_size(spec: &Spec, isa: Isa, tiles: Tiles) -> (usize, usize) {
    let lanes = isa.lanes();
    let points = TileSize::of(spec.window.kernel).points();
    let vector = points * spec.in_channels * lanes * size_of::<f32>();
    let fitting = (WINOGRAD_PART / vector).max(1);
    let fits = |rows: &usize| (rows * tiles.columns).div_ceil(lanes) <= fitting;
    let wasted = |rows: &usize| vectors_in(tiles, *rows, tiles.columns, isa);
    match (1..=tiles.rows).rev().filter(fits).min_by_key(wasted) {
        Some(rows) => (rows, tiles.columns),
        None => {
            let parts = tiles.columns.div_ceil(fitting * lanes);
            let columns = tiles.columns.div_ceil(parts);
            (1, columns.next_multiple_of(lanes).min(tiles.columns))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Residual, Window};

    #[test]
    fn every_tile_belongs_to_one_part_that_keeps_to_its_memory() {
        for isa in Isa::available() {
            for in_channels in [1, 16, 64, 300, 2000] {
                for size in [[1, 1], [13, 13], [20, 20], [7, 161], [80, 80], [5, 4000]] {
                    let window = Window::square(3, 1);
                    let frame = Frame::padded(&window, size, [1; 2], [1; 2]).unwrap();
                    let spec = Spec {
                        window,
                        in_channels,
                        out_channels: 8,
                        groups: 1,
                        activation: Activation::None,
                        residual: Residual::None,
                        line: None,
                        requantize: None,
                        gated: false,
                        plane_sums: false,
                        exact: false,
                        rows: false,
                    };
                    let plan = Plan::new(&spec, isa, 8, &frame);
                    let tiles = Tiles::of(&spec, &frame);
                    let mut times = vec![0; tiles.rows * tiles.columns];
                    let mut most = 0;
                    let mut all = 0;
                    for number in 0..plan.parts() {
                        let part = plan.part(number);
                        most = most.max(plan.vectors(&part));
                        all += plan.vectors(&part);
                        for row in part.rows {
                            for column in part.columns.clone() {
                                times[row * tiles.columns + column] += 1;
                            }
                        }
                    }
                    assert!(times.iter().all(|times| *times == 1), "{plan:?}");
                    assert!(most * isa.lanes() <= plan.product_row, "{plan:?}");
                    assert!(all <= vectors(&spec, isa, &frame), "{plan:?}");
                }
            }
        }
    }
}
