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
    /// Lanes of each load that are inside the input row; with stride 2, of both vectors of a pair.
    inside: [(S::M, S::M); 12],
    /// Lanes that no earlier vector of the row computes.
    fresh: S::M,
}

impl<S: Simd> Columns<S> {
    fn new(s: S, start: usize, frame: &crate::Frame, stride: usize) -> Columns<S> {
        let width = frame.output[1];
        // The last vector of a row moves back over its neighbour, so that it can be stored whole.
        let x = start.min(width.saturating_sub(S::LANES));
        let inside = std::array::from_fn(|i| {
            let first = (x + i) * stride;
            let from = frame.pad[1].saturating_sub(first);
            let to = (frame.input[1] + frame.pad[1]).saturating_sub(first);
            (
                s.lanes(from, to),
                s.lanes(from.saturating_sub(S::LANES), to.saturating_sub(S::LANES)),
            )
        });
        Columns {
            x,
            inside,
            fresh: s.lanes(start - x, width - x),
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
            sums,
            ..
        } = self.0;
        let [height, width] = frame.input;
        let [out_height, out_width] = frame.output;
        let [pad_y, pad_x] = frame.pad;
        // What the unsafe code below relies on. Sums of positions cannot overflow: `Conv2d` checked the frame.
        assert!(conv.window.kernel == [K, K] && conv.window.stride == [STRIDE, STRIDE] && K <= 7);
        let vectors: Vec<_> = (0..out_width)
            .step_by(S::LANES)
            .map(|x| Columns::new(s, x, frame, STRIDE))
            .collect();
        let multiplier = conv.out_channels / conv.in_channels;
        let mut sums_to = sums.iter_mut();
        for (i, output) in output.chunks_exact_mut(out_height * out_width).enumerate() {
            let (image, channel) = (
                (first + i) / conv.out_channels,
                (first + i) % conv.out_channels,
            );
            let plane = (image * conv.in_channels + channel / multiplier) * height * width;
            let input = &input[plane..plane + height * width];
            let mut weights = [s.splat(0.0); 49];
            for (splat, weight) in weights
                .iter_mut()
                .zip(&conv.weights[channel * K * K..][..K * K])
            {
                *splat = s.splat(*weight);
            }
            let bias = s.splat(conv.bias[channel]);
            let mut total = s.splat(0.0);
            // With stride 2, two taps share the loads of one de-interleaved pair of vectors.
            let loads = if STRIDE == 1 { K } else { K.div_ceil(2) };
            for y in (0..out_height).step_by(R) {
                for columns in &vectors {
                    let mut sums = [bias; R];
                    let corner = input
                        .as_ptr()
                        .wrapping_add(columns.x * STRIDE)
                        .wrapping_sub(pad_x);
                    unrolled!(j < STRIDE * (R - 1) + K, {
                        let row = (y * STRIDE + j).wrapping_sub(pad_y);
                        if row < height {
                            let start = corner.wrapping_add(row * width);
                            unrolled!(i < loads, {
                                let (low, high) = columns.inside[i];
                                let at = start.wrapping_add(i * STRIDE);
                                // SAFETY: `row` is inside the input, and the masks keep the lanes inside the row.
                                let (even, odd) = unsafe {
                                    let a = s.load_lanes(at, low);
                                    if STRIDE == 1 {
                                        (a, a)
                                    } else {
                                        s.deinterleave(
                                            a,
                                            s.load_lanes(at.wrapping_add(S::LANES), high),
                                        )
                                    }
                                };
                                unrolled!(r < R, {
                                    if j >= STRIDE * r && j - STRIDE * r < K {
                                        let ky = j - STRIDE * r;
                                        sums[r] =
                                            s.mul_add(even, weights[ky * K + i * STRIDE], sums[r]);
                                        if STRIDE == 2 && i * 2 + 1 < K {
                                            sums[r] = s.mul_add(
                                                odd,
                                                weights[ky * K + i * 2 + 1],
                                                sums[r],
                                            );
                                        }
                                    }
                                });
                            });
                        }
                    });
                    conv.activation.apply(s, &mut sums);
                    unrolled!(r < R, {
                        if y + r < out_height {
                            let at = (y + r) * out_width + columns.x;
                            // SAFETY: row `y + r` exists. Where a vector is wider than the row, what it leaves in
                            // the rows below is overwritten when their turn comes; it never leaves the plane.
                            unsafe {
                                let to = output.as_mut_ptr().add(at);
                                if at + S::LANES <= output.len() {
                                    s.store(to, sums[r]);
                                } else {
                                    s.store_lanes(to, sums[r], s.lanes(0, output.len() - at));
                                }
                            }
                            total = s.add(total, s.keep(sums[r], columns.fresh));
                        }
                    });
                }
            }
            if let Some(sum) = sums_to.next() {
                *sum = s.sum(total);
            }
        }
    }
}
