//! A model file, ready to run: read, fused in memory, on tract.
//!
//! Given a path or a `Model`; promises everything that `onnx_swish_tract::Session` promises, and that what the file spells out
//! in pieces runs as one operator.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use onnx_swish_tract::{
    CodeTable, Convolution, Convolutions, Error as EngineError, Operators, Outputs, Port,
    Session as Engine, Tensor,
};

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::engine::{EngineOptions, Limits, engine};
use crate::error::{Error, Result};
use crate::inputs::Shapes;
use crate::{Model, NamedTensors};

/// A model ready to run.
///
/// Cloning is cheap, and [`run`](Session::run) takes `&self`: give each thread of a service a clone, or share one.
///
/// ```
/// use ndarray::Array4;
/// use onnx_swish::Session;
///
/// # fn main() -> Result<(), onnx_swish::Error> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/hardswish.op13.onnx");
/// let session = Session::open(path)?;
/// let outputs = session.run([("x", Array4::<f32>::zeros((1, 3, 8, 8)))])?;
/// println!("{:?}", outputs[0].view::<f32>()?);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    engine: Engine,
    /// Inputs whose value the model stores.
    stored: Arc<[String]>,
}

impl Session {
    /// Opens a model with the usual choices: fused in memory, one thread.
    ///
    /// # Errors
    /// If the file is no valid model, or one that tract cannot load.
    pub fn open(path: impl AsRef<Path>) -> Result<Session> {
        Session::builder().open(path)
    }

    /// Starts with the usual choices, to be changed.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// The inputs that a run must be given, as the file declares them.
    pub fn inputs(&self) -> &[Port] {
        self.engine.inputs()
    }

    /// The outputs that a run gives, as the file declares them.
    pub fn outputs(&self) -> &[Port] {
        self.engine.outputs()
    }

    /// Runs the model on inputs given by name.
    ///
    /// # Errors
    /// If an input is missing, unknown, of another element type or of a shape that the model does not take, and if the model
    /// itself fails.
    pub fn run<N, T>(&self, inputs: impl IntoIterator<Item = (N, T)>) -> Result<Outputs>
    where
        N: AsRef<str>,
        T: Into<Tensor>,
    {
        let inputs = inputs.into_iter();
        let inputs: NamedTensors = inputs
            .map(|(name, tensor)| (name.as_ref().to_owned(), tensor.into()))
            .collect();
        let outputs = self.engine.run(inputs);
        outputs.map_err(|error| told(error.into(), &self.stored))
    }

    /// The convolutions of the model, and who computes each: our kernels, with what is next to it, or tract, and why.
    ///
    /// `shapes` settles free dimensions that the builder did not. Empty where [`SessionBuilder::convolutions`] is off; convolutions
    /// in the bodies of If and Scan are not listed and are tract's.
    ///
    /// ```
    /// use onnx_swish::{Session, Shapes};
    ///
    /// # fn main() -> Result<(), onnx_swish::Error> {
    /// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/models/hardswish.op13.onnx");
    /// for convolution in Session::open(path)?.convolutions(&Shapes::new())? {
    ///     println!("{}: {}", convolution.node, convolution.info.or(convolution.left).unwrap_or_default());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If a dimension is left free, or tract cannot build the model for these shapes.
    pub fn convolutions(&self, shapes: &Shapes) -> Result<Vec<Convolution>> {
        let shapes = crate::inputs::concrete(self.inputs(), shapes)
            .map_err(|error| told(error, &self.stored))?;
        Ok(self.engine.convolutions(&shapes)?)
    }

    /// What a quantised model computes from one 8-bit code alone, and as what that runs: a table between codes, or an activation between
    /// floats, which convolutions take along.
    ///
    /// `shapes` settles free dimensions that the builder did not. No tables where [`SessionBuilder::tables`] is off.
    ///
    /// # Errors
    /// If a dimension is left free, or tract cannot build the model for these shapes.
    pub fn tables(&self, shapes: &Shapes) -> Result<Vec<CodeTable>> {
        let shapes = crate::inputs::concrete(self.inputs(), shapes)?;
        Ok(self.engine.tables(&shapes)?)
    }

    /// Builds the plan for inputs of these shapes, so that no run has to: what a service does before it takes requests.
    ///
    /// `shapes` settles free dimensions that the builder did not. Plans are kept as [`SessionBuilder::cached_shapes`] says.
    ///
    /// # Errors
    /// If a dimension is left free, or tract cannot build the model for these shapes.
    pub fn prepare(&self, shapes: &Shapes) -> Result<()> {
        let shapes = crate::inputs::concrete(self.inputs(), shapes)?;
        Ok(self.engine.prepare(&shapes)?)
    }

    /// The most bytes of intermediate tensors alive at once while a run of these shapes computes, the inputs included. Weights and scratch space
    /// inside operators are not counted.
    ///
    /// # Errors
    /// As [`Session::prepare`].
    pub fn peak_activation_bytes(&self, shapes: &Shapes) -> Result<usize> {
        let shapes = crate::inputs::concrete(self.inputs(), shapes)?;
        Ok(self.engine.peak_activation_bytes(&shapes)?)
    }

    /// Random inputs that this model takes: floats of standard normal distribution, integers 0 or 1.
    ///
    /// `shapes` settles free dimensions that the builder did not.
    ///
    /// # Errors
    /// If a dimension is left free.
    pub fn random_inputs(&self, seed: u64, shapes: &Shapes) -> Result<Vec<(String, Tensor)>> {
        let inputs = crate::inputs::random(self.inputs(), shapes, seed, 1.0);
        inputs.map_err(|error| told(error, &self.stored))
    }
}

/// The choices before a [`Session`] exists.
#[derive(Debug, Clone)]
#[must_use]
pub struct SessionBuilder {
    shapes: Shapes,
    threads: usize,
    cached_shapes: Option<usize>,
    fuse: bool,
    convolutions: Convolutions,
    tables: bool,
    codes: bool,
    limits: Limits,
    native_half: bool,
    diagnostics: Diagnostics,
}

impl Default for SessionBuilder {
    fn default() -> Self {
        SessionBuilder {
            shapes: Shapes::new(),
            threads: 1,
            cached_shapes: None,
            fuse: true,
            convolutions: Convolutions::Auto,
            tables: true,
            codes: true,
            limits: Limits::default(),
            native_half: false,
            diagnostics: Diagnostics::default(),
        }
    }
}

impl SessionBuilder {
    /// Settles the shape of an input whose dimensions the file leaves free.
    ///
    /// The empty name stands for the only input of a model.
    pub fn input_shape(mut self, input: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        self.shapes.insert(input.into(), shape.into());
        self
    }

    /// As many threads as this process may use at the same time: in a container, what its limits allow.
    pub fn available_threads(self) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads(threads)
    }

    /// For how many sets of input shapes a plan is kept. The plans share packed weights and constants, and each has the memory for the
    /// intermediate tensors of one run; the one that was used least recently goes first.
    pub fn cached_shapes(mut self, count: usize) -> Self {
        self.cached_shapes = Some(count);
        self
    }

    /// How many threads one run may use. 1 by default: the calling thread alone.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Whether to fuse the model in memory first. On by default; a file that is fused already loses nothing by it.
    pub fn fuse(mut self, fuse: bool) -> Self {
        self.fuse = fuse;
        self
    }

    /// Who computes the convolutions: our kernels, together with the activation that follows them, or tract's. By default, which is also
    /// `true`, whoever is faster on this processor ([`Convolutions::Auto`]).
    pub fn convolutions(mut self, who: impl Into<Convolutions>) -> Self {
        self.convolutions = who.into();
        self
    }

    /// Whether what a quantised model computes from one 8-bit code alone, a SiLU between Q and DQ for example, runs as a table of 256
    /// entries. On by default; the codes are the same either way.
    pub fn tables(mut self, on: bool) -> Self {
        self.tables = on;
        self
    }

    /// Whether a quantised model's convolutions and products between 8-bit codes are computed on the codes, with exact sums. On by
    /// default. A code next to the middle between two may differ by one from that of a sum of floats, whose rounding depends on the order.
    pub fn codes(mut self, on: bool) -> Self {
        self.codes = on;
        self
    }

    /// Refuses a model of more nodes, those in nested graphs and functions counted. No limit by default.
    ///
    /// tract's loading takes a time that grows with the square of the nodes: half a second for 10,000, five for 40,000.
    pub fn max_nodes(mut self, nodes: usize) -> Self {
        self.limits.nodes = Some(nodes);
        self
    }

    /// Gives up building a plan that takes longer. No limit by default.
    ///
    /// The time is looked at between two nodes and between two rewrites of the graph, and so is overrun by what one of these takes.
    pub fn max_build_time(mut self, time: Duration) -> Self {
        self.limits.time = Some(time);
        self
    }

    /// Whether float16 is computed in float16, as tract does it. Off by default: models of 16-bit floats are computed in float32, widened
    /// once while they are loaded, which takes twice the memory; inputs and outputs keep their types, and a Cast to 16 bits still rounds.
    ///
    /// In float16 sums overflow from 65,520 on and lose digits long before, and many models do not load. bfloat16 is always computed
    /// in float32.
    pub fn native_half(mut self, on: bool) -> Self {
        self.native_half = on;
        self
    }

    /// Tells `listener` what happens on the way: fusions, functions written out, plans built. Nothing is printed otherwise.
    pub fn diagnostics(mut self, listener: impl Fn(&Diagnostic) + Send + Sync + 'static) -> Self {
        self.diagnostics = Diagnostics::to(listener);
        self
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Session> {
        self.load(&Model::open(path)?)
    }

    /// Loads a model that is open already.
    ///
    /// # Errors
    /// If the model is not valid, or tract cannot load it.
    pub fn load(self, model: &Model) -> Result<Session> {
        let options = EngineOptions {
            threads: self.threads,
            operators: Operators::OnnxSwish,
            vzeroupper: true,
            convolutions: self.convolutions,
            tables: self.tables,
            codes: self.codes,
            fuse: self.fuse,
            native_half: self.native_half,
            shapes: self.shapes,
            limits: self.limits,
            cached_shapes: self.cached_shapes,
            diagnostics: self.diagnostics,
        };
        let stored = stored_inputs(model);
        Ok(Session {
            engine: engine(model, &options).map_err(|error| told(error, &stored))?,
            stored,
        })
    }
}

/// The inputs of a model that are initializers too.
fn stored_inputs(model: &Model) -> Arc<[String]> {
    let Some(main) = model.scopes().first() else {
        return Arc::default();
    };
    let initializers = main.initializers().iter();
    let values: HashSet<&[u8]> = initializers
        .map(|tensor| model.text(tensor.name()))
        .collect();
    let names = main.inputs().iter().map(|input| model.text(input.name()));
    names
        .filter(|name| values.contains(name))
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// The error, or a better one where fusing has taken an input along with its value.
fn told(error: Error, stored: &[String]) -> Error {
    match error {
        Error::Run(EngineError::UnknownInput { name, .. }) if stored.contains(&name) => {
            EngineError::StoredInput(name).into()
        }
        other => other,
    }
}
