//! The matrix product of packed filters and unfolded panels.
//! Given: a share of one image's panels and tiles of output channels.
//! Promise: sums stay in registers over a block of the depth; bias, residual and activation are applied to them
//! before the last store. Every output is one chain of multiply-adds in the order of the packed filters.

use std::marker::PhantomData;
use std::ops::Range;

use onnx_swish_kernels::Isa;

use super::pack::Unfold;
use super::{Kernel, Simd, dispatch, lanes, tile_rows};
use crate::conv2d::Residual;
use crate::geometry::Frame;
use crate::product::{PANEL_VECTORS, Product};

/// An output tensor that several workers write to, each its own rows and columns.
pub(crate) struct SharedOutput<'a> {
    start: *mut f32,
    len: usize,
    tensor: PhantomData<&'a mut [f32]>,
}

// SAFETY: shares of one product cover disjoint elements (see `Share`), so writes from several threads never meet.
unsafe impl Sync for SharedOutput<'_> {}

impl<'a> SharedOutput<'a> {
    pub(crate) fn new(tensor: &'a mut [f32]) -> Self {
        SharedOutput {
            start: tensor.as_mut_ptr(),
            len: tensor.len(),
            tensor: PhantomData,
        }
    }
}

/// A share of the work: the elements of one image and group in the given panels of columns and tiles of rows.
/// Shares that run at the same time must differ in image or group, or have disjoint panels, or disjoint tiles.
pub(crate) struct Share<'a> {
    pub product: &'a Product,
    pub frame: &'a Frame,
    /// The whole tensor.
    pub input: &'a [f32],
    /// Empty, or as long as the output.
    pub residual: &'a [f32],
    pub output: &'a SharedOutput<'a>,
    pub image: usize,
    pub group: usize,
    pub panels: Range<usize>,
    pub tiles: Range<usize>,
    /// Room for one panel over the deepest block.
    pub scratch: &'a mut [f32],
}

/// Computes a share.
pub(crate) fn compute(share: Share) {
    let Share { product, frame, .. } = &share;
    let area = frame.output_area();
    let rows = product.group_rows();
    // What the unsafe code below relies on.
    assert!(share.group < product.groups && share.tiles.end <= product.group_tiles());
    assert!(share.panels.end <= panel_count(product.isa, area));
    assert!(share.output.len >= (share.image + 1) * product.out_channels * area);
    assert!(share.residual.is_empty() || share.residual.len() == share.output.len);
    assert!(share.input.len() >= (share.image + 1) * product.in_channels * frame.input_area());
    let depth: usize = product.blocks.iter().sum::<usize>() * product.window.taps();
    let padded = product.group_tiles() * tile_rows(product.isa);
    assert_eq!(
        depth,
        product.in_channels / product.groups * product.window.taps()
    );
    assert_eq!(product.packed.len(), product.groups * depth * padded);
    assert_eq!(product.bias.len(), product.groups * padded);
    assert!(rows <= padded);
    let rows_of_tile = tile_rows(product.isa);
    if rows_of_tile == 8 {
        panels::<8>(share)
    } else {
        panels::<4>(share)
    }
}

/// Columns beyond whole vectors that are computed one by one, with a vector along the rows: up to a quarter of a
/// vector that is cheaper than a vector along the columns most of whose lanes are thrown away.
fn columns_apart(isa: Isa, columns: usize) -> usize {
    let rest = columns % lanes(isa);
    if 4 * rest <= lanes(isa) { rest } else { 0 }
}

/// Panels of an image of so many output elements. A few columns beyond the last whole panel go with it.
pub(crate) fn panel_count(isa: Isa, area: usize) -> usize {
    let pitch = PANEL_VECTORS * lanes(isa);
    let rest = area % pitch;
    let alone = rest > columns_apart(isa, rest) || area < pitch;
    area / pitch + usize::from(rest > 0 && alone)
}

/// Elements that one column takes in the layout of [`Columns`].
fn spread_len(depth: usize, isa: Isa) -> usize {
    depth * tile_rows(isa) + lanes(isa)
}

/// Panels that are unfolded together.
///
/// Tiles of a shallow product are over before the first-level cache has brought the lines they write. One tile of rows
/// then goes through several panels, so that it writes on where it stopped, as the processor's prefetching expects.
fn panels_together(isa: Isa, product: &Product, depth: usize) -> usize {
    /// Elements of all panels together: half of a second-level cache of 512 KiB.
    const TOGETHER: usize = 65_536;
    const SHALLOW: usize = 64;
    if product.blocks.len() == 1 && depth <= SHALLOW {
        (TOGETHER / (depth * PANEL_VECTORS * lanes(isa))).max(1)
    } else {
        1
    }
}

/// Elements of scratch that a share of this product needs.
pub(crate) fn scratch_len(product: &Product) -> usize {
    let isa = product.isa;
    let depth = product.deepest();
    panels_together(isa, product, depth) * depth * PANEL_VECTORS * lanes(isa)
        + lanes(isa) / 4 * spread_len(depth, isa)
}

fn panels<const MR: usize>(share: Share) {
    let Share {
        product,
        frame,
        input,
        residual,
        output,
        image,
        group,
        panels,
        tiles,
        scratch,
    } = share;
    let isa = product.isa;
    let taps = product.window.taps();
    let (ins, outs) = (product.in_channels / product.groups, product.group_rows());
    let (area, input_area) = (frame.output_area(), frame.input_area());
    let pitch = PANEL_VECTORS * lanes(isa);
    let packed_rows = product.group_tiles() * MR;
    let bias = &product.bias[group * packed_rows..][..packed_rows];
    let input =
        &input[(image * product.in_channels + group * ins) * input_area..][..ins * input_area];
    let corner = (image * product.out_channels + group * outs) * area;
    let together = panels_together(isa, product, product.deepest());
    let (scratch, spread) = scratch.split_at_mut(together * product.deepest() * pitch);
    let last_panel = panel_count(isa, area) - 1;
    for first_panel in panels.clone().step_by(together) {
        let run = first_panel..panels.end.min(first_panel + together);
        // The columns of a panel, without those apart.
        let columns = |panel: usize| {
            if panel < last_panel {
                pitch
            } else {
                let columns = area - panel * pitch;
                columns - columns_apart(isa, columns)
            }
        };
        let apart_from = last_panel * pitch + columns(last_panel);
        let apart = if run.contains(&last_panel) {
            area - apart_from
        } else {
            0
        };
        let mut channel = 0;
        for (block, &channels) in product.blocks.iter().enumerate() {
            let depth = channels * taps;
            let input = &input[channel * input_area..];
            let unfold = |first: usize, columns: usize, panel: &mut [f32]| {
                dispatch(
                    isa,
                    Unfold {
                        window: &product.window,
                        frame,
                        input,
                        channels,
                        first,
                        columns,
                        panel,
                    },
                );
            };
            if apart > 0 {
                unfold(apart_from, apart, &mut scratch[..depth * pitch]);
                dispatch(
                    isa,
                    Spread::<MR> {
                        panel: scratch,
                        depth,
                        columns: apart,
                        spread,
                    },
                );
            }
            for (panel, scratch) in run.clone().zip(scratch.chunks_exact_mut(depth * pitch)) {
                unfold(panel * pitch, columns(panel), scratch);
            }
            let filters = (group * ins + channel) * taps * packed_rows;
            for tile in tiles.clone() {
                let row = corner + tile * MR * area;
                let at = |column: usize| {
                    let residual = if residual.is_empty() {
                        std::ptr::null()
                    } else {
                        residual.as_ptr().wrapping_add(row + column)
                    };
                    (output.start.wrapping_add(row + column), residual)
                };
                // `compute` checked that the output and the residual have this image's rows; `rows` and `columns` keep
                // the tile inside them, and nobody else writes there (see `Share`).
                let tile = |column: usize| Tile {
                    depth,
                    filters: &product.packed[filters + tile * depth * MR..][..depth * MR],
                    output: at(column).0,
                    residual: at(column).1,
                    row_step: area,
                    rows: MR.min(outs - tile * MR),
                    bias: &bias[tile * MR..][..MR],
                    first: block == 0,
                    last: block + 1 == product.blocks.len(),
                    product,
                };
                for (panel, scratch) in run.clone().zip(scratch.chunks_exact(depth * pitch)) {
                    multiply_panel::<MR>(isa, &tile(panel * pitch), scratch, columns(panel));
                }
                if apart > 0 {
                    dispatch(
                        isa,
                        Columns::<MR> {
                            tile: &tile(apart_from),
                            spread,
                            columns: apart,
                        },
                    );
                }
            }
            channel += channels;
        }
    }
}

/// One tile of rows by the columns of a panel, in whole vectors.
fn multiply_panel<const MR: usize>(isa: Isa, tile: &Tile, panel: &[f32], columns: usize) {
    match columns.div_ceil(lanes(isa)) {
        0 => {}
        1 => dispatch(
            isa,
            Multiply::<MR, 1> {
                tile,
                panel,
                columns,
            },
        ),
        2 => dispatch(
            isa,
            Multiply::<MR, 2> {
                tile,
                panel,
                columns,
            },
        ),
        _ => dispatch(
            isa,
            Multiply::<MR, PANEL_VECTORS> {
                tile,
                panel,
                columns,
            },
        ),
    }
}

/// One tile of output rows, over one block of the depth.
///
/// Whoever makes one promises that `output` is writable, and `residual` readable unless null, for `rows` rows of the
/// columns that are asked for.
struct Tile<'a> {
    depth: usize,
    /// `[depth][tile rows]`.
    filters: &'a [f32],
    output: *mut f32,
    /// Null without a residual.
    residual: *const f32,
    /// Elements from one row of the output, and of the residual, to the next.
    row_step: usize,
    rows: usize,
    /// One per tile row.
    bias: &'a [f32],
    /// Start from the bias, not from what the output holds.
    first: bool,
    /// Finish: residual and activation.
    last: bool,
    product: &'a Product,
}

impl Tile<'_> {
    /// Whether a residual is added before and after the activation.
    #[inline(always)]
    fn residual_at(&self) -> (bool, bool) {
        let wanted = self.last && !self.residual.is_null();
        let at = self.product.residual;
        (
            wanted && at == Residual::BeforeActivation,
            wanted && at == Residual::AfterActivation,
        )
    }
}

/// How far ahead filters are asked for, in elements: a page and a quarter.
const PREFETCH: usize = 1280;

/// `MR` rows by `NV` vectors of columns, of which `columns` elements count.
struct Multiply<'a, const MR: usize, const NV: usize> {
    tile: &'a Tile<'a>,
    /// `[depth][PANEL_VECTORS vectors]`.
    panel: &'a [f32],
    columns: usize,
}

impl<const MR: usize, const NV: usize> Kernel for Multiply<'_, MR, NV> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Multiply {
            tile,
            panel,
            columns,
        } = self;
        let pitch = PANEL_VECTORS * S::LANES;
        // What the unsafe code below relies on, besides the promise of `Tile`.
        assert!(NV <= PANEL_VECTORS && columns > (NV - 1) * S::LANES && columns <= NV * S::LANES);
        assert!(
            tile.filters.len() >= tile.depth * MR
                && panel.len() >= tile.depth * pitch
                && tile.bias.len() >= MR
        );
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
        let (mut filters, mut panel) = (tile.filters.as_ptr(), panel.as_ptr());
        for _ in 0..tile.depth {
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

/// Repeats each element of single columns `MR` times, so that a vector of filters finds its factors side by side.
struct Spread<'a, const MR: usize> {
    panel: &'a [f32],
    depth: usize,
    columns: usize,
    spread: &'a mut [f32],
}

impl<const MR: usize> Kernel for Spread<'_, MR> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pitch = PANEL_VECTORS * S::LANES;
        let len = self.depth * MR + S::LANES;
        for (column, spread) in self.spread.chunks_mut(len).take(self.columns).enumerate() {
            assert_eq!(spread.len(), len);
            for (k, row) in self.panel.chunks_exact(pitch).take(self.depth).enumerate() {
                // SAFETY: the vector ends inside `spread`, which has one to spare. What it writes too much is
                // overwritten by the next one.
                unsafe { s.store(spread.as_mut_ptr().add(k * MR), s.splat(row[column])) }
            }
        }
    }
}

/// `MR` rows of single columns: vectors along the rows, several steps of the depth in one.
struct Columns<'a, const MR: usize> {
    tile: &'a Tile<'a>,
    spread: &'a [f32],
    columns: usize,
}

impl<const MR: usize> Kernel for Columns<'_, MR> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const CHAINS: usize = 4;
        let Columns {
            tile,
            spread,
            columns,
        } = self;
        let terms = tile.depth * MR;
        assert!(
            S::LANES <= 16
                && S::LANES % MR == 0
                && tile.filters.len() >= terms
                && tile.bias.len() >= MR
        );
        for (column, spread) in spread.chunks(terms + S::LANES).take(columns).enumerate() {
            assert_eq!(spread.len(), terms + S::LANES);
            let mut chains = [s.splat(0.0); CHAINS];
            let mut at = 0;
            // SAFETY (both loops): filters and spread have `terms` elements; the last vector is masked.
            while at + CHAINS * S::LANES <= terms {
                unrolled!(i < CHAINS, {
                    // SAFETY: as above.
                    let (w, x) = unsafe {
                        let at = at + i * S::LANES;
                        (
                            s.load(tile.filters.as_ptr().add(at)),
                            s.load(spread.as_ptr().add(at)),
                        )
                    };
                    chains[i] = s.mul_add(w, x, chains[i]);
                });
                at += CHAINS * S::LANES;
            }
            while at < terms {
                let rest = s.lanes(0, terms - at);
                // SAFETY: as above.
                let (w, x) = unsafe {
                    (
                        s.load_lanes(tile.filters.as_ptr().add(at), rest),
                        s.load_lanes(spread.as_ptr().add(at), rest),
                    )
                };
                chains[0] = s.mul_add(w, x, chains[0]);
                at += S::LANES;
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
