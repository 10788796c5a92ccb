//! Register tiles.
//! Given: filters of a tile of rows, and the input elements that its columns meet.
//! Promise: sums stay in registers over the block; bias and epilogue are applied before the store.

use std::ops::Range;

use onnx_swish_simd::{Kernel, Simd};

use super::{PANEL_VECTORS, tile_rows};
use crate::epilogue::{Epilogue, Residual};
use crate::{Isa, tuning};

/// Where one tile of output rows goes.
///
/// Whoever makes one promises that `output` is writable, and the residual readable, for `rows` rows of the columns that are
/// asked for.
pub(crate) struct Tile<'a> {
    pub output: *mut f32,
    pub residual: Option<*const f32>,
    /// Elements from one row of the output, and of the residual, to the next.
    pub row_step: usize,
    pub rows: usize,
    pub start: Start<'a>,
    /// What sums end in, after the last block.
    pub epilogue: Option<&'a Epilogue>,
}

/// What sums start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// A bias for each tile row.
    Rows(&'a [f32]),
    /// A bias for each column, whole vectors of them.
    Columns(&'a [f32]),
    /// What earlier blocks of the depth left in the output.
    Output,
}

impl Tile<'_> {
    /// The residual, if it is added before the activation.
    #[inline(always)]
    pub(super) fn residual_before(&self) -> Option<*const f32> {
        self.residual_at(Residual::BeforeActivation)
    }

    /// The residual, if it is added after the activation.
    #[inline(always)]
    pub(super) fn residual_after(&self) -> Option<*const f32> {
        self.residual_at(Residual::AfterActivation)
    }

    /// The residual, if the activation is multiplied by it.
    #[inline(always)]
    pub(super) fn factor(&self) -> Option<*const f32> {
        self.residual_at(Residual::Factor)
    }

    #[inline(always)]
    fn residual_at(&self, place: Residual) -> Option<*const f32> {
        match self.epilogue {
            Some(epilogue) if epilogue.residual == place => self.residual,
            _ => None,
        }
    }
}

/// Where the lanes of one vector of sums go, counted from the tile's first element: lanes `..end` go to `at` and on, lanes
/// `start..stop` to `next` and on, which is where lane 0 would go with them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spans {
    pub at: usize,
    pub end: usize,
    /// May have wrapped around below zero.
    pub next: usize,
    pub start: usize,
    pub stop: usize,
}

impl Spans {
    /// Vector `v` of so many columns that lie one after the other.
    pub(crate) fn flat(lanes: usize, v: usize, columns: usize) -> Spans {
        Spans {
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
pub(crate) enum Inputs<'a> {
    /// The row of each step of the depth starts at its offset, and a panel fits behind the largest.
    Scattered(&'a [f32], &'a [usize]),
    /// `[depth][vectors of the tile's columns]`.
    Tight(&'a [f32]),
}

/// One tile of rows by so many columns, in whole vectors.
// Inlined where the inputs are made: an enum that goes through memory costs a shallow tile a twentieth of its time.
#[inline(always)]
pub(crate) fn multiply(
    isa: Isa,
    tile: &Tile,
    filters: &[f32],
    inputs: Inputs,
    spans: &[Spans; PANEL_VECTORS],
    columns: usize,
) {
    macro_rules! vectors {
        ($count:expr) => {
            match inputs {
                Inputs::Scattered(rows, offsets) => isa.run(Multiply::<{ $count }, SCATTERED> {
                    tile,
                    filters,
                    rows,
                    offsets,
                    spans,
                }),
                Inputs::Tight(rows) => isa.run(Multiply::<{ $count }, TIGHT> {
                    tile,
                    filters,
                    rows,
                    offsets: &[],
                    spans,
                }),
            }
        };
    }
    match columns.div_ceil(isa.lanes()) {
        0 => {}
        1 => vectors!(1),
        2 => vectors!(2),
        _ => vectors!(PANEL_VECTORS),
    }
}

/// One of many tiles, all of whose inputs are unfolded.
pub(crate) struct Step<'a> {
    pub tile: Tile<'a>,
    /// `[depth][tile row]`.
    pub filters: &'a [f32],
    /// `[depth][PANEL_VECTORS vectors]`.
    pub rows: &'a [f32],
}

/// The tiles of some rows by so many panels of equal width: all panels of the first rows, then those of the next.
///
/// One call for all: what a call has to find out takes as long as sixteen steps of the depth.
#[inline(always)]
pub(crate) fn multiply_each<'a>(
    isa: Isa,
    tiles: Range<usize>,
    panels: Range<usize>,
    step: impl Fn(usize, usize) -> Step<'a>,
    spans: &'a [Spans; PANEL_VECTORS],
    columns: usize,
) {
    macro_rules! vectors {
        ($count:expr) => {
            isa.run(MultiplyEach::<_, { $count }> {
                tiles,
                panels,
                step,
                spans,
            })
        };
    }
    match columns.div_ceil(isa.lanes()) {
        0 => {}
        1 => vectors!(1),
        2 => vectors!(2),
        _ => vectors!(PANEL_VECTORS),
    }
}

/// Tiles by panels, of `NV` vectors of columns each.
struct MultiplyEach<'a, F, const NV: usize> {
    tiles: Range<usize>,
    panels: Range<usize>,
    step: F,
    spans: &'a [Spans; PANEL_VECTORS],
}

impl<'a, F: Fn(usize, usize) -> Step<'a>, const NV: usize> Kernel for MultiplyEach<'a, F, NV> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for tile in self.tiles {
            for panel in self.panels.clone() {
                let step = (self.step)(tile, panel);
                let multiply = Multiply::<NV, UNFOLDED> {
                    tile: &step.tile,
                    filters: step.filters,
                    rows: step.rows,
                    offsets: &[],
                    spans: self.spans,
                };
                multiply.run(s);
            }
        }
    }
}

/// A tile of fewer rows than registers allow, one or four, by so many columns, in whole vectors, of rows of input that are tight.
pub(crate) fn multiply_few(
    isa: Isa,
    tile: &Tile,
    filters: &[f32],
    tile_rows: usize,
    rows: &[f32],
    spans: &[Spans; PANEL_VECTORS],
    columns: usize,
) {
    macro_rules! vectors {
        ($count:expr, $rows:expr) => {
            isa.run(MultiplyFew::<{ $count }, $rows>(Multiply {
                tile,
                filters,
                rows,
                offsets: &[],
                spans,
            }))
        };
    }
    match (columns.div_ceil(isa.lanes()), tile_rows) {
        (0, _) => {}
        (1, 1) => vectors!(1, 1),
        (1, _) => vectors!(1, 4),
        (2, 1) => vectors!(2, 1),
        (2, _) => vectors!(2, 4),
        (_, 1) => vectors!(PANEL_VECTORS, 1),
        (..) => vectors!(PANEL_VECTORS, 4),
    }
}

/// How a tile finds its rows of input, see [`Inputs`].
const UNFOLDED: u8 = 0;
const SCATTERED: u8 = 1;
const TIGHT: u8 = 2;

/// A tile of rows by `NV` vectors of columns.
struct Multiply<'a, const NV: usize, const INPUTS: u8> {
    tile: &'a Tile<'a>,
    /// `[depth][tile row]`.
    filters: &'a [f32],
    /// Unfolded, or the elements that offsets refer to.
    rows: &'a [f32],
    /// Empty unless scattered; the largest has been checked.
    offsets: &'a [usize],
    spans: &'a [Spans; PANEL_VECTORS],
}

impl<const NV: usize, const INPUTS: u8> Kernel for Multiply<'_, NV, INPUTS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if tile_rows(S::REGISTERS) == 8 {
            self.rows::<S, 8, false>(s);
        } else {
            self.rows::<S, 4, false>(s);
        }
    }
}

/// A tile of `MR` rows, whose time the input takes on its way.
struct MultiplyFew<'a, const NV: usize, const MR: usize>(Multiply<'a, NV, TIGHT>);

impl<const NV: usize, const MR: usize> Kernel for MultiplyFew<'_, NV, MR> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Others are what tiles of all rows are there for.
        if MR < tile_rows(S::REGISTERS) {
            self.0.rows::<S, MR, true>(s);
        }
    }
}

impl<const NV: usize, const INPUTS: u8> Multiply<'_, NV, INPUTS> {
    /// `STREAMED`: whether it is the input that is read once and must be asked for ahead, and not the filters.
    #[inline(always)]
    fn rows<S: Simd, const MR: usize, const STREAMED: bool>(self, s: S) {
        let Multiply {
            tile,
            filters,
            rows,
            offsets,
            spans,
        } = self;
        let pitch = if INPUTS == TIGHT { NV } else { PANEL_VECTORS } * S::LANES;
        // What the unsafe code below relies on, besides the promises of `Tile` and of `Inputs`.
        let depth = filters.len() / MR;
        assert!(NV <= PANEL_VECTORS && tile.rows <= MR);
        assert!(if INPUTS == SCATTERED {
            offsets.len() == depth
        } else {
            rows.len() >= depth * pitch
        });
        // Whole vectors follow each other: columns that are left out would be lanes of one of them.
        // Streams are slow enough for either, and one way less is compiled.
        let whole = !STREAMED && spans[..NV].iter().all(|span| span.end == S::LANES);
        let mut sums = match tile.start {
            Start::Rows(bias) => {
                assert!(bias.len() >= MR);
                let mut sums = [[s.splat(0.0); NV]; MR];
                unrolled!(r < MR, {
                    sums[r] = [s.splat(bias[r]); NV];
                });
                sums
            }
            Start::Columns(bias) => {
                assert!(bias.len() >= NV * S::LANES);
                let mut row = [s.splat(0.0); NV];
                unrolled!(v < NV, {
                    // SAFETY: as just asserted.
                    row[v] = unsafe { s.load(bias.as_ptr().add(v * S::LANES)) };
                });
                [row; MR]
            }
            Start::Output if whole => tile.load(s, Contiguous(spans[0].at), tile.output),
            Start::Output => tile.load(s, spans, tile.output),
        };
        /// How far ahead filters are asked for, in elements.
        const PREFETCH: usize = tuning::PREFETCH / size_of::<f32>();
        let (mut filters, rows, offsets) = (filters.as_ptr(), rows.as_ptr(), offsets.as_ptr());
        for k in 0..depth {
            if STREAMED {
                unrolled!(v < NV, {
                    s.prefetch(rows.wrapping_add(k * pitch + v * S::LANES + PREFETCH));
                });
            } else {
                s.prefetch(filters.wrapping_add(PREFETCH));
            }
            let mut inputs = [s.splat(0.0); NV];
            // SAFETY: all have `depth` steps, as asserted.
            unsafe {
                let at = if INPUTS == SCATTERED {
                    offsets.add(k).read()
                } else {
                    k * pitch
                };
                unrolled!(v < NV, {
                    inputs[v] = s.load(rows.add(at + v * S::LANES));
                });
                // Where they cost nothing; else one at a time, for they would take registers from the sums.
                let weights: [S::V; MR] = if S::BY_LANE {
                    s.splat_each(filters)
                } else {
                    [inputs[0]; MR]
                };
                unrolled!(r < MR, {
                    let weight = if S::BY_LANE {
                        weights[r]
                    } else {
                        s.splat(filters.add(r).read())
                    };
                    unrolled!(v < NV, {
                        sums[r][v] = s.mul_add(inputs[v], weight, sums[r][v]);
                    });
                });
                filters = filters.add(MR);
            }
        }
        if whole {
            tile.finish(s, Contiguous(spans[0].at), sums);
        } else {
            tile.finish(s, spans, sums);
        }
    }
}

/// How the vectors of a row are stored.
trait RowStorage<S: Simd>: Copy {
    /// # Safety
    /// The lanes of the vector's spans must be readable, counted from `row`.
    unsafe fn load(self, s: S, row: *const f32, v: usize) -> S::V;
    /// # Safety
    /// The lanes of the vector's spans must be writable, counted from `row`.
    unsafe fn store(self, s: S, row: *mut f32, v: usize, value: S::V);
}

/// One behind the other, from this element on.
#[derive(Clone, Copy)]
struct Contiguous(usize);

impl<S: Simd> RowStorage<S> for Contiguous {
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

impl<S: Simd> RowStorage<S> for &[Spans; PANEL_VECTORS] {
    #[inline(always)]
    unsafe fn load(self, s: S, row: *const f32, v: usize) -> S::V {
        let span = self[v];
        let (here, there) = (s.lanes(0, span.end), s.lanes(span.start, span.stop));
        // SAFETY: the caller's promise.
        unsafe {
            s.add(
                s.load_lanes(row.wrapping_add(span.at), here),
                s.load_lanes(row.wrapping_add(span.next), there),
            )
        }
    }
    #[inline(always)]
    unsafe fn store(self, s: S, row: *mut f32, v: usize, value: S::V) {
        let span = self[v];
        // SAFETY: the caller's promise.
        unsafe {
            if span.end == S::LANES {
                return s.store(row.wrapping_add(span.at), value);
            }
            s.store_lanes(row.wrapping_add(span.at), value, s.lanes(0, span.end));
            if span.start < span.stop {
                let there = s.lanes(span.start, span.stop);
                s.store_lanes(row.wrapping_add(span.next), value, there);
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
        storage: impl RowStorage<S>,
        from: *const f32,
    ) -> [[S::V; NV]; MR] {
        let mut values = [[s.splat(0.0); NV]; MR];
        unrolled!(r < MR, {
            if r < self.rows {
                values[r] = self.load_row(s, storage, from, r);
            }
        });
        values
    }

    #[inline(always)]
    fn load_row<S: Simd, const NV: usize>(
        &self,
        s: S,
        storage: impl RowStorage<S>,
        from: *const f32,
        r: usize,
    ) -> [S::V; NV] {
        let mut values = [s.splat(0.0); NV];
        unrolled!(v < NV, {
            // SAFETY: rows and the lanes of a span are inside the tile, see `Tile`.
            values[v] = unsafe { storage.load(s, from.wrapping_add(r * self.row_step), v) };
        });
        values
    }

    /// Adds what the tile's rows hold in the tensor that begins at `from`.
    #[inline(always)]
    fn add<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        storage: impl RowStorage<S>,
        from: *const f32,
        sums: &mut [[S::V; NV]; MR],
    ) {
        unrolled!(r < MR, {
            if r < self.rows {
                let values: [S::V; NV] = self.load_row(s, storage, from, r);
                unrolled!(v < NV, {
                    sums[r][v] = s.add(sums[r][v], values[v]);
                });
            }
        });
    }

    /// Stores the sums, finished after the last block.
    #[inline(always)]
    fn finish<S: Simd, const MR: usize, const NV: usize>(
        &self,
        s: S,
        storage: impl RowStorage<S>,
        mut sums: [[S::V; NV]; MR],
    ) {
        if let Some(epilogue) = self.epilogue {
            if let Some(residual) = self.residual_before() {
                self.add(s, storage, residual, &mut sums);
            }
            epilogue.activate(s, &mut sums);
            if let Some(residual) = self.residual_after() {
                self.add(s, storage, residual, &mut sums);
            }
            if self.factor().is_none() {
                epilogue.requantize(s, &mut sums);
            }
        }
        unrolled!(r < MR, {
            if r < self.rows {
                unrolled!(v < NV, {
                    // SAFETY: rows and the lanes of a span are inside the tile, see `Tile`.
                    unsafe {
                        let row = self.output.wrapping_add(r * self.row_step);
                        storage.store(s, row, v, sums[r][v]);
                    }
                });
            }
        });
        if let Some(factor) = self.factor() {
            self.multiply::<S, NV>(s, storage, factor);
        }
    }

    /// Multiplies what has been stored by what the tile's rows hold in the tensor that begins at `factor`, and finishes it.
    // Not in the sums' registers: compilers then keep one sum less in them through all of the depth (on NEON).
    #[inline(always)]
    fn multiply<S: Simd, const NV: usize>(
        &self,
        s: S,
        storage: impl RowStorage<S>,
        factor: *const f32,
    ) {
        for r in 0..self.rows {
            let mut row: [[S::V; NV]; 1] = [self.load_row(s, storage, self.output, r)];
            let by: [S::V; NV] = self.load_row(s, storage, factor, r);
            unrolled!(v < NV, {
                row[0][v] = s.mul(row[0][v], by[v]);
            });
            if let Some(epilogue) = self.epilogue {
                epilogue.requantize(s, &mut row);
            }
            let output = self.output.wrapping_add(r * self.row_step);
            unrolled!(v < NV, {
                // SAFETY: rows and the lanes of a span are inside the tile, see `Tile`.
                unsafe { storage.store(s, output, v, row[0][v]) };
            });
        }
    }
}
