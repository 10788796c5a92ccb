//! Register tiles of exact sums.
//! Given: the words of a tile of rows, and the words that its columns meet.
//! Promise: sums stay in registers over the whole depth, and are finished before they are stored.

use std::ops::Range;

use onnx_swish_simd::{Dot, DotIsa, DotKernel, Memory, Registers, Simd};

use super::super::ending::{Call, Finish, OfRows, SomeChannels, Sums, Target};
use super::{PANEL_VECTORS, Share, tile_rows};

/// One tile of output rows.
///
/// Whoever makes one promises that the target is writable.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub finish: &'a Finish,
    pub channels: SomeChannels<'a>,
    pub call: Call,
    pub target: Target,
}

/// Tiles that meet the same columns, one behind the other: in one call, which is worth as much as some steps of the depth.
pub(super) struct Tiles<'a> {
    pub share: &'a Share<'a>,
    pub numbers: Range<usize>,
    /// The first element of the image that they give, and how many.
    pub first: usize,
    pub columns: usize,
    /// Where a single tile goes instead, and the bytes from one row to the next.
    pub staged: Option<(*mut u8, usize)>,
}

impl Tiles<'_> {
    #[inline(always)]
    fn tile(&self, number: usize) -> Tile<'_> {
        let mut tile = self.share.tile(number, self.first, self.columns);
        if let Some((at, row_step)) = self.staged {
            tile.target.at = at;
            tile.target.row_step = row_step;
        }
        tile
    }
}

/// Multiplies tiles' words, `[pass][step][tile row]`, by those of a panel, `[step][PANEL_VECTORS vectors]`.
pub(super) fn multiply(dot: DotIsa, tiles: &Tiles, panel: &[u32]) {
    match tiles.columns.div_ceil(dot.lanes()) {
        0 => {}
        1 => dot.run(Multiply::<1> { tiles, panel }),
        2 => dot.run(Multiply::<2> { tiles, panel }),
        _ => dot.run(Multiply::<PANEL_VECTORS> { tiles, panel }),
    }
}

/// Tiles of rows by `NV` vectors of columns.
struct Multiply<'a, const NV: usize> {
    tiles: &'a Tiles<'a>,
    panel: &'a [u32],
}

impl<const NV: usize> DotKernel for Multiply<'_, NV> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        for number in self.tiles.numbers.clone() {
            if tile_rows(D::S::REGISTERS) == 8 {
                self.rows::<D, 8>(d, number);
            } else {
                self.rows::<D, 4>(d, number);
            }
        }
    }
}

impl<const NV: usize> Multiply<'_, NV> {
    #[inline(always)]
    fn rows<D: Dot, const MR: usize>(&self, d: D, number: usize) {
        let s = d.simd();
        let filters = &self.tiles.share.gemm.filters;
        let (passes, steps) = (filters.passes, filters.steps);
        let filters = filters.of_tile(self.tiles.share.group, number);
        let (tile, panel) = (self.tiles.tile(number), self.panel);
        let pitch = PANEL_VECTORS * D::S::LANES;
        // What the unsafe code below relies on, besides the promise of `Tile`.
        assert!(filters.len() == passes * steps * MR);
        assert!(NV <= PANEL_VECTORS && panel.len() >= steps * pitch);
        assert!(tile.channels.bias.len() == MR && tile.target.rows <= MR);
        let mut sums: [[Sums<D>; NV]; MR] = [[s.int_splat(0); NV]; MR];
        unrolled!(r < MR, of 8, {
            sums[r] = [s.int_splat(Finish::start(&tile.channels, &tile.call, r)); NV];
        });
        // Sums, inputs, a weight, and what a product takes: where there are fewer registers, sums would go to memory and back in every
        // step, one waiting for the other. Instead the last input comes from there, once for each row.
        let all_kept = NV * MR + NV + 1 + D::BETWEEN <= D::S::REGISTERS;
        let mut filters = filters.as_ptr();
        for _ in 0..passes {
            let mut words = panel.as_ptr().cast::<f32>();
            for _ in 0..steps {
                let mut inputs = [s.int_splat(0); NV];
                // SAFETY: both have so many steps, as asserted.
                unsafe {
                    unrolled!(v < NV, of 3, {
                        inputs[v] = s.to_bits(s.load(words.add(v * D::S::LANES)));
                    });
                    unrolled!(r < MR, of 8, {
                        let weights = s.int_splat(filters.add(r).read());
                        if !all_kept {
                            words = d.anew(words);
                            let last = words.add((NV - 1) * D::S::LANES);
                            inputs[NV - 1] = s.to_bits(s.load(last));
                        }
                        unrolled!(v < NV, of 3, {
                            sums[r][v] = d.dot(sums[r][v], inputs[v], weights);
                        });
                    });
                    filters = filters.add(MR);
                    words = words.add(pitch);
                }
            }
        }
        // SAFETY: the promise of `Tile`; the target's columns are NV vectors at most.
        unsafe {
            let constants = OfRows(tile.channels, tile.call);
            tile.finish.store(d, sums, constants, &tile.target);
        }
    }
}
