//! How to verify: what the caller chooses.
//!
//! Given nothing; promises defaults that compare with tract's plain operators on random inputs.

use std::time::Duration;

use onnx_swish_tract::Convolutions;

use super::Reference;
use crate::NamedTensors;
use crate::error::{Error, Result};
use crate::inputs::Shapes;

/// How to compare.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// What computes the numbers to compare with. tract's plain operators by default.
    pub reference: Reference,
    /// Also compare the value that each fused activation makes with the reference's value of that name, and say which is off first.
    /// Off by default: it loads both models a second time.
    pub each: bool,
    /// Sets of inputs, each by name. Random ones when empty.
    pub inputs: Vec<NamedTensors>,
    /// Shapes for inputs with free dimensions, when the inputs are random.
    pub shapes: Shapes,
    /// Seed of the random inputs.
    pub seed: u64,
    /// Relative tolerance instead of the [usual](super::Tolerance::usual) one.
    pub rtol: Option<f64>,
    /// Absolute tolerance instead of the [usual](super::Tolerance::usual) one.
    pub atol: Option<f64>,
    /// Threads per run. 1 by default.
    pub threads: usize,
    /// Who computes the fused model's convolutions, as in
    /// [`SessionBuilder::convolutions`](crate::SessionBuilder::convolutions).
    pub convolutions: Convolutions,
    /// Refuses models of more nodes, as [`SessionBuilder::max_nodes`](crate::SessionBuilder::max_nodes) does. No limit by default.
    pub max_nodes: Option<usize>,
    /// Gives up building a plan that takes longer, as [`SessionBuilder::max_build_time`](crate::SessionBuilder::max_build_time) does. No
    /// limit by default; ONNX Runtime's loading has none.
    pub max_build_time: Option<Duration>,
    /// Whether what the fused model computes from one 8-bit code runs as a table, as in
    /// [`SessionBuilder::tables`](crate::SessionBuilder::tables). On by default.
    pub tables: bool,
    /// Whether the fused model's convolutions between 8-bit codes are computed on the codes, as in
    /// [`SessionBuilder::codes`](crate::SessionBuilder::codes). On by default.
    pub codes: bool,
}

impl VerifyOptions {
    /// With a tolerance that is not a number, or infinite, anything would be equal.
    pub(super) fn check_tolerances(&self) -> Result<()> {
        let given = [("rtol", self.rtol), ("atol", self.atol)];
        let wrong = given.into_iter().find_map(|(name, value)| {
            let value = value.filter(|value| !(value.is_finite() && *value >= 0.0))?;
            Some(Error::Tolerance { name, value })
        });
        wrong.map_or(Ok(()), Err)
    }
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions {
            reference: Reference::default(),
            each: false,
            inputs: Vec::new(),
            shapes: Shapes::default(),
            seed: 0,
            rtol: None,
            atol: None,
            threads: 1,
            convolutions: Convolutions::Auto,
            max_nodes: None,
            max_build_time: None,
            tables: true,
            codes: true,
        }
    }
}
