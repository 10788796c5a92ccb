//! Blocks of rows and vectors for kernels of any size, as many sums at once as an instruction set has registers for.
//! Given: a padded copy of a band of rows, split by stride.
//! Promise: an input vector that is loaded counts for up to four taps, and a weight for all sums of a block; the taps of a sum are added in
//! an order that does not depend on the block.
//!
//! A vector that one tap of a sum meets is met by the next tap of the sum before. So a block slides: along rows, where the tap below meets
//! it a row further up, or, with kernels of one row, along the row, where the tap a whole vector further meets it a vector further left.
//!
//! With strides each phase of the copy has a kernel of its own, of every other tap, and stride 1.

use onnx_swish_simd::Simd;

use crate::Window;
use crate::epilogue::Epilogue;
use crate::padded::PaddedBand;

/// Rows, or vectors, of the tallest and the widest block: as many sums keep two multipliers of four steps busy.
pub(super) const MOST: usize = 8;

/// Whether blocks compute a window.
pub(super) fn covers(window: &Window) -> bool {
    window.dilation == [1, 1]
}

/// A band of one plane.
pub(super) struct Band<'a> {
    pub copy: &'a PaddedBand,
    /// The copy, and room behind it for [`MOST`] rows and as many vectors.
    pub padded: &'a [f32],
    pub weights: &'a [f32],
    pub bias: f32,
    pub window: &'a Window,
    pub epilogue: &'a Epilogue,
}

/// The kernel of one phase.
#[derive(Clone, Copy)]
struct Phase {
    /// Where its plane of the copy begins.
    plane: usize,
    /// Where the first weight is.
    weight: usize,
    rows: usize,
    columns: usize,
}

/// What is how far apart, in elements.
#[derive(Clone, Copy)]
struct Steps {
    /// Vectors along which a block slides.
    slide: usize,
    /// Vectors beside each other.
    side: usize,
    /// Weights of taps that are a step apart along which the block slides.
    weight: usize,
}

impl Band<'_> {
    /// Writes `rows`, each `width` elements long, and adds them to `total`, if that is wanted.
    #[inline(always)]
    pub(super) fn compute<S: Simd>(
        &self,
        s: S,
        rows: &mut [f32],
        width: usize,
        total: Option<&mut S::V>,
    ) {
        let count = rows.len() / width;
        // What the unsafe code relies on: a block starts in one of the band's rows and columns, and may reach beyond them.
        let reach = (MOST - 1) * self.copy.pitch + MOST * S::LANES;
        assert!(self.padded.len() >= self.copy.len + reach && rows.len() == count * width);
        assert!(self.copy.outputs >= count && self.weights.len() == self.window.taps());
        assert!(self.copy.pitch >= width + self.window.beyond(1));
        let vectors = width.div_ceil(S::LANES);
        macro_rules! blocks {
            ($sides:literal, $slides:literal, $line:literal) => {
                self.blocks::<S, $sides, $slides, $line>(s, rows, width, total)
            };
        }
        if self.window.kernel[0] == 1 {
            match (vectors, count) {
                (..=2, 3..) => blocks!(4, 2, true),
                (..=4, 2..) => blocks!(2, 4, true),
                _ => blocks!(1, 8, true),
            }
        } else if vectors > 1 && count <= 4 {
            blocks!(2, 4, false)
        } else {
            blocks!(1, 8, false)
        }
    }

    /// All rows by blocks of `SIDES` by `SLIDES` vectors: these are vectors of a row if the kernel is a `LINE`, else rows.
    #[inline(always)]
    fn blocks<S: Simd, const SIDES: usize, const SLIDES: usize, const LINE: bool>(
        &self,
        s: S,
        rows: &mut [f32],
        width: usize,
        mut total: Option<&mut S::V>,
    ) {
        let count = rows.len() / width;
        let (high, wide) = if LINE {
            (SIDES, SLIDES)
        } else {
            (SLIDES, SIDES)
        };
        for y in (0..count).step_by(high) {
            for next in (0..width).step_by(wide * S::LANES) {
                // The last block of a row moves back over its neighbour, so that its vectors can be stored whole.
                let x = next.min(width.saturating_sub(wide * S::LANES));
                // SAFETY: row `y` and column `x` are the band's, and `compute` asserted what blocks need.
                let mut sums = unsafe { self.sums::<S, SIDES, SLIDES, LINE>(s, y, x) };
                self.epilogue.apply(s, &mut sums);
                let to = rows.as_mut_ptr();
                // What nearly all blocks are is found out once for all their vectors.
                if y + high <= count && x + wide * S::LANES <= width {
                    unrolled!(side < SIDES, of 4, {
                        unrolled!(slide < SLIDES, of 8, {
                            let (r, v) = if LINE { (side, slide) } else { (slide, side) };
                            let at = (y + r) * width + x + v * S::LANES;
                            // SAFETY: all rows and vectors of the block are the band's.
                            unsafe { s.store(to.add(at), sums[side][slide]) };
                        });
                    });
                } else {
                    unrolled!(side < SIDES, of 4, {
                        unrolled!(slide < SLIDES, of 8, {
                            let (r, v) = if LINE { (side, slide) } else { (slide, side) };
                            let at = x + v * S::LANES;
                            if y + r < count && at < width {
                                // SAFETY: row `y + r` has these elements.
                                unsafe {
                                    let to = to.add((y + r) * width + at);
                                    if at + S::LANES <= width {
                                        s.store(to, sums[side][slide]);
                                    } else {
                                        let lanes = s.lanes(0, width - at);
                                        s.store_lanes(to, sums[side][slide], lanes);
                                    }
                                }
                            }
                        });
                    });
                }
                if let Some(total) = &mut total {
                    unrolled!(side < SIDES, of 4, {
                        unrolled!(slide < SLIDES, of 8, {
                            let (r, v) = if LINE { (side, slide) } else { (slide, side) };
                            let at = x + v * S::LANES;
                            if y + r < count && at < width {
                                let fresh = s.lanes(next.saturating_sub(at), width - at);
                                **total = s.add(**total, s.keep(sums[side][slide], fresh));
                            }
                        });
                    });
                }
            }
        }
    }

    /// The sums of a block.
    ///
    /// # Safety
    /// Row `y` and column `x` are outputs of the band, and `compute` asserted the rest.
    #[inline(always)]
    unsafe fn sums<S: Simd, const SIDES: usize, const SLIDES: usize, const LINE: bool>(
        &self,
        s: S,
        y: usize,
        x: usize,
    ) -> [[S::V; SLIDES]; SIDES] {
        let Window { kernel, stride, .. } = *self.window;
        let pitch = self.copy.pitch;
        let mut sums = [[s.splat(self.bias); SLIDES]; SIDES];
        for phase_y in 0..stride[0].min(kernel[0]) {
            for phase_x in 0..stride[1].min(kernel[1]) {
                let plane = (phase_y * stride[1] + phase_x) * self.copy.plane();
                let phase = Phase {
                    plane: plane + y * pitch + x,
                    weight: phase_y * kernel[1] + phase_x,
                    rows: (kernel[0] - phase_y).div_ceil(stride[0]),
                    columns: (kernel[1] - phase_x).div_ceil(stride[1]),
                };
                if LINE {
                    let steps = Steps {
                        slide: S::LANES,
                        side: pitch,
                        weight: S::LANES * stride[1],
                    };
                    for first in (0..phase.columns).step_by(4 * S::LANES) {
                        for tap in first..phase.columns.min(first + S::LANES) {
                            let taps = (phase.columns - tap).div_ceil(S::LANES);
                            let weight = phase.weight + tap * stride[1];
                            // SAFETY: the caller's promise; so many taps from here on are the kernel's.
                            unsafe {
                                self.add(s, phase.plane + tap, weight, taps, steps, &mut sums);
                            }
                        }
                    }
                } else {
                    let steps = Steps {
                        slide: pitch,
                        side: S::LANES,
                        weight: stride[0] * kernel[1],
                    };
                    for first in (0..phase.rows).step_by(4) {
                        let from = phase.plane + first * pitch;
                        let weight = phase.weight + first * steps.weight;
                        for tap in 0..phase.columns {
                            let weight = weight + tap * stride[1];
                            // SAFETY: as above.
                            unsafe {
                                let taps = phase.rows - first;
                                self.add(s, from + tap, weight, taps, steps, &mut sums);
                            }
                        }
                    }
                }
            }
        }
        sums
    }

    /// Adds the products of up to four taps that are a step apart along which the block slides.
    ///
    /// # Safety
    /// As above.
    #[inline(always)]
    unsafe fn add<S: Simd, const SIDES: usize, const SLIDES: usize>(
        &self,
        s: S,
        from: usize,
        weight: usize,
        taps: usize,
        steps: Steps,
        sums: &mut [[S::V; SLIDES]; SIDES],
    ) {
        let from = self.padded.as_ptr().wrapping_add(from);
        let weight = self.weights.as_ptr().wrapping_add(weight);
        // SAFETY: the caller's promise.
        unsafe {
            match taps {
                1 => add_taps::<S, SIDES, SLIDES, 1>(s, from, weight, steps, sums),
                2 => add_taps::<S, SIDES, SLIDES, 2>(s, from, weight, steps, sums),
                3 => add_taps::<S, SIDES, SLIDES, 3>(s, from, weight, steps, sums),
                _ => add_taps::<S, SIDES, SLIDES, 4>(s, from, weight, steps, sums),
            }
        }
    }
}

/// Adds the products of `TAPS` taps.
///
/// # Safety
/// The block's vectors and those that its last ones slide to can be read from `from` on, and the weights from `weight` on.
#[inline(always)]
unsafe fn add_taps<S: Simd, const SIDES: usize, const SLIDES: usize, const TAPS: usize>(
    s: S,
    from: *const f32,
    weight: *const f32,
    steps: Steps,
    sums: &mut [[S::V; SLIDES]; SIDES],
) {
    let mut weights = [s.splat(0.0); TAPS];
    unrolled!(t < TAPS, of 4, {
        // SAFETY: the caller's promise.
        weights[t] = s.splat(unsafe { *weight.wrapping_add(t * steps.weight) });
    });
    unrolled!(side < SIDES, of 4, {
        let from = from.wrapping_add(side * steps.side);
        unrolled!(q < SLIDES + TAPS - 1, {
            // SAFETY: the caller's promise.
            let input = unsafe { s.load(from.wrapping_add(q * steps.slide)) };
            unrolled!(t < TAPS, of 4, {
                if q >= t && q - t < SLIDES {
                    sums[side][q - t] = s.mul_add(weights[t], input, sums[side][q - t]);
                }
            });
        });
    });
}
