//! The matrix product of packed filters and unfolded panels.
//! Given: a share of one image's panels and tiles of output channels.
//! Promise: sums stay in registers over a block of the depth; bias, residual and activation are applied to them
//! before the last store. Every output is one chain of multiply-adds in the order of the packed filters.

use std::marker::PhantomData;
use std::ops::Range;

use super::pack::unfold;
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
    let columns = PANEL_VECTORS * lanes(product.isa);
    // What the unsafe code below relies on.
    assert!(share.group < product.groups && share.tiles.end <= product.group_tiles());
    assert!(share.panels.end <= area.div_ceil(columns));
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
    dispatch(product.isa, share);
}

impl Kernel for Share<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // As `Isa::tile_rows` says.
        if S::LANES == 16 {
            panels::<S, 8>(s, self)
        } else {
            panels::<S, 4>(s, self)
        }
    }
}

#[inline(always)]
fn panels<S: Simd, const MR: usize>(s: S, share: Share) {
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
    let taps = product.window.taps();
    let (ins, outs) = (product.in_channels / product.groups, product.group_rows());
    let (area, input_area) = (frame.output_area(), frame.input_area());
    let pitch = PANEL_VECTORS * S::LANES;
    let packed_rows = product.group_tiles() * MR;
    let bias = &product.bias[group * packed_rows..][..packed_rows];
    let input =
        &input[(image * product.in_channels + group * ins) * input_area..][..ins * input_area];
    let corner = (image * product.out_channels + group * outs) * area;
    for panel in panels {
        let first_column = panel * pitch;
        let columns = pitch.min(area - first_column);
        let vectors = columns.div_ceil(S::LANES);
        let mut channel = 0;
        for (block, channels) in product.blocks.iter().enumerate() {
            let depth = channels * taps;
            unfold(
                s,
                &product.window,
                frame,
                &input[channel * input_area..],
                *channels,
                first_column,
                columns,
                scratch,
            );
            let filters = (group * ins + channel) * taps * packed_rows;
            for tile in tiles.clone() {
                let at = corner + tile * MR * area + first_column;
                let share = Tile {
                    depth,
                    filters: product.packed[filters + tile * depth * MR..][..depth * MR].as_ptr(),
                    panel: scratch[..depth * pitch].as_ptr(),
                    pitch,
                    output: output.start.wrapping_add(at),
                    residual: if residual.is_empty() {
                        std::ptr::null()
                    } else {
                        residual.as_ptr().wrapping_add(at)
                    },
                    row_step: area,
                    rows: MR.min(outs - tile * MR),
                    columns,
                    bias: bias[tile * MR..][..MR].as_ptr(),
                    first: block == 0,
                    last: block + 1 == product.blocks.len(),
                    product,
                };
                // SAFETY: `compute` checked that the output and the residual have this image's rows; `rows` and
                // `columns` keep the tile inside them, and nobody else writes there (see `Share`). The filters' and
                // the panel's lengths were checked by the slicing.
                unsafe {
                    match vectors {
                        1 => multiply::<S, MR, 1>(s, &share),
                        2 => multiply::<S, MR, 2>(s, &share),
                        _ => multiply::<S, MR, PANEL_VECTORS>(s, &share),
                    }
                }
            }
            channel += channels;
        }
    }
}

/// One register tile.
struct Tile<'a> {
    depth: usize,
    /// `[depth][tile rows]`.
    filters: *const f32,
    /// `[depth][pitch]`.
    panel: *const f32,
    pitch: usize,
    output: *mut f32,
    /// Null without a residual.
    residual: *const f32,
    /// Elements from one row of the output, and of the residual, to the next.
    row_step: usize,
    rows: usize,
    columns: usize,
    bias: *const f32,
    /// Start from the bias, not from what the output holds.
    first: bool,
    /// Finish: residual and activation.
    last: bool,
    product: &'a Product,
}

/// `MR` rows by `NV` vectors of columns.
///
/// # Safety
/// `filters` and `bias` must be readable for `MR` rows, `panel` for `NV` vectors over `depth`; `output` must be
/// writable, and `residual` readable unless null, for `rows` by `columns`, where `NV` vectors but not fewer hold
/// `columns`.
#[inline(always)]
unsafe fn multiply<S: Simd, const MR: usize, const NV: usize>(s: S, tile: &Tile) {
    let whole = tile.columns == NV * S::LANES;
    let lanes = s.lanes(0, tile.columns - (NV - 1) * S::LANES);
    // Rows beyond the last one read row 0 again; their sums are not stored.
    let row = |r: usize| if r < tile.rows { r * tile.row_step } else { 0 };
    // SAFETY (both closures): rows and lanes are inside the tile.
    let load = |from: *const f32, r: usize, v: usize| unsafe {
        let from = from.add(row(r) + v * S::LANES);
        if v + 1 < NV || whole {
            s.load(from)
        } else {
            s.load_lanes(from, lanes)
        }
    };
    let store = |r: usize, v: usize, value: S::V| unsafe {
        let to = tile.output.add(row(r) + v * S::LANES);
        if v + 1 < NV || whole {
            s.store(to, value)
        } else {
            s.store_lanes(to, value, lanes)
        }
    };
    let mut sums = [[s.splat(0.0); NV]; MR];
    if tile.first {
        unrolled!(r < MR, {
            // SAFETY: the caller promises `MR` biases.
            sums[r] = [s.splat(unsafe { tile.bias.add(r).read() }); NV];
        });
    } else {
        unrolled!(r < MR, {
            unrolled!(v < NV, {
                sums[r][v] = load(tile.output, r, v);
            });
        });
    }
    let (mut filters, mut panel) = (tile.filters, tile.panel);
    for _ in 0..tile.depth {
        let mut inputs = [s.splat(0.0); NV];
        // SAFETY: the caller promises `depth` steps of both.
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
            panel = panel.add(tile.pitch);
        }
    }
    if tile.last {
        let before =
            !tile.residual.is_null() && tile.product.residual == Residual::BeforeActivation;
        let after = !tile.residual.is_null() && tile.product.residual == Residual::AfterActivation;
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
