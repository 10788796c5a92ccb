//! Two-dimensional convolutions that end in an activation, for f32 in NCHW order.
//! Given: weights once, then plain slices with their [`Frame`].
//! Promise: the sum, the bias, the activation and a residual in one pass over the output, with the same result
//! for any number of workers; no tensor library and no file format in sight.
//!
//! [`Conv2d`] picks the method from the shape: depthwise rows, or a matrix product over blocks of unfolded input
//! that never exist as a whole.
#![deny(unsafe_code)]

mod activation;
#[allow(unsafe_code)]
mod arch;
mod band;
mod bands;
mod conv2d;
mod depthwise;
mod error;
mod geometry;
mod product;
mod scratch;

pub use activation::Activation;
pub use conv2d::{Conv2d, Operands, Residual, Spec};
pub use error::ConvError;
pub use geometry::{Frame, Window};
pub use onnx_swish_kernels::Isa;
