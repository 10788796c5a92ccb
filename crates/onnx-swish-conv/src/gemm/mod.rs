//! Convolution as a matrix product: filters times the input elements that each output meets.
//! Given: filters once, which are packed in the order the register tiles read them; whole tensors per call.
//! Promise: the unfolded input never exists as a whole; sums stay in registers over a block of the depth, and bias, residual
//! and activation are applied to them before the last store. Every output is summed in the same order whatever the number
//! of workers.
//!
//! | module | has |
//! |---|---|
//! | `pack` | the filters, once, in the order of the tiles |
//! | `plan` | which of the three ways an image of some size goes |
//! | `banded` | the way of wide images: taps read a padded copy of a band of rows where it lies |
//! | `panels` | the way of all others: panels of unfolded input, one block of the depth at a time |
//! | `gemv` | the way of a few pixels: products of a matrix and a vector |
//! | `tile` | the register tile, which the first two ways end in |
//! | `unfold` | the unfolding, which the last two ways begin with |

mod banded;
#[allow(unsafe_code)]
mod gemv;
mod pack;
mod panels;
mod plan;
#[allow(unsafe_code)]
pub(crate) mod tile;
#[allow(unsafe_code)]
mod unfold;

use std::ops::Range;

use onnx_swish_threads::Workers;

use self::pack::{Block, Filters};
use self::plan::{Plan, Way};
use self::tile::{Start, Tile};
use crate::channels::Channels;
use crate::epilogue::Epilogue;
use crate::plan::LastPlans;
use crate::scratch::{self, Scratch};
use crate::shared::SharedSlice;
use crate::split::{Split, run_tasks};
use crate::tuning::{GEMM_MACS_PER_NS, threads_for};
use crate::{Frame, Isa, Operands, Spec};

/// Vectors of columns that a register tile has, and a panel.
pub(crate) const PANEL_VECTORS: usize = 3;

/// Rows (output channels) of one register tile.
///
/// With three vectors of columns, 8 rows fill 24 of 32 registers and 4 rows 12 of 16; the rest hold the operands.
pub(crate) const fn tile_rows(registers: usize) -> usize {
    if registers >= 32 { 8 } else { 4 }
}

/// A dense or grouped convolution.
#[derive(Debug)]
pub(crate) struct Gemm {
    spec: Spec,
    filters: Filters,
    epilogue: Epilogue,
    isa: Isa,
    plan: LastPlans<Plan>,
}

impl Gemm {
    /// For a spec and weights that have been checked.
    pub(crate) fn new(spec: &Spec, weights: &[f32], bias: &[f32], isa: Isa) -> Gemm {
        let blocks = if plan::is_banded(spec, isa) {
            Block::all_of(spec)
        } else {
            Block::of_depth(spec)
        };
        let rows = tile_rows(isa.registers());
        Gemm {
            spec: *spec,
            filters: Filters::pack(spec, blocks, rows, weights, bias),
            epilogue: Epilogue::of(spec),
            isa,
            plan: LastPlans::none(),
        }
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        self.filters.bytes()
    }

    /// Output channels of a group.
    fn group_rows(&self) -> usize {
        self.spec.out_channels / self.spec.groups
    }

    /// Input channels of a group.
    fn group_channels(&self) -> usize {
        self.spec.in_channels / self.spec.groups
    }

    /// Computes all images. Lengths have been checked.
    pub(crate) fn run(
        &self,
        frame: &Frame,
        operands: &Operands,
        output: &mut [f32],
        workers: &dyn Workers,
    ) {
        if output.is_empty() {
            return;
        }
        let plan = &*self.plan.get(frame, || Plan::new(self, frame));
        let images = output.len() / (self.spec.out_channels * plan.frame.output_area());
        let macs = output.len() * self.spec.macs_per_output();
        let threads = threads_for(macs, GEMM_MACS_PER_NS, workers);
        let products = images * self.spec.groups;
        let split = Split::new(products, plan.parts, self.filters.tiles(), threads);
        let output = &SharedSlice::new(output);
        let task = |i: usize| {
            let (product, parts, tiles) = split.task(i);
            let share = Share::new(self, plan, operands, output, [product, products]);
            scratch::with(plan.scratch, |scratch| share.compute(parts, tiles, scratch));
        };
        run_tasks(threads, split.tasks(), &task, workers);
    }
}

/// The product of one image and one group, of which each task computes some columns and some rows.
struct Share<'a> {
    gemm: &'a Gemm,
    plan: &'a Plan,
    /// Of this image and group.
    input: Channels<'a>,
    /// A factor for each channel of this image and group.
    gate: Option<&'a [f32]>,
    /// The whole tensor.
    residual: Option<&'a [f32]>,
    /// The whole tensor.
    output: &'a SharedSlice<'a, f32>,
    group: usize,
    /// First output channel, counted over all images.
    first_row: usize,
}

impl<'a> Share<'a> {
    /// Image and group by number: all groups of the first image, then those of the next.
    fn new(
        gemm: &'a Gemm,
        plan: &'a Plan,
        operands: &Operands<'a>,
        output: &'a SharedSlice<'a, f32>,
        [product, products]: [usize; 2],
    ) -> Share<'a> {
        let spec = &gemm.spec;
        let (image, group) = (product / spec.groups, product % spec.groups);
        let images = [image, products / spec.groups];
        let channels = gemm.group_channels();
        let first_channel = image * spec.in_channels + group * channels;
        let first_row = image * spec.out_channels + group * gemm.group_rows();
        let area = plan.frame.input_area();
        let share = Share {
            gemm,
            plan,
            input: Channels::of_image(operands, images, spec.in_channels, area)
                .range(group * channels..(group + 1) * channels),
            gate: operands.gate.map(|gate| &gate[first_channel..][..channels]),
            residual: operands.residual,
            output,
            group,
            first_row,
        };
        // What `tile` relies on.
        let end = (first_row + gemm.group_rows()) * plan.frame.output_area();
        assert!(end <= output.len());
        assert!(
            share
                .residual
                .is_none_or(|residual| residual.len() == output.len())
        );
        share
    }

    /// Computes the elements in the given parts (bands, or panels of columns) and tiles of rows.
    ///
    /// Tasks that run at the same time differ in image or group, or have disjoint parts, or disjoint tiles.
    fn compute(&self, parts: Range<usize>, tiles: Range<usize>, scratch: Scratch) {
        assert!(parts.end <= self.plan.parts && tiles.end <= self.gemm.filters.tiles());
        match &self.plan.way {
            Way::Bands(bands) => self.bands(bands, parts, tiles, scratch),
            Way::Panels(panels) => self.panels(panels, parts, tiles, scratch),
            Way::Vectors(vectors) => self.vectors(vectors, tiles, scratch),
        }
    }

    /// The filters of a tile of rows over one block of the depth.
    fn filters(&self, block: &Block, tile: usize) -> &'a [f32] {
        self.gemm.filters.of_tile(self.group, block, tile)
    }

    /// Where a tile of rows goes, from an element of the image on.
    ///
    /// `new` checked that the output and the residual have this image's rows; what the tile is asked to store must keep
    /// inside the image, and nobody else writes there (see `compute`).
    fn tile(&self, tile: usize, from: usize, first: bool, last: bool) -> Tile<'a> {
        let gemm = self.gemm;
        let area = self.plan.frame.output_area();
        let row = tile * gemm.filters.tile_rows();
        let at = (self.first_row + row) * area + from;
        Tile {
            output: self.output.start().wrapping_add(at),
            residual: self
                .residual
                .map(|residual| residual.as_ptr().wrapping_add(at)),
            row_step: area,
            rows: gemm.filters.tile_rows().min(gemm.group_rows() - row),
            start: if first {
                Start::Rows(gemm.filters.bias_of_tile(self.group, tile))
            } else {
                Start::Output
            },
            epilogue: last.then_some(&gemm.epilogue),
        }
    }
}
