//! Single columns: products of the filters and a vector.
//! Given: the columns' elements, one behind the other.
//! Promise: filters are read once, in vectors along the rows.

use crate::arch::gemm::tile::Tile;
use crate::arch::{Kernel, Simd};
use crate::product::PANEL_VECTORS;

/// Brings the elements of single columns together.
pub(super) struct Spread<'a> {
    pub panel: &'a [f32],
    pub depth: usize,
    pub columns: usize,
    /// Where the first column goes; the others follow each `pitch` elements further.
    pub spread: &'a mut [f32],
    pub pitch: usize,
}

impl Kernel for Spread<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let rows = self.panel.chunks_exact(PANEL_VECTORS * S::LANES);
        for (k, row) in rows.take(self.depth).enumerate() {
            for (column, x) in row[..self.columns].iter().enumerate() {
                self.spread[column * self.pitch + k] = *x;
            }
        }
    }
}

/// `MR` rows of single columns: vectors along the rows, several steps of the depth in one.
pub(super) struct Columns<'a, const MR: usize, Filters> {
    pub tile: &'a Tile<'a>,
    /// The tile's filters in each block: `[depth][MR]`.
    pub filters: Filters,
    pub spread: &'a [f32],
    /// From one column in `spread` to the next.
    pub pitch: usize,
    pub columns: usize,
}

impl<'a, const MR: usize, Filters: Iterator<Item = &'a [f32]> + Clone> Kernel
    for Columns<'a, MR, Filters>
{
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Columns {
            tile,
            filters,
            spread,
            pitch,
            columns,
        } = self;
        assert!(S::LANES <= 16 && S::LANES % MR == 0 && tile.bias.len() >= MR);
        for (column, mut spread) in (0..columns).zip(spread.chunks(pitch)) {
            let mut chains = [s.splat(0.0); CHAINS];
            for filters in filters.clone() {
                accumulate::<S, MR>(s, filters, spread, &mut chains);
                spread = &spread[filters.len() / MR..];
            }
            let sum = s.add(s.add(chains[0], chains[1]), s.add(chains[2], chains[3]));
            let mut sums = [0.0f32; 16];
            // SAFETY: a vector has at most sixteen lanes.
            unsafe { s.store(sums.as_mut_ptr(), sum) };
            for step in 1..S::LANES / MR {
                for r in 0..MR {
                    sums[r] += sums[step * MR + r];
                }
            }
            let (before, after) = tile.residual_at();
            for (r, sum) in sums.iter_mut().enumerate().take(tile.rows) {
                // SAFETY: the row and the column are inside the tile.
                unsafe {
                    *sum += if tile.first {
                        tile.bias[r]
                    } else {
                        tile.output.add(r * tile.row_step + column).read()
                    };
                    if before {
                        *sum += tile.residual.add(r * tile.row_step + column).read();
                    }
                }
            }
            if tile.last {
                // SAFETY: a vector has at most sixteen lanes.
                unsafe {
                    let mut v = [s.load(sums.as_ptr())];
                    tile.product.activation.apply(s, &mut v);
                    s.store(sums.as_mut_ptr(), v[0]);
                }
            }
            for (r, sum) in sums.iter().enumerate().take(tile.rows) {
                // SAFETY: the row and the column are inside the tile.
                unsafe {
                    let at = r * tile.row_step + column;
                    let extra = if after {
                        tile.residual.add(at).read()
                    } else {
                        0.0
                    };
                    tile.output.add(at).write(sum + extra);
                }
            }
        }
    }
}

/// Independent sums, so that none waits for the one before.
const CHAINS: usize = 4;

/// Adds the products of filters, `[depth][MR]`, and a column to `chains`, lane by lane.
#[inline(always)]
fn accumulate<S: Simd, const MR: usize>(
    s: S,
    filters: &[f32],
    column: &[f32],
    chains: &mut [S::V; CHAINS],
) {
    let terms = filters.len();
    let steps = S::LANES / MR;
    // A vector may look at one element more than it needs.
    assert!(terms.is_multiple_of(MR) && steps <= 2 && column.len() > terms / MR);
    let mut at = 0;
    while at + CHAINS * S::LANES <= terms {
        unrolled!(i < CHAINS, {
            let at = at + i * S::LANES;
            // SAFETY: `filters` has `terms` elements, and `column` one for each `MR` of them.
            let (w, x) = unsafe {
                (
                    s.load(filters.as_ptr().add(at)),
                    s.repeat(column.as_ptr().add(at / MR), MR),
                )
            };
            chains[i] = s.mul_add(w, x, chains[i]);
        });
        at += CHAINS * S::LANES;
    }
    while at < terms {
        let rest = s.lanes(0, terms - at);
        // SAFETY: as above; lanes beyond the end are masked, and of the column one element more is there.
        let (w, x) = unsafe {
            (
                s.load_lanes(filters.as_ptr().add(at), rest),
                s.keep(s.repeat(column.as_ptr().add(at / MR), MR), rest),
            )
        };
        chains[0] = s.mul_add(w, x, chains[0]);
        at += S::LANES;
    }
}
