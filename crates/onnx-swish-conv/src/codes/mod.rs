//! Convolutions of 8-bit codes: exact sums, and codes or floats again in the same pass.
//! Given: weights and scales once, then plain slices of bytes with their [`Frame`].
//! Promise: sums never saturate; what they end in is stated in [`Ending`], and is the same for any number of workers and, but for
//! activations of floats, for any instruction set.
//!
//! | module | has |
//! |---|---|
//! | `spec` | what is computed, read and written |
//! | `ending` | what sums become |
//! | `gemm/` | products: dense and grouped convolutions |
//! | `depthwise/` | one input channel for each output channel |

#[allow(unsafe_code)]
mod depthwise;
#[allow(unsafe_code)]
mod ending;
mod gemm;
mod spec;

use onnx_swish_simd::DotIsa;
use onnx_swish_threads::Workers;

use self::depthwise::Depthwise;
use self::ending::Call;
use self::gemm::Gemm;
pub use self::spec::{Dynamic, Ending, QBias, QOperands, QOutput, QSpec, QWeights};
use crate::{ConvError, Frame, Isa};

/// A two-dimensional convolution of 8-bit codes with its weights, ready to run.
#[derive(Debug)]
pub struct QConv2d {
    spec: QSpec,
    dot: DotIsa,
    method: Method,
}

#[derive(Debug)]
enum Method {
    Depthwise(Depthwise),
    Gemm(Gemm),
}

/// What a call has besides the input.
struct Request<'a> {
    input: &'a [u8],
    call: Call,
    /// All elements, as bytes.
    output: &'a mut [u8],
}

/// What a method needs of the machine.
#[derive(Debug, Clone, Copy)]
struct Machine {
    isa: Isa,
    dot: DotIsa,
}

impl QConv2d {
    /// For the best instruction set of this processor. `table`, only with [`Ending::Codes`], is what becomes of each code that the ending
    /// gives: an activation from code to code, by the bytes of both.
    ///
    /// # Errors
    /// What [`QSpec::check`] finds, a slice of the wrong length, a scale or zero point of the weights that is none, or weights so
    /// large that a sum could leave an i32.
    pub fn new(
        spec: QSpec,
        weights: QWeights,
        bias: QBias,
        table: Option<&[u8; 256]>,
    ) -> Result<QConv2d, ConvError> {
        QConv2d::with_isa(DotIsa::of(Isa::best()), spec, weights, bias, table)
    }

    /// As [`QConv2d::new`], for instructions that [`DotIsa::available`] lists.
    ///
    /// # Errors
    /// As [`QConv2d::new`].
    pub fn with_isa(
        dot: DotIsa,
        spec: QSpec,
        weights: QWeights,
        bias: QBias,
        table: Option<&[u8; 256]>,
    ) -> Result<QConv2d, ConvError> {
        spec.check()?;
        spec.check_weights(&weights, &bias)?;
        if table.is_some() && !matches!(spec.ending, Ending::Codes(..)) {
            let what = "a table of codes";
            return Err(ConvError::Unexpected { what });
        }
        // Instructions on codes come with a set on floats of this machine.
        let isa = dot.isa().parse().unwrap_or_else(|_| Isa::best());
        let machine = Machine { isa, dot };
        let method = if spec.is_depthwise() {
            Method::Depthwise(Depthwise::new(&spec, &weights, &bias, table, machine))
        } else {
            Method::Gemm(Gemm::new(&spec, &weights, &bias, table, machine))
        };
        Ok(QConv2d { spec, dot, method })
    }

    /// What is computed.
    #[must_use]
    pub fn spec(&self) -> &QSpec {
        &self.spec
    }

    /// Bytes that the weights take in the kernels' order.
    #[must_use]
    pub fn packed_bytes(&self) -> usize {
        match &self.method {
            Method::Depthwise(method) => method.packed_bytes(),
            Method::Gemm(method) => method.packed_bytes(),
        }
    }

    /// Computes `images` images.
    ///
    /// # Errors
    /// If a slice has the wrong length, or is not what the [`QSpec`] asks for.
    pub fn run(
        &self,
        images: usize,
        frame: &Frame,
        operands: QOperands,
        mut output: QOutput,
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        self.spec.check_tensors(images, frame, &operands, &output)?;
        let request = Request {
            input: operands.input,
            call: Call::new(self.dot.format(), self.spec.input, operands.dynamic),
            output: output.bytes(),
        };
        match &self.method {
            Method::Depthwise(method) => method.run(frame, request, workers),
            Method::Gemm(method) => method.run(frame, request, workers),
        }
        Ok(())
    }
}
