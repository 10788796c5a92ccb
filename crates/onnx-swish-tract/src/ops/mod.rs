//! The fused activations, softmax and normalisation, as tract operators.
//!
//! Given tract tensors of f16, f32 or f64 (softmax: f32), they compute with `onnx-swish-kernels`: in place when the plan owns the
//! tensor, split over the threads of the run when it is large, and with every dimension free to be symbolic.

mod activation;
mod bounds;
pub(crate) mod codes;
pub(crate) mod cut;
mod elementary;
pub(crate) mod elementwise;
mod exact;
pub(crate) mod function;
mod gate;
mod join;
mod matmul;
mod norm;
pub(crate) mod operand;
mod pairs;
mod pool;
mod qaverage;
mod qglobal;
mod qlinear;
mod qsoftmax;
mod quantize;
mod quantize_by;
mod reference;
mod resize;
mod rounding;
mod sampling;
mod selection;
mod softmax;
mod stepwise;
pub(crate) mod stride;
mod swish_by;

pub use activation::Activation;
pub use gate::Gate;
pub use swish_by::SwishBy;

/// An operator of the family as a node asks for it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// With constant parameters.
    Of(Activation),
    /// Swish with beta as its second input.
    SwishBy,
}

pub(crate) use bounds::{Clamp, Extremum, Tanh};
pub(crate) use codes::{LookUp, Requantize, is_code};
pub(crate) use elementary::Elementary;
pub(crate) use elementwise::QElementwise;
pub(crate) use exact::{Exact, ExactRoot};
pub(crate) use join::Join;
pub(crate) use matmul::BatchedMatMul;
pub(crate) use norm::RowNorm;
pub(crate) use pairs::{CodePair, CodeSums, Second};
pub(crate) use pool::{PlaneSums, PoolPlanes};
pub(crate) use qaverage::QAverage;
pub(crate) use qglobal::QGlobalAverage;
pub(crate) use qlinear::{QLinear, QLinearBy, input, number};
pub(crate) use qsoftmax::QSoftmax;
pub(crate) use quantize::{Dequantize, Quantize};
pub(crate) use quantize_by::{Direction, QuantizeBy};
pub(crate) use reference::{Reference, UnfusedSigmoid};
pub(crate) use resize::ResizePlanes;
pub(crate) use rounding::{HalfByCodes, Round};
pub(crate) use sampling::Sampling;
pub(crate) use selection::{Ranking, Selection};
pub(crate) use softmax::{OwnAxes, Softmax};
pub(crate) use stepwise::Stepwise;
