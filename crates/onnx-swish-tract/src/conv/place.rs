//! Where a convolution's images lie in a tensor.
//!
//! Given the shape of an input; promises the images, the frame of each, and the output's shape, as tract has it.

use onnx_swish_conv::Frame;
use tract_core::internal::*;
use tract_core::ops::cnn::PoolSpec;
use tract_core::ops::nn::DataFormat;

/// How an input's axes become images, channels, height and width.
// One for each convolution of a model: its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// As a pooling specification says, over one or two spatial axes.
    Pool(PoolSpec),
    /// Axes before the channels are images, axes behind them pixels, of which the kernel reads one.
    Pointwise {
        channel_axis: usize,
        /// What each axis of the output is.
        output: TVec<OutputAxis>,
    },
}

/// An axis of a pointwise convolution's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OutputAxis {
    /// The output channels.
    Channels,
    /// This axis of the input.
    Input(usize),
    /// An axis of one element that the input does not have.
    One,
}

impl Place {
    /// The position of the channels in the input's shape.
    pub(super) fn input_channel_axis(&self) -> usize {
        match self {
            Place::Pool(spec) => usize::from(spec.data_format == DataFormat::NCHW),
            Place::Pointwise { channel_axis, .. } => *channel_axis,
        }
    }

    /// The position of the channels in the output's shape.
    pub(crate) fn channel_axis(&self) -> usize {
        match self {
            Place::Pool(spec) => usize::from(spec.data_format == DataFormat::NCHW),
            Place::Pointwise { output, .. } => {
                let channels = output.iter().position(|axis| *axis == OutputAxis::Channels);
                channels.unwrap_or(0)
            }
        }
    }

    /// Images, the frame of each, and the output's shape, for so many output channels.
    pub(super) fn geometry(
        &self,
        shape: &[usize],
        channels: usize,
    ) -> TractResult<(usize, Frame, TVec<usize>)> {
        match self {
            Place::Pointwise { channel_axis, .. } => {
                let images = shape[..*channel_axis].iter().product();
                let pixels = shape[channel_axis + 1..].iter().product();
                let frame = Frame {
                    input: [1, pixels],
                    output: [1, pixels],
                    pad: [0, 0],
                };
                Ok((images, frame, self.output_shape(shape, channels)?))
            }
            Place::Pool(spec) => {
                let input = spec.data_format.shape(shape)?;
                let mut frame = Frame {
                    input: [1, 1],
                    output: [1, 1],
                    pad: [0, 0],
                };
                let axes = spec.computed_padding(input.hw_dims());
                let first = 2 - axes.len();
                for (i, (axis, size)) in axes.iter().zip(input.hw_dims()).enumerate() {
                    frame.input[first + i] = *size;
                    frame.output[first + i] = axis.convoluted;
                    frame.pad[first + i] = axis.pad_before;
                }
                let images = *input.n().unwrap_or(&1);
                Ok((images, frame, self.output_shape(shape, channels)?))
            }
        }
    }

    /// The output's shape.
    pub(super) fn output_shape<D: DimLike>(
        &self,
        input: &[D],
        channels: D,
    ) -> TractResult<TVec<D>> {
        match self {
            Place::Pool(spec) => Ok(spec.output_shape(input)?.shape),
            Place::Pointwise { output, .. } => {
                let size = |axis: &OutputAxis| match axis {
                    OutputAxis::Channels => channels.clone(),
                    OutputAxis::Input(axis) => input[*axis].clone(),
                    OutputAxis::One => 1.into(),
                };
                Ok(output.iter().map(size).collect())
            }
        }
    }
}
