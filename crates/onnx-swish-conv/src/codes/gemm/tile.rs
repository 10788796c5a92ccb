//! Register tiles of exact sums.
//! Given: the words of a tile of rows, and the words that its columns meet.
//! Promise: sums stay in registers over the whole depth, and are finished before they are stored.

use onnx_swish_simd::{Dot, DotIsa, DotKernel, Memory, Registers, Simd};

use super::super::ending::{Call, Finish, OfRows, SomeChannels, Sums, Target};
use super::{PANEL_VECTORS, tile_rows};

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

/// Multiplies a tile's words, `[pass][step][tile row]`, by those of a panel, `[step][PANEL_VECTORS vectors]`.
#[inline(always)]
pub(super) fn multiply(dot: DotIsa, tile: &Tile, filters: &[u32], panel: &[u32], steps: usize) {
    macro_rules! vectors {
        ($count:expr) => {
            dot.run(Multiply::<{ $count }> {
                tile,
                filters,
                panel,
                steps,
            })
        };
    }
    match tile.target.columns.div_ceil(dot.lanes()) {
        0 => {}
        1 => vectors!(1),
        2 => vectors!(2),
        _ => vectors!(PANEL_VECTORS),
    }
}

/// A tile of rows by `NV` vectors of columns.
struct Multiply<'a, const NV: usize> {
    tile: &'a Tile<'a>,
    filters: &'a [u32],
    panel: &'a [u32],
    steps: usize,
}

impl<const NV: usize> DotKernel for Multiply<'_, NV> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        if tile_rows(D::S::REGISTERS) == 8 {
            self.rows::<D, 8>(d);
        } else {
            self.rows::<D, 4>(d);
        }
    }
}

impl<const NV: usize> Multiply<'_, NV> {
    #[inline(always)]
    fn rows<D: Dot, const MR: usize>(self, d: D) {
        let s = d.simd();
        let Multiply {
            tile,
            filters,
            panel,
            steps,
        } = self;
        let pitch = PANEL_VECTORS * D::S::LANES;
        // What the unsafe code below relies on, besides the promise of `Tile`.
        let passes = filters.len() / (MR * steps);
        assert!(NV <= PANEL_VECTORS && panel.len() >= steps * pitch);
        assert!(tile.channels.bias.len() == MR && tile.target.rows <= MR);
        let mut sums: [[Sums<D>; NV]; MR] = [[s.int_splat(0); NV]; MR];
        unrolled!(r < MR, of 8, {
            sums[r] = [s.int_splat(Finish::start(&tile.channels, &tile.call, r)); NV];
        });
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
