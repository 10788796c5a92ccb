//! Transposed convolutions, as convolutions of stride 1 that take turns in the output.
//! Given: a [`TransposedSpec`] with weights once, then tensors with the sizes of their images.
//! Promise: the sum, the bias and the activation of ONNX's ConvTranspose; the same numbers for any number of workers.
//!
//! With strides of s, an output element at t meets every s-th tap, those from t modulo s on: all elements of one remainder, a phase, are an
//! ordinary convolution by these taps. Phases that have the same taps in the same places, as all have where the kernel is as
//! large as its stride, are one convolution of more channels. [`ConvTranspose2d::interleave`] puts what they compute next to each other.

#[allow(unsafe_code)]
mod interleave;

use onnx_swish_kernels::codes::Requantize;
use onnx_swish_threads::Workers;

use crate::spec::{check_sizes, expect_length, volume};
use crate::{Activation, Conv2d, ConvError, Frame, Isa, Line, Operands, Residual, Spec, Window};
use interleave::Interleave;

/// What a transposed convolution computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransposedSpec {
    /// The kernel; its stride is how many output elements lie between neighbouring inputs. Without dilation, and no smaller than its stride.
    pub window: Window,
    /// How many of the first rows and columns of the output are cut off; fewer than the kernel has taps.
    pub pad: [usize; 2],
    /// Channels of an input image.
    pub in_channels: usize,
    /// Channels of an output image.
    pub out_channels: usize,
    /// Groups of channels that know nothing of each other.
    pub groups: usize,
    /// What is computed of each sum.
    pub activation: Activation,
    /// What the activation's value is multiplied by, and what is added to that.
    pub line: Option<Line>,
    /// To 8-bit codes and back, behind the activation.
    pub requantize: Option<Requantize>,
    /// Whether every product of the definition is computed, see [`Spec::exact`].
    pub exact: bool,
}

impl TransposedSpec {
    /// Whether it can be computed.
    ///
    /// # Errors
    /// If a size is zero, the groups do not divide the channels, or the window is of a kind that no phases have.
    pub fn check(&self) -> Result<(), ConvError> {
        check_sizes(
            &self.window,
            self.in_channels,
            self.out_channels,
            self.groups,
        )?;
        let Window {
            kernel,
            stride,
            dilation,
        } = self.window;
        let fits = |axis: usize| stride[axis] <= kernel[axis] && self.pad[axis] < kernel[axis];
        if dilation == [1, 1] && fits(0) && fits(1) {
            Ok(())
        } else {
            Err(ConvError::NotTransposed)
        }
    }

    /// The convolution of one phase whose taps are a kernel of this size.
    pub fn phase(&self, kernel: [usize; 2]) -> Spec {
        Spec {
            window: Window {
                kernel,
                stride: [1, 1],
                dilation: [1, 1],
            },
            in_channels: self.in_channels,
            out_channels: self.out_channels,
            groups: self.groups,
            activation: self.activation,
            line: self.line,
            residual: Residual::None,
            requantize: self.requantize,
            gated: false,
            plane_sums: false,
            exact: self.exact,
            rows: false,
        }
    }

    /// Phases of an output.
    pub fn phases(&self) -> usize {
        self.window.stride[0] * self.window.stride[1]
    }

    /// The size of a phase's planes, for this size of the output.
    pub fn phase_size(&self, output: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|axis| output[axis].div_ceil(self.window.stride[axis]))
    }

    /// How many elements [`ConvTranspose2d::run`] writes, for so many images whose outputs have this size.
    ///
    /// # Errors
    /// If that is more than memory can have.
    pub fn elements(&self, images: usize, output: [usize; 2]) -> Result<usize, ConvError> {
        let [height, width] = self.phase_size(output);
        volume(&[self.phases(), images, self.out_channels, height, width])
    }
}

/// A transposed convolution with its weights in the order that the kernels want.
#[derive(Debug)]
pub struct ConvTranspose2d {
    spec: TransposedSpec,
    isa: Isa,
    bundles: Vec<Bundle>,
    places: Vec<Place>,
}

/// Phases of equal taps, as one convolution: its channels are those of the first, then those of the second, and so on.
#[derive(Debug)]
struct Bundle {
    /// Their taps along each axis, and the padding before the input.
    axes: [Taps; 2],
    /// Where they begin in the output.
    phases: Vec<[usize; 2]>,
    conv: Conv2d,
}

/// What the outputs `first`, `first + stride`, ... of one axis meet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Taps {
    /// How many, those of zero included.
    count: usize,
    /// Zeros before the input.
    pad: usize,
}

/// The taps of a phase along one axis: which of the kernel's, in the order of the input, with `None` for zeros.
fn taps(
    kernel: usize,
    stride: usize,
    pad: usize,
    first: usize,
) -> (Taps, impl Iterator<Item = Option<usize>>) {
    let (remainder, skipped) = ((first + pad) % stride, (first + pad) / stride);
    let own = (kernel - remainder).div_ceil(stride);
    // Element `first` meets inputs `skipped + 1 - own ..= skipped`.
    let zeros = (skipped + 1).saturating_sub(own);
    let taps = Taps {
        count: zeros + own,
        pad: (own - 1).saturating_sub(skipped),
    };
    let order = (0..own)
        .rev()
        .map(move |tap| Some(remainder + stride * tap));
    (taps, std::iter::repeat_n(None, zeros).chain(order))
}

impl ConvTranspose2d {
    /// Takes `weights` as `[out_channels, in_channels / groups, kernel height, kernel width]` and `bias` as empty or `[out_channels]`, for the
    /// best instruction set of this processor. (ONNX stores weights with the input's channels first.)
    ///
    /// # Errors
    /// What [`TransposedSpec::check`] finds, or a slice of the wrong length.
    pub fn new(
        spec: TransposedSpec,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<ConvTranspose2d, ConvError> {
        ConvTranspose2d::with_isa(Isa::best(), spec, weights, bias)
    }

    /// As [`ConvTranspose2d::new`], for an instruction set that [`Isa::available`] lists.
    ///
    /// # Errors
    /// As [`ConvTranspose2d::new`].
    pub fn with_isa(
        isa: Isa,
        spec: TransposedSpec,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<ConvTranspose2d, ConvError> {
        spec.check()?;
        let [height, width] = spec.window.kernel;
        let filters = volume(&[spec.out_channels, spec.in_channels / spec.groups])?;
        let want = volume(&[filters, height, width])?;
        expect_length("the weights", weights.len(), want)?;
        if !bias.is_empty() {
            expect_length("the bias", bias.len(), spec.out_channels)?;
        }
        let mut grouped: Vec<([Taps; 2], Vec<[usize; 2]>)> = Vec::new();
        for y in 0..spec.window.stride[0] {
            for x in 0..spec.window.stride[1] {
                let first = [y, x];
                let axes = [0, 1].map(|axis| spec.taps(axis, first[axis]).0);
                // A group of channels is a run of filters: two phases of several groups are no such run.
                match grouped.iter_mut().find(|(of, _)| *of == axes) {
                    Some((_, phases)) if spec.groups == 1 => phases.push(first),
                    _ => grouped.push((axes, vec![first])),
                }
            }
        }
        let bundles = grouped.into_iter().map(|(axes, phases)| {
            let kernel = [axes[0].count, axes[1].count];
            let per_phase = volume(&[filters, kernel[0], kernel[1]])?;
            let mut own = Vec::with_capacity(volume(&[per_phase, phases.len()])?);
            for first in &phases {
                spec.phase_of(weights, *first, &mut own);
            }
            let of_phases = Spec {
                out_channels: volume(&[spec.out_channels, phases.len()])?,
                ..spec.phase(kernel)
            };
            let conv = Conv2d::with_isa(isa, of_phases, &own, &bias.repeat(phases.len()))?;
            Ok(Bundle { axes, phases, conv })
        });
        let bundles = bundles.collect::<Result<Vec<_>, ConvError>>()?;
        Ok(ConvTranspose2d {
            spec,
            isa,
            places: places(&bundles),
            bundles,
        })
    }

    /// What is computed.
    pub fn spec(&self) -> &TransposedSpec {
        &self.spec
    }

    /// Packs the weights as images of this size ask for, if that has not been done: otherwise the first call does.
    pub fn prepare(&self, input: [usize; 2], output: [usize; 2]) {
        for bundle in &self.bundles {
            bundle.conv.prepare(&self.frame(bundle, input, output));
        }
    }

    /// The phases of `images` images of this size, one convolution after the other, as [`ConvTranspose2d::interleave`] takes them. Where
    /// there is only one, which is where strides are 1, it is the output.
    ///
    /// # Errors
    /// If a slice has the wrong length, or sizes overflow.
    pub fn run(
        &self,
        images: usize,
        input_size: [usize; 2],
        output_size: [usize; 2],
        input: &[f32],
        phases: &mut [f32],
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        let want = self.spec.elements(images, output_size)?;
        expect_length("the phases", phases.len(), want)?;
        if want == 0 {
            return Ok(());
        }
        let mut rest = phases;
        for bundle in &self.bundles {
            let len = want / self.spec.phases() * bundle.phases.len();
            let (own, behind) = rest.split_at_mut(len);
            rest = behind;
            let operands = Operands {
                input,
                ..Operands::default()
            };
            let frame = self.frame(bundle, input_size, output_size);
            bundle.conv.run(images, &frame, operands, own, workers)?;
        }
        Ok(())
    }

    /// Writes the output, `[images, channels, height, width]`, of this size, from the phases that [`ConvTranspose2d::run`] has computed.
    ///
    /// # Errors
    /// If a slice has the wrong length, or sizes overflow.
    pub fn interleave(
        &self,
        images: usize,
        output_size: [usize; 2],
        phases: &[f32],
        output: &mut [f32],
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        let [height, width] = output_size;
        let want = volume(&[images, self.spec.out_channels, height, width])?;
        expect_length("the output", output.len(), want)?;
        let all = self.spec.elements(images, output_size)?;
        expect_length("the phases", phases.len(), all)?;
        let of = Interleave {
            isa: self.isa,
            spec: &self.spec,
            places: &self.places,
            images,
            output_size,
            phases,
        };
        of.write(output, workers);
        Ok(())
    }

    fn frame(&self, bundle: &Bundle, input: [usize; 2], output: [usize; 2]) -> Frame {
        Frame {
            input,
            output: self.spec.phase_size(output),
            pad: [0, 1].map(|axis| bundle.axes[axis].pad),
        }
    }
}

fn places(bundles: &[Bundle]) -> Vec<Place> {
    let mut before = 0;
    let mut places = Vec::new();
    for bundle in bundles {
        let of = bundle.phases.len();
        let phases = bundle.phases.iter().enumerate();
        places.extend(phases.map(|(among, first)| Place {
            first: *first,
            before,
            among,
            of,
        }));
        before += of;
    }
    places
}

/// Where a phase lies.
#[derive(Debug)]
struct Place {
    /// The first row and column of the output that it has.
    first: [usize; 2],
    /// Phases of the convolutions before its own.
    before: usize,
    /// Its place in its own convolution ...
    among: usize,
    /// ... and how many that has.
    of: usize,
}

impl TransposedSpec {
    fn taps(
        &self,
        axis: usize,
        first: usize,
    ) -> (Taps, impl Iterator<Item = Option<usize>> + use<>) {
        let Window { kernel, stride, .. } = self.window;
        taps(kernel[axis], stride[axis], self.pad[axis], first)
    }

    /// Adds the weights of the phase that begins at this row and column.
    fn phase_of(&self, weights: &[f32], first: [usize; 2], to: &mut Vec<f32>) {
        let [height, width] = self.window.kernel;
        let columns: Vec<Option<usize>> = self.taps(1, first[1]).1.collect();
        let rows: Vec<Option<usize>> = self.taps(0, first[0]).1.collect();
        for filter in weights.chunks_exact(height * width) {
            for row in &rows {
                let weight = |x: &Option<usize>| {
                    let at = row.zip(*x).map(|(y, x)| y * width + x);
                    at.and_then(|at| filter.get(at)).copied().unwrap_or(0.0)
                };
                to.extend(columns.iter().map(weight));
            }
        }
    }
}
