//! Any kernel, stride and dilation, through a padded copy of a band of rows.
//! Given: the planes of a task, and bands.
//! Promise: taps read whole vectors of the copy, whatever the stride.

use onnx_swish_simd::{Kernel, Simd};

use super::Planes;
use crate::Isa;
use crate::epilogue::Epilogue;
use crate::geometry::{Frame, Window};
use crate::padded::PaddedBand;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::L1_COPY;

/// Output rows that are computed together.
const ROWS_AT_ONCE: usize = 4;

/// Bands of a plane.
#[derive(Debug)]
pub(super) struct Bands {
    copy: PaddedBand,
    /// Elements of the copy, and of rows and vectors that run over its end.
    len: usize,
}

impl Bands {
    /// Bands whose copies stay in a first-level cache, if rows are not too wide for that.
    pub(super) fn new(isa: Isa, window: &Window, frame: &Frame) -> Bands {
        let lanes = isa.lanes();
        let pitch = (frame.output[1] + window.beyond(1)).next_multiple_of(lanes);
        let row = window.stride[0] * window.stride[1] * pitch * size_of::<f32>();
        let rows = (L1_COPY / row)
            .saturating_sub(window.beyond(0))
            .max(2 * ROWS_AT_ONCE)
            .min(frame.output[0]);
        let copy = PaddedBand::new(window, frame, pitch, rows);
        Bands {
            len: copy.len + ROWS_AT_ONCE * pitch + lanes + window.beyond(1),
            copy,
        }
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<f32>(self.len)
    }
}

/// Computes the planes of a task.
pub(super) fn compute(planes: Planes, bands: &Bands, mut scratch: Scratch) {
    let padded = scratch.take::<f32>(bands.len);
    let over_the_end = ROWS_AT_ONCE * bands.copy.pitch + planes.conv.isa.lanes();
    assert!(padded.len() >= bands.copy.len + over_the_end);
    planes.conv.isa.run(Banded {
        planes,
        band: &bands.copy,
        padded,
    });
}

/// The planes of a task, a band at a time.
struct Banded<'a> {
    planes: Planes<'a>,
    band: &'a PaddedBand,
    padded: &'a mut [f32],
}

impl Kernel for Banded<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Banded {
            mut planes,
            band,
            padded,
        } = self;
        let frame = planes.frame;
        let output = std::mem::take(&mut planes.output);
        let mut sums = planes.sums.take().unwrap_or_default().iter_mut();
        // Copies leave the padding columns alone: they are cleared once for all planes.
        padded.fill(0.0);
        for (i, output) in output.chunks_exact_mut(frame.output_area()).enumerate() {
            let (input, weights, bias) = planes.of_plane(i);
            let mut total = s.splat(0.0);
            let bands = output.chunks_mut(band.outputs * frame.output[1]);
            for (number, rows) in bands.enumerate() {
                let first = number * band.outputs;
                let count = rows.len() / frame.output[1];
                band.copy(s, input, first..first + count, padded);
                let tiles = Tiles {
                    band,
                    padded,
                    weights,
                    bias,
                    epilogue: &planes.conv.epilogue,
                };
                tiles.compute(s, rows, frame.output[1], &mut total);
            }
            if let Some(sum) = sums.next() {
                *sum = s.sum(total);
            }
        }
    }
}

/// A band of one plane, computed for [`ROWS_AT_ONCE`] rows by one vector of columns at a time.
struct Tiles<'a> {
    band: &'a PaddedBand,
    /// The copy.
    padded: &'a [f32],
    weights: &'a [f32],
    bias: f32,
    epilogue: &'a Epilogue,
}

impl Tiles<'_> {
    /// Writes `rows`, each `width` elements long, and adds them to `total`.
    #[inline(always)]
    fn compute<S: Simd>(&self, s: S, rows: &mut [f32], width: usize, total: &mut S::V) {
        let count = rows.len() / width;
        assert_eq!(rows.len(), count * width);
        let to = rows.as_mut_ptr();
        for y in (0..count).step_by(ROWS_AT_ONCE) {
            for x in (0..width).step_by(S::LANES) {
                // SAFETY: the furthest load starts at the last tap's offset for output (y, x): below all phase planes' end by
                // less than the overrun `Bands` added.
                let mut sums = [unsafe { self.sums(s, y * self.band.pitch + x) }];
                self.epilogue.apply(s, &mut sums);
                let lanes = s.lanes(0, width - x);
                for (i, v) in sums[0].into_iter().enumerate() {
                    if y + i < count {
                        // SAFETY: row `y + i` exists, and the mask ends with it.
                        unsafe {
                            let to = to.add((y + i) * width + x);
                            if x + S::LANES <= width {
                                s.store(to, v)
                            } else {
                                s.store_lanes(to, v, lanes)
                            }
                        }
                        *total = s.add(*total, s.keep(v, lanes));
                    }
                }
            }
        }
    }

    /// Rows of sums, one vector each, for any kernel, stride and dilation.
    ///
    /// # Safety
    /// The copy must hold a vector at every tap's offset from each of the rows' positions, the first of which is `at`.
    #[inline(always)]
    unsafe fn sums<S: Simd>(&self, s: S, at: usize) -> [S::V; ROWS_AT_ONCE] {
        let pitch = self.band.pitch;
        let mut sums = [s.splat(self.bias); ROWS_AT_ONCE];
        for (offset, weight) in self.band.taps.iter().zip(self.weights) {
            let weight = s.splat(*weight);
            let from = at + offset;
            debug_assert!(from + (ROWS_AT_ONCE - 1) * pitch + S::LANES <= self.padded.len());
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises the vector.
                let v = unsafe { s.load(self.padded.as_ptr().add(from + i * pitch)) };
                *sum = s.mul_add(v, weight, *sum);
            }
        }
        sums
    }
}
