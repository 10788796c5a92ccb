//! Fusing a model: every Swish and HardSwish found, and a file in which each is one operator.
//!
//! Given an open model; promises that what is not part of a fusion stays as it is, byte for byte.

use onnx_swish_fuse::{Expansion, Options, Report, Rewrite, Runtime, analyze, rewrite};
use onnx_swish_model::{Model, Spliced};

use crate::error::Result;

/// What would be fused, what already is, and why the rest is not. Changes nothing.
///
/// ```
/// use onnx_swish::{FuseOptions, Model, inspect};
///
/// # fn main() -> Result<(), onnx_swish::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/se_gate.op13.onnx");
/// let model = Model::open(path)?;
/// for miss in inspect(&model, &FuseOptions::default()).near_misses {
///     println!("{}: {}", miss.output, miss.message);
/// }
/// # Ok(()) }
/// ```
pub fn inspect(model: &Model, options: &Options) -> Report {
    analyze(model, options).report()
}

/// A fused model, not yet written anywhere.
#[derive(Debug)]
#[non_exhaustive]
pub struct Fused {
    /// What was done.
    pub report: Report,
    /// The new file, made of ranges of the old one and the new bytes between them.
    pub file: Spliced,
}

impl Fused {
    /// The fused model in memory, for running or looking at.
    ///
    /// # Errors
    /// If the result is no model; that would be a defect of this library.
    pub fn into_model(self) -> Result<Model> {
        Ok(self.file.into_model()?)
    }
}

/// Fuses every Swish and HardSwish of a model.
///
/// A model in which there is nothing to fuse comes out unchanged.
///
/// ```
/// use onnx_swish::{FuseOptions, Model, fuse};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/relu6_mul_div.op13.onnx");
/// # let folder = tempfile::tempdir()?;
/// # let out = folder.path().join("model.fused.onnx");
/// let model = Model::open(path)?;
/// let fused = fuse(&model, &FuseOptions::default())?;
/// println!("{} activations fused", fused.report.fusions.len());
/// # assert_eq!(fused.report.fusions.len(), 1);
/// fused.file.write_to(std::fs::File::create(out)?)?;
/// # Ok(()) }
/// ```
///
/// Where [`Options::runtime`] names a runtime, operators that it does not load are taken apart first; what of them it has another operator
/// for is fused again.
///
/// # Errors
/// If an edit is refused: the file would pass the format's limit of 2 GiB.
pub fn fuse(model: &Model, options: &Options) -> Result<Fused> {
    let Rewrite { report, file, .. } = rewrite(model, options)?;
    Ok(Fused { report, file })
}

/// Turns fused and standard Swish and HardSwish operators back into plain ones of the model's own opset.
///
/// # Errors
/// If an edit is refused: the file would pass the format's limit of 2 GiB.
pub fn expand(model: &Model) -> Result<Expansion> {
    Ok(onnx_swish_fuse::expand(model)?)
}

/// Turns those operators back into plain ones that a runtime does not load, and leaves the others.
///
/// # Errors
/// If an edit is refused: the file would pass the format's limit of 2 GiB.
pub fn expand_for(model: &Model, runtime: &Runtime) -> Result<Expansion> {
    Ok(onnx_swish_fuse::expand_for(model, runtime)?)
}
