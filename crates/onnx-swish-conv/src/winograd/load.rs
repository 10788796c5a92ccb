//! Input on its way in: padded, split into planes, transformed.
//! Given: the channels of one image, and a part of its tiles.
//! Promise: for each point, panels of one vector after the other for each channel, as register tiles read them.

use std::ops::Range;

use onnx_swish_simd::{Kernel, Simd};

use super::plan::{Part, Plan};
use super::transform::{self, OUT, TileSize};
use crate::channels::Channels;
use crate::gemm::PANEL_VECTORS;
use crate::padded::copy_line;
use crate::shared::SharedSlice;

/// Transforms some channels of a part, whose tiles have so many outputs and inputs along each axis.
pub(super) struct Load<'a, const OY: usize, const IY: usize, const OX: usize, const IX: usize> {
    pub plan: &'a Plan,
    pub part: &'a Part,
    /// Each `[height][width]`.
    pub channels: Channels<'a>,
    /// The number of the first.
    pub first: usize,
    /// A row of a channel with its padding.
    pub line: &'a mut [f32],
    /// The planes of one channel.
    pub planes: &'a mut [f32],
    /// `[point][panel][channel][PANEL_VECTORS vectors]`, of which nobody else has these channels.
    pub inputs: &'a SharedSlice<'a, f32>,
}

impl<'a, const OY: usize, const IY: usize, const OX: usize, const IX: usize> Kernel
    for Load<'a, OY, IY, OX, IX>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (plan, part) = (self.plan, self.part);
        let (rows, columns) = (part.rows.len(), part.columns.len());
        let vectors = plan.vectors(part);
        // What the unsafe code below relies on.
        let tile = TileSize {
            outs: [OY, OX],
            ins: [IY, IX],
        };
        assert!(plan.tile == tile && (OX == 1 && IX == 1 || OX == OUT && IX > 1));
        let [below, behind] = [tile.beyond(0), tile.beyond(1)];
        assert!(behind < S::LANES);
        assert!(self.line.len() >= OX * (columns + behind).next_multiple_of(S::LANES));
        assert!(plan.plane >= (rows + below) * columns + S::LANES);
        assert!(self.planes.len() >= tile.planes() * plan.plane);
        let channels = self.first + self.channels.len();
        assert!(plan.panel == PANEL_VECTORS * S::LANES && plan.panel_step >= channels * plan.panel);
        assert!(plan.input_step >= vectors.div_ceil(PANEL_VECTORS) * plan.panel_step);
        assert!(self.inputs.len() >= plan.inputs());
        // Rows leave the padding columns alone: they are cleared once for all.
        self.line.fill(0.0);
        let stretches = self.channels.stretches();
        let planes = |(channels, elements): (Range<usize>, &'a [f32])| {
            channels.zip(elements.chunks_exact(plan.frame.input_area()))
        };
        for (channel, plane) in stretches.flat_map(planes) {
            self.split(s, plane);
            for v in 0..vectors {
                let (panel, v_of_panel) = (v / PANEL_VECTORS, v % PANEL_VECTORS);
                let channel = self.first + channel;
                let to = panel * plan.panel_step + channel * plan.panel + v_of_panel * S::LANES;
                self.transform(s, v * S::LANES, to);
            }
        }
    }
}

impl<const OY: usize, const IY: usize, const OX: usize, const IX: usize> Load<'_, OY, IY, OX, IX> {
    /// Brings the rows that the part reads to the planes. Whole vectors go to rows that may be shorter; what is too much is where the
    /// next row goes, which comes later, or behind the last.
    #[inline(always)]
    fn split<S: Simd>(&mut self, s: S, channel: &[f32]) {
        let [height, width] = self.plan.frame.input;
        let [pad_y, pad_x] = self.plan.frame.pad;
        let (rows, columns) = (self.part.rows.len(), self.part.columns.len());
        // Padded columns that the part reads, and those of them that the input has.
        let first = self.part.columns.start * OX;
        let from = first.max(pad_x);
        let to = (first + columns * OX + (IX - OX)).min(pad_x + width);
        for u in 0..rows * OY + (IY - OY) {
            let at = u % OY * IX * self.plan.plane + u / OY * columns;
            let y = (self.part.rows.start * OY + u).wrapping_sub(pad_y);
            if y < height && from < to {
                let row = &channel[y * width..][from - pad_x..to - pad_x];
                copy_line(s, row, &mut self.line[from - first..to - first]);
                self.split_line(s, at, columns);
            } else {
                for column in 0..IX {
                    self.planes[at + column * self.plan.plane..][..columns].fill(0.0);
                }
            }
        }
    }

    /// Brings the line to the planes of its columns, from `at` on in the first.
    #[inline(always)]
    fn split_line<S: Simd>(&mut self, s: S, at: usize, columns: usize) {
        if OX == 1 {
            let line = &self.line[..columns];
            return copy_line(s, line, &mut self.planes[at..][..columns]);
        }
        let line = self.line.as_ptr();
        let to = self.planes.as_mut_ptr().wrapping_add(at);
        // The last columns of a tile are the first ones of the next tile, or of the one after that.
        let behind = (IX - 1) / OX;
        // SAFETY: `run` asserted that the line has four vectors from any multiple of LANES up to `columns`.
        let mut here = unsafe { by_fours(s, line) };
        for t in (0..columns).step_by(S::LANES) {
            let next = if t + S::LANES < columns + behind {
                // SAFETY: as above, up to what is behind `columns`.
                unsafe { by_fours(s, line.add((t + S::LANES) * OUT)) }
            } else {
                here
            };
            unrolled!(i < IX, {
                let (phase, by) = (i % OUT, i / OUT);
                let column = if by == 0 {
                    here[phase]
                } else {
                    let (here, next) = (s.rotate(here[phase], by), s.rotate(next[phase], by));
                    s.select(s.lanes(0, S::LANES - by), here, next)
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
        let mut rows = [[s.splat(0.0); IX]; IY];
        unrolled!(j < IX, {
            let mut column = [s.splat(0.0); IY];
            unrolled!(i < IY, {
                let at = (i % OY * IX + j) * plane + i / OY * columns + t;
                // SAFETY: tile `t` is one of the part, and the rows below and a vector are in the plane, as `run` asserted.
                column[i] = unsafe { s.load(planes.add(at)) };
            });
            let column = transform::input(s, column);
            unrolled!(i < IY, {
                rows[i][j] = column[i];
            });
        });
        let to = self.inputs.start().wrapping_add(to);
        unrolled!(i < IY, {
            let points = transform::input(s, rows[i]);
            unrolled!(j < IX, {
                // SAFETY: each point has this panel and channel, as `run` asserted, and they are nobody else's.
                unsafe { s.store(to.add((i * IX + j) * self.plan.input_step), points[j]) };
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
