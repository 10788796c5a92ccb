//! fuse, expand and inspect.
//! Given a model in any form, and options.
//! Promises the new file unwritten, to be saved or taken as bytes, and the report as the command's JSON.

use std::path::PathBuf;

use onnx_swish::{Expansion, Fused, Model, Obstacles, Runtime, SaveOptions, Spliced};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Serialize;

use crate::errors::{input_error, not_loaded, raised};
use crate::options;
use crate::source::Source;

/// A rewritten model, not yet written anywhere.
#[pyclass(frozen, module = "onnx_swish._onnx_swish")]
pub struct Rewriting {
    model: Model,
    file: Spliced,
    /// The report, in JSON.
    #[pyo3(get)]
    report: String,
    /// How many places were changed.
    #[pyo3(get)]
    changes: usize,
}

#[pymethods]
impl Rewriting {
    /// The new file.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let len = usize::try_from(self.file.len())?;
        PyBytes::new_with(py, len, |room| Ok(self.file.write_to(room)?))
    }

    /// Writes the new file, complete or not at all, with external data beside it; returns the locations of external data that it does
    /// not find, and of that which it finds by links that others may refuse.
    fn save(
        &self,
        py: Python<'_>,
        path: PathBuf,
        in_place: bool,
        force: bool,
        copy_external: bool,
    ) -> PyResult<(Vec<String>, Vec<String>)> {
        let save = || {
            let options = SaveOptions {
                in_place,
                force,
                leave_external: !copy_external,
                progress: None,
            };
            onnx_swish::save(&self.model, &self.file, &path, options)
        };
        let saved = py.detach(save).map_err(raised)?;
        Ok((saved.left_behind, saved.linked))
    }
}

/// Fuses a model in memory.
#[pyfunction]
pub fn fuse(
    py: Python<'_>,
    model: Source,
    emit: &str,
    target: Option<&str>,
    quantized: bool,
    base_dir: Option<PathBuf>,
) -> PyResult<Rewriting> {
    let options = options::fusing(emit, target)?.quantized(quantized);
    if quantized && !options.writes_functions() {
        return Err(input_error(
            "quantized writes functions of the file: emit must be 'custom', or target a runtime that loads functions, such as \"onnxruntime\"",
        ));
    }
    let model = model.open(py, base_dir)?;
    py.detach(|| {
        let Fused { report, file, .. } = onnx_swish::fuse(&model, &options).map_err(raised)?;
        let obstacles = target.map(|target| Obstacles::of(target, &report));
        if let Some(obstacles) = obstacles.filter(|obstacles| !obstacles.is_empty()) {
            return Err(not_loaded("fuse", obstacles));
        }
        Ok(Rewriting {
            changes: report.changes(),
            report: json(&report)?,
            model,
            file,
        })
    })
}

/// What fuse would do.
#[pyfunction]
pub fn inspect(
    py: Python<'_>,
    model: Source,
    emit: &str,
    target: Option<&str>,
    base_dir: Option<PathBuf>,
) -> PyResult<String> {
    let options = options::fusing(emit, target)?;
    let model = model.open(py, base_dir)?;
    py.detach(|| json(&onnx_swish::inspect(&model, &options)))
}

/// Takes fused operators apart, all or those that a runtime does not load.
#[pyfunction]
pub fn expand(
    py: Python<'_>,
    model: Source,
    target: Option<&str>,
    base_dir: Option<PathBuf>,
) -> PyResult<Rewriting> {
    let runtime = target.map(options::runtime).transpose()?;
    let model = model.open(py, base_dir)?;
    py.detach(|| {
        let expansion = match runtime {
            Some(runtime) => onnx_swish::expand_for(&model, runtime),
            None => onnx_swish::expand(&model),
        };
        let expansion = expansion.map_err(raised)?;
        if let (Some(name), Some(runtime)) = (target, runtime) {
            refuse(name, runtime, &model, &expansion)?;
        }
        Ok(Rewriting {
            changes: expansion.expanded.len(),
            report: told(&model, &expansion)?,
            file: expansion.model,
            model,
        })
    })
}

/// Refuses a result that the runtime would not load.
fn refuse(name: &str, runtime: &Runtime, model: &Model, expansion: &Expansion) -> PyResult<()> {
    let stay = expansion.kept.iter();
    let stay = stay.map(|(output, why)| (output.as_str(), why.as_str()));
    let functions = runtime.functions_not_loaded(model);
    let obstacles = Obstacles::new(name, &runtime.too_new(model), &functions, stay);
    if obstacles.is_empty() {
        Ok(())
    } else {
        Err(not_loaded("expand", obstacles))
    }
}

/// What was taken apart, in the words of the command's JSON.
fn told(model: &Model, expansion: &Expansion) -> PyResult<String> {
    let kept = expansion.kept.iter();
    let kept =
        kept.map(|(output, message)| serde_json::json!({ "output": output, "message": message }));
    json(&serde_json::json!({
        "schema_version": 1,
        "model": model.path().map(|path| path.display().to_string()),
        "expanded": expansion.expanded,
        "kept": kept.collect::<Vec<_>>(),
    }))
}

/// A report as the command writes it.
pub fn json(report: &impl Serialize) -> PyResult<String> {
    let text = serde_json::to_string(report);
    text.map_err(|error| PyRuntimeError::new_err(format!("the report cannot be written: {error}")))
}
