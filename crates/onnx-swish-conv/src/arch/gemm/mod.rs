//! The matrix product of packed filters and the input elements that each output meets.
//! Given: a share of one image's output columns and tiles of output channels.
//! Promise: sums stay in registers over a block of the depth; bias, residual and activation are applied to them
//! before the last store. Every output is one chain of multiply-adds in the order of the packed filters.

mod banded;
mod columns;
mod tile;
mod unfolded;

use std::marker::PhantomData;
use std::ops::Range;

use self::tile::Tile;
pub(crate) use self::unfolded::{panel_count, scratch_len};
use super::tile_rows;
use crate::bands::Bands;
use crate::conv2d::Operands;
use crate::geometry::Frame;
use crate::product::Product;

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
    /// Whole tensors.
    pub operands: Operands<'a>,
    pub output: &'a SharedOutput<'a>,
    pub image: usize,
    pub group: usize,
    /// How to go about it in bands of rows.
    pub bands: Option<&'a Bands>,
    /// Bands, or panels of columns.
    pub panels: Range<usize>,
    pub tiles: Range<usize>,
    /// As long as `scratch_len` says, or the bands.
    pub scratch: &'a mut [f32],
}

/// Computes a share.
pub(crate) fn compute(share: Share) {
    let Share { product, frame, .. } = &share;
    let area = frame.output_area();
    let rows = product.group_rows();
    // What the unsafe code below relies on.
    assert!(share.group < product.groups && share.tiles.end <= product.group_tiles());
    let panels = match share.bands {
        Some(bands) => bands.count,
        None => panel_count(product.isa, area),
    };
    assert!(share.panels.end <= panels);
    assert!(share.output.len >= (share.image + 1) * product.out_channels * area);
    let Operands {
        input,
        residual,
        gate,
    } = share.operands;
    assert!(residual.is_empty() || residual.len() == share.output.len);
    assert!(gate.is_empty() || gate.len() >= (share.image + 1) * product.in_channels);
    assert!(input.len() >= (share.image + 1) * product.in_channels * frame.input_area());
    let padded = product.group_tiles() * tile_rows(product.isa);
    assert_eq!(
        product.depth(),
        product.in_channels / product.groups * product.window.taps()
    );
    assert_eq!(
        product.packed.len(),
        product.groups * product.depth() * padded
    );
    assert_eq!(product.bias.len(), product.groups * padded);
    assert!(rows <= padded);
    if tile_rows(product.isa) == 8 {
        in_tiles::<8>(share)
    } else {
        in_tiles::<4>(share)
    }
}

fn in_tiles<const MR: usize>(share: Share) {
    let Share {
        product,
        frame,
        operands,
        output,
        image,
        group,
        bands,
        panels,
        tiles,
        scratch,
    } = share;
    let ins = product.in_channels / product.groups;
    let packed_rows = product.group_tiles() * MR;
    let input_area = frame.input_area();
    let first_channel = image * product.in_channels + group * ins;
    let part = Part {
        product,
        frame,
        input: &operands.input[first_channel * input_area..][..ins * input_area],
        gate: operands.gate.get(first_channel..).unwrap_or_default(),
        residual: operands.residual,
        output,
        outs: product.group_rows(),
        first_row: image * product.out_channels + group * product.group_rows(),
        packed: &product.packed[group * ins * product.window.taps() * packed_rows..],
        bias: &product.bias[group * packed_rows..][..packed_rows],
        packed_rows,
    };
    match bands {
        None => unfolded::panels::<MR>(&part, panels, tiles, scratch),
        Some(bands) => banded::bands::<MR>(&part, bands, panels, tiles, scratch),
    }
}

/// One image and group.
struct Part<'a> {
    product: &'a Product,
    frame: &'a Frame,
    /// Of this image and group.
    input: &'a [f32],
    /// Empty, or from this image and group on.
    gate: &'a [f32],
    /// Empty, or the whole tensor.
    residual: &'a [f32],
    output: &'a SharedOutput<'a>,
    /// Output channels.
    outs: usize,
    /// First output channel, counted over all images.
    first_row: usize,
    /// From this group on.
    packed: &'a [f32],
    bias: &'a [f32],
    /// Output channels up to a whole tile.
    packed_rows: usize,
}

impl Part<'_> {
    /// The filters of a tile of `MR` rows over one block of the depth.
    fn filters<const MR: usize>(&self, (channel, channels): (usize, usize), tile: usize) -> &[f32] {
        let taps = self.product.window.taps();
        let depth = channels * taps;
        &self.packed[channel * taps * self.packed_rows + tile * depth * MR..][..depth * MR]
    }

    /// Where a tile of `MR` rows goes, from an element of the image on.
    ///
    /// `compute` checked that the output and the residual have this image's rows; what the tile is asked to store must keep
    /// inside the image, and nobody else writes there (see `Share`).
    fn tile<const MR: usize>(&self, tile: usize, from: usize, first: bool, last: bool) -> Tile<'_> {
        let area = self.frame.output_area();
        let at = (self.first_row + tile * MR) * area + from;
        Tile {
            output: self.output.start.wrapping_add(at),
            residual: if self.residual.is_empty() {
                std::ptr::null()
            } else {
                self.residual.as_ptr().wrapping_add(at)
            },
            row_step: area,
            rows: MR.min(self.outs - tile * MR),
            bias: &self.bias[tile * MR..][..MR],
            first,
            last,
            product: self.product,
        }
    }
}

/// The blocks of the depth: first channel and number of channels.
fn blocks(product: &Product) -> impl Iterator<Item = (usize, usize)> + Clone {
    product.blocks.iter().scan(0, |next, channels| {
        let first = *next;
        *next += channels;
        Some((first, *channels))
    })
}
