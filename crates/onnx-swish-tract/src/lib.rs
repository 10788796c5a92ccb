//! ONNX models with fused Swish and HardSwish, run on [tract](https://github.com/sonos/tract).
//!
//! Given a model's bytes, plain or fused; promises that every Swish, SiLU and HardSwish in it is computed by
//! `onnx-swish-kernels`, that nothing is silently taken for something else, and that no panic of the engine comes out.
//!
//! The crate `onnx-swish` ties it to reading, validating and fusing files and is what applications want. This one knows
//! nothing of recognition: what is not spelled as an operator of the family runs as it is written.
//!
//! tract's own types appear in [`pipeline`], [`ops`] and [`nnef`] only, for those who build tract graphs themselves.

#![deny(unsafe_code)]

mod arena;
mod conv;
mod cost;
mod error;
mod guard;
mod load;
pub mod nnef;
pub mod ops;
mod passes;
pub mod pipeline;
mod session;
mod shared;
mod tensor;
mod words;
mod workers;

pub use conv::{Convolution, Convolutions};
pub use error::{Error, Origin, Refused, Result, TRACT_VERSION};
pub use guard::silence_contained_panics;
pub use load::{Dim, Operators, Port};
pub use passes::CodeTable;
pub use session::{
    ActivationRange, Event, Formula, NodeInfo, NodeTime, Outputs, Session, SessionBuilder, Watched,
};
pub use tensor::{Element, ElementType, Tensor};
