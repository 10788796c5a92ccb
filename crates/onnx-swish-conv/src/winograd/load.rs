//! Input on its way in: padded, split into planes, transformed.
//! Given: the channels of one image, and a part of its tiles.
//! Promise: for each point, panels of one vector after the other for each channel, as register tiles read them.

use onnx_swish_simd::{Kernel, Simd};

use super::plan::{PLANES, Part, Plan};
use super::transform::{self, IN, OUT};
use crate::gemm::PANEL_VECTORS;
use crate::padded::copy_line;

/// Transforms a part.
pub(super) struct Load<'a> {
    pub plan: &'a Plan,
    pub part: &'a Part,
    /// `[channel][height][width]`.
    pub image: &'a [f32],
    /// A row of a channel with its padding.
    pub line: &'a mut [f32],
    /// The planes of one channel.
    pub planes: &'a mut [f32],
    /// `[point][panel][channel][PANEL_VECTORS vectors]`.
    pub inputs: &'a mut [f32],
}

impl Kernel for Load<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (plan, part) = (self.plan, self.part);
        let (rows, columns) = (part.rows.len(), part.columns.len());
        let vectors = plan.vectors(part);
        // What the unsafe code below relies on.
        assert!(self.line.len() >= OUT * (columns + 1).next_multiple_of(S::LANES));
        assert!(plan.plane >= (rows + 1) * columns + S::LANES);
        assert!(self.planes.len() >= PLANES * plan.plane);
        let channels = self.image.len() / plan.frame.input_area();
        assert!(plan.panel == PANEL_VECTORS * S::LANES && plan.panel_step >= channels * plan.panel);
        assert!(plan.input_step >= vectors.div_ceil(PANEL_VECTORS) * plan.panel_step);
        assert!(self.inputs.len() >= plan.inputs());
        // Rows leave the padding columns alone: they are cleared once for all.
        self.line.fill(0.0);
        let image = self.image.chunks_exact(plan.frame.input_area());
        for (channel, plane) in image.enumerate() {
            self.split(s, plane);
            for v in 0..vectors {
                let (panel, v_of_panel) = (v / PANEL_VECTORS, v % PANEL_VECTORS);
                let to = panel * plan.panel_step + channel * plan.panel + v_of_panel * S::LANES;
                self.transform(s, v * S::LANES, to);
            }
        }
    }
}

impl Load<'_> {
    /// Brings the rows that the part reads to the planes. Whole vectors go to rows that may be shorter; what is too much is where the
    /// next row goes, which comes later, or behind the last.
    #[inline(always)]
    fn split<S: Simd>(&mut self, s: S, channel: &[f32]) {
        let [height, width] = self.plan.frame.input;
        let [pad_y, pad_x] = self.plan.frame.pad;
        let (rows, columns) = (self.part.rows.len(), self.part.columns.len());
        // Padded columns that the part reads, and those of them that the input has.
        let first = self.part.columns.start * OUT;
        let from = first.max(pad_x);
        let to = (first + columns * OUT + (IN - OUT)).min(pad_x + width);
        for u in 0..rows * OUT + (IN - OUT) {
            let at = u % OUT * IN * self.plan.plane + u / OUT * columns;
            let y = (self.part.rows.start * OUT + u).wrapping_sub(pad_y);
            if y < height && from < to {
                let row = &channel[y * width..][from - pad_x..to - pad_x];
                copy_line(s, row, &mut self.line[from - first..to - first]);
                self.split_line(s, at, columns);
            } else {
                for column in 0..IN {
                    self.planes[at + column * self.plan.plane..][..columns].fill(0.0);
                }
            }
        }
    }

    /// Brings the line to the six planes of its columns, from `at` on in the first.
    #[inline(always)]
    fn split_line<S: Simd>(&mut self, s: S, at: usize, columns: usize) {
        let line = self.line.as_ptr();
        let to = self.planes.as_mut_ptr().wrapping_add(at);
        let but_last = s.lanes(0, S::LANES - 1);
        // SAFETY: `run` asserted that the line has four vectors from any multiple of LANES up to `columns`.
        let mut here = unsafe { by_fours(s, line) };
        for t in (0..columns).step_by(S::LANES) {
            let next = if t + S::LANES <= columns {
                // SAFETY: as above.
                unsafe { by_fours(s, line.add((t + S::LANES) * OUT)) }
            } else {
                here
            };
            unrolled!(i < IN, {
                let column = if i < OUT {
                    here[i]
                } else {
                    // The last two columns of a tile are the first two of the next tile.
                    let (here, next) = (s.rotate(here[i % OUT], 1), s.rotate(next[i % OUT], 1));
                    s.select(but_last, here, next)
                };
                // SAFETY: `t < columns`, and behind each row's `columns` elements a plane has a vector, as `run` asserted.
                unsafe { s.store(to.add(i * self.plan.plane + t), column) };
            });
            here = next;
        }
    }

    /// Transforms the tiles of one vector, from tile `t` on.
    #[inline(always)]
    fn transform<S: Simd>(&mut self, s: S, t: usize, to: usize) {
        let (plane, columns) = (self.plan.plane, self.part.columns.len());
        let planes = self.planes.as_ptr();
        let mut rows = [[s.splat(0.0); IN]; IN];
        unrolled!(j < IN, {
            let mut column = [s.splat(0.0); IN];
            unrolled!(i < IN, {
                let at = (i % OUT * IN + j) * plane + i / OUT * columns + t;
                // SAFETY: tile `t` is one of the part, and its row below and a vector are in the plane, as `run` asserted.
                column[i] = unsafe { s.load(planes.add(at)) };
            });
            let column = transform::input(s, column);
            unrolled!(i < IN, {
                rows[i][j] = column[i];
            });
        });
        let to = self.inputs.as_mut_ptr().wrapping_add(to);
        unrolled!(i < IN, {
            let points = transform::input(s, rows[i]);
            unrolled!(j < IN, {
                // SAFETY: each point has this panel and channel, as `run` asserted.
                unsafe { s.store(to.add((i * IN + j) * self.plan.input_step), points[j]) };
            });
        });
    }
}

/// Four vectors of elements by their place modulo four.
///
/// # Safety
/// Four vectors can be read at `from`.
#[inline(always)]
unsafe fn by_fours<S: Simd>(s: S, from: *const f32) -> [S::V; OUT] {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = unsafe {
        [
            s.load(from),
            s.load(from.add(S::LANES)),
            s.load(from.add(2 * S::LANES)),
            s.load(from.add(3 * S::LANES)),
        ]
    };
    let (first_even, first_odd) = s.deinterleave(a, b);
    let (second_even, second_odd) = s.deinterleave(c, d);
    let (zeros, twos) = s.deinterleave(first_even, second_even);
    let (ones, threes) = s.deinterleave(first_odd, second_odd);
    [zeros, ones, twos, threes]
}
