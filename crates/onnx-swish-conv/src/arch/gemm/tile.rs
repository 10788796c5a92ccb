//! Register tiles.
//! Given: filters of a tile of rows, and unfolded input.
//! Promise: sums stay in registers over the block; bias, residual and activation are applied before the store.

use crate::arch::{Kernel, Simd};
use crate::conv2d::Residual;
use crate::product::{PANEL_VECTORS, Product};

/// Where one tile of output rows goes.
///
/// Whoever makes one promises that `output` is writable, and `residual` readable unless null, for `rows` rows of the
/// columns that are asked for.
pub(super) struct Tile<'a> {
    pub output: *mut f32,
    /// Null without a residual.
    pub residual: *const f32,
    /// Elements from one row of the output, and of the residual, to the next.
    pub row_step: usize,
    pub rows: usize,
    /// One per tile row.
    pub bias: &'a [f32],
    /// Start from the bias, not from what the output holds.
    pub first: bool,
    /// Finish: residual and activation.
    pub last: bool,
    pub product: &'a Product,
}

impl Tile<'_> {
    /// Whether a residual is added before and after the activation.
    #[inline(always)]
    pub(super) fn residual_at(&self) -> (bool, bool) {
        let wanted = self.last && !self.residual.is_null();
        let at = self.product.residual;
        (
            wanted && at == Residual::BeforeActivation,
            wanted && at == Residual::AfterActivation,
        )
    }
}

/// How far ahead filters are asked for, in elements: a page and a quarter.
pub(super) const PREFETCH: usize = 1280;

/// `MR` rows by `NV` vectors of columns, of which `columns` elements count.
pub(super) struct Multiply<'a, const MR: usize, const NV: usize> {
    pub tile: &'a Tile<'a>,
    /// `[depth][MR]`.
    pub filters: &'a [f32],
    /// `[depth][PANEL_VECTORS vectors]`.
    pub panel: &'a [f32],
    pub columns: usize,
}

impl<const MR: usize, const NV: usize> Kernel for Multiply<'_, MR, NV> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Multiply {
            tile,
            filters,
            panel,
            columns,
        } = self;
        let pitch = PANEL_VECTORS * S::LANES;
        // What the unsafe code below relies on, besides the promise of `Tile`.
        assert!(NV <= PANEL_VECTORS && columns > (NV - 1) * S::LANES && columns <= NV * S::LANES);
        let depth = filters.len() / MR;
        assert!(panel.len() >= depth * pitch && tile.bias.len() >= MR);
        let whole = columns == NV * S::LANES;
        let lanes = s.lanes(0, columns - (NV - 1) * S::LANES);
        // Rows beyond the last one read row 0 again; their sums are not stored.
        let row = |r: usize| if r < tile.rows { r * tile.row_step } else { 0 };
        let load = |from: *const f32, r: usize, v: usize| {
            // SAFETY: rows and lanes are inside the tile.
            unsafe {
                let from = from.add(row(r) + v * S::LANES);
                if v + 1 < NV || whole {
                    s.load(from)
                } else {
                    s.load_lanes(from, lanes)
                }
            }
        };
        let store = |r: usize, v: usize, value: S::V| {
            // SAFETY: rows and lanes are inside the tile.
            unsafe {
                let to = tile.output.add(row(r) + v * S::LANES);
                if v + 1 < NV || whole {
                    s.store(to, value)
                } else {
                    s.store_lanes(to, value, lanes)
                }
            }
        };
        let mut sums = [[s.splat(0.0); NV]; MR];
        if tile.first {
            unrolled!(r < MR, {
                sums[r] = [s.splat(tile.bias[r]); NV];
            });
        } else {
            unrolled!(r < MR, {
                unrolled!(v < NV, {
                    sums[r][v] = load(tile.output, r, v);
                });
            });
        }
        let (mut filters, mut panel) = (filters.as_ptr(), panel.as_ptr());
        for _ in 0..depth {
            // The filters stream past once; hardware prefetching stops at the end of every page.
            s.prefetch(filters.wrapping_add(PREFETCH));
            let mut inputs = [s.splat(0.0); NV];
            // SAFETY: both hold `depth` steps, as asserted.
            unsafe {
                unrolled!(v < NV, {
                    inputs[v] = s.load(panel.add(v * S::LANES));
                });
                unrolled!(r < MR, {
                    let weight = s.splat(filters.add(r).read());
                    unrolled!(v < NV, {
                        sums[r][v] = s.mul_add(inputs[v], weight, sums[r][v]);
                    });
                });
                filters = filters.add(MR);
                panel = panel.add(pitch);
            }
        }
        if tile.last {
            let (before, after) = tile.residual_at();
            unrolled!(r < MR, {
                if r < tile.rows {
                    if before {
                        unrolled!(v < NV, {
                            sums[r][v] = s.add(sums[r][v], load(tile.residual, r, v));
                        });
                    }
                    tile.product.activation.apply(s, &mut sums[r]);
                    if after {
                        unrolled!(v < NV, {
                            sums[r][v] = s.add(sums[r][v], load(tile.residual, r, v));
                        });
                    }
                }
            });
        }
        unrolled!(r < MR, {
            if r < tile.rows {
                unrolled!(v < NV, {
                    store(r, v, sums[r][v]);
                });
            }
        });
    }
}
