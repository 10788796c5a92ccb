//! Our operators and rewrites for those who have a tract pipeline of their own.
//!
//! Given tract's ONNX loader, and the graph that it made; promises what a [`Session`](crate::Session) computes from the same file: the
//! repairs of tract's operators, our activations, softmax and convolutions.
//!
//! A session does more: it checks a file before tract sees it, turns panics into errors, keeps plans by shape, computes 16-bit floats
//! in 32 bits, cleans the vector registers between nodes and shares the memory of intermediate tensors. Who needs none of that, or has it
//! already, needs two calls:
//!
//! ```no_run
//! use onnx_swish_tract::pipeline;
//! use tract_onnx::prelude::*;
//!
//! # fn main() -> TractResult<()> {
//! // Names that exporters give to sizes would contradict the numbers that are given here.
//! let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
//! pipeline::register(&mut onnx);
//! let model = onnx
//!     .model_for_path("model.fused.onnx")?
//!     .with_input_fact(0, f32::fact([1, 3, 224, 224]).into())?
//!     .into_typed()?;
//! let plan = pipeline::optimize(model)?.into_runnable()?;
//! let image = tract_ndarray::Array4::<f32>::zeros((1, 3, 224, 224));
//! let outputs = plan.run(tvec!(image.into_tensor().into()))?;
//! println!("{:?}", outputs[0]);
//! # Ok(()) }
//! ```
//!
//! tract's types differ from one version of tract to the next, and so the version that this crate was built for
//! ([`TRACT_VERSION`](crate::TRACT_VERSION)) has to be the pipeline's, exactly: `tract-onnx = "=0.23.9"`. With another one the compiler
//! finds two types of one name, and says so.

use tract_core::internal::*;
use tract_onnx::Onnx;

use crate::conv::Convolutions;
use crate::load::{Operators, finished};
use crate::passes;

/// Teaches a loader our operators, in whatever domain they are spelled, and the repairs of tract's own.
///
/// A file should be fused first (`onnx-swish fuse`, or the crate `onnx-swish-fuse`): what is spelled in pieces is loaded as pieces. Functions
/// of the model are not written out; tract takes those of our operators for the operators.
pub fn register(onnx: &mut Onnx) {
    Operators::OnnxSwish.register(&mut onnx.op_register);
}

/// From a graph as it was loaded to one that is ready for `into_runnable`: tract's declutter and code generation with our rewrites before,
/// between and after them. It replaces `into_optimized`.
///
/// Sizes should be settled: what has symbols in its shapes is left to tract.
///
/// # Errors
/// If a rewrite fails, tract's or one of ours; the error names it.
pub fn optimize(model: TypedModel) -> TractResult<TypedModel> {
    let mut model = finished(model, Operators::OnnxSwish, Convolutions::Auto)?;
    let wanted = passes::Wanted {
        convolutions: Convolutions::Auto,
        tables: true,
        codes: true,
    };
    passes::lower(&mut model, Operators::OnnxSwish, wanted)?;
    Ok(model)
}
