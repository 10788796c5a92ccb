//! What a convolution computes, and what it reads and writes.
//! Given: sizes, and the options that each method has.
//! Promise: a [`Spec`] that passes [`Spec::check`] can be computed; nothing is found out later.

use onnx_swish_kernels::codes::Requantize;

use crate::{Activation, ConvError, Frame, Line, Residual, Window};

/// What to compute, apart from the weights and the size of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spec {
    /// Kernel, strides, dilations.
    pub window: Window,
    /// Channels of the input, all groups together.
    pub in_channels: usize,
    /// Channels of the output, all groups together.
    pub out_channels: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// What each sum ends in.
    pub activation: Activation,
    /// What the activation's value is multiplied by, and what is added to that, before anything else: the learnable affine block of
    /// PP-LCNetV3.
    pub line: Option<Line>,
    /// Whether and where a residual is added, or multiplied by. Not for depthwise convolutions.
    pub residual: Residual,
    /// What the result is brought to in the end, after activation and residual: 8-bit codes, and back.
    pub requantize: Option<Requantize>,
    /// Whether each input channel of an image is first multiplied by a factor: the gate of a squeeze-and-excite block
    /// (arXiv:1709.01507). Not for depthwise convolutions.
    pub gated: bool,
    /// Whether the total of each plane of the output is wanted too: a following global average pool is that divided by
    /// the plane's area. Only for depthwise convolutions.
    pub plane_sums: bool,
    /// Whether every product of the definition is computed, and no method that makes do with fewer of them by transforming input and
    /// filters first (see [`Method::Winograd`](crate::Method::Winograd)).
    pub exact: bool,
    /// Whether every image is a single pixel, and so the convolution a linear layer: each image is a row of a matrix, and the weights
    /// are another. For kernels of one tap, without groups and gate.
    pub rows: bool,
}

/// Whether each output channel reads one input channel, which has a method of its own.
pub fn is_depthwise(in_channels: usize, groups: usize) -> bool {
    groups > 1 && groups == in_channels
}

/// What a convolution reads at run time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Operands<'a> {
    /// `[images, in_channels, height, width]`.
    pub input: &'a [f32],
    /// Tensors whose channels follow those of `input`, in this order, each `[images, channels of its own, height, width]`: what a
    /// concatenation of all of them would compute, without their copy. Together they have `in_channels`. Not for depthwise convolutions
    /// and for [rows](Spec::rows).
    pub more: &'a [&'a [f32]],
    /// The output's shape, if and only if the [`Spec`] has a residual.
    pub residual: Option<&'a [f32]>,
    /// `[images, in_channels]`, if and only if the [`Spec`] has a gate.
    pub gate: Option<&'a [f32]>,
}

/// What a convolution writes. Every element is written, and none is read before.
#[derive(Debug)]
pub struct Outputs<'a> {
    /// `[images, out_channels, height, width]`.
    pub output: &'a mut [f32],
    /// `[images, out_channels]`, if and only if the [`Spec`] asks for the sums of planes. The order of summation is
    /// fixed.
    pub plane_sums: Option<&'a mut [f32]>,
}

impl<'a> From<&'a mut [f32]> for Outputs<'a> {
    /// The output alone.
    fn from(output: &'a mut [f32]) -> Self {
        Outputs {
            output,
            plane_sums: None,
        }
    }
}

impl Spec {
    /// See [`is_depthwise`].
    pub fn is_depthwise(&self) -> bool {
        is_depthwise(self.in_channels, self.groups)
    }

    /// Multiply-adds of one output element.
    pub fn macs_per_output(&self) -> usize {
        self.in_channels / self.groups.max(1) * self.window.taps()
    }

    /// Whether it can be computed.
    ///
    /// # Errors
    /// If a size is zero, the groups do not divide the channels, or the method does not have an option.
    pub fn check(&self) -> Result<(), ConvError> {
        check_sizes(
            &self.window,
            self.in_channels,
            self.out_channels,
            self.groups,
        )?;
        let linear = self.window == Window::square(1, 1) && self.groups == 1 && !self.gated;
        match self.is_depthwise() {
            _ if self.rows && !linear => Err(ConvError::NotLinear),
            true if self.residual != Residual::None => {
                Err(ConvError::NotDepthwise { what: "a residual" })
            }
            true if self.gated => Err(ConvError::NotDepthwise { what: "a gate" }),
            false if self.plane_sums => Err(ConvError::DepthwiseOnly {
                what: "the sum of each plane",
            }),
            _ => Ok(()),
        }
    }

    /// Checks the lengths of the weights and of the bias.
    pub(crate) fn check_weights(&self, weights: &[f32], bias: &[f32]) -> Result<(), ConvError> {
        let [kernel_height, kernel_width] = self.window.kernel;
        let per_group = self.in_channels / self.groups;
        let want = volume(&[self.out_channels, per_group, kernel_height, kernel_width])?;
        expect_length("the weights", weights.len(), want)?;
        if bias.is_empty() {
            return Ok(());
        }
        expect_length("the bias", bias.len(), self.out_channels)
    }

    /// Checks the lengths of what is read and written for so many images.
    pub(crate) fn check_tensors(
        &self,
        images: usize,
        frame: &Frame,
        operands: &Operands,
        outputs: &Outputs,
    ) -> Result<(), ConvError> {
        let [height, width] = frame.input;
        let input = volume(&[images, self.in_channels, height, width])?;
        let [height, width] = frame.output;
        let output = volume(&[images, self.out_channels, height, width])?;
        let in_planes = volume(&[images, self.in_channels])?;
        let out_planes = volume(&[images, self.out_channels])?;
        let residual = (self.residual != Residual::None).then_some(output);
        let gate = self.gated.then_some(in_planes);
        let sums = self.plane_sums.then_some(out_planes);
        self.check_input(operands, input, frame.input_area().saturating_mul(images))?;
        expect_optional("the residual", operands.residual, residual)?;
        expect_optional("the gate", operands.gate, gate)?;
        expect_length("the output", outputs.output.len(), output)?;
        expect_optional("the plane sums", outputs.plane_sums.as_deref(), sums)?;
        if self.rows
            && frame
                .flattened(&self.window)
                .is_none_or(|f| f.output != [1, 1])
        {
            return Err(ConvError::NotPixels);
        }
        frame.check(&self.window)
    }
}

impl Spec {
    /// Checks the lengths of the input's tensors, which together have so many elements, and so many for each channel.
    fn check_input(
        &self,
        operands: &Operands,
        elements: usize,
        of_channel: usize,
    ) -> Result<(), ConvError> {
        if operands.more.is_empty() {
            return expect_length("the input", operands.input.len(), elements);
        }
        if self.is_depthwise() || self.rows {
            return Err(ConvError::Unexpected {
                what: "a second tensor of the input",
            });
        }
        let tensors = std::iter::once(&operands.input).chain(operands.more);
        let mut got = 0usize;
        for tensor in tensors {
            let rest = tensor.len().checked_rem(of_channel).unwrap_or(tensor.len());
            expect_length("a tensor of the input", tensor.len(), tensor.len() - rest)?;
            got = got.saturating_add(tensor.len());
        }
        expect_length("all tensors of the input", got, elements)
    }
}

/// Whether nothing is zero, and groups divide the channels.
pub(crate) fn check_sizes(
    window: &Window,
    in_channels: usize,
    out_channels: usize,
    groups: usize,
) -> Result<(), ConvError> {
    window.check()?;
    let zero = |what| Err(ConvError::Zero { what });
    if groups == 0 {
        return zero("the number of groups");
    }
    for (channels, what) in [(in_channels, "input"), (out_channels, "output")] {
        if channels == 0 {
            return zero("a number of channels");
        }
        if !channels.is_multiple_of(groups) {
            return Err(ConvError::Groups {
                what,
                channels,
                groups,
            });
        }
    }
    Ok(())
}

/// The product of sizes.
pub(crate) fn volume(sizes: &[usize]) -> Result<usize, ConvError> {
    product(sizes.iter().copied())
}

/// As [`volume`], of sizes that lie in no slice.
pub(crate) fn product(mut sizes: impl Iterator<Item = usize>) -> Result<usize, ConvError> {
    let product = sizes.try_fold(1usize, usize::checked_mul);
    product.ok_or(ConvError::TooLarge)
}

pub(crate) fn expect_length(what: &'static str, got: usize, want: usize) -> Result<(), ConvError> {
    if got == want {
        Ok(())
    } else {
        Err(ConvError::Length { what, got, want })
    }
}

fn expect_optional(
    what: &'static str,
    got: Option<&[f32]>,
    want: Option<usize>,
) -> Result<(), ConvError> {
    match (got, want) {
        (None, None) => Ok(()),
        (Some(got), Some(want)) => expect_length(what, got.len(), want),
        (None, Some(_)) => Err(ConvError::Missing { what }),
        (Some(_), None) => Err(ConvError::Unexpected { what }),
    }
}
