//! Products on their way out: transformed, with what the convolution ends in.
//! Given: the products of one tile of output channels for a part.
//! Promise: bias, residual and activation are applied in f32 to each output once, on its way to the tensor; nothing outside of the part
//! is written.

use onnx_swish_simd::{Kernel, Simd};

use super::plan::{Part, Plan};
use super::transform::{self, OUT, TileSize};
use crate::epilogue::{Epilogue, Residual};

/// Finishes one tile of output channels; tiles have so many outputs and inputs along each axis.
///
/// Whoever makes one promises that the outputs of `bias.len()` channels of the part are writable from `output` on, by nobody else
/// meanwhile, and readable from `residual` on.
pub(super) struct Store<'a, const OY: usize, const IY: usize, const OX: usize, const IX: usize> {
    pub plan: &'a Plan,
    pub part: &'a Part,
    /// `[point][channel][tile]`.
    pub products: &'a [f32],
    /// One channel's outputs, `[row of a tile][tile][column of a tile]`.
    pub outputs: &'a mut [f32],
    /// One for each channel.
    pub bias: &'a [f32],
    /// The first channel's plane, and the others behind it.
    pub output: *mut f32,
    /// As the output.
    pub residual: Option<*const f32>,
    pub epilogue: &'a Epilogue,
}

impl<const OY: usize, const IY: usize, const OX: usize, const IX: usize> Kernel
    for Store<'_, OY, IY, OX, IX>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let plan = self.plan;
        let vectors = plan.vectors(self.part);
        // What the unsafe code below relies on.
        let tile = TileSize {
            outs: [OY, OX],
            ins: [IY, IX],
        };
        assert!(plan.tile == tile && (OX == 1 || OX == OUT));
        let row = plan.product_row;
        assert!(row >= vectors * S::LANES && plan.product_step >= self.bias.len() * row);
        assert!(self.products.len() >= IY * IX * plan.product_step);
        assert!(self.outputs.len() >= OY * OX * row);
        for (channel, bias) in self.bias.iter().enumerate() {
            for v in 0..vectors {
                self.transform(s, channel * row + v * S::LANES, v * S::LANES, *bias);
            }
            self.write_rows(s, channel);
        }
    }
}

impl<const OY: usize, const IY: usize, const OX: usize, const IX: usize> Store<'_, OY, IY, OX, IX> {
    /// Transforms the tiles of one vector of products and brings their columns in order.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, s: S, from: usize, tile: usize, bias: f32) {
        let products = self.products.as_ptr().wrapping_add(from);
        let mut rows = [[s.splat(0.0); IX]; OY];
        unrolled!(j < IX, {
            let mut column = [s.splat(0.0); IY];
            unrolled!(i < IY, {
                // SAFETY: each point has this channel and vector, as `run` asserted.
                column[i] = unsafe { s.load(products.add((i * IX + j) * self.plan.product_step)) };
            });
            let column: [S::V; OY] = transform::output(s, column);
            unrolled!(i < OY, {
                rows[i][j] = column[i];
            });
        });
        let bias = s.splat(bias);
        let to = self.outputs.as_mut_ptr().wrapping_add(OX * tile);
        unrolled!(i < OY, {
            let mut columns: [S::V; OX] = transform::output(s, rows[i]);
            unrolled!(j < OX, {
                columns[j] = s.add(columns[j], bias);
            });
            if OX == OUT {
                let (even_low, even_high) = s.interleave(columns[0], columns[2]);
                let (odd_low, odd_high) = s.interleave(columns[1], columns[3]);
                (columns[0], columns[1]) = s.interleave(even_low, odd_low);
                (columns[2], columns[3]) = s.interleave(even_high, odd_high);
            }
            unrolled!(v < OX, {
                // SAFETY: `OX` elements for each tile of each of `OY` rows, as `run` asserted.
                unsafe {
                    s.store(
                        to.add(i * OX * self.plan.product_row + v * S::LANES),
                        columns[v],
                    )
                };
            });
        });
    }

    /// Finishes the rows of one channel.
    #[inline(always)]
    fn write_rows<S: Simd>(&self, s: S, channel: usize) {
        let [height, width] = self.plan.frame.output;
        let first = self.part.columns.start * OX;
        let end = width.min(self.part.columns.end * OX);
        let columns = self.part.columns.len() * OX;
        for y in self.part.rows.start * OY..height.min(self.part.rows.end * OY) {
            let row = y / OY - self.part.rows.start;
            let from = y % OY * OX * self.plan.product_row + row * columns;
            let row = &self.outputs[from..][..end - first];
            self.write(s, row, (channel * height + y) * width + first);
        }
    }

    /// Finishes a piece of a row that goes to `at` in the tensor.
    #[inline(always)]
    fn write<S: Simd>(&self, s: S, row: &[f32], at: usize) {
        let mut x = 0;
        while x + VECTORS * S::LANES <= row.len() {
            // SAFETY: the row has so many elements from here on.
            unsafe { self.write_vectors::<S, VECTORS>(s, row, x, at) };
            x += VECTORS * S::LANES;
        }
        while x + S::LANES <= row.len() {
            // SAFETY: as above.
            unsafe { self.write_vectors::<S, 1>(s, row, x, at) };
            x += S::LANES;
        }
        if x == row.len() {
            return;
        }
        if row.len() >= S::LANES {
            // The last vector moves back over its neighbour, so that it is a whole one: the same numbers once more.
            // SAFETY: as above.
            unsafe { self.write_vectors::<S, 1>(s, row, row.len() - S::LANES, at) };
        } else {
            self.write_few(s, row, at);
        }
    }

    /// # Safety
    /// The row has `N` vectors from `x` on.
    #[inline(always)]
    unsafe fn write_vectors<S: Simd, const N: usize>(
        &self,
        s: S,
        row: &[f32],
        x: usize,
        at: usize,
    ) {
        debug_assert!(x + N * S::LANES <= row.len());
        let place = |v: usize| x + v * S::LANES;
        let mut sums = [[s.splat(0.0); N]];
        let mut residual = [s.splat(0.0); N];
        unrolled!(v < N, {
            // SAFETY: the caller's promise.
            sums[0][v] = unsafe { s.load(row.as_ptr().add(place(v))) };
            if let Some(from) = self.residual {
                // SAFETY: the promise of `Store`.
                residual[v] = unsafe { s.load(from.wrapping_add(at + place(v))) };
            }
        });
        self.finish(s, &mut sums, residual);
        unrolled!(v < N, {
            // SAFETY: the promise of `Store`.
            unsafe { s.store(self.output.wrapping_add(at + place(v)), sums[0][v]) };
        });
    }

    /// A row of less than a vector.
    #[inline(always)]
    fn write_few<S: Simd>(&self, s: S, row: &[f32], at: usize) {
        let lanes = s.lanes(0, row.len());
        // SAFETY: no lane beyond the row, which the output and the residual have too by the promise of `Store`.
        unsafe {
            let mut sums = [[s.load_lanes(row.as_ptr(), lanes)]];
            let residual = match self.residual {
                Some(from) => s.load_lanes(from.wrapping_add(at), lanes),
                None => s.splat(0.0),
            };
            self.finish(s, &mut sums, [residual]);
            let [[sum]] = sums;
            s.store_lanes(self.output.wrapping_add(at), sum, lanes);
        }
    }

    /// The epilogue. Without a residual its place is nowhere.
    #[inline(always)]
    fn finish<S: Simd, const N: usize>(
        &self,
        s: S,
        sums: &mut [[S::V; N]; 1],
        residual: [S::V; N],
    ) {
        if self.epilogue.residual == Residual::BeforeActivation {
            add(s, sums, &residual);
        }
        self.epilogue.activate(s, sums);
        if self.epilogue.residual == Residual::AfterActivation {
            add(s, sums, &residual);
        }
        if self.epilogue.residual == Residual::Factor {
            unrolled!(v < N, {
                sums[0][v] = s.mul(sums[0][v], residual[v]);
            });
        }
        self.epilogue.requantize(s, sums);
    }
}

#[inline(always)]
fn add<S: Simd, const N: usize>(s: S, sums: &mut [[S::V; N]; 1], residual: &[S::V; N]) {
    unrolled!(v < N, {
        sums[0][v] = s.add(sums[0][v], residual[v]);
    });
}

/// Vectors that are finished together: an activation of one alone waits for its own steps.
const VECTORS: usize = 4;
