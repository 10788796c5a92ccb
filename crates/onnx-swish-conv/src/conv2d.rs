//! The convolution people call.
//! Given: a [`Spec`] with weights once, then tensors with their [`Frame`].
//! Promise: sizes are checked before anything is computed; what cannot be done is an error, never a wrong number.

use onnx_swish_threads::Workers;

use crate::method::{Method, Methods};
use crate::{ConvError, Frame, Isa, Operands, Outputs, Spec};

/// A convolution with its weights in the order the kernels want them.
///
/// `y[n, o] = activation(bias[o] + sum over i, tap of w[o, i, tap] * x[n, i, position of tap])`, with `gate[n, i] * x` for `x`
/// where there is a gate.
///
/// What depends on the size of the images is settled at the first call and kept until the size changes: calls with the
/// same [`Frame`] allocate nothing, apart from the working memory that a thread needs the first time it takes part.
#[derive(Debug)]
pub struct Conv2d {
    spec: Spec,
    isa: Isa,
    methods: Methods,
}

impl Conv2d {
    /// Takes `weights` as `[out_channels, in_channels / groups, kernel height, kernel width]` and `bias` as empty or
    /// `[out_channels]`, for the best instruction set of this processor.
    ///
    /// # Errors
    /// What [`Spec::check`] finds, or a slice of the wrong length.
    pub fn new(spec: Spec, weights: &[f32], bias: &[f32]) -> Result<Conv2d, ConvError> {
        Conv2d::with_isa(Isa::best(), spec, weights, bias)
    }

    /// As [`Conv2d::new`], for images of one frame: weights are kept in the order that these ask for and in no other, as they were given
    /// neither. Images of other frames are computed by the same method.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn for_frame(
        spec: Spec,
        weights: &[f32],
        bias: &[f32],
        frame: &Frame,
    ) -> Result<Conv2d, ConvError> {
        Conv2d::of(Isa::best(), spec, weights, bias, Some(frame))
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
        Conv2d::of(isa, spec, weights, bias, None)
    }

    fn of(
        isa: Isa,
        spec: Spec,
        weights: &[f32],
        bias: &[f32],
        frame: Option<&Frame>,
    ) -> Result<Conv2d, ConvError> {
        spec.check()?;
        spec.check_weights(weights, bias)?;
        let zeros;
        let bias = if bias.is_empty() {
            zeros = vec![0.0; spec.out_channels];
            &zeros
        } else {
            bias
        };
        Ok(Conv2d {
            spec,
            isa,
            methods: Methods::new(isa, &spec, weights, bias, frame),
        })
    }

    /// What is computed.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// How images of this frame are computed.
    pub fn method(&self, frame: &Frame) -> Method {
        self.methods.method(&self.spec, self.isa, frame)
    }

    /// Packs the weights as images of this frame ask for, if that has not been done: otherwise the first call does. Nothing is left to do
    /// for [`Conv2d::for_frame`].
    pub fn prepare(&self, frame: &Frame) {
        self.methods.prepare(&self.spec, self.isa, frame);
    }

    /// Bytes that the weights take, in the kernels' order and, where the order depends on the size of the images, as they were given.
    pub fn packed_bytes(&self) -> usize {
        self.methods.packed_bytes()
    }

    /// Computes `images` images.
    ///
    /// # Errors
    /// If a slice has the wrong length, is missing, or is not what the [`Spec`] asks for.
    pub fn run<'a>(
        &self,
        images: usize,
        frame: &Frame,
        operands: Operands,
        outputs: impl Into<Outputs<'a>>,
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        let outputs = outputs.into();
        self.spec
            .check_tensors(images, frame, &operands, &outputs)?;
        self.methods
            .run(&self.spec, self.isa, frame, &operands, outputs, workers);
        Ok(())
    }
}
