//! Session: a model ready to run, called as onnxruntime's.
//! Given a model in any form; then arrays by the names of inputs.
//! Promises that calls from many threads run at the same time, the interpreter's lock released.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use onnx_swish::{Dim, ElementType, Port, RunError, Session as Engine, Shapes, Tensor};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyMapping};

use crate::errors::raised;
use crate::options::Whole;
use crate::rewriting::json;
use crate::source::Source;
use crate::{arrays, options};

/// A model ready to run: read, fused in memory, on tract with this project's kernels.
///
/// Args:
///     model: a path, bytes, or an onnx.ModelProto.
///     input_shapes: sizes for inputs with free dimensions, `{"x": (1, 3, 224, 224)}`, or one shape where there is one input. Without
///         them the arrays of each run settle the sizes, and the first run with new sizes builds the model for them.
///     threads: how many threads one run may use; 1 is the calling thread alone.
///     fuse: whether activations are fused in memory first. A file that is fused already loses nothing by it.
///     convolutions: who computes them: 'ours', 'tract', or 'auto', whoever is faster on this processor; 'exact' is 'auto' without Winograd's method.
///     tables: whether what is computed from one 8-bit code alone runs as a table of 256 entries.
///     codes: whether convolutions between 8-bit codes are computed on the codes, with exact sums.
///     native_half: whether float16 is computed in float16, which takes half the memory and loses digits.
///     cached_shapes: for how many sets of input shapes what was built is kept.
///     max_nodes: refuses a model of more nodes.
///     max_build_time: gives up building after so many seconds.
///     base_dir: the folder that external data is relative to, by default that of the file.
///
/// Raises:
///     OSError (FileNotFoundError, PermissionError): the file cannot be read.
///     ModelError: the bytes are no model, or break rules that every runtime relies on.
///     InputError (a ValueError): an argument is wrong, or a size is missing.
///     RunError: tract cannot load the model.
#[pyclass(frozen, module = "onnx_swish")]
pub struct Session {
    engine: Engine,
    /// By which `convolutions` and others settle what the model leaves free.
    shapes: Shapes,
    /// The inputs of a run that is over, to be written over by the next. After many runs at once there are those of one.
    spare: Mutex<Vec<(String, Tensor)>>,
}

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (
        model, *, input_shapes = None, threads = Whole::Fits(1), fuse = true, convolutions = "auto", tables = true, codes = true,
        native_half = false, cached_shapes = None, max_nodes = None, max_build_time = None, base_dir = None
    ), text_signature = "(model, *, input_shapes=None, threads=1, fuse=True, convolutions='auto', tables=True, codes=True, \
        native_half=False, cached_shapes=None, max_nodes=None, max_build_time=None, base_dir=None)")]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        model: Source,
        input_shapes: Option<&Bound<'_, PyAny>>,
        threads: Whole,
        fuse: bool,
        convolutions: &str,
        tables: bool,
        codes: bool,
        native_half: bool,
        cached_shapes: Option<Whole>,
        max_nodes: Option<Whole>,
        max_build_time: Option<f64>,
        base_dir: Option<PathBuf>,
    ) -> PyResult<Self> {
        let shapes = options::shapes(input_shapes)?;
        let mut builder = Engine::builder()
            .threads(options::threads(&threads)?)
            .fuse(fuse)
            .convolutions(options::convolutions(convolutions)?)
            .tables(tables)
            .codes(codes)
            .native_half(native_half);
        for (input, shape) in &shapes {
            builder = builder.input_shape(input.clone(), shape.clone());
        }
        if let Some(count) = cached_shapes {
            builder = builder.cached_shapes(count.any("cached_shapes")?);
        }
        if let Some(nodes) = max_nodes {
            builder = builder.max_nodes(nodes.any("max_nodes")?);
        }
        if let Some(time) = options::seconds(max_build_time)? {
            builder = builder.max_build_time(time);
        }
        let model = model.open(py, base_dir)?;
        let engine = py.detach(|| builder.load(&model)).map_err(raised)?;
        Ok(Session {
            engine,
            shapes,
            spare: Mutex::default(),
        })
    }

    /// The inputs that a run must be given, in the model's order.
    fn get_inputs(&self) -> Vec<NodeArg> {
        self.engine.inputs().iter().map(NodeArg::of).collect()
    }

    /// The outputs that a run gives, in the model's order.
    fn get_outputs(&self) -> Vec<NodeArg> {
        self.engine.outputs().iter().map(NodeArg::of).collect()
    }

    /// Runs the model.
    ///
    /// Args:
    ///     output_names: which outputs, in this order; None for all, in the model's order.
    ///     input_feed: an array for each input, by its name, in a dict or any other mapping. Anything that numpy.asarray takes will do;
    ///         what has no element type of its own, as a list, becomes an array of the input's. Arrays of another element type are
    ///         refused, and those of another byte order or memory layout are converted.
    ///
    /// Returns:
    ///     A list of arrays, which are the caller's: what the session and other calls have is never theirs, nor the arrays of input_feed.
    ///
    /// Raises:
    ///     InputError (a ValueError): an input is missing, unknown, of another element type, or of a shape that the model does not
    ///         take; or there is no output of that name.
    ///     RunError: the model fails.
    ///     MemoryError: there is no memory for its tensors.
    #[pyo3(signature = (output_names, input_feed))]
    fn run<'py>(
        &self,
        py: Python<'py>,
        output_names: Option<Vec<String>>,
        input_feed: &Bound<'py, PyMapping>,
    ) -> PyResult<Bound<'py, PyList>> {
        let wanted = self.positions(output_names.as_deref())?;
        let feed = arrays::by_name(input_feed)?;
        let ports = self.engine.inputs();
        let mut spare = std::mem::take(&mut *self.spare());
        let mut inputs: Vec<(String, Tensor)> = Vec::with_capacity(feed.len());
        for (name, value) in feed {
            let port = ports.iter().find(|port| port.name == name);
            let declared = port.and_then(|port| port.element_type);
            let known = spare.iter().position(|(known, _)| *known == name);
            let known = known.map(|position| spare.swap_remove(position).1);
            inputs.push((
                name.clone(),
                arrays::tensor(&name, &value, declared, known)?,
            ));
        }
        let run = || {
            self.engine
                .run(inputs.iter().map(|(name, tensor)| (name, tensor)))
        };
        let outputs = py.detach(run).map_err(raised)?;
        // What an output is too, or the session remembers, is not to be written over.
        inputs.retain(|(_, tensor)| !tensor.is_shared());
        *self.spare() = inputs;
        let wanted: Vec<Tensor> = wanted.iter().map(|at| outputs[*at].clone()).collect();
        drop(outputs);
        let results = PyList::empty(py);
        for output in wanted {
            results.append(arrays::array(py, output)?)?;
        }
        Ok(results)
    }

    /// Builds what runs of these shapes need, so that the first run does not have to.
    ///
    /// Args:
    ///     input_shapes: as in the constructor, whose shapes hold for what is not named here.
    ///
    /// Raises:
    ///     InputError (a ValueError): a size is missing, or a shape is not the model's.
    ///     RunError: tract cannot build the model for these shapes.
    #[pyo3(signature = (input_shapes = None))]
    fn prepare(&self, py: Python<'_>, input_shapes: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let shapes = self.settled(input_shapes)?;
        py.detach(|| self.engine.prepare(&shapes)).map_err(raised)
    }

    /// The model's convolutions, and who computes each: our kernels, with what is next to them, or tract, and why.
    ///
    /// Args:
    ///     input_shapes: as in `prepare`.
    ///
    /// Returns:
    ///     Dicts with the fields of `convolutions[]` in the command's JSON.
    ///
    /// Raises:
    ///     As `prepare`.
    #[pyo3(signature = (input_shapes = None))]
    fn convolutions<'py>(
        &self,
        py: Python<'py>,
        input_shapes: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shapes = self.settled(input_shapes)?;
        let convolutions = py
            .detach(|| self.engine.convolutions(&shapes))
            .map_err(raised)?;
        py.import("json")?
            .call_method1("loads", (json(&convolutions)?,))
    }

    fn __repr__(&self) -> String {
        let names = |ports: &[Port]| {
            let names: Vec<String> = ports
                .iter()
                .map(|port| format!("{} {}", port.name, port.shape_text()))
                .collect();
            names.join(", ")
        };
        format!(
            "<onnx_swish.Session: {} -> {}>",
            names(self.engine.inputs()),
            names(self.engine.outputs())
        )
    }
}

impl Session {
    fn spare(&self) -> MutexGuard<'_, Vec<(String, Tensor)>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the outputs of these names are; all without names.
    fn positions(&self, names: Option<&[String]>) -> PyResult<Vec<usize>> {
        let outputs = self.engine.outputs();
        let Some(names) = names else {
            return Ok((0..outputs.len()).collect());
        };
        let position = |name: &String| {
            let found = outputs.iter().position(|port| port.name == *name);
            found.ok_or_else(|| {
                let known: Vec<String> = outputs
                    .iter()
                    .map(|port| format!("`{}`", port.name))
                    .collect();
                raised(RunError::UnknownOutput {
                    name: name.clone(),
                    known: known.join(", "),
                })
            })
        };
        names.iter().map(position).collect()
    }

    fn settled(&self, given: Option<&Bound<'_, PyAny>>) -> PyResult<Shapes> {
        let mut shapes = self.shapes.clone();
        let given = options::shapes(given)?;
        if given.contains_key("") {
            shapes.clear();
        }
        shapes.extend(given);
        Ok(shapes)
    }
}

/// An input or an output of a model, as onnxruntime describes them.
#[pyclass(frozen, get_all, module = "onnx_swish")]
pub struct NodeArg {
    /// Its name.
    name: String,
    /// The type of its elements in ONNX's words, such as `tensor(float)`.
    r#type: String,
    /// Its sizes: numbers, names of free dimensions, None where the file says nothing. Empty also where the rank is open.
    shape: Vec<Option<Size>>,
}

/// A size as Python has it.
#[derive(Clone, IntoPyObject)]
enum Size {
    Fixed(usize),
    Named(String),
}

impl NodeArg {
    fn of(port: &Port) -> NodeArg {
        let dims = port.shape.iter().flatten();
        NodeArg {
            name: port.name.clone(),
            r#type: onnx_type(port.element_type),
            shape: dims
                .map(|dim| match dim {
                    Dim::Fixed(size) => Some(Size::Fixed(*size)),
                    Dim::Named(name) => Some(Size::Named(name.clone())),
                    Dim::Unknown => None,
                })
                .collect(),
        }
    }
}

#[pymethods]
impl NodeArg {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let shape = self.shape.clone().into_pyobject(py)?;
        Ok(format!(
            "NodeArg(name={:?}, type={:?}, shape={})",
            self.name,
            self.r#type,
            shape.repr()?
        ))
    }
}

/// `tensor(float)`: NumPy's names but for the two floats of C.
fn onnx_type(element_type: Option<ElementType>) -> String {
    let name = match element_type {
        Some(ElementType::F32) => "float",
        Some(ElementType::F64) => "double",
        Some(other) => other.name(),
        None => return String::new(),
    };
    format!("tensor({name})")
}
