//! Filters in the order in which register tiles read them.
//! Given: weights as ONNX stores them, and the blocks of the depth.
//! Promise: a tile's filters of one block follow each other, `[tap][input channel][tile row]`; rows beyond the last output
//! channel are zero.

use std::ops::Range;

use crate::Spec;
use crate::tuning::BLOCK_DEPTH;

/// Input channels of a group that are summed in one go, with all taps.
#[derive(Debug)]
pub(super) struct Block {
    pub channels: Range<usize>,
    /// Products of one output: channels times taps.
    pub depth: usize,
    /// Whether no block comes before.
    pub first: bool,
    /// Whether no block comes after.
    pub last: bool,
}

impl Block {
    /// One block of all channels.
    pub(super) fn all_of(spec: &Spec) -> Vec<Block> {
        Block::split(spec, 1)
    }

    /// Blocks of about [`BLOCK_DEPTH`].
    pub(super) fn of_depth(spec: &Spec) -> Vec<Block> {
        let channels = spec.in_channels / spec.groups;
        Block::split(
            spec,
            spec.macs_per_output().div_ceil(BLOCK_DEPTH).min(channels),
        )
    }

    fn split(spec: &Spec, count: usize) -> Vec<Block> {
        let channels = spec.in_channels / spec.groups;
        let block = |i: usize| {
            let channels = channels * i / count..channels * (i + 1) / count;
            Block {
                depth: channels.len() * spec.window.taps(),
                channels,
                first: i == 0,
                last: i + 1 == count,
            }
        };
        (0..count).map(block).collect()
    }
}

/// Filters and biases of all groups.
#[derive(Debug)]
pub(super) struct Filters {
    /// For each group, block and tile of output channels: `[tap][input channel][tile row]`.
    packed: Vec<f32>,
    /// For each group: one per output channel, zeros up to a whole tile.
    bias: Vec<f32>,
    blocks: Vec<Block>,
    taps: usize,
    /// Multiply-adds of one output.
    depth: usize,
    tile_rows: usize,
    /// Of a group.
    tiles: usize,
}

impl Filters {
    /// Packs `weights`, `[out_channels][in_channels / groups][kernel height][kernel width]`.
    pub(super) fn pack(
        spec: &Spec,
        blocks: Vec<Block>,
        tile_rows: usize,
        weights: &[f32],
        bias: &[f32],
    ) -> Filters {
        let taps = spec.window.taps();
        let depth = spec.macs_per_output();
        let rows = spec.out_channels / spec.groups;
        let tiles = rows.div_ceil(tile_rows);
        let padded = tiles * tile_rows;
        let mut packed = Vec::with_capacity(spec.groups * padded * depth);
        let mut padded_bias = Vec::with_capacity(spec.groups * padded);
        for (weights, bias) in weights.chunks(rows * depth).zip(bias.chunks(rows)) {
            for block in &blocks {
                for tile in 0..tiles {
                    for tap in 0..taps {
                        for channel in block.channels.clone() {
                            let of_row =
                                |row: usize| weights.get(row * depth + channel * taps + tap);
                            let rows = tile * tile_rows..(tile + 1) * tile_rows;
                            packed.extend(rows.map(|row| of_row(row).unwrap_or(&0.0)));
                        }
                    }
                }
            }
            padded_bias.extend((0..padded).map(|row| bias.get(row).unwrap_or(&0.0)));
        }
        Filters {
            packed,
            bias: padded_bias,
            blocks,
            taps,
            depth,
            tile_rows,
            tiles,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.packed) + size_of_val(&*self.bias)
    }

    /// Blocks of the depth, in the order in which they are summed.
    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Multiply-adds of one output.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// Depth of the deepest block: rows of unfolded input.
    pub(super) fn deepest(&self) -> usize {
        let depths = self.blocks.iter().map(|block| block.depth);
        depths.max().unwrap_or(0)
    }

    /// Rows (output channels) of a tile.
    pub(super) fn tile_rows(&self) -> usize {
        self.tile_rows
    }

    /// Tiles of output channels of a group.
    pub(super) fn tiles(&self) -> usize {
        self.tiles
    }

    /// The filters of a tile over one block, `[depth][tile row]`.
    pub(super) fn of_tile(&self, group: usize, block: &Block, tile: usize) -> &[f32] {
        let rows = self.tiles * self.tile_rows;
        let before = block.channels.start * self.taps * rows;
        let len = block.depth * self.tile_rows;
        &self.packed[group * self.depth * rows + before + tile * len..][..len]
    }

    /// One bias for each row of a tile.
    pub(super) fn bias_of_tile(&self, group: usize, tile: usize) -> &[f32] {
        &self.bias[(group * self.tiles + tile) * self.tile_rows..][..self.tile_rows]
    }
}
