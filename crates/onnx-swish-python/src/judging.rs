//! verify and bench.
//! Given models in any form, arrays, and a callable that hears how far the work is.
//! Promises the reports of the library, in the command's JSON.

use std::path::PathBuf;
use std::time::Duration;

use onnx_swish::{
    BenchOptions, Convolutions, Model, NamedTensors, Progress, Reference, Shapes, VerifyOptions,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping, PySequence};

use crate::errors::{input_error, raised};
use crate::options::{Whole, argument};
use crate::rewriting::json;
use crate::source::Source;
use crate::worker::{Step, watched};
use crate::{arrays, options};

/// Options that verify and bench share.
struct Running {
    shapes: Shapes,
    threads: usize,
    seed: u64,
    convolutions: Convolutions,
    tables: bool,
    codes: bool,
    max_nodes: Option<usize>,
    max_build_time: Option<Duration>,
    base_dir: Option<PathBuf>,
    progress: Option<Py<PyAny>>,
}

impl Running {
    fn read(given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let shapes: Option<Bound<'_, PyAny>> = argument(given, "input_shapes")?;
        let nodes: Option<Whole> = argument(given, "max_nodes")?;
        let nodes = nodes.map(|nodes| nodes.any("max_nodes"));
        Ok(Running {
            shapes: options::shapes(shapes.as_ref())?,
            threads: options::threads(&argument(given, "threads")?)?,
            seed: argument::<Whole>(given, "seed")?.any("seed")?,
            convolutions: options::convolutions(&argument::<String>(given, "convolutions")?)?,
            tables: argument(given, "tables")?,
            codes: argument(given, "codes")?,
            max_nodes: nodes.transpose()?,
            max_build_time: options::seconds(argument(given, "max_build_time")?)?,
            base_dir: argument(given, "base_dir")?,
            progress: argument(given, "progress")?,
        })
    }
}

/// What verify compares with, and how.
struct Comparing<'py> {
    against: String,
    ort_library: Option<PathBuf>,
    inputs: Option<Bound<'py, PyAny>>,
    expected: Option<Bound<'py, PyAny>>,
    test_data: Option<PathBuf>,
    each: bool,
    rtol: Option<f64>,
    atol: Option<f64>,
}

impl<'py> Comparing<'py> {
    fn read(given: &Bound<'py, PyDict>) -> PyResult<Self> {
        Ok(Comparing {
            against: argument(given, "against")?,
            ort_library: argument(given, "ort_library")?,
            inputs: argument(given, "inputs")?,
            expected: argument(given, "expected")?,
            test_data: argument(given, "test_data")?,
            each: argument(given, "each")?,
            rtol: argument(given, "rtol")?,
            atol: argument(given, "atol")?,
        })
    }

    /// The reference, and the sets of inputs to run on.
    fn reference(&self, model: &Model) -> PyResult<(Reference, Vec<NamedTensors>)> {
        let sets = sets(self.inputs.as_ref())?;
        if self.inputs.is_some() && sets.is_empty() {
            return Err(input_error(
                "inputs holds no sets of arrays to run on; leave it out to run on random ones",
            ));
        }
        if let Some(folder) = &self.test_data {
            if self.expected.is_some() || !sets.is_empty() {
                return Err(input_error(
                    "test_data brings inputs and outputs of its own: leave inputs and expected out",
                ));
            }
            let data = onnx_swish::read_test_data(folder, model)
                .map_err(|error| raised(onnx_swish::Error::from(error)))?;
            let (inputs, outputs) = data
                .into_iter()
                .map(|set| (set.inputs, set.outputs))
                .unzip();
            return Ok((Reference::Expected(outputs), inputs));
        }
        let expected = self::sets(self.expected.as_ref())?;
        if self.expected.is_some() {
            if expected.is_empty() {
                return Err(input_error(
                    "expected holds no outputs to compare with; leave it out to compare with `against`",
                ));
            }
            if expected.len() != sets.len() {
                return Err(input_error(format!(
                    "expected holds {} sets of outputs, and inputs {} sets of inputs that they belong to; give as many",
                    expected.len(),
                    sets.len()
                )));
            }
            return Ok((Reference::Expected(expected), sets));
        }
        match self.against.as_str() {
            "tract" => Ok((Reference::Tract, sets)),
            "onnxruntime" => Ok((
                Reference::OnnxRuntime {
                    library: self.ort_library.clone(),
                },
                sets,
            )),
            other => Err(input_error(format!(
                "against is 'tract' or 'onnxruntime', not {other:?}"
            ))),
        }
    }
}

/// Arrays by name, or a list of such.
fn sets(given: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<NamedTensors>> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    if let Ok(set) = given.cast::<PyMapping>() {
        return Ok(vec![named(set)?]);
    }
    let sequence = given.cast::<PySequence>();
    let list = sequence.map(|sequence| sequence.to_list()).map_err(|_| {
        input_error("inputs and expected are arrays by name, in a dict, or a list of such dicts")
    })??;
    list.iter()
        .map(|set| {
            let set = set.cast::<PyMapping>();
            named(set.map_err(|_| input_error("a set of arrays is a dict, by name"))?)
        })
        .collect()
}

fn named(set: &Bound<'_, PyMapping>) -> PyResult<NamedTensors> {
    arrays::by_name(set)?
        .into_iter()
        .map(|(name, value)| {
            let tensor = arrays::tensor(&name, &value, None, None)?;
            Ok((name, tensor))
        })
        .collect()
}

/// Compares a model with its fused form; the report as JSON.
#[pyfunction]
pub fn verify(
    py: Python<'_>,
    original: Source,
    fused: Option<Source>,
    comparing: &Bound<'_, PyDict>,
    running: &Bound<'_, PyDict>,
) -> PyResult<String> {
    let (comparing, running) = (Comparing::read(comparing)?, Running::read(running)?);
    let original = original.open(py, running.base_dir.clone())?;
    let fused = fused
        .map(|fused| fused.open(py, running.base_dir.clone()))
        .transpose()?;
    let (reference, inputs) = comparing.reference(&original)?;
    let options = VerifyOptions {
        reference,
        each: comparing.each,
        inputs,
        shapes: running.shapes,
        seed: running.seed,
        rtol: comparing.rtol,
        atol: comparing.atol,
        threads: running.threads,
        convolutions: running.convolutions,
        max_nodes: running.max_nodes,
        max_build_time: running.max_build_time,
        tables: running.tables,
        codes: running.codes,
    };
    let report = watched(py, running.progress, move |tell| {
        onnx_swish::verify(&original, fused.as_ref(), &options, |progress| {
            tell(Step::from(progress));
        })
    })?;
    json(&report)
}

/// Times a model on tract and here; the report as JSON, and as a table in Markdown.
#[pyfunction]
pub fn bench(
    py: Python<'_>,
    model: Source,
    runs: Whole,
    profile: bool,
    running: &Bound<'_, PyDict>,
) -> PyResult<(String, String)> {
    let running = Running::read(running)?;
    let runs = runs.within("runs", 1..=u64::from(u32::MAX))?;
    let model = model.open(py, running.base_dir)?;
    let options = BenchOptions {
        threads: running.threads,
        convolutions: running.convolutions,
        tables: running.tables,
        codes: running.codes,
        runs,
        shapes: running.shapes,
        seed: running.seed,
        profile,
        max_nodes: running.max_nodes,
        max_build_time: running.max_build_time,
        ..BenchOptions::default()
    };
    let report = watched(py, running.progress, move |tell| {
        onnx_swish::bench(&model, &options, |progress| tell(Step::from(progress)))
    })?;
    Ok((json(&report)?, report.to_markdown()))
}

impl From<Progress> for Step {
    fn from(progress: Progress) -> Step {
        let (stage, done, of) = match progress {
            Progress::Loading(what) => (format!("loading {what}"), 0, 0),
            Progress::Running(set) => ("running both".to_owned(), set, 0),
            Progress::Compared { done, of } => ("comparing activations".to_owned(), done, of),
            Progress::Timed { done, of } => ("running".to_owned(), done, of),
            _ => ("working".to_owned(), 0, 0),
        };
        Step { stage, done, of }
    }
}
