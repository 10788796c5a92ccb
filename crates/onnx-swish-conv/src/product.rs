//! Convolution as a matrix product: filters times unfolded input.
//! Given: filters once, which are packed in the order the register tiles read them; whole tensors per call.
//! Promise: the unfolded input exists one block at a time, small enough for the first-level cache; each output is
//! summed in the same order whatever the number of workers.

use onnx_swish_threads::Workers;

use crate::activation::Prepared;
use crate::arch::gemm::{Share, SharedOutput, compute, panel_count, scratch_len};
use crate::arch::tile_rows;
use crate::bands::Bands;
use crate::conv2d::Operands;
use crate::{Frame, Isa, Residual, Window, scratch};

/// Depth of a block: three AVX-512 vectors of columns by 160 rows of unfolded input take 30 KiB,
/// which leaves room in a first-level cache of 48 KiB for the filters that stream past.
const DEPTH: usize = 160;

/// Below this many multiply-adds, a microsecond of work, a second thread costs more than it brings: a
/// [`Pool`](onnx_swish_threads::Pool) takes 0.7 microseconds to hand over.
const THREADING_MACS: usize = 50_000;

/// Vectors of a panel of columns.
pub(crate) const PANEL_VECTORS: usize = 3;

/// Filters of a dense or grouped convolution, packed.
#[derive(Debug)]
pub(crate) struct Product {
    pub window: Window,
    pub in_channels: usize,
    pub out_channels: usize,
    pub groups: usize,
    /// Input channels of each block of the depth.
    pub blocks: Vec<usize>,
    /// For each group, block and tile of output channels: `[tap][input channel][tile row]`.
    pub packed: Vec<f32>,
    /// For each group: one per output channel, zeros up to a whole tile.
    pub bias: Vec<f32>,
    pub activation: Prepared,
    pub residual: Residual,
    /// Whether images that are wide enough are computed in bands of rows.
    pub in_bands: bool,
    pub isa: Isa,
}

impl Product {
    /// Packs `weights`, `[out_channels][in_channels / groups][kernel height][kernel width]`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        window: Window,
        [in_channels, out_channels]: [usize; 2],
        groups: usize,
        weights: &[f32],
        bias: &[f32],
        activation: Prepared,
        residual: Residual,
        gated: bool,
        isa: Isa,
    ) -> Product {
        let taps = window.taps();
        let (ins, outs) = (in_channels / groups, out_channels / groups);
        let tile = tile_rows(isa);
        let in_bands = !gated && Bands::worthwhile(&window, ins, isa);
        let blocks = (ins * taps).div_ceil(DEPTH).min(ins);
        let count = if in_bands { 1 } else { blocks };
        let blocks: Vec<usize> = (0..count)
            .map(|b| ins * (b + 1) / count - ins * b / count)
            .collect();
        let padded = outs.next_multiple_of(tile);
        let mut packed = Vec::with_capacity(groups * padded * ins * taps);
        let mut padded_bias = Vec::with_capacity(groups * padded);
        for group in 0..groups {
            let filter = |row: usize| (row < outs).then(|| (group * outs + row) * ins * taps);
            let mut first = 0;
            for channels in &blocks {
                for row in (0..padded).step_by(tile) {
                    for tap in 0..taps {
                        for channel in first..first + channels {
                            packed.extend((row..row + tile).map(|row| {
                                filter(row).map_or(0.0, |at| weights[at + channel * taps + tap])
                            }));
                        }
                    }
                }
                first += channels;
            }
            padded_bias.extend((0..padded).map(|row| {
                if row < outs {
                    bias[group * outs + row]
                } else {
                    0.0
                }
            }));
        }
        Product {
            window,
            in_channels,
            out_channels,
            groups,
            blocks,
            packed,
            bias: padded_bias,
            activation,
            residual,
            in_bands,
            isa,
        }
    }

    /// Output channels of a group.
    pub(crate) fn group_rows(&self) -> usize {
        self.out_channels / self.groups
    }

    /// Tiles of output channels of a group.
    pub(crate) fn group_tiles(&self) -> usize {
        self.group_rows().div_ceil(tile_rows(self.isa))
    }

    /// Multiply-adds of one output.
    pub(crate) fn depth(&self) -> usize {
        self.blocks.iter().sum::<usize>() * self.window.taps()
    }

    /// Depth of the deepest block: rows of unfolded input.
    pub(crate) fn deepest(&self) -> usize {
        self.blocks
            .iter()
            .max()
            .map_or(0, |channels| channels * self.window.taps())
    }

    /// A one-by-one kernel that reads every element: rows and columns mean nothing to it.
    fn is_pointwise(&self, frame: &Frame) -> bool {
        self.window.kernel == [1, 1]
            && self.window.stride == [1, 1]
            && frame.pad == [0, 0]
            && frame.input == frame.output
    }

    /// Computes all images.
    pub(crate) fn run(
        &self,
        frame: &Frame,
        operands: Operands,
        output: &mut [f32],
        workers: &dyn Workers,
    ) {
        let area = frame.output_area();
        if area == 0 || output.is_empty() {
            return;
        }
        let frame = &if self.is_pointwise(frame) {
            Frame {
                input: [1, area],
                output: [1, area],
                pad: [0, 0],
            }
        } else {
            *frame
        };
        let bands = Bands::new(self, frame);
        let (panels, scratch_len) = match &bands {
            Some(bands) => (bands.count, bands.scratch),
            None => (panel_count(self.isa, area), scratch_len(self, area)),
        };
        let images = output.len() / (self.out_channels * area);
        let products = images * self.groups;
        let macs = output.len() * self.in_channels / self.groups * self.window.taps();
        let workers_count = if macs >= THREADING_MACS {
            workers.count()
        } else {
            1
        };
        // Split by panels, and, where those are few, by output channels too; the latter unfolds a panel repeatedly.
        let wanted = if workers_count > 1 {
            4 * workers_count
        } else {
            1
        };
        let panel_splits = wanted.div_ceil(products).min(panels);
        let row_splits = if products * panel_splits >= wanted.min(2 * workers_count) {
            1
        } else {
            (2 * workers_count)
                .div_ceil(products * panel_splits)
                .min(self.group_tiles())
        };
        let splits = panel_splits * row_splits;
        let output = SharedOutput::new(output);
        let part = |i: usize, of: usize, total: usize| total * i / of..total * (i + 1) / of;
        let task = |i: usize| {
            let (product, split) = (i / splits, i % splits);
            scratch::with(scratch_len, |scratch| {
                compute(Share {
                    product: self,
                    frame,
                    operands,
                    output: &output,
                    image: product / self.groups,
                    group: product % self.groups,
                    bands: bands.as_ref(),
                    panels: part(split / row_splits, panel_splits, panels),
                    tiles: part(split % row_splits, row_splits, self.group_tiles()),
                    scratch,
                });
            });
        };
        let tasks = products * splits;
        if workers_count == 1 {
            (0..tasks).for_each(task)
        } else {
            workers.run(tasks, &task)
        }
    }
}
