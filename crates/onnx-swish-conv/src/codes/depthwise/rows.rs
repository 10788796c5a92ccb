//! Rows of a depthwise convolution: a vector of output columns at a time.
//! Given: a padded copy of the codes.
//! Promise: the usual windows share the words of a row among all the output rows that meet it; all others go term by term.

use onnx_swish_simd::{Dot, DotKernel, Registers, Simd};

use super::super::ending::{Finish, OfAll, Sums, Target};
use super::{Band, Depthwise};
use crate::{Frame, Window};

/// The most output rows that are computed together.
pub(super) const MOST_ROWS: usize = 7;

/// The most words of a filter that registers are kept for.
const MOST_TERMS: usize = 25;

/// Which loops compute the rows of a band: chosen once for all planes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loops {
    /// Kernels of 3x3 and stride 1, seven rows at once.
    ThreeBySevens,
    /// Four rows at once, like those below.
    Three,
    ThreeByTwo,
    FiveBySevens,
    Five,
    FiveByTwo,
    /// All others.
    ByTerms,
}

impl Loops {
    pub(super) fn new(conv: &Depthwise, frame: &Frame) -> Loops {
        let dot = conv.machine.dot;
        let Window {
            kernel,
            stride,
            dilation,
        } = conv.spec.window;
        let square = kernel[0] == kernel[1] && stride[0] == stride[1] && dilation == [1, 1];
        let one_pass = conv.terms.len() == kernel[0] * kernel[1].div_ceil(dot.format().group);
        let sevens = dot.registers() >= 32 && matches!(frame.output[0] % 7, 0 | 5 | 6);
        match (kernel[0], stride[0]) {
            _ if !square || !one_pass => Loops::ByTerms,
            (3, 1) if sevens => Loops::ThreeBySevens,
            (3, 1) => Loops::Three,
            (3, 2) => Loops::ThreeByTwo,
            (5, 1) if sevens => Loops::FiveBySevens,
            (5, 1) => Loops::Five,
            (5, 2) => Loops::FiveByTwo,
            _ => Loops::ByTerms,
        }
    }
}

/// Computes a band's rows of a plane.
pub(super) fn compute(band: &Band, output: &mut [u8]) {
    let dot = band.planes.conv.machine.dot;
    match band.planes.plan.loops {
        Loops::ThreeBySevens => dot.run(Rows::<3, 1, 7> { band, output }),
        Loops::Three => dot.run(Rows::<3, 1, 4> { band, output }),
        Loops::ThreeByTwo => dot.run(Rows::<3, 2, 4> { band, output }),
        Loops::FiveBySevens => dot.run(Rows::<5, 1, 7> { band, output }),
        Loops::Five => dot.run(Rows::<5, 1, 4> { band, output }),
        Loops::FiveByTwo => dot.run(Rows::<5, 2, 4> { band, output }),
        Loops::ByTerms => dot.run(Terms { band, output }),
    }
}

/// What the loops of a band have in common.
struct Loop {
    rows: usize,
    width: usize,
    /// Bytes of an element of the output.
    bytes: usize,
}

impl Loop {
    #[inline(always)]
    fn new(band: &Band, output: &[u8]) -> Loop {
        let bytes = band.planes.conv.finish.element_bytes();
        let width = band.planes.frame.output[1];
        let rows = output.len() / (width * bytes);
        // What the unsafe code below relies on: the plan's rows, and so its copy, are enough for these.
        assert!(rows <= band.planes.plan.outputs && band.copy.len() >= band.planes.plan.len);
        assert_eq!(output.len(), rows * width * bytes);
        Loop { rows, width, bytes }
    }

    /// Where so many rows of a vector go.
    #[inline(always)]
    fn target(&self, output: &mut [u8], y: usize, x: usize, rows: usize, lanes: usize) -> Target {
        Target {
            at: output
                .as_mut_ptr()
                .wrapping_add((y * self.width + x) * self.bytes),
            row_step: self.width * self.bytes,
            rows: rows.min(self.rows - y),
            columns: lanes.min(self.width - x),
        }
    }
}

/// A kernel of `K` by `K` codes, whose terms are those of one pass, computed for `R` output rows at once.
struct Rows<'a, const K: usize, const STRIDE: usize, const R: usize> {
    band: &'a Band<'a>,
    output: &'a mut [u8],
}

impl<const K: usize, const STRIDE: usize, const R: usize> DotKernel for Rows<'_, K, STRIDE, R> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        let Rows { band, output } = self;
        if !D::UNROLL {
            return Terms { band, output }.run(d);
        }
        let s = d.simd();
        let conv = band.planes.conv;
        let common = Loop::new(band, output);
        let in_row = K.div_ceil(D::FORMAT.group);
        let terms = K * in_row;
        let weights = &conv.words[band.channel * conv.terms.len()..][..terms];
        assert!(conv.spec.window.kernel == [K, K] && conv.spec.window.stride == [STRIDE, STRIDE]);
        assert!(R <= MOST_ROWS && terms <= MOST_TERMS && conv.spec.window.dilation == [1, 1]);
        let mut filter: [Sums<D>; MOST_TERMS] = [s.int_splat(0); MOST_TERMS];
        for (splat, word) in filter.iter_mut().zip(weights) {
            *splat = s.int_splat(*word);
        }
        let channel = conv.channels.some(band.channel, 1);
        let call = &band.planes.call;
        let start = s.int_splat(Finish::start(&channel, call, 0));
        let factor = s.splat(channel.factors[0] * call.scale);
        let constants = OfAll(factor, s.splat(channel.offsets[0]));
        let pitch = band.planes.plan.pitch;
        for y in (0..common.rows).step_by(R) {
            for x in (0..common.width).step_by(D::S::LANES) {
                let mut sums: [Sums<D>; R] = [start; R];
                let mut at = band
                    .copy
                    .as_ptr()
                    .wrapping_add(y * STRIDE * pitch + x * STRIDE);
                unrolled!(j < STRIDE * (R - 1) + K, {
                    unrolled!(i < in_row, of 3, {
                        // SAFETY: the plan's copy has what `R` rows and a vector read behind every output.
                        let words =
                            unsafe { d.neighbours(at.wrapping_add(i * D::FORMAT.group), STRIDE) };
                        unrolled!(r < R, of 8, {
                            if j >= STRIDE * r && j - STRIDE * r < K {
                                let weights = filter[(j - STRIDE * r) * in_row + i];
                                sums[r] = d.dot(sums[r], words, weights);
                            }
                        });
                    });
                    at = at.wrapping_add(pitch);
                });
                let mut of_rows = [[start; 1]; R];
                unrolled!(r < R, of 8, {
                    of_rows[r] = [sums[r]];
                });
                let target = common.target(output, y, x, R, D::S::LANES);
                // SAFETY: rows and columns of the band.
                unsafe { conv.finish.store(d, of_rows, constants, &target) };
            }
        }
    }
}

/// Any kernel, term by term.
struct Terms<'a> {
    band: &'a Band<'a>,
    output: &'a mut [u8],
}

impl DotKernel for Terms<'_> {
    type Output = ();

    #[inline(always)]
    fn run<D: Dot>(self, d: D) {
        let Terms { band, output } = self;
        let s = d.simd();
        let conv = band.planes.conv;
        let common = Loop::new(band, output);
        let weights = &conv.words[band.channel * conv.terms.len()..][..conv.terms.len()];
        let channel = conv.channels.some(band.channel, 1);
        let call = &band.planes.call;
        let start = s.int_splat(Finish::start(&channel, call, 0));
        let factor = s.splat(channel.factors[0] * call.scale);
        let constants = OfAll(factor, s.splat(channel.offsets[0]));
        let pitch = band.planes.plan.pitch;
        let [stride_y, stride_x] = conv.spec.window.stride;
        for y in 0..common.rows {
            for x in (0..common.width).step_by(D::S::LANES) {
                let at = y * stride_y * pitch + x * stride_x;
                let mut sums = start;
                for (term, word) in conv.terms.iter().zip(weights) {
                    let from = at + term.row * pitch + term.column;
                    // SAFETY: the plan's copy has what a vector reads behind every output's codes.
                    let words = unsafe { d.neighbours(band.copy.as_ptr().add(from), stride_x) };
                    sums = d.dot(sums, words, s.int_splat(*word));
                }
                let target = common.target(output, y, x, 1, D::S::LANES);
                // SAFETY: a row and columns of the band.
                unsafe { conv.finish.store(d, [[sums]], constants, &target) };
            }
        }
    }
}
