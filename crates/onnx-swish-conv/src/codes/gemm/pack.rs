//! Weights in words, in the order in which register tiles read them.
//! Given: weights as ONNX stores them, and what a word holds.
//! Promise: the words of a tile follow each other, `[pass][step of the depth][tile row]`; what there is none of is zero.

use onnx_swish_simd::Format;

use super::super::spec::{QSpec, QWeights};

/// The words of all groups.
#[derive(Debug)]
pub(super) struct Filters {
    /// For each group and tile of output channels: `[pass][step][tile row]`.
    packed: Vec<u32>,
    /// How often the depth is gone through: twice or, for 255, thrice where weights less their zero point have more bits than a field.
    pub passes: usize,
    /// Words of a pass.
    pub steps: usize,
    pub tile_rows: usize,
    /// Of a group.
    pub tiles: usize,
}

impl Filters {
    /// Packs weights that have been checked.
    pub(super) fn pack(
        spec: &QSpec,
        weights: &QWeights,
        format: Format,
        tile_rows: usize,
    ) -> Filters {
        let depth = spec.macs_per_output();
        let rows = spec.out_channels / spec.groups;
        let tiles = rows.div_ceil(tile_rows);
        let steps = depth.div_ceil(format.group);
        let [low, high] = format.weights;
        let mut values = Vec::with_capacity(weights.bytes.len());
        for (channel, row) in weights.bytes.chunks(depth).enumerate() {
            values.extend(row.iter().map(|byte| weights.value(channel, *byte)));
        }
        let done = |passes: usize| {
            values
                .iter()
                .all(|value| part(*value, passes, low, high) == 0)
        };
        let passes = (1..3).find(|passes| done(*passes)).unwrap_or(3);
        let mut packed = Vec::with_capacity(spec.groups * tiles * passes * steps * tile_rows);
        for values in values.chunks(rows * depth) {
            for tile in 0..tiles {
                for pass in 0..passes {
                    for step in 0..steps {
                        for row in tile * tile_rows..(tile + 1) * tile_rows {
                            let row = values.get(row * depth..(row + 1) * depth).unwrap_or(&[]);
                            let fields = (step * format.group..(step + 1) * format.group)
                                .map(|k| row.get(k).copied().unwrap_or(0))
                                .map(|value| part(value, pass, low, high));
                            packed.push(word(fields, format.group));
                        }
                    }
                }
            }
        }
        Filters {
            packed,
            passes,
            steps,
            tile_rows,
            tiles,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.packed)
    }

    /// The words of a tile, `[pass][step][tile row]`.
    pub(super) fn of_tile(&self, group: usize, tile: usize) -> &[u32] {
        let len = self.passes * self.steps * self.tile_rows;
        &self.packed[(group * self.tiles + tile) * len..][..len]
    }
}

/// What a pass has of a weight: as much as a field holds of what is left.
pub(in super::super) fn part(value: i32, pass: usize, low: i32, high: i32) -> i32 {
    let left = (0..pass).fold(value, |left, _| left - left.clamp(low, high));
    left.clamp(low, high)
}

/// The word of these fields, the first in the lowest bits.
pub(in super::super) fn word(fields: impl Iterator<Item = i32>, group: usize) -> u32 {
    let bits = 32 / group;
    let mask = u32::MAX >> (32 - bits);
    let place = |(i, field): (usize, i32)| (field.cast_unsigned() & mask) << (bits * i);
    fields
        .enumerate()
        .map(place)
        .fold(0, |word, field| word | field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_every_weight_fit_a_byte_and_add_up() {
        for value in -255..=255 {
            let parts = [0, 1, 2].map(|pass| part(value, pass, -128, 127));
            assert_eq!(parts.iter().sum::<i32>(), value);
            assert!(parts.iter().all(|part| (-128..=127).contains(part)));
        }
    }

    #[test]
    fn fields_stand_in_order() {
        assert_eq!(word([1, -2, 3, -128].into_iter(), 4), 0x80_03_fe_01);
        assert_eq!(word([1, -2].into_iter(), 2), 0xfffe_0001);
    }
}
