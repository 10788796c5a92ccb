//! Products of two tensors, as attention has them: many small ones at once, of operands that lie in memory in any order.
//! Given: the axes of the products with their strides, then plain slices.
//! Promise: each sum is taken in the order of the depth, whatever the number of workers; operands are packed tile by tile in scratch
//! memory, in whatever order they lie, so that a transposition in front of a product costs nothing more.

use std::ops::Range;

use onnx_swish_threads::Workers;

use super::pack::{panel_of, panels};
use super::{Pack, Panel, Product, Strips, Target};
use crate::epilogue::{Activation, Epilogue, Residual};
use crate::gemm::{PANEL_VECTORS, tile_rows};
use crate::scratch::{self, Scratch, bytes_for};
use crate::shared::SharedSlice;
use crate::spec::product;
use crate::split::{Split, piece, run_tasks, tasks_for};
use crate::tuning::{GEMM_MACS_PER_NS, threads_for};
use crate::{ConvError, Isa};

/// An axis of a product: how long it is, and how many elements lie from one of its places to the next in each tensor. A tensor that does
/// not have the axis, or repeats along it, has a stride of 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Axis {
    /// Places.
    pub size: usize,
    /// In the left operand.
    pub left: usize,
    /// In the right operand.
    pub right: usize,
    /// In the output.
    pub output: usize,
}

/// What is done with whole rows of the output when their sums are there.
type Finish<'a> = dyn Fn(&mut [f32]) + Sync + 'a;

/// Products of matrices: `output[b, i, j] = Σₖ left[b, i, k] · right[b, k, j]`, k ascending.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MatMul {
    batch: Vec<Axis>,
    rows: Axis,
    columns: Axis,
    depth: Axis,
    lens: [usize; 3],
}

impl MatMul {
    /// From the axes: any number that count products, the left operand's rows, the right operand's columns, and what is summed over.
    ///
    /// # Errors
    /// [`ConvError::NotProduct`] if an operand has strides along the other's axis, the output along the depth, columns do not lie side by
    /// side in the output, or the output's axes are not those of one tensor without gaps; [`ConvError::TooLarge`].
    pub fn new(batch: &[Axis], [rows, columns, depth]: [Axis; 3]) -> Result<MatMul, ConvError> {
        let one_sided = rows.right == 0 && columns.left == 0 && depth.output == 0;
        if !one_sided || columns.size > 1 && columns.output != 1 {
            return Err(ConvError::NotProduct);
        }
        let all = || batch.iter().chain([&rows, &columns, &depth]);
        let outputs = || batch.iter().chain([&rows, &columns]);
        let count = product(outputs().map(|axis| axis.size))?;
        product(all().map(|axis| axis.size).filter(|size| *size > 0))?;
        // What tasks rely on: no two places are one element, and every element is a place.
        let mut dense = 1;
        let mut placed = 0;
        let long = || outputs().filter(|axis| axis.size > 1);
        while count > 0
            && let Some(axis) = long().find(|axis| axis.output == dense)
        {
            (dense, placed) = (dense * axis.size, placed + 1);
        }
        if count > 0 && placed < long().count() {
            return Err(ConvError::NotProduct);
        }
        let span = |stride: fn(&Axis) -> usize| {
            all().try_fold(1usize, |len, axis| {
                let last = axis.size.saturating_sub(1).checked_mul(stride(axis));
                last.and_then(|last| len.checked_add(last))
            })
        };
        let spans = (span(|axis| axis.left), span(|axis| axis.right));
        let (Some(left), Some(right)) = spans else {
            return Err(ConvError::TooLarge);
        };
        let read = |len| {
            if count == 0 || depth.size == 0 {
                0
            } else {
                len
            }
        };
        Ok(MatMul {
            batch: batch.to_vec(),
            rows,
            columns,
            depth,
            lens: [read(left), read(right), count],
        })
    }

    /// Multiply-adds.
    #[must_use]
    pub fn macs(&self) -> usize {
        self.lens[2].saturating_mul(self.depth.size)
    }

    /// Columns of a product, which are the elements of a row of the output.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.size
    }

    /// Computes all products.
    ///
    /// # Errors
    /// [`ConvError::Length`] if an operand ends before the last element that is read, or the output has not as many as there are sums.
    pub fn run(
        &self,
        isa: Isa,
        operands: [&[f32]; 2],
        output: &mut [f32],
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        self.compute(isa, operands, output, workers, None)
    }

    /// The same, and then calls `finish` with whole rows of the output, one or several that lie side by side, as soon as their sums are
    /// there, while they are in the cache still. Each row is in one call.
    ///
    /// # Errors
    /// As [`MatMul::run`].
    pub fn run_rows(
        &self,
        isa: Isa,
        operands: [&[f32]; 2],
        output: &mut [f32],
        workers: &dyn Workers,
        finish: &Finish,
    ) -> Result<(), ConvError> {
        self.compute(isa, operands, output, workers, Some(finish))
    }

    fn compute(
        &self,
        isa: Isa,
        [left, right]: [&[f32]; 2],
        output: &mut [f32],
        workers: &dyn Workers,
        finish: Option<&Finish>,
    ) -> Result<(), ConvError> {
        let lens = [left.len(), right.len(), output.len()];
        let what = ["the left operand", "the right operand", "the output"];
        for (i, what) in what.into_iter().enumerate() {
            let (got, want) = (lens[i], self.lens[i]);
            if got < want || i == 2 && got > want {
                return Err(ConvError::Length { what, got, want });
            }
        }
        if output.is_empty() || self.depth.size == 0 {
            output.fill(0.0);
            if let Some(finish) = finish
                && !output.is_empty()
            {
                finish(output);
            }
            return Ok(());
        }
        let of = Shared {
            isa,
            matmul: self,
            left,
            right,
            output: SharedSlice::new(output),
            finish,
            epilogue: Epilogue {
                activation: Activation::None.prepare(),
                residual: Residual::None,
                line: None,
                requantize: None,
            },
        };
        let threads = threads_for(self.macs(), GEMM_MACS_PER_NS, workers);
        let batches = self.batch.iter().map(|axis| axis.size).product();
        let panels = panels(isa.lanes(), self.columns.size);
        let strips = self.rows.size.div_ceil(tile_rows(isa.registers()));
        let tasks = tasks_for(threads).min(batches);
        if tasks == tasks_for(threads) {
            // Whole products: nothing is packed twice.
            let task = |i: usize| {
                of.with_scratch(|mut scratch| {
                    for batch in piece(i, tasks, batches) {
                        of.part(batch, 0..panels, 0..strips, &mut scratch);
                    }
                });
            };
            run_tasks(threads, tasks, &task, workers);
        } else {
            // Rows that something follows on belong to one task.
            let together = if finish.is_some() { panels } else { 1 };
            let split = Split::new(batches, panels / together, strips, threads);
            let task = |i: usize| {
                let (batch, parts, strips) = split.task(i);
                let panels = parts.start * together..parts.end * together;
                of.with_scratch(|mut scratch| of.part(batch, panels, strips, &mut scratch));
            };
            run_tasks(threads, split.tasks(), &task, workers);
        }
        Ok(())
    }

    /// Where product `i` begins in the left operand, the right one and the output.
    fn starts(&self, i: usize) -> [usize; 3] {
        let mut rest = i;
        let mut starts = [0; 3];
        for axis in self.batch.iter().rev() {
            let at = rest % axis.size;
            rest /= axis.size;
            starts[0] += at * axis.left;
            starts[1] += at * axis.right;
            starts[2] += at * axis.output;
        }
        starts
    }
}

/// What all tasks of a call see.
struct Shared<'a> {
    isa: Isa,
    matmul: &'a MatMul,
    left: &'a [f32],
    right: &'a [f32],
    output: SharedSlice<'a, f32>,
    finish: Option<&'a Finish<'a>>,
    epilogue: Epilogue,
}

/// Where a task packs its operands.
struct Packed<'a> {
    strips: &'a mut [f32],
    panel: &'a mut [f32],
}

/// Every column starts from zero.
static ZEROS: [f32; PANEL_VECTORS * 16] = [0.0; PANEL_VECTORS * 16];

impl Shared<'_> {
    fn with_scratch(&self, work: impl FnOnce(Packed)) {
        let lanes = self.isa.lanes();
        let (depth, rows) = (self.matmul.depth.size, self.matmul.rows.size);
        let strips = Strips::new(self.isa, depth, rows).packed_len();
        let panel = depth.next_multiple_of(lanes) * PANEL_VECTORS * lanes;
        let bytes = bytes_for::<f32>(strips) + bytes_for::<f32>(panel);
        scratch::with(bytes, |mut scratch: Scratch| {
            work(Packed {
                strips: scratch.take(strips),
                panel: scratch.take(panel),
            });
        });
    }

    /// Some panels of columns in some strips of rows of one product.
    fn part(&self, batch: usize, panels: Range<usize>, strips: Range<usize>, to: &mut Packed) {
        let (isa, MatMul { rows, depth, .. }) = (self.isa, self.matmul);
        let [left, right, output] = self.matmul.starts(batch);
        let tall = tile_rows(isa.registers());
        let first = strips.start * tall;
        let last = rows.size.min(strips.end * tall);
        let left = &self.left[left + first * rows.left..];
        for chunk in Strips::new(isa, depth.size, last - first).chunks() {
            let from = &left[chunk.rows.start * rows.left..];
            chunk.pack_from(isa, from, [rows.left, depth.left], to.strips);
            for panel in panels.clone() {
                let panel = self.panel(&self.right[right..], panel, to.panel);
                let product = Product {
                    isa,
                    strips: &chunk,
                    packed: to.strips,
                    target: Target {
                        output: &self.output,
                        first: output + first * rows.output,
                        residual: None,
                        pitch: rows.output,
                        epilogue: &self.epilogue,
                    },
                };
                product.panel(&panel, 0..chunk.count);
            }
            if let Some(finish) = self.finish {
                self.finish(output + first * rows.output, chunk.rows.clone(), finish);
            }
        }
    }

    /// These rows of the product whose first is at `start`, all of whose columns are there.
    fn finish(&self, start: usize, of: Range<usize>, finish: &Finish) {
        let MatMul { rows, columns, .. } = self.matmul;
        let together = rows.output == columns.size;
        let (runs, len) = match together {
            true => (of.start..of.start + 1, of.len() * columns.size),
            false => (of, columns.size),
        };
        for row in runs {
            let first = start + row * rows.output;
            // SAFETY: rows belong to one task each, which is done with these.
            #[allow(unsafe_code)]
            let run = unsafe { self.output.part(first..first + len) };
            finish(run);
        }
    }

    /// Packs a panel of the matrix that begins at `right`.
    fn panel<'p>(&self, right: &[f32], i: usize, to: &'p mut [f32]) -> Panel<'p> {
        let MatMul { columns, depth, .. } = self.matmul;
        let lanes = self.isa.lanes();
        let vectors = panel_of(lanes, columns.size, i);
        let (first, width) = (vectors.start * lanes, vectors.len() * lanes);
        let end = columns.size.min(first + width);
        self.isa.run(Pack {
            from: &right[first * columns.right..],
            lane: columns.right,
            step: depth.right,
            lanes: end - first,
            depth: depth.size,
            width,
            to,
        });
        Panel {
            columns: first..end,
            width,
            weights: &to[..depth.size * width],
            bias: &ZEROS[..width],
        }
    }
}
