//! Which method computes a convolution.
//! Given: a spec, an instruction set, and the size of the images.
//! Promise: one answer, which depends on nothing else: other sizes may get other methods, and each its own packed weights.

use std::fmt;
use std::sync::OnceLock;

use onnx_swish_threads::Workers;

use crate::depthwise::Depthwise;
use crate::gemm::Gemm;
use crate::linear::Linear;
use crate::plan::LastPlans;
use crate::winograd::{self, Winograd};
use crate::{Frame, Isa, Operands, Outputs, Spec};

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// Each output channel from one input channel, tap by tap.
    Depthwise,
    /// A product of the filters with the input elements that each output meets.
    Product,
    /// A product of rows and the weights: a linear layer.
    Linear,
    /// Winograd's F(4x4, 3x3): tiles of four by four outputs from 36 products for each channel instead of 144 (Lavin and Gray,
    /// arXiv:1509.09308, with the points 0, ±√½, ±√2 and ∞). For dense 3x3 kernels of stride 1 whose sums do not end in 8-bit codes.
    ///
    /// Sums differ from the exact ones by more than those of [`Method::Product`], see [`Method::WINOGRAD_ERROR`]. A NaN or an infinity
    /// in the input makes NaN of all outputs whose tile reads it, and not of those alone that meet it; inputs or weights above about
    /// 10³⁶ may overflow on the way. [`Spec::exact`] is for those who mind.
    Winograd,
    /// The same along one axis, F(4, k): four outputs from k + 3 products instead of 4·k, for dense kernels of one row or one column of
    /// 3, 5 or 7 taps. What [`Method::Winograd`] says of errors and of NaN holds here too. Points are ±½, ±1, ±2 for five taps, and
    /// ±½, ±¾, ±4/3, ±2 for seven, of up to 256 input channels.
    WinogradLine {
        /// The taps of the kernel.
        taps: usize,
    },
}

impl Method {
    /// How far sums of [`Method::Winograd`] may be from the exact ones, in parts of the largest sum of the tensor, for up to 512 input
    /// channels of random numbers: tests hold it to that over a grid of shapes. Lines of seven taps come closest (6e-6 with 256).
    /// Beside exact products `benches/winograd.rs` found 1e-6 to 2e-6 for up to 128 channels and 4e-6 for 256. Before the activation, as
    /// for any sum whose terms cancel, no bound holds in parts of a single small sum.
    pub const WINOGRAD_ERROR: f32 = 1e-5;

    /// Whether input and filters are transformed, so that fewer products are computed than the definition has.
    pub fn is_winograd(&self) -> bool {
        matches!(self, Method::Winograd | Method::WinogradLine { .. })
    }

    /// The method for images of this frame.
    ///
    /// Where there is a choice, it is by counting what each method has to do: the products of vectors, and the transforms in units of
    /// them, as measured with AVX-512 and AVX2. Sets that were not measured go by the same counts with their own lanes and registers.
    pub fn of(spec: &Spec, isa: Isa, frame: &Frame) -> Method {
        if spec.rows {
            Method::Linear
        } else if spec.is_depthwise() {
            Method::Depthwise
        } else if winograd::covers(spec) && winograd::pays(spec, isa, frame) {
            match spec.window.kernel {
                [1, taps] | [taps, 1] => Method::WinogradLine { taps },
                _ => Method::Winograd,
            }
        } else {
            Method::Product
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Method::Depthwise => f.write_str("depthwise"),
            Method::Product => f.write_str("matrix product"),
            Method::Linear => f.write_str("linear layer"),
            Method::Winograd => f.write_str("Winograd F(4x4, 3x3)"),
            Method::WinogradLine { taps } => write!(f, "Winograd F(4, {taps})"),
        }
    }
}

/// The methods of one convolution, with their weights.
#[derive(Debug)]
pub(crate) enum Methods {
    // Epilogues may hold tables of codes.
    Depthwise(Box<Depthwise>),
    Product(Box<Gemm>),
    Linear(Box<Linear>),
    Winograd(Box<Winograd>, Method),
    BySize(Box<BySize>),
}

/// Weights as they were given, for the methods that images turn out to ask for.
#[derive(Debug)]
pub(crate) struct BySize {
    weights: Vec<f32>,
    bias: Vec<f32>,
    product: OnceLock<Gemm>,
    winograd: OnceLock<Winograd>,
    /// The answer for the last frame.
    choice: LastPlans<Method>,
}

impl Methods {
    /// For a spec and weights that have been checked, and images of all frames, or of one.
    pub(crate) fn new(
        isa: Isa,
        spec: &Spec,
        weights: &[f32],
        bias: &[f32],
        frame: Option<&Frame>,
    ) -> Methods {
        let method = frame.map(|frame| Method::of(spec, isa, frame));
        if spec.rows {
            Methods::Linear(Box::new(Linear::new(spec, weights, bias, isa)))
        } else if spec.is_depthwise() {
            Methods::Depthwise(Box::new(Depthwise::new(spec, weights, bias, isa)))
        } else if let Some(method) = method.filter(Method::is_winograd) {
            let winograd = Winograd::new(spec, weights, bias, isa);
            Methods::Winograd(Box::new(winograd), method)
        } else if frame.is_none() && winograd::covers(spec) {
            Methods::BySize(Box::new(BySize {
                weights: weights.to_vec(),
                bias: bias.to_vec(),
                product: OnceLock::new(),
                winograd: OnceLock::new(),
                choice: LastPlans::none(),
            }))
        } else {
            Methods::Product(Box::new(Gemm::new(spec, weights, bias, isa)))
        }
    }

    /// How images of this frame are computed.
    pub(crate) fn method(&self, spec: &Spec, isa: Isa, frame: &Frame) -> Method {
        match self {
            Methods::Depthwise(_) => Method::Depthwise,
            Methods::Product(_) => Method::Product,
            Methods::Linear(_) => Method::Linear,
            Methods::Winograd(_, method) => *method,
            Methods::BySize(_) => Method::of(spec, isa, frame),
        }
    }

    pub(crate) fn prepare(&self, spec: &Spec, isa: Isa, frame: &Frame) {
        if let Methods::BySize(methods) = self {
            match methods.choice(spec, isa, frame) {
                method if method.is_winograd() => drop(methods.winograd(spec, isa)),
                _ => drop(methods.product(spec, isa)),
            }
        }
    }

    pub(crate) fn packed_bytes(&self) -> usize {
        match self {
            Methods::Depthwise(method) => method.packed_bytes(),
            Methods::Product(method) => method.packed_bytes(),
            Methods::Linear(method) => method.packed_bytes(),
            Methods::Winograd(method, _) => method.packed_bytes(),
            Methods::BySize(methods) => {
                let given = size_of_val(&*methods.weights) + size_of_val(&*methods.bias);
                let product = methods.product.get().map_or(0, Gemm::packed_bytes);
                let winograd = methods.winograd.get().map_or(0, Winograd::packed_bytes);
                given + product + winograd
            }
        }
    }

    /// Computes all images. Lengths have been checked.
    pub(crate) fn run(
        &self,
        spec: &Spec,
        isa: Isa,
        frame: &Frame,
        operands: &Operands,
        outputs: Outputs,
        workers: &dyn Workers,
    ) {
        match self {
            Methods::Depthwise(method) => method.run(frame, operands.input, outputs, workers),
            Methods::Product(method) => method.run(frame, operands, outputs.output, workers),
            Methods::Linear(method) => method.run(operands, outputs.output, workers),
            Methods::Winograd(method, _) => method.run(frame, operands, outputs.output, workers),
            Methods::BySize(methods) => match methods.choice(spec, isa, frame) {
                Method::Winograd | Method::WinogradLine { .. } => {
                    let method = methods.winograd(spec, isa);
                    method.run(frame, operands, outputs.output, workers);
                }
                Method::Depthwise | Method::Product | Method::Linear => {
                    let method = methods.product(spec, isa);
                    method.run(frame, operands, outputs.output, workers);
                }
            },
        }
    }
}

impl BySize {
    fn choice(&self, spec: &Spec, isa: Isa, frame: &Frame) -> Method {
        *self.choice.get(frame, || Method::of(spec, isa, frame))
    }

    fn product(&self, spec: &Spec, isa: Isa) -> &Gemm {
        let make = || Gemm::new(spec, &self.weights, &self.bias, isa);
        self.product.get_or_init(make)
    }

    fn winograd(&self, spec: &Spec, isa: Isa) -> &Winograd {
        let make = || Winograd::new(spec, &self.weights, &self.bias, isa);
        self.winograd.get_or_init(make)
    }
}
