//! Options as Python's callers write them: names, shapes, limits.
//! Given keyword arguments.
//! Promises a ValueError that lists what there is to choose from.

use std::time::Duration;

use onnx_swish::{Convolutions, Emit, FuseOptions, Runtime, Shapes};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::input_error;

/// What is to be written: a spelling, or what serves a runtime.
pub fn fusing(emit: &str, target: Option<&str>) -> PyResult<FuseOptions> {
    let emit_as = match emit {
        "custom" => Emit::Custom,
        "contrib" => Emit::Contrib,
        "standard" => Emit::Standard,
        other => {
            return Err(input_error(format!(
                "emit is 'custom', 'contrib' or 'standard', not {other:?}"
            )));
        }
    };
    match target {
        None => Ok(FuseOptions::emit(emit_as)),
        Some(_) if emit_as != Emit::Custom => Err(input_error(
            "target says what is written, and so does emit: give one of them",
        )),
        Some(target) => runtime(target).map(FuseOptions::runtime),
    }
}

/// A runtime by its name, `onnxruntime@1.20`.
pub fn runtime(name: &str) -> PyResult<&'static Runtime> {
    Runtime::find(name).map_err(|error| input_error(error.to_string()))
}

/// Shapes by the names of inputs, or one shape for a model with one input.
pub fn shapes(given: Option<&Bound<'_, PyAny>>) -> PyResult<Shapes> {
    let Some(given) = given else {
        return Ok(Shapes::new());
    };
    let shape = |given: &Bound<'_, PyAny>| {
        given.extract::<Vec<usize>>().map_err(|_| {
            input_error(format!(
                "a shape is a sequence of sizes, such as [1, 3, 224, 224], not {given}"
            ))
        })
    };
    match given.cast::<PyDict>() {
        Ok(named) => named
            .iter()
            .map(|(name, sizes)| Ok((name.extract::<String>()?, shape(&sizes)?)))
            .collect::<PyResult<Shapes>>(),
        Err(_) => Ok(Shapes::from([(String::new(), shape(given)?)])),
    }
}

/// Who computes the convolutions.
pub fn convolutions(name: &str) -> PyResult<Convolutions> {
    name.parse().map_err(|_| {
        let names = Convolutions::NAMES.map(|name| format!("'{name}'"));
        input_error(format!(
            "convolutions is one of {}, not {name:?}",
            names.join(", ")
        ))
    })
}

/// A number of threads.
pub fn threads(count: isize) -> PyResult<usize> {
    match usize::try_from(count) {
        Err(_) | Ok(0) => Err(input_error(
            "threads is 1 or more: 1 is the calling thread alone",
        )),
        Ok(count) => Ok(count),
    }
}

/// A time in seconds.
pub fn seconds(given: Option<f64>) -> PyResult<Option<Duration>> {
    let time = given.map(Duration::try_from_secs_f64).transpose();
    time.map_err(|error| input_error(format!("max_build_time is a time in seconds: {error}")))
}
