//! Any kernel, stride and dilation, through a padded copy of a band of rows.
//! Given: the planes of a task, and bands.
//! Promise: taps read whole vectors of the copy, whatever the stride; of the usual windows each vector is loaded once for all the
//! output rows that meet it.

use onnx_swish_simd::{Kernel, Simd};

use super::long;
use super::{Planes, direct};
use crate::Isa;
use crate::epilogue::Epilogue;
use crate::geometry::{Frame, Window};
use crate::padded::PaddedBand;
use crate::scratch::{Scratch, bytes_for};
use crate::tuning::L1_COPY;

/// The most output rows that are computed together. Image sizes of mobile networks are multiples of seven, and as many sums keep
/// two multipliers of four steps busy.
const ROWS_AT_ONCE: usize = 7;

/// Taps of the largest kernel that is unrolled.
const MOST_TAPS: usize = 7 * 7;

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
            .next_multiple_of(ROWS_AT_ONCE)
            .min(frame.output[0]);
        let copy = PaddedBand::new(window, frame, pitch, rows);
        Bands {
            len: copy.len + long::MOST * (pitch + lanes) + window.beyond(1),
            copy,
        }
    }

    /// Bytes that a task needs.
    pub(super) fn scratch(&self) -> usize {
        bytes_for::<f32>(self.len)
    }
}

/// Kernels that nothing is known of, as `K` of [`Banded`].
const ANY: usize = 0;
/// Those that `long` computes.
const LONG: usize = 1;

/// Whether `long` computes a window.
pub(super) fn is_long(window: &Window) -> bool {
    long::covers(window) && !direct::is_covered(window)
}

/// Computes the planes of a task.
pub(super) fn compute(planes: Planes, bands: &Bands, mut scratch: Scratch) {
    let padded = scratch.take::<f32>(bands.len);
    let over_the_end = ROWS_AT_ONCE * bands.copy.pitch + planes.conv.isa.lanes();
    assert!(padded.len() >= bands.copy.len + over_the_end);
    let window = planes.window;
    let (isa, kernel, stride) = (planes.conv.isa, window.kernel[0], window.stride[0]);
    macro_rules! banded {
        ($kernel:expr, $stride:literal, $rows:literal) => {
            isa.run(Banded::<{ $kernel }, $stride, $rows> {
                planes,
                band: &bands.copy,
                padded,
            })
        };
    }
    if is_long(window) {
        return banded!(LONG, 0, 1);
    }
    if !direct::is_covered(window) {
        return banded!(ANY, 0, 4);
    }
    match (kernel, stride) {
        (3, 1) => banded!(3, 1, 7),
        (5, 1) => banded!(5, 1, 7),
        (7, 1) => banded!(7, 1, 4),
        (3, _) => banded!(3, 2, 4),
        (5, _) => banded!(5, 2, 4),
        _ => banded!(7, 2, 2),
    }
}

/// The planes of a task, a band at a time and `R` rows together. The kernel is `K` by `K` with this stride and no dilation, unless `K`
/// is [`ANY`] or [`LONG`].
struct Banded<'a, const K: usize, const STRIDE: usize, const R: usize> {
    planes: Planes<'a>,
    band: &'a PaddedBand,
    padded: &'a mut [f32],
}

impl<const K: usize, const STRIDE: usize, const R: usize> Kernel for Banded<'_, K, STRIDE, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // The plan knows it; so the compiler has nothing to make of this on other sets.
        let others = K == ANY || K == LONG;
        assert!(others || !S::MASKED, "windows that `direct` computes");
        let Banded {
            mut planes,
            band,
            padded,
        } = self;
        let frame = planes.frame;
        let output = std::mem::take(&mut planes.output);
        let wanted = planes.sums.is_some();
        let mut sums = planes.sums.take().unwrap_or_default().iter_mut();
        // Copies leave the padding columns alone: they are cleared once for all planes.
        padded.fill(0.0);
        for (i, output) in output.chunks_exact_mut(frame.output_area()).enumerate() {
            let (input, weights, bias) = planes.of_plane(i);
            let splats = splats::<S, K>(s, weights);
            let mut total = s.splat(0.0);
            let bands = output.chunks_mut(band.outputs * frame.output[1]);
            for (number, rows) in bands.enumerate() {
                let first = number * band.outputs;
                let count = rows.len() / frame.output[1];
                band.copy(s, input, first..first + count, padded);
                if K == LONG {
                    let rows_of = long::Band {
                        copy: band,
                        padded,
                        weights,
                        bias,
                        window: planes.window,
                        epilogue: &planes.conv.epilogue,
                    };
                    let total = wanted.then_some(&mut total);
                    rows_of.compute(s, rows, frame.output[1], total);
                    continue;
                }
                let tiles = Tiles::<S, K, STRIDE, R> {
                    band,
                    padded,
                    weights,
                    splats: &splats,
                    bias: s.splat(bias),
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

/// The weights of a kernel that is unrolled, one in each register.
#[inline(always)]
pub(super) fn splats<S: Simd, const K: usize>(s: S, weights: &[f32]) -> [S::V; MOST_TAPS] {
    let mut splats = [s.splat(0.0); MOST_TAPS];
    macro_rules! each {
        ($taps:literal) => {{
            assert!(weights.len() >= $taps);
            // SAFETY: so many elements are there.
            splats[..$taps].copy_from_slice(&unsafe { s.splat_each::<$taps>(weights.as_ptr()) });
        }};
    }
    match K {
        3 => each!(9),
        5 => each!(25),
        7 => each!(49),
        _ => {}
    }
    splats
}

/// A band of one plane, computed for some rows by one vector of columns at a time.
struct Tiles<'a, S: Simd, const K: usize, const STRIDE: usize, const R: usize> {
    band: &'a PaddedBand,
    /// The copy.
    padded: &'a [f32],
    weights: &'a [f32],
    splats: &'a [S::V; MOST_TAPS],
    bias: S::V,
    epilogue: &'a Epilogue,
}

impl<S: Simd, const K: usize, const STRIDE: usize, const R: usize> Tiles<'_, S, K, STRIDE, R> {
    /// Writes `rows`, each `width` elements long, and adds them to `total`.
    #[inline(always)]
    fn compute(&self, s: S, rows: &mut [f32], width: usize, total: &mut S::V) {
        let count = rows.len() / width;
        assert_eq!(rows.len(), count * width);
        let to = rows.as_mut_ptr();
        for y in (0..count).step_by(R) {
            for next in (0..width).step_by(S::LANES) {
                // The last vector of a row moves back over its neighbour, so that it can be stored whole.
                let x = next.min(width.saturating_sub(S::LANES));
                let at = y * self.band.pitch + x;
                // SAFETY: the furthest load starts at the last tap's offset for the last of R rows: below all phase planes' end by
                // less than the overrun that `Bands` added.
                let sums = unsafe {
                    if K == ANY {
                        self.any(s, at)
                    } else {
                        self.square(s, at)
                    }
                };
                let mut sums = [sums];
                self.epilogue.apply(s, &mut sums);
                let [sums] = sums;
                let fresh = s.lanes(next - x, width - x);
                unrolled!(i < R, {
                    if y + i < count {
                        // SAFETY: row `y + i` exists, and the mask ends with it.
                        unsafe {
                            let to = to.add((y + i) * width + x);
                            if width >= S::LANES {
                                s.store(to, sums[i])
                            } else {
                                s.store_lanes(to, sums[i], fresh)
                            }
                        }
                        *total = s.add(*total, s.keep(sums[i], fresh));
                    }
                });
            }
        }
    }

    /// Rows of sums, one vector each, for any kernel, stride and dilation.
    ///
    /// # Safety
    /// The copy must hold a vector at every tap's offset from each of the rows' positions, the first of which is `at`.
    #[inline(always)]
    unsafe fn any(&self, s: S, at: usize) -> [S::V; R] {
        let pitch = self.band.pitch;
        let mut sums = [self.bias; R];
        for (offset, weight) in self.band.taps.iter().zip(self.weights) {
            let weight = s.splat(*weight);
            let from = at + offset;
            debug_assert!(from + (R - 1) * pitch + S::LANES <= self.padded.len());
            for (i, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller promises the vector.
                let v = unsafe { s.load(self.padded.as_ptr().add(from + i * pitch)) };
                *sum = s.mul_add(v, weight, *sum);
            }
        }
        sums
    }

    /// The same for `K` by `K` taps: what several rows meet is loaded once.
    ///
    /// # Safety
    /// As above.
    // The last unrolled step moves on to nowhere.
    #[allow(unused_assignments)]
    #[inline(always)]
    unsafe fn square(&self, s: S, at: usize) -> [S::V; R] {
        let (pitch, plane) = (self.band.pitch, self.band.plane());
        let mut sums = [self.bias; R];
        let mut row = self.padded.as_ptr().wrapping_add(at);
        unrolled!(j < STRIDE * (R - 1) + K, {
            unrolled!(i < K, {
                let phase = (j % STRIDE * STRIDE + i % STRIDE) * plane;
                // SAFETY: the caller promises the vector.
                let v = unsafe { s.load(row.wrapping_add(phase + i / STRIDE)) };
                unrolled!(r < R, {
                    if j >= STRIDE * r && j - STRIDE * r < K {
                        let weight = self.splats[(j - STRIDE * r) * K + i];
                        sums[r] = s.mul_add(v, weight, sums[r]);
                    }
                });
            });
            if (j + 1).is_multiple_of(STRIDE) {
                row = row.wrapping_add(pitch);
            }
        });
        sums
    }
}
