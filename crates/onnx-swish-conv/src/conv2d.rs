//! The convolution people call.
//! Given: a [`Spec`] with weights once, then tensors with their [`Frame`].
//! Promise: sizes are checked before anything is computed; what cannot be done is an error, never a wrong number.

use onnx_swish_threads::Workers;

use crate::depthwise::Depthwise;
use crate::product::Product;
use crate::{Activation, ConvError, Frame, Isa, Window};

/// Where a tensor of the output's shape is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residual {
    /// `activation(sum)`.
    #[default]
    None,
    /// `activation(sum + residual)`.
    BeforeActivation,
    /// `activation(sum) + residual`.
    AfterActivation,
}

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
    /// Whether and where a residual is added.
    pub residual: Residual,
    /// Whether each input channel of an image is first multiplied by a factor: the gate of a squeeze-and-excite block
    /// (arXiv:1709.01507).
    pub gated: bool,
}

/// What a convolution reads at run time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Operands<'a> {
    /// `[images, in_channels, height, width]`.
    pub input: &'a [f32],
    /// The output's shape if the [`Spec`] adds a residual, empty otherwise.
    pub residual: &'a [f32],
    /// `[images, in_channels]` if the [`Spec`] has a gate, empty otherwise.
    pub gate: &'a [f32],
}

impl Spec {
    /// Whether each output channel reads one input channel, which has a method of its own.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels
    }
}

/// A convolution with its weights in the order the kernels want them.
///
/// `y[n, o] = activation(bias[o] + sum over i, tap of w[o, i, tap] * x[n, i, position of tap])`, with `gate[n, i] * x` for `x`
/// where there is a gate.
#[derive(Debug)]
pub struct Conv2d {
    spec: Spec,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Depthwise(Depthwise),
    Product(Product),
}

impl Conv2d {
    /// Takes `weights` as `[out_channels, in_channels / groups, kernel height, kernel width]` and `bias` as empty or
    /// `[out_channels]`, for the best instruction set of this processor.
    ///
    /// # Errors
    /// If a size is zero, the groups do not divide the channels, or a slice has the wrong length.
    pub fn new(spec: Spec, weights: &[f32], bias: &[f32]) -> Result<Conv2d, ConvError> {
        Conv2d::with_isa(Isa::best(), spec, weights, bias)
    }

    /// As [`Conv2d::new`], for an instruction set that [`Isa::available`] lists.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn with_isa(
        isa: Isa,
        spec: Spec,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<Conv2d, ConvError> {
        spec.window.check()?;
        let channels = [(spec.in_channels, "input"), (spec.out_channels, "output")];
        if spec.groups == 0 {
            return Err(ConvError::Zero {
                what: "the number of groups",
            });
        }
        for (channels, what) in channels {
            if channels == 0 {
                return Err(ConvError::Zero {
                    what: "a number of channels",
                });
            }
            if !channels.is_multiple_of(spec.groups) {
                return Err(ConvError::Groups {
                    what,
                    channels,
                    groups: spec.groups,
                });
            }
        }
        let want = volume(&[
            spec.out_channels,
            spec.in_channels / spec.groups,
            spec.window.kernel[0],
            spec.window.kernel[1],
        ])?;
        expect_length("the weights", weights.len(), want)?;
        let bias = if bias.is_empty() {
            vec![0.0; spec.out_channels]
        } else {
            bias.to_vec()
        };
        expect_length("the bias", bias.len(), spec.out_channels)?;
        let Spec {
            window,
            in_channels,
            out_channels,
            groups,
            activation,
            residual,
            gated,
        } = spec;
        let activation = activation.prepare();
        let method = if spec.is_depthwise() {
            if residual != Residual::None {
                return Err(ConvError::NotDepthwise { what: "a residual" });
            }
            if gated {
                return Err(ConvError::NotDepthwise { what: "a gate" });
            }
            let weights = weights.to_vec();
            Method::Depthwise(Depthwise {
                window,
                in_channels,
                out_channels,
                weights,
                bias,
                activation,
                isa,
            })
        } else {
            Method::Product(Product::new(
                window,
                [in_channels, out_channels],
                groups,
                weights,
                &bias,
                activation,
                residual,
                gated,
                isa,
            ))
        };
        Ok(Conv2d { spec, method })
    }

    /// What is computed.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Bytes that the weights take in the kernels' order.
    pub fn packed_bytes(&self) -> usize {
        size_of::<f32>()
            * match &self.method {
                Method::Depthwise(method) => method.weights.len() + method.bias.len(),
                Method::Product(method) => method.packed.len() + method.bias.len(),
            }
    }

    /// Computes `images` images: `output` is `[images, out_channels, height, width]`.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    pub fn run(
        &self,
        images: usize,
        frame: &Frame,
        operands: Operands,
        output: &mut [f32],
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        self.check(images, frame, &operands, output)?;
        match &self.method {
            Method::Depthwise(method) => {
                method.run(frame, operands.input, output, &mut [], workers);
            }
            Method::Product(method) => method.run(frame, operands, output, workers),
        }
        Ok(())
    }

    /// As [`Conv2d::run`], and writes the total of each plane of the output to `sums`, `[images, out_channels]`: a
    /// following global average pool is that divided by the plane's area. The order of summation is fixed.
    ///
    /// # Errors
    /// If a slice has the wrong length, or the convolution is not depthwise.
    pub fn run_with_sums(
        &self,
        images: usize,
        frame: &Frame,
        operands: Operands,
        output: &mut [f32],
        sums: &mut [f32],
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        self.check(images, frame, &operands, output)?;
        expect_length(
            "the sums",
            sums.len(),
            volume(&[images, self.spec.out_channels])?,
        )?;
        match &self.method {
            Method::Depthwise(method) => {
                method.run(frame, operands.input, output, sums, workers);
            }
            Method::Product(_) => {
                return Err(ConvError::DepthwiseOnly {
                    what: "the sum of each plane",
                });
            }
        }
        Ok(())
    }

    fn check(
        &self,
        images: usize,
        frame: &Frame,
        operands: &Operands,
        output: &[f32],
    ) -> Result<(), ConvError> {
        let residual = match self.spec.residual {
            Residual::None => 0,
            Residual::BeforeActivation | Residual::AfterActivation => output.len(),
        };
        expect_length("the residual", operands.residual.len(), residual)?;
        let gate = if self.spec.gated {
            volume(&[images, self.spec.in_channels])?
        } else {
            0
        };
        expect_length("the gate", operands.gate.len(), gate)?;
        let [height, width] = frame.input;
        expect_length(
            "the input",
            operands.input.len(),
            volume(&[images, self.spec.in_channels, height, width])?,
        )?;
        let [height, width] = frame.output;
        expect_length(
            "the output",
            output.len(),
            volume(&[images, self.spec.out_channels, height, width])?,
        )?;
        // Positions are computed without overflow checks: a frame must be as small as the memory it describes.
        for axis in 0..2 {
            let window = &self.spec.window;
            let furthest = frame.output[axis]
                .checked_mul(window.stride[axis])
                .and_then(|at| {
                    at.checked_add((window.kernel[axis] - 1).checked_mul(window.dilation[axis])?)
                })
                .and_then(|at| {
                    at.checked_add(frame.pad[axis])?
                        .checked_add(frame.input[axis])
                });
            if furthest.is_none_or(|at| at > isize::MAX as usize / 64) {
                return Err(ConvError::TooLarge);
            }
        }
        Ok(())
    }
}

/// The product of sizes.
fn volume(sizes: &[usize]) -> Result<usize, ConvError> {
    sizes
        .iter()
        .try_fold(1usize, |product, size| product.checked_mul(*size))
        .ok_or(ConvError::TooLarge)
}

fn expect_length(what: &'static str, got: usize, want: usize) -> Result<(), ConvError> {
    if got == want {
        Ok(())
    } else {
        Err(ConvError::Length { what, got, want })
    }
}
