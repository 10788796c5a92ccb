//! Register tiles.
//! Given: filters of a tile of rows, and unfolded input.
//! Promise: sums stay in registers over the block; bias, residual and activation are applied before the store.

use onnx_swish_kernels::Isa;

use crate::arch::{Kernel, Simd, dispatch, lanes};
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

/// Where the lanes of one vector of sums go, counted from the tile's first element: lanes `..end` go to `at` and on, lanes
/// `start..stop` to `next` and on, which is where lane 0 would go with them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub at: usize,
    pub end: usize,
    /// May have wrapped around below zero.
    pub next: usize,
    pub start: usize,
    pub stop: usize,
}

impl Place {
    /// Vector `v` of so many columns that lie one after the other.
    pub(super) fn flat(isa: Isa, v: usize, columns: usize) -> Place {
        let lanes = lanes(isa);
        Place {
            at: v * lanes,
            end: columns.saturating_sub(v * lanes).min(lanes),
            next: 0,
            start: lanes,
            stop: lanes,
        }
    }
}

/// The input rows that a tile's columns meet.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// `[depth][PANEL_VECTORS vectors]`.
    Unfolded(&'a [f32]),
    /// The row of each step of the depth starts at its offset.
    Scattered(&'a [f32], &'a [usize]),
}

/// `MR` rows by `NV` vectors of columns.
pub(super) struct Multiply<'a, const MR: usize, const NV: usize, const SCATTERED: bool> {
    pub tile: &'a Tile<'a>,
    /// `[depth][MR]`.
    pub filters: &'a [f32],
    /// Unfolded, or the elements that offsets refer to.
    pub rows: &'a [f32],
    /// Empty unless scattered; the largest has been checked.
    pub offsets: &'a [usize],
    pub places: &'a [Place; PANEL_VECTORS],
}

impl<const MR: usize, const NV: usize, const SCATTERED: bool> Kernel
    for Multiply<'_, MR, NV, SCATTERED>
{
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Multiply {
            tile,
            filters,
            rows,
            offsets,
            places,
        } = self;
        let pitch = PANEL_VECTORS * S::LANES;
        // What the unsafe code below relies on, besides the promises of `Tile` and of `Bands`, whose offsets end a panel before
        // the end of `rows`.
        let depth = filters.len() / MR;
        assert!(NV <= PANEL_VECTORS && tile.bias.len() >= MR);
        assert!(if SCATTERED {
            offsets.len() == depth
        } else {
            rows.len() >= depth * pitch
        });
        // Whole vectors follow each other: columns that are left out would be lanes of one of them.
        let whole = places[..NV].iter().all(|place| place.end == S::LANES);
        let mut sums = if tile.first {
            let mut sums = [[s.splat(0.0); NV]; MR];
            unrolled!(r < MR, {
                sums[r] = [s.splat(tile.bias[r]); NV];
            });
            sums
        } else if whole {
            tile.load(s, Whole(places[0].at), tile.output)
        } else {
            tile.load(s, places, tile.output)
        };
        let (mut filters, rows, offsets) = (filters.as_ptr(), rows.as_ptr(), offsets.as_ptr());
        for k in 0..depth {
            // The filters stream past once; hardware prefetching stops at the end of every page.
            s.prefetch(filters.wrapping_add(PREFETCH));
            let mut inputs = [s.splat(0.0); NV];
            // SAFETY: all have `depth` steps, as asserted.
            unsafe {
                let at = if SCATTERED {
                    offsets.add(k).read()
                } else {
                    k * pitch
                };
                unrolled!(v < NV, {
                    inputs[v] = s.load(rows.add(at + v * S::LANES));
                });
                unrolled!(r < MR, {
                    let weight = s.splat(filters.add(r).read());
                    unrolled!(v < NV, {
                        sums[r][v] = s.mul_add(inputs[v], weight, sums[r][v]);
                    });
                });
                filters = filters.add(MR);
            }
        }
        if whole {
            tile.finish(s, Whole(places[0].at), sums);
        } else {
            tile.finish(s, places, sums);
        }
    }
}

/// How the vectors of a row lie in memory.
trait Lie<S: Simd>: Copy {
    /// # Safety
    /// The lanes of the vector's place must be readable, counted from `row`.
    unsafe fn load(self, s: S, row: *const f32, v: usize) -> S::V;
    /// # Safety
    /// The lanes of the vector's place must be writable, counted from `row`.
    unsafe fn store(self, s: S, row: *mut f32, v: usize, value: S::V);
}

/// One behind the other, from this element on.
#[derive(Clone, Copy)]
struct Whole(usize);

impl<S: Simd> Lie<S> for Whole {
    #[inline(always)]
    unsafe fn load(self, s: S, row: *const f32, v: usize) -> S::V {
        // SAFETY: the caller's promise.
        unsafe { s.load(row.wrapping_add(self.0 + v * S::LANES)) }
    }
    #[inline(always)]
    unsafe fn store(self, s: S, row: *mut f32, v: usize, value: S::V) {
        // SAFETY: the caller's promise.
        unsafe { s.store(row.wrapping_add(self.0 + v * S::LANES), value) }
    }
}

impl<S: Simd> Lie<S> for &[Place; PANEL_VECTORS] {
    #[inline(always)]
    unsafe fn load(self, s: S, row: *const f32, v: usize) -> S::V {
        let place = self[v];
        let (here, there) = (s.lanes(0, place.end), s.lanes(place.start, place.stop));
        // SAFETY: the caller's promise.
        unsafe {
            s.add(
                s.load_lanes(row.wrapping_add(place.at), here),
                s.load_lanes(row.wrapping_add(place.next), there),
            )
        }
    }
    #[inline(always)]
    unsafe fn store(self, s: S, row: *mut f32, v: usize, value: S::V) {
        let place = self[v];
        // SAFETY: the caller's promise.
        unsafe {
            if place.end == S::LANES {
                return s.store(row.wrapping_add(place.at), value);
            }
            s.store_lanes(row.wrapping_add(place.at), value, s.lanes(0, place.end));
            if place.start < place.stop {
                let there = s.lanes(place.start, place.stop);
                s.store_lanes(row.wrapping_add(place.next), value, there);
            }
        }
    }
}

impl Tile<'_> {
    /// What the tile's rows hold in the tensor that begins at `from`.
    #[inline(always)]
    fn load<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        lie: impl Lie<S>,
        from: *const f32,
    ) -> [[S::V; NV]; MR] {
        let mut values = [[s.splat(0.0); NV]; MR];
        unrolled!(r < MR, {
            if r < self.rows {
                values[r] = self.load_row(s, lie, from, r);
            }
        });
        values
    }

    #[inline(always)]
    fn load_row<S: Simd, const NV: usize>(
        &self,
        s: S,
        lie: impl Lie<S>,
        from: *const f32,
        r: usize,
    ) -> [S::V; NV] {
        let mut values = [s.splat(0.0); NV];
        unrolled!(v < NV, {
            // SAFETY: rows and the lanes of a place are inside the tile, see `Tile`.
            values[v] = unsafe { lie.load(s, from.wrapping_add(r * self.row_step), v) };
        });
        values
    }

    /// Stores the sums, finished after the last block.
    #[inline(always)]
    fn finish<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        lie: impl Lie<S>,
        mut sums: [[S::V; NV]; MR],
    ) {
        if self.last {
            let (before, after) = self.residual_at();
            unrolled!(r < MR, {
                if r < self.rows {
                    if before {
                        let residual: [S::V; NV] = self.load_row(s, lie, self.residual, r);
                        unrolled!(v < NV, {
                            sums[r][v] = s.add(sums[r][v], residual[v]);
                        });
                    }
                    self.product.activation.apply(s, &mut sums[r]);
                    if after {
                        let residual: [S::V; NV] = self.load_row(s, lie, self.residual, r);
                        unrolled!(v < NV, {
                            sums[r][v] = s.add(sums[r][v], residual[v]);
                        });
                    }
                }
            });
        }
        unrolled!(r < MR, {
            if r < self.rows {
                unrolled!(v < NV, {
                    // SAFETY: rows and the lanes of a place are inside the tile, see `Tile`.
                    unsafe {
                        let row = self.output.wrapping_add(r * self.row_step);
                        lie.store(s, row, v, sums[r][v]);
                    }
                });
            }
        });
    }
}

/// One tile of rows by so many columns, in whole vectors.
pub(super) fn multiply<const MR: usize>(
    isa: Isa,
    tile: &Tile,
    filters: &[f32],
    rows: Rows,
    places: &[Place; PANEL_VECTORS],
    columns: usize,
) {
    match rows {
        Rows::Unfolded(rows) => {
            vectors::<MR, false>(isa, tile, filters, rows, &[], places, columns)
        }
        Rows::Scattered(rows, offsets) => {
            vectors::<MR, true>(isa, tile, filters, rows, offsets, places, columns);
        }
    }
}

fn vectors<const MR: usize, const SCATTERED: bool>(
    isa: Isa,
    tile: &Tile,
    filters: &[f32],
    rows: &[f32],
    offsets: &[usize],
    places: &[Place; PANEL_VECTORS],
    columns: usize,
) {
    macro_rules! vectors {
        ($count:expr) => {
            dispatch(
                isa,
                Multiply::<MR, { $count }, SCATTERED> {
                    tile,
                    filters,
                    rows,
                    offsets,
                    places,
                },
            )
        };
    }
    match columns.div_ceil(lanes(isa)) {
        0 => {}
        1 => vectors!(1),
        2 => vectors!(2),
        _ => vectors!(PANEL_VECTORS),
    }
}
