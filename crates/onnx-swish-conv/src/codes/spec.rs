//! What a convolution of 8-bit codes computes, and what it reads and writes.
//! Given: sizes, scales, zero points, and what sums end in.
//! Promise: what passes [`QSpec::check`] and [`QSpec::check_weights`] can be computed exactly: no sum leaves an i32.

use onnx_swish_kernels::codes::{CodeType, Linear, ZeroPoint};

use crate::shared::as_bytes;
use crate::spec::{expect_length, is_depthwise, volume};
use crate::{Activation, ConvError, Frame, Window};

/// What the sums of a convolution of codes end in. A sum is `Σ (x − x zero point)·(w − w zero point) + bias`, exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ending {
    /// The sums themselves, as ConvInteger and MatMulInteger have them.
    Sums,
    /// `activation(f32(sum)·(x scale·w scale) + float bias)`: what DequantizeLinear, Conv and an activation compute, up to the rounding
    /// of the float sums. The sum is rounded to f32 once, the scales' product once, their product once; a float bias is added with a
    /// rounding of its own.
    Floats(Activation),
    /// Codes again.
    ///
    /// Without an activation and a float bias `clamp(round(f32(sum)·m) + zero point)`, where `m = (x scale·w scale)/scale`, each operation
    /// rounded to f32 and `round` to the nearest, ties to even: the arithmetic of ONNX Runtime's QLinearConv, bit for bit
    /// (`tests/qlinearconv.txt` has its numbers). With either
    /// it is QuantizeLinear of what [`Ending::Floats`] gives: `clamp(round(float/scale) + zero point)`.
    Codes(Linear, Activation),
}

/// What to compute, apart from the weights and the size of the image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QSpec {
    /// Kernel, strides, dilations.
    pub window: Window,
    /// Channels of the input, all groups together.
    pub in_channels: usize,
    /// Channels of the output, all groups together.
    pub out_channels: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Of the input. Padding is its zero point.
    pub input: Linear,
    /// What each sum ends in.
    pub ending: Ending,
}

/// The weights: `scale[c]·(code − zero_point[c])` for output channel c.
#[derive(Debug, Clone, Copy)]
pub struct QWeights<'a> {
    /// `[out_channels, in_channels / groups, kernel height, kernel width]`, signed ones as the bytes they are.
    pub bytes: &'a [u8],
    /// The type of the codes.
    pub codes: CodeType,
    /// One, or one for each output channel.
    pub scales: &'a [f32],
    /// None, which is zero, one, or one for each output channel.
    pub zero_points: &'a [i32],
}

/// What is added to the sums, one number for each output channel.
#[derive(Debug, Clone, Copy)]
pub enum QBias<'a> {
    /// Nothing.
    None,
    /// Added to the sums, exactly: a bias of scale `x scale·w scale`, as quantisers write it.
    Sums(&'a [i32]),
    /// Added to the floats. Not with [`Ending::Sums`].
    Floats(&'a [f32]),
}

/// What a convolution of codes reads at run time.
#[derive(Debug, Clone, Copy, Default)]
pub struct QOperands<'a> {
    /// `[images, in_channels, height, width]`, signed codes as the bytes they are.
    pub input: &'a [u8],
    /// For inputs that are quantised at run time (DynamicQuantizeLinear): a factor that the scale of the [`QSpec`] is multiplied by,
    /// usually 1 there, and the zero point in place of that of the [`QSpec`]. Not with [`Ending::Codes`].
    pub dynamic: Option<Dynamic>,
}

/// Quantisation that is known at run time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dynamic {
    /// A factor of the scale.
    pub scale: f32,
    /// The code of zero.
    pub zero_point: i32,
}

/// What a convolution of codes writes, `[images, out_channels, height, width]`: as its [`Ending`] says. Every element is written, and none
/// is read before.
#[derive(Debug)]
pub enum QOutput<'a> {
    /// Of [`Ending::Sums`].
    Sums(&'a mut [i32]),
    /// Of [`Ending::Floats`].
    Floats(&'a mut [f32]),
    /// Of [`Ending::Codes`], signed ones as the bytes they are.
    Codes(&'a mut [u8]),
}

impl QOutput<'_> {
    /// All elements as bytes.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        match self {
            QOutput::Sums(sums) => as_bytes(sums),
            QOutput::Floats(floats) => as_bytes(floats),
            QOutput::Codes(codes) => codes,
        }
    }
}

fn check_scale(what: &'static str, scale: f32) -> Result<(), ConvError> {
    if scale.is_normal() && scale > 0.0 {
        Ok(())
    } else {
        Err(ConvError::Scale { what, scale })
    }
}

fn check_zero_point(what: &'static str, codes: CodeType, zero: i32) -> Result<(), ConvError> {
    match ZeroPoint::new(codes, zero) {
        Some(_) => Ok(()),
        None => Err(ConvError::ZeroPoint { what, zero }),
    }
}

impl QSpec {
    /// See [`is_depthwise`].
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        is_depthwise(self.in_channels, self.groups)
    }

    /// Multiply-adds of one output element.
    #[must_use]
    pub fn macs_per_output(&self) -> usize {
        self.in_channels / self.groups.max(1) * self.window.taps()
    }

    /// Whether it can be computed.
    ///
    /// # Errors
    /// If a size is zero, the groups do not divide the channels, or a scale is not a normal number above zero.
    pub fn check(&self) -> Result<(), ConvError> {
        crate::spec::check_sizes(
            &self.window,
            self.in_channels,
            self.out_channels,
            self.groups,
        )?;
        check_scale("the input", self.input.scale)?;
        match &self.ending {
            Ending::Codes(output, _) => check_scale("the output", output.scale),
            Ending::Sums | Ending::Floats(_) => Ok(()),
        }
    }

    /// Checks the weights and the bias, and that no sum can leave an i32.
    pub(crate) fn check_weights(&self, weights: &QWeights, bias: &QBias) -> Result<(), ConvError> {
        let [kernel_height, kernel_width] = self.window.kernel;
        let per_group = self.in_channels / self.groups;
        let want = volume(&[self.out_channels, per_group, kernel_height, kernel_width])?;
        expect_length("the weights", weights.bytes.len(), want)?;
        let zero_points = weights.zero_points.len();
        for (what, got, may_be_none) in [
            ("the weights' scales", weights.scales.len(), false),
            ("the weights' zero points", zero_points, true),
        ] {
            if got != 1 && !(may_be_none && got == 0) {
                expect_length(what, got, self.out_channels)?;
            }
        }
        for scale in weights.scales {
            check_scale("the weights", *scale)?;
        }
        for zero in weights.zero_points {
            check_zero_point("the weights", weights.codes, *zero)?;
        }
        match (bias, &self.ending) {
            (QBias::None, _) => {}
            (QBias::Sums(bias), _) => expect_length("the bias", bias.len(), self.out_channels)?,
            (QBias::Floats(_), Ending::Sums) => {
                return Err(ConvError::Unexpected {
                    what: "a float bias",
                });
            }
            (QBias::Floats(bias), _) => expect_length("the bias", bias.len(), self.out_channels)?,
        }
        self.check_sums(weights, bias)
    }

    /// Whether the largest sum that any input can make fits an i32.
    fn check_sums(&self, weights: &QWeights, bias: &QBias) -> Result<(), ConvError> {
        let rows = weights.bytes.chunks(self.macs_per_output().max(1));
        for (channel, row) in rows.enumerate() {
            let most = self.largest_sum(weights, bias, channel, row);
            if most > u64::from(i32::MAX.unsigned_abs()) {
                return Err(ConvError::Sums { channel, most });
            }
        }
        Ok(())
    }

    /// The largest magnitude of a sum of an output channel, whose weights `row` has.
    pub(super) fn largest_sum(
        &self,
        weights: &QWeights,
        bias: &QBias,
        channel: usize,
        row: &[u8],
    ) -> u64 {
        let magnitude = |byte: &u8| u64::from(weights.value(channel, *byte).unsigned_abs());
        let total: u64 = row.iter().map(magnitude).sum();
        let bias = match bias {
            QBias::Sums(bias) => u64::from(bias[channel].unsigned_abs()),
            QBias::None | QBias::Floats(_) => 0,
        };
        // No code is further from its zero point than 255.
        total.saturating_mul(255).saturating_add(bias)
    }

    /// Checks the lengths of what is read and written for so many images.
    pub(crate) fn check_tensors(
        &self,
        images: usize,
        frame: &Frame,
        operands: &QOperands,
        output: &QOutput,
    ) -> Result<(), ConvError> {
        let [height, width] = frame.input;
        let input = volume(&[images, self.in_channels, height, width])?;
        let [height, width] = frame.output;
        let want = volume(&[images, self.out_channels, height, width])?;
        expect_length("the input", operands.input.len(), input)?;
        let got = match (output, &self.ending) {
            (QOutput::Sums(output), Ending::Sums) => output.len(),
            (QOutput::Floats(output), Ending::Floats(_)) => output.len(),
            (QOutput::Codes(output), Ending::Codes(..)) => output.len(),
            _ => return Err(ConvError::Ending),
        };
        expect_length("the output", got, want)?;
        if let Some(dynamic) = operands.dynamic {
            if matches!(self.ending, Ending::Codes(..)) {
                let what = "quantisation at run time";
                return Err(ConvError::Unexpected { what });
            }
            check_zero_point(
                "the input",
                self.input.zero_point.codes(),
                dynamic.zero_point,
            )?;
        }
        frame.check(&self.window)
    }
}

impl QWeights<'_> {
    /// A weight without its scale.
    pub(crate) fn value(&self, channel: usize, byte: u8) -> i32 {
        self.codes.value(byte) - of_channel(self.zero_points, channel).unwrap_or(0)
    }

    /// The scale of an output channel.
    pub(crate) fn scale(&self, channel: usize) -> f32 {
        of_channel(self.scales, channel).unwrap_or(1.0)
    }
}

/// What a channel has of a list with one for all or one for each.
fn of_channel<T: Copy>(list: &[T], channel: usize) -> Option<T> {
    match list {
        [one] => Some(*one),
        many => many.get(channel).copied(),
    }
}
