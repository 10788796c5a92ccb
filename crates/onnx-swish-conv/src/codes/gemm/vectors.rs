//! Products of a matrix and a vector: single columns, for images of a few pixels and for what whole panels leave over.
//! Given: the columns' words, one behind the other.
//! Promise: filters are read once, in registers along the rows.

use onnx_swish_simd::{Dot, DotKernel, Memory, Registers, Simd};

use super::super::ending::{Finish, OfAll, Sums, Target};
use super::tile::Tile;
use super::tile_rows;

/// Independent sums, so that none waits for the one before.
const CHAINS: usize = 4;

/// The most lanes of a register.
const MOST_LANES: usize = 16;

/// The most rows of a tile.
const MOST_ROWS: usize = 8;

/// A tile of rows of single columns: registers along the rows, several steps of the depth in one. The tile's target begins with the
/// first of the columns and has as many.
pub(super) struct Columns<'a> {
    pub tile: &'a Tile<'a>,
    /// `[pass][step][tile row]`.
    pub filters: &'a [u32],
    pub words: &'a [u32],
    /// Words from one column to the next, behind each of which a register may look.
    pub pitch: usize,
    pub steps: usize,
}

impl DotKernel for Columns<'_> {
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

impl Columns<'_> {
    #[inline(always)]
    fn rows<D: Dot, const MR: usize>(self, d: D) {
        let channels = &self.tile.channels;
        assert!(MR <= MOST_ROWS && channels.bias.len() == MR);
        let words = self.words.chunks(self.pitch);
        for (column, words) in (0..self.tile.target.columns).zip(words) {
            let mut chains = [d.simd().int_splat(0); CHAINS];
            for filters in self.filters.chunks_exact(self.steps * MR) {
                accumulate::<D, MR>(d, filters, words, &mut chains);
            }
            let sums = add_up::<D, MR>(d, chains);
            self.finish::<D, MR>(d, column, sums);
        }
    }

    /// Stores the sums of a column. The second register has rows where the first has fewer lanes than the tile has rows.
    #[inline(always)]
    fn finish<D: Dot, const MR: usize>(&self, d: D, column: usize, sums: [Sums<D>; 2]) {
        let s = d.simd();
        let Tile {
            finish,
            channels,
            call,
            target,
        } = self.tile;
        let bytes = finish.element_bytes();
        let mut finished = [0u32; MOST_ROWS];
        for (i, sums) in sums.iter().enumerate().take(MR.div_ceil(D::S::LANES)) {
            let first = i * D::S::LANES;
            let rows = D::S::LANES.min(MR - first);
            let mut start = [0f32; MOST_LANES];
            let mut factors = [0f32; MOST_LANES];
            let mut offsets = [0f32; MOST_LANES];
            for row in 0..rows {
                start[row] = f32::from_bits(Finish::start(channels, call, first + row));
                factors[row] = channels.factors[first + row] * call.scale;
                offsets[row] = channels.offsets[first + row];
            }
            // SAFETY: arrays of the most lanes there are; as many elements as a tile has rows.
            unsafe {
                let sums = s.int_add(*sums, s.to_bits(s.load(start.as_ptr())));
                let constants = OfAll(s.load(factors.as_ptr()), s.load(offsets.as_ptr()));
                let to = Target {
                    at: finished.as_mut_ptr().cast::<u8>().add(first * bytes),
                    row_step: 0,
                    rows: 1,
                    columns: rows,
                };
                finish.store(d, [[sums]], constants, &to);
            }
        }
        let to = target.at.wrapping_add(column * bytes);
        // SAFETY: rows and the column are inside the target; the tile's promise.
        unsafe {
            if bytes == 1 {
                scatter(
                    finished.as_ptr().cast::<u8>(),
                    to,
                    target.row_step,
                    target.rows,
                );
            } else {
                scatter(
                    finished.as_ptr(),
                    to.cast::<u32>(),
                    target.row_step,
                    target.rows,
                );
            }
        }
    }
}

/// Writes elements that follow each other to places that are so many bytes apart.
///
/// # Safety
/// So many can be read and written there, at any alignment.
#[inline(always)]
unsafe fn scatter<T>(from: *const T, to: *mut T, step: usize, rows: usize) {
    for row in 0..rows {
        // SAFETY: the caller's promise.
        unsafe {
            to.byte_add(row * step)
                .write_unaligned(from.add(row).read())
        };
    }
}

/// Adds the products of filters, `[step][MR]`, and a column's words to `chains`, lane by lane.
///
/// A register has either several steps of the depth or, where it is shorter than the tile is tall, a part of one.
#[inline(always)]
fn accumulate<D: Dot, const MR: usize>(
    d: D,
    filters: &[u32],
    column: &[u32],
    chains: &mut [Sums<D>; CHAINS],
) {
    let s = d.simd();
    let lanes = D::S::LANES;
    let terms = filters.len();
    let steps = (lanes / MR).max(1);
    // A register may look at so many words more than it needs.
    assert!(terms.is_multiple_of(MR) && column.len() >= terms / MR + steps - 1);
    let (filters, column) = (
        filters.as_ptr().cast::<f32>(),
        column.as_ptr().cast::<f32>(),
    );
    let mut at = 0;
    while at + CHAINS * lanes <= terms {
        unrolled!(i < CHAINS, {
            let at = at + i * lanes;
            // SAFETY: there are `terms` words of filters, and of the column one for each `MR` of them.
            let (w, x) = unsafe {
                (
                    s.to_bits(s.load(filters.add(at))),
                    s.to_bits(s.repeat(column.add(at / MR), lanes / steps)),
                )
            };
            chains[i] = d.dot(chains[i], x, w);
        });
        at += CHAINS * lanes;
    }
    let mut chain = 0;
    while at < terms {
        // SAFETY: as above; words beyond the end are zero, and the column's there are multiplied by these.
        let (w, x) = unsafe {
            (
                s.to_bits(s.load_first(filters.add(at), lanes.min(terms - at))),
                s.to_bits(s.repeat(column.add(at / MR), lanes / steps)),
            )
        };
        chains[chain] = d.dot(chains[chain], x, w);
        at += lanes;
        // Parts of a step have chains of their own.
        chain = (chain + 1) % (MR / lanes).max(1);
    }
}

/// The sums of the rows: in the first lanes, or in two registers where one has fewer lanes than the tile has rows.
#[inline(always)]
fn add_up<D: Dot, const MR: usize>(d: D, chains: [Sums<D>; CHAINS]) -> [Sums<D>; 2] {
    const { assert!(MR <= 2 * D::S::LANES && D::S::LANES <= MOST_LANES) };
    let s = d.simd();
    if MR > D::S::LANES {
        return [
            s.int_add(chains[0], chains[2]),
            s.int_add(chains[1], chains[3]),
        ];
    }
    let mut sums = s.int_add(
        s.int_add(chains[0], chains[1]),
        s.int_add(chains[2], chains[3]),
    );
    // Several steps of the depth lie side by side.
    let mut steps = D::S::LANES / MR;
    while steps > 1 {
        steps /= 2;
        let moved = s.rotate(s.from_bits(sums), steps * MR);
        sums = s.int_add(sums, s.to_bits(moved));
    }
    [sums; 2]
}
