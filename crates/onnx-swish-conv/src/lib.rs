//! Two-dimensional convolutions that end in an activation, for f32 in NCHW order.
//! Given: weights once, then plain slices with their [`Frame`].
//! Promise: the sum, the bias, the activation and a residual in one pass over the output, with the same result
//! for any number of workers; no tensor library and no file format in sight.
//!
//! [`Conv2d`] picks the [`Method`] from the [`Spec`] and the size of the images. A method is a folder:
//!
//! | folder | computes | how |
//! |---|---|---|
//! | `depthwise/` | one input channel for each output channel | rows of the plane, one vector of columns at a time |
//! | `winograd/` | kernels of 3x3, where that is faster | a quarter of the products, on transformed input |
//! | `linear/` | rows times a matrix: images of single pixels, and products of two tensors ([`MatMul`]) | the same tiles, columns in vectors |
//! | `gemm/` | everything else | a matrix product over blocks of unfolded input that never exist as a whole |
//!
//! | `transposed/` | transposed convolutions ([`ConvTranspose2d`]) | as convolutions that take turns in the output |
//! | `codes/` | convolutions of 8-bit codes ([`QConv2d`]), with methods of their own | exact integer sums |
//!
//! Beside convolutions there are what stands between them: `pooling/` (maxima and means of windows, [`Pool`], and sums of planes) and `resize/`
//! (images of another size, [`Resize`]).
//!
//! What methods share stands beside them: `channels.rs` (input that lies in several tensors), `padded.rs` (copies with padding, split by
//! stride), `epilogue.rs` (what sums end in), `plan.rs` (what depends on the image's size), `scratch.rs` (working memory), `shared.rs` (an
//! output that tasks share), `split.rs` (how tasks share products), `tuning.rs` (what the processor is taken to be like).
#![deny(unsafe_code)]

#[macro_use]
mod unrolled;

mod channels;
mod codes;
mod columns;
mod conv2d;
mod depthwise;
#[allow(unsafe_code)]
mod epilogue;
mod error;
mod gemm;
mod geometry;
mod linear;
mod method;
#[allow(unsafe_code)]
mod padded;
mod plan;
mod pooling;
mod resize;
#[allow(unsafe_code)]
mod scratch;
#[allow(unsafe_code)]
mod shared;
mod spec;
mod split;
mod transposed;
mod tuning;
mod winograd;

pub use codes::{Dynamic, Ending, QBias, QConv2d, QOperands, QOutput, QSpec, QWeights};
pub use conv2d::Conv2d;
pub use epilogue::{Activation, Line, Residual};
pub use error::ConvError;
pub use geometry::{Frame, Window};
pub use linear::{Axis, MatMul};
pub use method::Method;
pub use onnx_swish_kernels::codes::{CodeType, Linear, ZeroPoint};
pub use onnx_swish_simd::{DotIsa, Isa};
pub use pooling::{Pool, Pooling, sum_planes};
pub use resize::{Resize, Tap};
pub use spec::{Operands, Outputs, Spec, is_depthwise};
pub use transposed::{ConvTranspose2d, TransposedSpec};
