//! Convolution of codes as a matrix product: weights in words times words of the codes that each output meets.
//! Given: weights once, which are packed in the order the register tiles read them; whole tensors per call.
//! Promise: sums are exact and stay in registers over the whole depth. Every output is the same whatever the number of workers.
//!
//! | module | has |
//! |---|---|
//! | `pack` | the weights, once, in the order of the tiles |
//! | `plan` | which of the two ways an image of some size goes |
//! | `panels` | the way of 1x1 kernels: rows of codes are read where they lie |
//! | `bands` | the way of all others: through a padded copy of a band of rows |
//! | `words` | words of the codes that a few vectors of columns meet, or a single column |
//! | `tile` | the register tile |
//! | `vectors` | its counterpart for single columns |

mod bands;
mod pack;
mod panels;
mod plan;
#[allow(unsafe_code)]
mod tile;
#[allow(unsafe_code)]
mod vectors;
#[allow(unsafe_code)]
mod words;

use std::ops::Range;

use onnx_swish_kernels::codes::look_up_in_place_with;
use onnx_swish_simd::{DotIsa, Format};
use onnx_swish_threads::Workers;

use self::pack::Filters;
pub(super) use self::pack::{part, word};
use self::plan::{Plan, Way};
use self::tile::{Tile, Tiles, multiply};
use super::ending::{Call, Channels, Finish, Target};
use super::spec::{QBias, QSpec, QWeights};
use super::{Machine, Request};
use crate::plan::LastPlans;
use crate::scratch::{self, Scratch};
use crate::shared::SharedSlice;
use crate::split::{Split, run_tasks};
use crate::tuning::{CODE_MACS_PER_NS, threads_for};
use crate::{Frame, Isa};

/// Vectors of columns that a register tile has, and a panel.
const PANEL_VECTORS: usize = 3;

/// Rows (output channels) of one register tile, as of the tiles of f32.
const fn tile_rows(registers: usize) -> usize {
    if registers >= 32 { 8 } else { 4 }
}

/// A dense or grouped convolution of codes.
#[derive(Debug)]
pub(super) struct Gemm {
    spec: QSpec,
    filters: Filters,
    channels: Channels,
    finish: Finish,
    table: Option<Box<[u8; 256]>>,
    isa: Isa,
    dot: DotIsa,
    format: Format,
    plan: LastPlans<Plan>,
}

impl Gemm {
    /// For a spec and weights that have been checked.
    pub(super) fn new(
        spec: &QSpec,
        weights: &QWeights,
        bias: &QBias,
        table: Option<&[u8; 256]>,
        Machine { isa, dot }: Machine,
    ) -> Gemm {
        let rows = tile_rows(dot.registers());
        let format = dot.format();
        let channels = Channels::new(spec, weights, bias, rows);
        Gemm {
            spec: *spec,
            filters: Filters::pack(spec, weights, format, rows),
            finish: Finish::new(spec, bias, &channels),
            channels,
            table: table.map(|table| Box::new(*table)),
            isa,
            dot,
            format,
            plan: LastPlans::none(),
        }
    }

    pub(super) fn packed_bytes(&self) -> usize {
        self.filters.bytes() + self.channels.bytes()
    }

    /// Output channels of a group.
    fn group_rows(&self) -> usize {
        self.spec.out_channels / self.spec.groups
    }

    /// Input channels of a group.
    fn group_channels(&self) -> usize {
        self.spec.in_channels / self.spec.groups
    }

    /// Columns of a panel.
    fn panel(&self) -> usize {
        PANEL_VECTORS * self.dot.lanes()
    }

    /// Computes all images. Lengths have been checked.
    pub(super) fn run(&self, frame: &Frame, request: Request, workers: &dyn Workers) {
        let Request {
            input,
            call,
            output,
        } = request;
        if output.is_empty() {
            return;
        }
        let plan = &*self.plan.get(frame, || Plan::new(self, frame));
        let elements = output.len() / self.finish.element_bytes();
        let images = elements / (self.spec.out_channels * plan.frame.output_area());
        let macs = elements * self.spec.macs_per_output();
        let threads = threads_for(macs, CODE_MACS_PER_NS, workers);
        let products = images * self.spec.groups;
        let split = Split::new(products, plan.parts, self.filters.tiles, threads);
        let output = &SharedSlice::new(output);
        let task = |i: usize| {
            let (product, parts, tiles) = split.task(i);
            let share = Share::new(self, plan, input, call, output, product);
            scratch::with(plan.scratch, |scratch| share.compute(parts, tiles, scratch));
        };
        run_tasks(threads, split.tasks(), &task, workers);
    }
}

/// The product of one image and one group, of which each task computes some columns and some rows.
struct Share<'a> {
    gemm: &'a Gemm,
    plan: &'a Plan,
    call: Call,
    /// Of this image and group.
    input: &'a [u8],
    /// The whole tensor.
    output: &'a SharedSlice<'a, u8>,
    group: usize,
    /// First output channel, counted over all images.
    first_row: usize,
}

impl<'a> Share<'a> {
    /// Image and group by number: all groups of the first image, then those of the next.
    fn new(
        gemm: &'a Gemm,
        plan: &'a Plan,
        input: &'a [u8],
        call: Call,
        output: &'a SharedSlice<'a, u8>,
        product: usize,
    ) -> Share<'a> {
        let spec = &gemm.spec;
        let (image, group) = (product / spec.groups, product % spec.groups);
        let channels = gemm.group_channels();
        let first_channel = image * spec.in_channels + group * channels;
        let first_row = image * spec.out_channels + group * gemm.group_rows();
        let area = plan.frame.input_area();
        // What tiles rely on.
        let end = (first_row + gemm.group_rows()) * plan.frame.output_area();
        assert!(end * gemm.finish.element_bytes() <= output.len());
        Share {
            gemm,
            plan,
            call,
            input: &input[first_channel * area..][..channels * area],
            output,
            group,
            first_row,
        }
    }

    /// Computes the elements in the given parts (bands, or panels of columns) and tiles of rows.
    ///
    /// Tasks that run at the same time differ in image or group, or have disjoint parts, or disjoint tiles.
    fn compute(&self, parts: Range<usize>, tiles: Range<usize>, scratch: Scratch) {
        assert!(parts.end <= self.plan.parts && tiles.end <= self.gemm.filters.tiles);
        match &self.plan.way {
            Way::Panels(panels) => self.panels(panels, parts, tiles, scratch),
            Way::Bands(bands) => self.bands(bands, parts, tiles, scratch),
        }
    }

    /// One tile of rows over a panel's words. Its target begins at an element of the image and has so many columns.
    ///
    /// `new` checked that the output has this image's rows; what is asked for must keep inside the image, and nobody else writes
    /// there (see `compute`).
    fn tile(&self, tile: usize, first: usize, columns: usize) -> Tile<'a> {
        let gemm = self.gemm;
        let bytes = gemm.finish.element_bytes();
        let area = self.plan.frame.output_area();
        let row = tile * gemm.filters.tile_rows;
        let at = ((self.first_row + row) * area + first) * bytes;
        let rows = gemm.filters.tile_rows;
        Tile {
            finish: &gemm.finish,
            channels: gemm
                .channels
                .some((self.group * gemm.filters.tiles + tile) * rows, rows),
            call: self.call,
            target: Target {
                at: self.output.start().wrapping_add(at),
                row_step: area * bytes,
                rows: rows.min(gemm.group_rows() - row),
                columns,
            },
        }
    }

    /// Multiplies by a panel's words what tiles need of so many elements of the image from the first on.
    fn multiply(&self, numbers: Range<usize>, first: usize, columns: usize, words: &[u32]) {
        let tiles = Tiles {
            share: self,
            numbers,
            first,
            columns,
            staged: None,
        };
        multiply(self.gemm.dot, &tiles, words);
    }

    /// Puts what the table has for the codes of so many columns in their place.
    fn look_up(&self, columns: Range<usize>, tiles: Range<usize>) {
        let Some(table) = &self.gemm.table else {
            return;
        };
        let rows = self.gemm.filters.tile_rows;
        let last = (tiles.end * rows).min(self.gemm.group_rows());
        let area = self.plan.frame.output_area();
        let (first, last) = (self.first_row + tiles.start * rows, self.first_row + last);
        // Whole rows lie one behind the other: one call for all of them.
        let each = if columns.len() == area {
            last - first
        } else {
            1
        };
        for row in (first..last).step_by(each.max(1)) {
            let range = row * area + columns.start..(row + each - 1) * area + columns.end;
            // SAFETY: columns and rows of this task, which nobody else has (see `compute`).
            #[allow(unsafe_code)]
            let codes = unsafe { self.output.part(range) };
            look_up_in_place_with(self.gemm.isa, table, codes);
        }
    }
}
