//! Square kernels of 3, 5 and 7 with strides 1 and 2, straight from the input.
//! Given: a share of the planes.
//! Promise: no copy; padding is masked lanes and skipped rows, and each input vector is loaded once for all the
//! output rows that meet it.

use onnx_swish_kernels::Isa;

use super::super::{Kernel, dispatch};
use super::{Planes, Simd};

/// Computes the planes of `share`, whose window is common (see `Window::is_common`).
pub(super) fn compute(isa: Isa, share: Planes) {
    // Seven rows need the fewest loads per multiply-add, and image sizes of mobile networks are multiples of seven.
    let sevens = matches!(share.frame.output[0] % 7, 0 | 5 | 6);
    // One function per shape: their loops want all the registers there are.
    match (share.conv.window.kernel[0], share.conv.window.stride[0]) {
        (3, 1) if sevens => dispatch(isa, Rows::<3, 1, 7>(share)),
        (3, 1) => dispatch(isa, Rows::<3, 1, 4>(share)),
        (5, 1) if sevens => dispatch(isa, Rows::<5, 1, 7>(share)),
        (5, 1) => dispatch(isa, Rows::<5, 1, 4>(share)),
        (7, 1) => dispatch(isa, Rows::<7, 1, 4>(share)),
        (3, _) => dispatch(isa, Rows::<3, 2, 4>(share)),
        (5, _) => dispatch(isa, Rows::<5, 2, 4>(share)),
        _ => dispatch(isa, Rows::<7, 2, 2>(share)),
    }
}

/// A kernel of `K` by `K`, computed for `R` output rows by one vector of columns at a time.
struct Rows<'a, const K: usize, const STRIDE: usize, const R: usize>(Planes<'a>);

/// A vector of output columns.
struct Columns<S: Simd> {
    x: usize,
    /// With stride 1, the lanes of each tap's load that are inside the input row; with stride 2, those of the two
    /// vectors that all taps share.
    inside: [S::M; 7],
    /// Lanes to store.
    outputs: S::M,
    /// Lanes that no earlier vector of the row computes.
    fresh: S::M,
}

impl<S: Simd> Columns<S> {
    /// The vectors of a row.
    fn of_row(s: S, frame: &crate::Frame, kernel: usize, stride: usize) -> Vec<Columns<S>> {
        let width = frame.output[1];
        // With stride 2 the input is split into elements at even and at odd positions, and tap `i` finds its elements
        // `i / 2` lanes further up; the last lanes have no such neighbour.
        let step = if stride == 1 {
            S::LANES
        } else {
            S::LANES - kernel / 2
        };
        let columns = |start: usize| {
            // The last vector of a row moves back over its neighbour, so that it can be stored whole.
            let x = start.min(width.saturating_sub(step));
            let inside = |first: usize| {
                let from = frame.pad[1].saturating_sub(first);
                let to = (frame.input[1] + frame.pad[1]).saturating_sub(first);
                s.lanes(from, to)
            };
            let first = |i: usize| x * stride + if stride == 1 { i } else { i * S::LANES };
            Columns {
                x,
                inside: std::array::from_fn(|i| inside(first(i))),
                outputs: s.lanes(0, step.min(width - x)),
                fresh: s.lanes(start - x, step.min(width - x)),
            }
        };
        (0..width).step_by(step).map(columns).collect()
    }
}

/// One input plane and what it is weighed with.
struct Plane<'a, V> {
    input: &'a [f32],
    frame: &'a crate::Frame,
    weights: [V; 49],
    bias: V,
}

impl<const K: usize, const STRIDE: usize, const R: usize> Rows<'_, K, STRIDE, R> {
    /// The sums of output rows `y..y + R` for the columns from `x` on.
    // The last unrolled step moves on to nowhere.
    #[allow(unused_assignments)]
    #[inline(always)]
    fn sums<S: Simd>(
        s: S,
        plane: &Plane<S::V>,
        y: usize,
        x: usize,
        inside: &[S::M; 7],
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
                // SAFETY: `row` is inside the input, and the masks keep the lanes inside the row.
                let load = |to_the_right: usize, lanes: usize| unsafe {
                    s.load_lanes(at.wrapping_add(to_the_right), inside[lanes])
                };
                let split = if STRIDE == 1 {
                    (plane.bias, plane.bias)
                } else {
                    s.deinterleave(load(0, 0), load(S::LANES, 1))
                };
                unrolled!(i < K, {
                    let inputs = match (STRIDE, i % 2) {
                        (1, _) => load(i, i),
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

    /// Applies the activation to the sums of rows `y..y + R` and stores them in `output`, which begins with their plane.
    ///
    /// What a whole vector leaves beyond its row is overwritten when the turn of the rows and planes below comes.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, unused_assignments)]
    fn finish<S: Simd>(
        s: S,
        conv: &crate::depthwise::Depthwise,
        mut sums: [S::V; R],
        output: &mut [f32],
        frame: &crate::Frame,
        y: usize,
        columns: &Columns<S>,
        total: Option<&mut S::V>,
    ) {
        let [height, width] = frame.output;
        let rows = R.min(height - y);
        let at = y * width + columns.x;
        assert!(output.len() >= height * width);
        let whole = STRIDE == 1 && at + (rows - 1) * width + S::LANES <= output.len();
        conv.activation.apply(s, &mut sums);
        let mut to = output.as_mut_ptr().wrapping_add(at);
        unrolled!(r < R, {
            if r < rows {
                // SAFETY: rows `y..y + rows` exist, and `outputs` are columns of theirs; `whole` says that a whole vector
                // fits behind the start of the last of them.
                unsafe {
                    if whole {
                        s.store(to, sums[r]);
                    } else {
                        s.store_lanes(to, sums[r], columns.outputs);
                    }
                }
            }
            to = to.wrapping_add(width);
        });
        if let Some(total) = total {
            unrolled!(r < R, {
                if r < rows {
                    *total = s.add(*total, s.keep(sums[r], columns.fresh));
                }
            });
        }
    }
}

impl<const K: usize, const STRIDE: usize, const R: usize> Kernel for Rows<'_, K, STRIDE, R> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Planes {
            conv,
            frame,
            input,
            first,
            output,
            sums: totals,
            ..
        } = self.0;
        let input_area = frame.input_area();
        let [out_height, out_width] = frame.output;
        let area = out_height * out_width;
        // What the unsafe code below relies on. Sums of positions cannot overflow: `Conv2d` checked the frame.
        assert!(conv.window.kernel == [K, K] && conv.window.stride == [STRIDE, STRIDE] && K <= 7);
        let vectors = Columns::of_row(s, frame, K, STRIDE);
        let multiplier = conv.out_channels / conv.in_channels;
        let planes = output.len() / area;
        let wanted = !totals.is_empty();
        // Masks of a lone vector stay in registers.
        let lone = match &*vectors {
            [columns] => Some(columns.inside),
            _ => None,
        };
        for i in 0..planes {
            let (image, channel) = (
                (first + i) / conv.out_channels,
                (first + i) % conv.out_channels,
            );
            let from = (image * conv.in_channels + channel / multiplier) * input_area;
            let bias = s.splat(conv.bias[channel]);
            let mut plane = Plane {
                input: &input[from..from + input_area],
                frame,
                weights: [bias; 49],
                bias,
            };
            for (splat, weight) in plane
                .weights
                .iter_mut()
                .zip(&conv.weights[channel * K * K..][..K * K])
            {
                *splat = s.splat(*weight);
            }
            let mut total = s.splat(0.0);
            let output = &mut output[i * area..];
            for y in (0..out_height).step_by(R) {
                if let (Some(inside), [columns]) = (lone, &*vectors) {
                    let sums = Self::sums(s, &plane, y, 0, &inside);
                    Self::finish(
                        s,
                        conv,
                        sums,
                        output,
                        frame,
                        y,
                        columns,
                        wanted.then_some(&mut total),
                    );
                } else {
                    for columns in &vectors {
                        let sums = Self::sums(s, &plane, y, columns.x, &columns.inside);
                        Self::finish(
                            s,
                            conv,
                            sums,
                            output,
                            frame,
                            y,
                            columns,
                            wanted.then_some(&mut total),
                        );
                    }
                }
            }
            if let Some(to) = totals.get_mut(i) {
                *to = s.sum(total);
            }
        }
    }
}
