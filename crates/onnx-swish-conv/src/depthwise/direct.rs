//! Square kernels of 3, 5 and 7 with strides 1 and 2, straight from the input.
//! Given: the planes of a task.
//! Promise: no copy; padding is masked lanes and skipped rows, and each input vector is loaded once for all the
//! output rows that meet it.

use std::mem::MaybeUninit;

use onnx_swish_simd::{Kernel, Simd};

use super::Planes;
use super::rows::{Place, store};
use crate::epilogue::Epilogue;
use crate::scratch::{Scratch, bytes_for};
use crate::{Frame, Isa, Window};

/// Taps of the largest kernel, along an axis.
pub(super) const MOST_TAPS: usize = 7;

/// The kernels of mobile networks: square, of 3, 5 or 7 taps, strides 1 and 2, no dilation.
pub(super) fn is_covered(window: &Window) -> bool {
    window.dilation == [1, 1]
        && window.stride[0] == window.stride[1]
        && window.stride[0] <= 2
        && window.kernel[0] == window.kernel[1]
        && matches!(window.kernel[0], 3 | 5 | 7)
}

/// Computes the planes of a task, whose window is covered.
pub(super) fn compute(planes: Planes, scratch: Scratch) {
    let isa = planes.conv.isa;
    // Seven rows need the fewest loads per multiply-add, and image sizes of mobile networks are multiples of seven.
    let sevens = matches!(planes.frame.output[0] % 7, 0 | 5 | 6);
    let Window { kernel, stride, .. } = *planes.window;
    // One function per shape: their loops want all the registers there are.
    match (kernel[0], stride[0]) {
        (3, 1) if sevens => isa.run(Direct::<3, 1, 7>(planes, scratch)),
        (3, 1) => isa.run(Direct::<3, 1, 4>(planes, scratch)),
        (5, 1) if sevens => isa.run(Direct::<5, 1, 7>(planes, scratch)),
        (5, 1) => isa.run(Direct::<5, 1, 4>(planes, scratch)),
        (7, 1) => isa.run(Direct::<7, 1, 4>(planes, scratch)),
        (3, _) => isa.run(Direct::<3, 2, 4>(planes, scratch)),
        (5, _) => isa.run(Direct::<5, 2, 4>(planes, scratch)),
        _ => isa.run(Direct::<7, 2, 2>(planes, scratch)),
    }
}

/// Bytes that a task needs: masks for each vector of a row.
pub(super) fn scratch(isa: Isa, window: &Window, frame: &Frame) -> usize {
    /// Asks an instruction set how large its masks are.
    struct Size<'a>(&'a Window, &'a Frame);
    impl Kernel for Size<'_> {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            let Size(window, frame) = self;
            let step = columns_per_vector::<S>(window.kernel[1], window.stride[1]);
            bytes_for::<Masks<S>>(frame.output[1].div_ceil(step))
        }
    }
    isa.run(Size(window, frame))
}

/// Output columns that one vector computes.
///
/// With stride 2 the input is split into elements at even and at odd positions, and tap `i` finds its elements `i / 2` lanes
/// further up; the last lanes have no such neighbour.
const fn columns_per_vector<S: Simd>(kernel: usize, stride: usize) -> usize {
    if stride == 1 {
        S::LANES
    } else {
        S::LANES - kernel / 2
    }
}

/// A kernel of `K` by `K`, computed for `R` output rows by one vector of columns at a time.
struct Direct<'a, const K: usize, const STRIDE: usize, const R: usize>(Planes<'a>, Scratch<'a>);

/// The lanes of a vector of output columns.
struct Masks<S: Simd> {
    /// With stride 1, the lanes of each tap's load that are inside the input row; with stride 2, those of the two
    /// vectors that all taps share.
    inside: [S::M; MOST_TAPS],
    /// Lanes to store.
    outputs: S::M,
    /// Lanes that no earlier vector of the row computes.
    fresh: S::M,
}

/// A vector of output columns.
struct Columns<'a, S: Simd> {
    x: usize,
    masks: &'a Masks<S>,
}

/// The first column of vector `v`. The last vector of a row moves back over its neighbour, so that it can be stored whole.
#[inline(always)]
pub(super) fn first_column(v: usize, step: usize, width: usize) -> usize {
    (v * step).min(width.saturating_sub(step))
}

impl<S: Simd> Masks<S> {
    /// For vector `v` of a row.
    #[inline(always)]
    fn new(s: S, frame: &Frame, kernel: usize, stride: usize, v: usize) -> Masks<S> {
        let width = frame.output[1];
        let step = columns_per_vector::<S>(kernel, stride);
        let x = first_column(v, step, width);
        let mut inside = [s.lanes(0, 0); MOST_TAPS];
        for (i, inside) in inside.iter_mut().enumerate() {
            let first = x * stride + if stride == 1 { i } else { i * S::LANES };
            let from = frame.pad[1].saturating_sub(first);
            let to = (frame.input[1] + frame.pad[1]).saturating_sub(first);
            *inside = s.lanes(from, to);
        }
        Masks {
            inside,
            outputs: s.lanes(0, step.min(width - x)),
            fresh: s.lanes(v * step - x, step.min(width - x)),
        }
    }
}

/// One input plane and what it is weighed with.
struct Plane<'a, V> {
    input: &'a [f32],
    frame: &'a Frame,
    weights: [V; MOST_TAPS * MOST_TAPS],
    bias: V,
}

impl<const K: usize, const STRIDE: usize, const R: usize> Direct<'_, K, STRIDE, R> {
    /// The sums of output rows `y..y + R` for the columns from `x` on.
    // The last unrolled step moves on to nowhere.
    #[allow(unused_assignments)]
    #[inline(always)]
    fn sums<S: Simd>(
        s: S,
        plane: &Plane<S::V>,
        y: usize,
        x: usize,
        inside: &[S::M; MOST_TAPS],
    ) -> [S::V; R] {
        let [height, width] = plane.frame.input;
        let [pad_y, pad_x] = plane.frame.pad;
        assert!(plane.input.len() >= height * width);
        let mut sums = [plane.bias; R];
        // Rows and columns before the first are never read: positions may wrap around meanwhile.
        let mut row = (y * STRIDE).wrapping_sub(pad_y);
        let mut at = plane
            .input
            .as_ptr()
            .wrapping_add(x * STRIDE)
            .wrapping_sub(pad_x)
            .wrapping_add(row.wrapping_mul(width));
        unrolled!(j < STRIDE * (R - 1) + K, {
            if row < height {
                let split = if STRIDE == 1 {
                    (plane.bias, plane.bias)
                } else {
                    // SAFETY: `row` is inside the input, and the masks keep the lanes inside the row.
                    unsafe {
                        s.deinterleave(
                            s.load_lanes(at, inside[0]),
                            s.load_lanes(at.wrapping_add(S::LANES), inside[1]),
                        )
                    }
                };
                unrolled!(i < K, {
                    let inputs = match (STRIDE, i % 2) {
                        // SAFETY: as above.
                        (1, _) => unsafe { s.load_lanes(at.wrapping_add(i), inside[i]) },
                        (_, 0) => s.rotate(split.0, i / 2),
                        _ => s.rotate(split.1, i / 2),
                    };
                    unrolled!(r < R, {
                        if j >= STRIDE * r && j - STRIDE * r < K {
                            let weight = plane.weights[(j - STRIDE * r) * K + i];
                            sums[r] = s.mul_add(inputs, weight, sums[r]);
                        }
                    });
                });
            }
            row = row.wrapping_add(1);
            at = at.wrapping_add(width);
        });
        sums
    }

    /// Applies the epilogue to the sums of rows `y..y + R` and stores them in `output`, which begins with their plane.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    fn finish<S: Simd>(
        s: S,
        epilogue: &Epilogue,
        sums: [S::V; R],
        output: &mut [f32],
        frame: &Frame,
        y: usize,
        columns: &Columns<S>,
        total: Option<&mut S::V>,
    ) {
        let mut rows_of_one = [sums];
        epilogue.apply(s, &mut rows_of_one);
        let [sums] = rows_of_one;
        let place = Place {
            frame,
            y,
            x: columns.x,
            outputs: columns.masks.outputs,
            fresh: columns.masks.fresh,
        };
        // With stride 2 the last lanes are no columns.
        store(s, &sums, output, &place, STRIDE == 1, total);
    }
}

impl<const K: usize, const STRIDE: usize, const R: usize> Kernel for Direct<'_, K, STRIDE, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // The plan knows it; so the compiler has nothing to make of this on other sets.
        assert!(S::MASKED, "windows that `padded` computes");
        let Direct(mut planes, mut scratch) = self;
        let (conv, frame) = (planes.conv, planes.frame);
        let [out_height, out_width] = frame.output;
        let area = out_height * out_width;
        let window = planes.window;
        // What the unsafe code above relies on. Sums of positions cannot overflow: `Conv2d` checked the frame.
        assert!(window.kernel == [K, K] && window.stride == [STRIDE, STRIDE] && K <= MOST_TAPS);
        let step = columns_per_vector::<S>(K, STRIDE);
        // SAFETY: masks are numbers or registers, or arrays of them: nothing with padding.
        let masks = unsafe { scratch.take_room::<Masks<S>>(out_width.div_ceil(step)) };
        for (v, masks) in masks.iter_mut().enumerate() {
            masks.write(Masks::new(s, frame, K, STRIDE, v));
        }
        // SAFETY: all of them have just been written.
        let masks = unsafe {
            &*(std::ptr::from_ref::<[MaybeUninit<Masks<S>>]>(masks) as *const [Masks<S>])
        };
        let output = std::mem::take(&mut planes.output);
        let mut totals = planes.sums.take();
        // Masks of a lone vector stay in registers.
        let lone = match masks {
            [masks] => Some(masks.inside),
            _ => None,
        };
        for i in 0..output.len() / area {
            let (input, weights, bias) = planes.of_plane(i);
            // So many as the compiler knows: they become registers.
            let weights = &weights[..K * K];
            let bias = s.splat(bias);
            let mut plane = Plane {
                input,
                frame,
                weights: [bias; MOST_TAPS * MOST_TAPS],
                bias,
            };
            for (splat, weight) in plane.weights.iter_mut().zip(weights) {
                *splat = s.splat(*weight);
            }
            let mut total = s.splat(0.0);
            let wanted = totals.is_some();
            let output = &mut output[i * area..];
            for y in (0..out_height).step_by(R) {
                if let (Some(inside), [masks]) = (lone, masks) {
                    let columns = Columns { x: 0, masks };
                    let sums = Self::sums(s, &plane, y, 0, &inside);
                    let total = wanted.then_some(&mut total);
                    Self::finish(s, &conv.epilogue, sums, output, frame, y, &columns, total);
                } else {
                    for (v, masks) in masks.iter().enumerate() {
                        let x = first_column(v, step, out_width);
                        let columns = Columns { x, masks };
                        let sums = Self::sums(s, &plane, y, x, &masks.inside);
                        let total = wanted.then_some(&mut total);
                        Self::finish(s, &conv.epilogue, sums, output, frame, y, &columns, total);
                    }
                }
            }
            if let Some(to) = totals.as_mut().and_then(|totals| totals.get_mut(i)) {
                *to = s.sum(total);
            }
        }
    }
}
