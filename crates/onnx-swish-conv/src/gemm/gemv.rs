//! Products of a matrix and a vector: single columns, for images of a few pixels and for what whole panels leave over.
//! Given: the columns' elements, one behind the other.
//! Promise: filters are read once, in registers along the rows.

use std::mem::MaybeUninit;
use std::ops::Range;

use onnx_swish_simd::{Kernel, Simd};

use super::pack::Block;
use super::tile::{Start, Tile};
use super::{Gemm, PANEL_VECTORS, Share, tile_rows};
use crate::columns::columns_apart;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::L2_COPY;

/// Elements that a single column takes: each of its own once for every row of a tile, as filters lie.
pub(super) fn vector_len(tile_rows: usize, depth: usize) -> usize {
    depth * tile_rows
}

/// Images all of whose columns are single ones. Their tiles go through the whole depth at once: a product of a matrix and a
/// vector is over before its sums are worth putting away in between.
#[derive(Debug)]
pub(super) struct Vectors {
    columns: usize,
    /// Elements of a panel of the deepest block.
    unfolded_len: usize,
    /// Elements from one column to the next.
    pitch: usize,
}

impl Vectors {
    /// Images with so many output elements in a channel, if they are few.
    pub(super) fn new(gemm: &Gemm, area: usize) -> Option<Vectors> {
        let lanes = gemm.isa.lanes();
        let pitch = vector_len(gemm.filters.tile_rows(), gemm.filters.depth());
        let fits = area * pitch * size_of::<f32>() <= L2_COPY;
        (columns_apart(lanes, area) == area && fits).then(|| Vectors {
            columns: area,
            unfolded_len: gemm.filters.deepest() * PANEL_VECTORS * lanes,
            pitch,
        })
    }

    /// Elements of all columns.
    fn len(&self) -> usize {
        self.columns * self.pitch
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<f32>(self.unfolded_len) + bytes_for::<f32>(self.len())
    }
}

impl Share<'_> {
    /// Computes all columns of the given tiles.
    pub(super) fn vectors(&self, vectors: &Vectors, tiles: Range<usize>, mut scratch: Scratch) {
        let unfolded = scratch.take::<f32>(vectors.unfolded_len);
        let columns = scratch.take::<f32>(vectors.len());
        let blocks = self.gemm.filters.blocks();
        let mut step = 0;
        for block in blocks {
            let to = &mut columns[step..];
            self.unfold_vectors(block, 0..vectors.columns, unfolded, to, vectors.pitch);
            step += vector_len(self.gemm.filters.tile_rows(), block.depth);
        }
        self.gemv(blocks, tiles, 0..vectors.columns, columns, vectors.pitch);
    }

    /// Unfolds a few columns over one block, and brings the elements of each together, `pitch` elements apart.
    pub(super) fn unfold_vectors(
        &self,
        block: &Block,
        columns: Range<usize>,
        unfolded: &mut [f32],
        vectors: &mut [f32],
        pitch: usize,
    ) {
        self.unfold(block, columns.clone(), unfolded);
        self.gemm.isa.run(Transpose {
            panel: unfolded,
            depth: block.depth,
            columns: columns.len(),
            pitch,
            to: vectors,
            times: self.gemm.filters.tile_rows(),
        });
    }

    /// Tiles of single columns over some blocks of the depth, whose elements `vectors` has, `pitch` elements apart.
    pub(super) fn gemv(
        &self,
        blocks: &[Block],
        tiles: Range<usize>,
        columns: Range<usize>,
        vectors: &[f32],
        pitch: usize,
    ) {
        let first = blocks.first().is_some_and(|block| block.first);
        let last = blocks.last().is_some_and(|block| block.last);
        self.gemm.isa.run(Gemv {
            tiles,
            tile: |tile: usize| self.tile(tile, columns.start, first, last),
            filters: |tile: usize, i: usize| blocks.get(i).map(|block| self.filters(block, tile)),
            vectors,
            pitch,
            columns: columns.len(),
        });
    }
}

/// Brings the elements of single columns together.
struct Transpose<'a> {
    panel: &'a [f32],
    depth: usize,
    columns: usize,
    /// Where the first column goes; the others follow each `pitch` elements further.
    to: &'a mut [f32],
    pitch: usize,
    /// How often each element is written: the rows of a tile of filters, which then multiply it without a permutation.
    times: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let pitch = PANEL_VECTORS * S::LANES;
        for column in 0..self.columns {
            let to = self.to[column * self.pitch..].chunks_exact_mut(self.times);
            let from = self.panel[column..].iter().step_by(pitch);
            for (to, x) in to.zip(from).take(self.depth) {
                to.fill(*x);
            }
        }
    }
}

/// Tiles of rows of single columns: registers along the rows, several steps of the depth in one.
struct Gemv<'a, T, F> {
    tiles: Range<usize>,
    tile: T,
    /// A tile's filters in each block: `[depth][tile row]`.
    filters: F,
    vectors: &'a [f32],
    /// From one column in `vectors` to the next.
    pitch: usize,
    columns: usize,
}

impl<'a, T, F> Kernel for Gemv<'a, T, F>
where
    T: Fn(usize) -> Tile<'a>,
    F: Fn(usize, usize) -> Option<&'a [f32]>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if tile_rows(S::REGISTERS) == 8 {
            self.rows::<S, 8>(s);
        } else {
            self.rows::<S, 4>(s);
        }
    }
}

impl<'a, T, F> Gemv<'a, T, F>
where
    T: Fn(usize) -> Tile<'a>,
    F: Fn(usize, usize) -> Option<&'a [f32]>,
{
    #[inline(always)]
    fn rows<S: Simd, const MR: usize>(self, s: S) {
        for i in self.tiles {
            let tile = (self.tile)(i);
            for (column, mut vector) in (0..self.columns).zip(self.vectors.chunks(self.pitch)) {
                let mut chains = [s.splat(0.0); CHAINS];
                let mut block = 0;
                while let Some(filters) = (self.filters)(i, block) {
                    accumulate::<S, MR>(s, filters, vector, &mut chains);
                    vector = &vector[filters.len()..];
                    block += 1;
                }
                let sums = add_up::<S, MR>(s, chains);
                tile.finish_column::<S, MR>(s, column, sums);
            }
        }
    }
}

/// The most lanes of a register.
const MOST_LANES: usize = 64;

impl Tile<'_> {
    /// Stores the sums of a column, finished after the last block. The second register has rows where the first has fewer lanes
    /// than the tile has rows.
    #[inline(always)]
    fn finish_column<S: Simd, const MR: usize>(&self, s: S, column: usize, sums: [S::V; 2]) {
        for i in 0..MR.div_ceil(S::LANES) {
            let mut sums = sums[i];
            let first = i * S::LANES;
            let rows = self.rows.saturating_sub(first).min(S::LANES);
            let at = first * self.row_step + column;
            // SAFETY: rows and the column are inside the tile, see `Tile`; a bias is there for each tile row, as asserted.
            unsafe {
                let start = match self.start {
                    Start::Rows(bias) => {
                        assert!(bias.len() >= MR);
                        s.load_lanes(bias.as_ptr().add(first), s.lanes(0, MR - first))
                    }
                    Start::Columns(bias) => s.splat(bias[column]),
                    Start::Output => gather(s, self.output.wrapping_add(at), self.row_step, rows),
                };
                sums = s.add(sums, start);
                if let Some(residual) = self.residual_before() {
                    let residual = residual.wrapping_add(at);
                    sums = s.add(sums, gather(s, residual, self.row_step, rows));
                }
                if let Some(epilogue) = self.epilogue {
                    let mut values = [[sums]];
                    epilogue.activate(s, &mut values);
                    sums = values[0][0];
                }
                if let Some(residual) = self.residual_after() {
                    let residual = residual.wrapping_add(at);
                    sums = s.add(sums, gather(s, residual, self.row_step, rows));
                }
                if let Some(factor) = self.factor() {
                    let factor = factor.wrapping_add(at);
                    sums = s.mul(sums, gather(s, factor, self.row_step, rows));
                }
                if let Some(epilogue) = self.epilogue {
                    let mut values = [[sums]];
                    epilogue.requantize(s, &mut values);
                    sums = values[0][0];
                }
                scatter(s, self.output.wrapping_add(at), self.row_step, rows, sums);
            }
        }
    }
}

/// `n` elements that are `step` apart.
///
/// # Safety
/// They are readable, and no more than a register has lanes.
#[inline(always)]
unsafe fn gather<S: Simd>(s: S, from: *const f32, step: usize, n: usize) -> S::V {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            return s.load_lanes(from, s.lanes(0, n));
        }
        if S::LANES <= 8 {
            return gather_into::<S, 8>(s, from, step, n);
        }
        gather_into::<S, MOST_LANES>(s, from, step, n)
    }
}

/// [`gather`] by way of `ROOM` elements of memory.
///
/// # Safety
/// As there; a register has no more lanes.
#[inline(always)]
unsafe fn gather_into<S: Simd, const ROOM: usize>(
    s: S,
    from: *const f32,
    step: usize,
    n: usize,
) -> S::V {
    let mut lanes = [0.0f32; ROOM];
    // SAFETY: the caller's promise.
    unsafe {
        for (i, lane) in lanes.iter_mut().enumerate().take(n) {
            *lane = from.add(i * step).read();
        }
        s.load(lanes.as_ptr())
    }
}

/// Stores the first `n` lanes `step` elements apart.
///
/// # Safety
/// They are writable, and no more than a register has lanes.
#[inline(always)]
unsafe fn scatter<S: Simd>(s: S, to: *mut f32, step: usize, n: usize, v: S::V) {
    // SAFETY: the caller's promise.
    unsafe {
        if step == 1 {
            return s.store_lanes(to, v, s.lanes(0, n));
        }
        let mut lanes = MaybeUninit::<[f32; MOST_LANES]>::uninit();
        let lanes = lanes.as_mut_ptr().cast::<f32>();
        s.store(lanes, v);
        for i in 0..n {
            to.add(i * step).write(lanes.add(i).read());
        }
    }
}

/// Independent sums, so that none waits for the one before.
const CHAINS: usize = 4;

/// Adds the products of filters, `[depth][MR]`, and a column, whose elements are there `MR` times, to `chains`, lane by lane.
///
/// A register has either several steps of the depth or, where it is shorter than the tile is tall, a part of one.
#[inline(always)]
fn accumulate<S: Simd, const MR: usize>(
    s: S,
    filters: &[f32],
    column: &[f32],
    chains: &mut [S::V; CHAINS],
) {
    let terms = filters.len();
    assert!(terms.is_multiple_of(MR) && column.len() >= terms);
    let mut at = 0;
    while at + CHAINS * S::LANES <= terms {
        unrolled!(i < CHAINS, {
            let at = at + i * S::LANES;
            // SAFETY: both have `terms` elements.
            let (w, x) = unsafe {
                (
                    s.load(filters.as_ptr().add(at)),
                    s.load(column.as_ptr().add(at)),
                )
            };
            chains[i] = s.mul_add(w, x, chains[i]);
        });
        at += CHAINS * S::LANES;
    }
    let mut chain = 0;
    while at < terms {
        let rest = s.lanes(0, terms - at);
        // SAFETY: as above; lanes beyond the end are masked.
        let (w, x) = unsafe {
            (
                s.load_lanes(filters.as_ptr().add(at), rest),
                s.load_lanes(column.as_ptr().add(at), rest),
            )
        };
        chains[chain] = s.mul_add(w, x, chains[chain]);
        at += S::LANES;
        // Parts of a step have chains of their own.
        chain = (chain + 1) % (MR / S::LANES).max(1);
    }
}

/// The sums of the rows: in the first lanes, or in two registers where one has fewer lanes than the tile has rows.
#[inline(always)]
fn add_up<S: Simd, const MR: usize>(s: S, chains: [S::V; CHAINS]) -> [S::V; 2] {
    const { assert!(MR <= 2 * S::LANES && S::LANES <= MOST_LANES) };
    if MR > S::LANES {
        return [s.add(chains[0], chains[2]), s.add(chains[1], chains[3])];
    }
    let mut sums = s.add(s.add(chains[0], chains[1]), s.add(chains[2], chains[3]));
    // Several steps of the depth lie side by side.
    let mut steps = S::LANES / MR;
    while steps > 1 {
        steps /= 2;
        sums = s.add(sums, s.rotate(sums, steps * MR));
    }
    [sums; 2]
}
