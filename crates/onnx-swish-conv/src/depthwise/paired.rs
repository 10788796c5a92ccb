//! The windows of `direct`, on sets of few registers.
//! Given: the planes of a task.
//! Promise: no copy; a weight that is loaded counts for two vectors of columns, and lanes are masked only where padding is met.
//! Sums and their order are those of the other ways.
//!
//! With 16 registers a kernel's weights are read from memory again and again, and so would be a mask for each load: on AMD's Zen 3 it is
//! the loads, two in a cycle, that the time goes into. Hence whole vectors are loaded wherever the tensor has them, and what belongs to a
//! neighbouring row is cleared for those taps alone that can meet it.

use std::mem::MaybeUninit;

use onnx_swish_simd::{Kernel, Simd};

use super::Planes;
use super::direct::{MOST_TAPS, first_column};
use super::padded::splats;
use super::rows::{Place, store};
use crate::scratch::{Scratch, bytes_for};
use crate::{Frame, Isa, Window};

/// How much of padding a tile of columns may meet.
const NONE: u8 = 0;
/// The first vector in the taps before the middle, the last one in those behind it.
const OUTER: u8 = 1;
/// Anything, the end of the tensor included.
const ANY: u8 = 2;

/// Whether this is the better way for a window that `direct` covers: sets of few registers, but for rows of stride 1 that a single vector
/// holds, which has no other to share weights with and whose masks stay in registers.
pub(super) fn is_better(isa: Isa, window: &Window, frame: &Frame) -> bool {
    has_few(isa.registers()) && (window.stride[1] > 1 || frame.output[1] > isa.lanes())
}

/// Whether a set has too few registers for the weights of a kernel, its sums and masks.
const fn has_few(registers: usize) -> bool {
    registers < 32
}

/// Computes the planes of a task, for which this is the better way.
pub(super) fn compute(planes: Planes, scratch: Scratch) {
    let isa = planes.conv.isa;
    let Window { kernel, stride, .. } = *planes.window;
    match (kernel[0], stride[0]) {
        (3, 1) => isa.run(Paired::<3, 1, 4>(planes, scratch)),
        (5, 1) => isa.run(Paired::<5, 1, 4>(planes, scratch)),
        (7, 1) => isa.run(Paired::<7, 1, 4>(planes, scratch)),
        (3, _) => isa.run(Paired::<3, 2, 4>(planes, scratch)),
        (5, _) => isa.run(Paired::<5, 2, 4>(planes, scratch)),
        _ => isa.run(Paired::<7, 2, 2>(planes, scratch)),
    }
}

/// Bytes that a task needs: masks for each vector of a row.
pub(super) fn scratch(isa: Isa, frame: &Frame) -> usize {
    /// Asks an instruction set how large its masks are.
    struct Size<'a>(&'a Frame);
    impl Kernel for Size<'_> {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            let vectors = self.0.output[1].div_ceil(S::LANES);
            bytes_for::<Masks<S>>(vectors) + bytes_for::<u32>(vectors)
        }
    }
    isa.run(Size(frame))
}

/// A kernel of `K` by `K`, computed for `R` output rows by one or two vectors of columns at a time.
struct Paired<'a, const K: usize, const STRIDE: usize, const R: usize>(Planes<'a>, Scratch<'a>);

/// The lanes of a vector of output columns. With stride 2 they are in the order of [`Simd::unzip`] until they are stored.
struct Masks<S: Simd> {
    /// The lanes whose element is inside of the input's row, for each tap.
    inside: [S::M; MOST_TAPS],
    /// Lanes to store, in the order of memory.
    outputs: S::M,
    /// Lanes that no earlier vector of the row computes.
    fresh: S::M,
}

impl<S: Simd> Masks<S> {
    /// For vector `v` of a row, with a bit for each tap of which a lane that is stored meets padding.
    #[inline(always)]
    fn new(s: S, frame: &Frame, window: &Window, v: usize) -> (Masks<S>, u32) {
        let (width, stride, pad) = (frame.output[1], window.stride[1], frame.pad[1]);
        let x = first_column(v, S::LANES, width);
        let stored = S::LANES.min(width - x);
        let mut inside = [s.lanes(0, 0); MOST_TAPS];
        let mut padded = 0;
        for (i, inside) in inside.iter_mut().enumerate().take(window.kernel[1]) {
            let first = x * stride + i;
            let from = pad.saturating_sub(first).div_ceil(stride);
            let to = (frame.input[1] + pad)
                .saturating_sub(first)
                .div_ceil(stride);
            *inside = if stride == 1 {
                s.lanes(from, to)
            } else {
                s.unzipped_lanes(from, to)
            };
            padded |= u32::from(from > 0 || to < stored) << i;
        }
        let masks = Masks {
            inside,
            outputs: s.lanes(0, stored),
            fresh: s.lanes(v * S::LANES - x, stored),
        };
        (masks, padded)
    }
}

/// The vectors of a row.
struct Row<'a, S: Simd> {
    masks: &'a [Masks<S>],
    /// What [`Masks::new`] says of the taps.
    padded: &'a [u32],
    width: usize,
}

/// One input plane and what it is weighed with.
struct Plane<'a, V> {
    /// The whole tensor.
    tensor: &'a [f32],
    /// Where the plane begins in it.
    start: isize,
    frame: &'a Frame,
    weights: [V; MOST_TAPS * MOST_TAPS],
    bias: V,
}

impl<V> Plane<'_, V> {
    /// Whether whole vectors can be loaded for all taps of `R` output rows from `y` on, with columns from `first` to `last`, which
    /// `lanes` lanes of one more vector follow.
    #[inline(always)]
    fn holds<const K: usize, const STRIDE: usize, const R: usize>(
        &self,
        y: usize,
        [first, last]: [usize; 2],
        lanes: usize,
    ) -> bool {
        let [height, width] = self.frame.input;
        let [pad_y, pad_x] = self.frame.pad;
        let top = (y * STRIDE).saturating_sub(pad_y);
        let bottom = (y * STRIDE + STRIDE * (R - 1) + K - 1)
            .saturating_sub(pad_y)
            .min(height.saturating_sub(1));
        let from = self.start + (top * width + first * STRIDE) as isize - pad_x as isize;
        // With stride 2 taps are loaded in pairs.
        let reach = (K - 1) / STRIDE * STRIDE + STRIDE * lanes;
        let to = self.start + (bottom * width + last * STRIDE + reach) as isize - pad_x as isize;
        from >= 0 && to <= self.tensor.len() as isize
    }
}

impl<const K: usize, const STRIDE: usize, const R: usize> Paired<'_, K, STRIDE, R> {
    /// The elements of the tensor from `at` on; those that it does not have are zero if `PADDING` is [`ANY`].
    ///
    /// # Safety
    /// The tensor has all of them, or `PADDING` is [`ANY`].
    #[inline(always)]
    unsafe fn load<S: Simd, const PADDING: u8>(s: S, tensor: &[f32], at: isize) -> S::V {
        let from = tensor.as_ptr().wrapping_offset(at);
        if PADDING == ANY {
            let before = at.min(0).unsigned_abs();
            let to = (tensor.len() as isize - at).max(0).unsigned_abs();
            // SAFETY: these lanes are elements of the tensor.
            unsafe { s.load_lanes(from, s.lanes(before, to)) }
        } else {
            // SAFETY: the caller's promise.
            unsafe { s.load(from) }
        }
    }

    /// The sums of output rows `y..y + R` for some vectors of columns.
    ///
    /// # Safety
    /// [`Plane::holds`] says so of these rows and vectors, or `PADDING` is [`ANY`].
    // The last unrolled step moves on to nowhere.
    #[allow(unused_assignments)]
    #[inline(always)]
    unsafe fn sums<S: Simd, const NV: usize, const PADDING: u8>(
        s: S,
        plane: &Plane<S::V>,
        y: usize,
        columns: [usize; NV],
        masks: &[Masks<S>],
    ) -> [[S::V; R]; NV] {
        let [height, width] = plane.frame.input;
        let [pad_y, pad_x] = plane.frame.pad;
        assert!(masks.len() >= NV && NV > 0);
        let mut sums = [[plane.bias; R]; NV];
        // Rows before the first are never read: their number may wrap around meanwhile.
        let mut row = (y * STRIDE).wrapping_sub(pad_y);
        let mut at = plane.start + (y * STRIDE) as isize * width as isize
            - (pad_y * width) as isize
            - pad_x as isize;
        unrolled!(j < STRIDE * (R - 1) + K, {
            if row < height {
                let mut odd = [plane.bias; NV];
                unrolled!(i < K, of 8, {
                    let mut inputs = [plane.bias; NV];
                    unrolled!(v < NV, of 3, {
                        let at = at + (columns[v] * STRIDE) as isize + i as isize;
                        // SAFETY: the caller's promise, or the loads check.
                        unsafe {
                            if STRIDE == 1 {
                                inputs[v] = Self::load::<S, PADDING>(s, plane.tensor, at);
                            } else if i.is_multiple_of(2) {
                                let low = Self::load::<S, PADDING>(s, plane.tensor, at);
                                let next = at + S::LANES as isize;
                                let high = Self::load::<S, PADDING>(s, plane.tensor, next);
                                (inputs[v], odd[v]) = s.unzip(low, high);
                            } else {
                                inputs[v] = odd[v];
                            }
                        }
                        let outer = (v == 0 && i < K / 2) || (v + 1 == NV && i > K / 2);
                        if PADDING == ANY || PADDING == OUTER && outer {
                            inputs[v] = s.keep(inputs[v], masks[v].inside[i % MOST_TAPS]);
                        }
                    });
                    unrolled!(r < R, {
                        if j >= STRIDE * r && j - STRIDE * r < K {
                            let weight = plane.weights[(j - STRIDE * r) * K + i];
                            unrolled!(v < NV, of 3, {
                                sums[v][r] = s.mul_add(inputs[v], weight, sums[v][r]);
                            });
                        }
                    });
                });
            }
            row = row.wrapping_add(1);
            at += width as isize;
        });
        if STRIDE == 2 {
            unrolled!(v < NV, of 3, {
                unrolled!(r < R, {
                    sums[v][r] = s.settle(sums[v][r]);
                });
            });
        }
        sums
    }

    /// Output rows `y..y + R` of the plane that `output` begins with, for `NV` vectors of columns from `first` on; the total is added to
    /// if wanted.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn tile<S: Simd, const NV: usize>(
        s: S,
        task: &Planes,
        plane: &Plane<S::V>,
        y: usize,
        row: &Row<S>,
        first: usize,
        output: &mut [f32],
        (total, wanted): (&mut S::V, bool),
    ) {
        let (masks, padded) = (&row.masks[first..][..NV], &row.padded[first..][..NV]);
        let mut columns = [0; NV];
        let before = (1 << (K / 2)) - 1;
        let behind = before << (K / 2 + 1);
        let (mut any, mut outer) = (0, true);
        unrolled!(v < NV, of 3, {
            columns[v] = first_column(first + v, S::LANES, row.width);
            let met = if v == 0 { before } else { 0 } | if v + 1 == NV { behind } else { 0 };
            any |= padded[v];
            outer &= padded[v] & !met == 0;
        });
        // SAFETY: `holds` is asked where nothing else is.
        let mut sums = unsafe {
            if !outer || !plane.holds::<K, STRIDE, R>(y, [columns[0], columns[NV - 1]], S::LANES) {
                Self::sums::<S, NV, ANY>(s, plane, y, columns, masks)
            } else if any == 0 {
                Self::sums::<S, NV, NONE>(s, plane, y, columns, masks)
            } else {
                Self::sums::<S, NV, OUTER>(s, plane, y, columns, masks)
            }
        };
        task.conv.epilogue.apply(s, &mut sums);
        unrolled!(v < NV, of 3, {
            let place = Place {
                frame: plane.frame,
                y,
                x: columns[v],
                outputs: masks[v].outputs,
                fresh: masks[v].fresh,
            };
            let total = wanted.then_some(&mut *total);
            store(s, &sums[v], output, &place, true, total);
        });
    }
}

impl<const K: usize, const STRIDE: usize, const R: usize> Kernel for Paired<'_, K, STRIDE, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // The plan knows it; so the compiler has nothing to make of this on other sets.
        assert!(S::MASKED && has_few(S::REGISTERS));
        let Paired(mut planes, mut scratch) = self;
        let frame = planes.frame;
        let [out_height, out_width] = frame.output;
        let area = out_height * out_width;
        let window = planes.window;
        // What the unsafe code relies on. Sums of positions cannot overflow: `Conv2d` checked the frame.
        assert!(window.kernel == [K, K] && window.stride == [STRIDE, STRIDE] && K <= MOST_TAPS);
        let vectors = out_width.div_ceil(S::LANES);
        // SAFETY: masks are numbers or registers, or arrays of them: nothing with padding.
        let masks = unsafe { scratch.take_room::<Masks<S>>(vectors) };
        let padded = scratch.take::<u32>(vectors);
        for (v, (masks, padded)) in masks.iter_mut().zip(&mut *padded).enumerate() {
            let (lanes, taps) = Masks::new(s, frame, window, v);
            masks.write(lanes);
            *padded = taps;
        }
        // SAFETY: all of them have just been written.
        let masks = unsafe {
            &*(std::ptr::from_ref::<[MaybeUninit<Masks<S>>]>(masks) as *const [Masks<S>])
        };
        let row = Row {
            masks,
            padded,
            width: out_width,
        };
        let output = std::mem::take(&mut planes.output);
        let mut totals = planes.sums.take();
        for i in 0..output.len() / area {
            let (input, weights, bias) = planes.of_plane(i);
            let start = input.as_ptr().addr() - planes.input.as_ptr().addr();
            let bias = s.splat(bias);
            let plane = Plane {
                tensor: planes.input,
                start: (start / size_of::<f32>()) as isize,
                frame,
                weights: splats::<S, K>(s, weights),
                bias,
            };
            let mut total = s.splat(0.0);
            let wanted = totals.is_some();
            let output = &mut output[i * area..];
            for y in (0..out_height).step_by(R) {
                for v in (0..vectors).step_by(2) {
                    let total = (&mut total, wanted);
                    if v + 1 < vectors {
                        Self::tile::<S, 2>(s, &planes, &plane, y, &row, v, output, total);
                    } else {
                        Self::tile::<S, 1>(s, &planes, &plane, y, &row, v, output, total);
                    }
                }
            }
            if let Some(to) = totals.as_mut().and_then(|totals| totals.get_mut(i)) {
                *to = s.sum(total);
            }
        }
    }
}
