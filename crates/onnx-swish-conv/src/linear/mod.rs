//! Linear layers: rows of a matrix times weights, as a product of matrices on the register tiles of `gemm/`.
//! Given: weights once, which are packed in panels of columns; rows per call.
//! Promise: each row's sums are taken in the order of the input channels, whatever the number of rows and of workers: the same row
//! gives the same bits alone and among others. Bias, residual and activation are applied before the last store.
//!
//! A convolution puts pixels in vectors and filters beside them; here output channels are neighbours in memory, so weights are the
//! vectors and the rows stand beside them.
//!
//! | module | has |
//! |---|---|
//! | `pack` | the weights, once, in the order in which tiles read them |
//! | `strided` | rows and columns of a matrix that lies anywhere, in that order |
//! | `matmul` | products of two tensors ([`MatMul`](crate::MatMul)) |

mod matmul;
mod pack;
#[allow(unsafe_code)]
mod strided;

use std::ops::Range;

use onnx_swish_threads::Workers;

pub use self::matmul::{Axis, MatMul};
pub(crate) use self::pack::{Panel, Weights};
use self::strided::Pack;
use crate::epilogue::Epilogue;
use crate::gemm::PANEL_VECTORS;
use crate::gemm::tile::{Inputs, Spans, Start, Tile, multiply, multiply_few};
use crate::gemm::tile_rows;
use crate::scratch::{self, bytes_for};
use crate::shared::SharedSlice;
use crate::split::{Split, run_tasks};
use crate::tuning::{BLOCK_DEPTH, GEMM_MACS_PER_NS, L2_COPY, threads_for};
use crate::{Isa, Operands, Spec};

/// A linear layer.
#[derive(Debug)]
pub(crate) struct Linear {
    weights: Weights,
    epilogue: Epilogue,
    isa: Isa,
}

impl Linear {
    /// For a spec and weights that have been checked.
    pub(crate) fn new(spec: &Spec, weights: &[f32], bias: &[f32], isa: Isa) -> Linear {
        Linear {
            weights: Weights::pack(isa.lanes(), spec.in_channels, weights, bias),
            epilogue: Epilogue::of(spec),
            isa,
        }
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// Computes all rows. Lengths have been checked.
    pub(crate) fn run(&self, operands: &Operands, output: &mut [f32], workers: &dyn Workers) {
        let (depth, columns) = (self.weights.depth, self.weights.columns);
        let rows = output.len() / columns;
        if rows == 0 {
            return;
        }
        // What tiles rely on, besides the strips and panels that they are given.
        assert!(operands.input.len() == rows * depth && output.len() == rows * columns);
        assert!(operands.residual.is_none_or(|r| r.len() == output.len()));
        let strips = Strips::new(self.isa, depth, rows);
        let output = SharedSlice::new(output);
        scratch::with(bytes_for::<f32>(strips.packed_len()), |mut scratch| {
            let packed = scratch.take::<f32>(strips.packed_len());
            for chunk in strips.chunks() {
                let macs = chunk.rows.len() * depth * columns;
                let threads = threads_for(macs, GEMM_MACS_PER_NS, workers);
                let input = &operands.input[chunk.rows.start * depth..chunk.rows.end * depth];
                chunk.pack(self.isa, input, packed, threads, workers);
                let target = Target {
                    output: &output,
                    first: 0,
                    residual: operands.residual,
                    pitch: columns,
                    epilogue: &self.epilogue,
                };
                let product = Product {
                    isa: self.isa,
                    strips: &chunk,
                    packed,
                    target,
                };
                let panels = self.weights.panels.len();
                let split = Split::new(1, panels, chunk.count, threads);
                let task = |i: usize| {
                    let (_, panels, strips) = split.task(i);
                    for panel in panels {
                        product.panel(&self.weights.panel(panel), strips.clone());
                    }
                };
                run_tasks(threads, split.tasks(), &task, workers);
            }
        });
    }
}

/// Rows of input in strips as tall as a register tile, and those in chunks that a second-level cache holds.
pub(crate) struct Strips {
    tall: usize,
    depth: usize,
    rows: usize,
    /// Strips of a chunk.
    together: usize,
    /// Elements from one strip to the next: the registers that pack it may write behind its end.
    pitch: usize,
}

impl Strips {
    pub(crate) fn new(isa: Isa, depth: usize, rows: usize) -> Strips {
        let tall = tile_rows(isa.registers());
        let pitch = depth.next_multiple_of(isa.lanes()) * tall;
        let strips = rows.div_ceil(tall);
        // Weights are read once for each chunk: it must not be too low, and those of equal heights are the best use of it.
        let most = (L2_COPY / size_of::<f32>() / pitch).max(LOWEST_CHUNK);
        Strips {
            tall,
            depth,
            rows,
            together: strips.div_ceil(strips.div_ceil(most)),
            pitch,
        }
    }

    /// Elements of a packed chunk.
    pub(crate) fn packed_len(&self) -> usize {
        self.together * self.pitch
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = Chunk> {
        let rows = self.together * self.tall;
        (0..self.rows).step_by(rows).map(move |first| {
            let rows = first..self.rows.min(first + rows);
            Chunk {
                count: rows.len().div_ceil(self.tall),
                rows,
                tall: self.tall,
                pitch: self.pitch,
                depth: self.depth,
            }
        })
    }
}

/// Strips of a chunk of rows, at least: with fewer, weights from memory are read faster than they are needed.
const LOWEST_CHUNK: usize = 8;

/// Strips that are in scratch memory together.
pub(crate) struct Chunk {
    pub(crate) rows: Range<usize>,
    /// Strips.
    pub(crate) count: usize,
    tall: usize,
    pitch: usize,
    depth: usize,
}

impl Chunk {
    /// Rows of a strip.
    fn rows_of(&self, strip: usize) -> usize {
        self.tall.min(self.rows.len() - strip * self.tall)
    }

    /// Rows that a packed strip has room for: the last may be of a lower tile.
    fn height(&self, strip: usize) -> usize {
        match self.rows_of(strip) {
            1 => 1,
            rows if rows <= 4 => 4,
            _ => self.tall,
        }
    }

    /// Packs the chunk's rows, which `input` has one behind the other.
    pub(crate) fn pack(
        &self,
        isa: Isa,
        input: &[f32],
        packed: &mut [f32],
        threads: usize,
        workers: &dyn Workers,
    ) {
        let packed = &SharedSlice::new(packed);
        // A strip or two are not worth waking anybody for.
        let threads = if self.count < threads { 1 } else { threads };
        let split = Split::new(1, self.count, 1, threads);
        let task = |i: usize| {
            let (_, strips, _) = split.task(i);
            for strip in strips {
                // SAFETY: each strip belongs to one task.
                #[allow(unsafe_code)]
                let to = unsafe { packed.part(strip * self.pitch..(strip + 1) * self.pitch) };
                self.pack_strip(isa, strip, input, [self.depth, 1], to);
            }
        };
        run_tasks(threads, split.tasks(), &task, workers);
    }

    /// Packs the chunk's rows, which lie in `input` with these strides from row to row and from step to step of the depth.
    fn pack_from(&self, isa: Isa, input: &[f32], strides: [usize; 2], packed: &mut [f32]) {
        for (strip, to) in packed
            .chunks_exact_mut(self.pitch)
            .take(self.count)
            .enumerate()
        {
            self.pack_strip(isa, strip, input, strides, to);
        }
    }

    fn pack_strip(
        &self,
        isa: Isa,
        strip: usize,
        input: &[f32],
        [row, step]: [usize; 2],
        to: &mut [f32],
    ) {
        isa.run(Pack {
            from: &input[strip * self.tall * row..],
            lane: row,
            step,
            lanes: self.rows_of(strip),
            depth: self.depth,
            width: self.height(strip),
            to,
        });
    }
}

/// Where the rows of a product go.
///
/// Whoever makes one promises that the output, and the residual if there is one, have all rows of the chunk, `pitch` elements apart.
pub(crate) struct Target<'a> {
    pub(crate) output: &'a SharedSlice<'a, f32>,
    /// The element of the first column of the first row.
    pub(crate) first: usize,
    pub(crate) residual: Option<&'a [f32]>,
    pub(crate) pitch: usize,
    pub(crate) epilogue: &'a Epilogue,
}

/// Packed strips times packed panels.
pub(crate) struct Product<'a> {
    pub(crate) isa: Isa,
    pub(crate) strips: &'a Chunk,
    pub(crate) packed: &'a [f32],
    pub(crate) target: Target<'a>,
}

impl Product<'_> {
    /// The columns of a panel in the rows of some strips. Tasks that run at the same time differ in either.
    pub(crate) fn panel(&self, panel: &Panel, strips: Range<usize>) {
        let lanes = self.isa.lanes();
        let spans = std::array::from_fn(|v| Spans::flat(lanes, v, panel.columns.len()));
        let depth = self.strips.depth;
        // With one strip there is nothing to keep in cache.
        let blocks = if strips.len() == 1 {
            1
        } else {
            depth.div_ceil(BLOCK_DEPTH)
        };
        for block in 0..blocks {
            let steps = depth * block / blocks..depth * (block + 1) / blocks;
            for strip in strips.clone() {
                self.tile(panel, strip, steps.clone(), &spans);
            }
        }
    }

    /// One tile over some steps of the depth.
    fn tile(
        &self,
        panel: &Panel,
        strip: usize,
        steps: Range<usize>,
        spans: &[Spans; PANEL_VECTORS],
    ) {
        let (strips, target) = (self.strips, &self.target);
        let height = strips.height(strip);
        let first = strips.rows.start + strip * strips.tall;
        let at = target.first + first * target.pitch + panel.columns.start;
        let tile = Tile {
            output: target.output.start().wrapping_add(at),
            residual: target.residual.map(|from| from.as_ptr().wrapping_add(at)),
            row_step: target.pitch,
            rows: strips.rows_of(strip),
            start: match (steps.start, panel.bias) {
                (0, bias) => Start::Columns(bias),
                _ => Start::Output,
            },
            epilogue: (steps.end == strips.depth).then_some(target.epilogue),
        };
        let packed = &self.packed[strip * strips.pitch..];
        let rows = &packed[steps.start * height..steps.end * height];
        let weights = &panel.weights[steps.start * panel.width..steps.end * panel.width];
        if height == strips.tall {
            let inputs = Inputs::Tight(weights);
            multiply(self.isa, &tile, rows, inputs, spans, panel.width);
        } else {
            multiply_few(self.isa, &tile, rows, height, weights, spans, panel.width);
        }
    }
}
