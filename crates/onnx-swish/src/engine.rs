//! From a model file to something that runs, in one straight line: validate, fuse, inline, load.
//!
//! The only place where the two towers meet. Given a `Model`; promises that what tract is handed is valid and holds no function
//! that tract would not see, and that a bad file is told from a defect of fusing it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use onnx_swish_fuse::OwnFunctions;
use onnx_swish_model::{inline_functions, validate};
use onnx_swish_tract::{Convolutions, Operators, Session as Engine, SessionBuilder};

use crate::Model;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::error::{Error, Result};
use crate::inputs::Shapes;
use crate::verify::VerifyOptions;

/// What an engine is to be.
#[derive(Clone)]
pub(crate) struct EngineOptions {
    pub threads: usize,
    pub operators: Operators,
    pub vzeroupper: bool,
    pub convolutions: Convolutions,
    pub tables: bool,
    pub codes: bool,
    /// Whether to fuse the model in memory first.
    pub fuse: bool,
    pub native_half: bool,
    pub shapes: Shapes,
    pub limits: Limits,
    /// For how many sets of input shapes a plan is kept; the engine's own number if nothing is said.
    pub cached_shapes: Option<usize>,
    pub diagnostics: Diagnostics,
}

impl EngineOptions {
    /// What a verification asks of an engine; the model is fused before.
    pub fn of(options: &VerifyOptions, operators: Operators) -> EngineOptions {
        EngineOptions {
            threads: options.threads,
            operators,
            vzeroupper: true,
            convolutions: options.convolutions,
            tables: options.tables,
            codes: options.codes,
            fuse: false,
            native_half: false,
            shapes: options.shapes.clone(),
            cached_shapes: None,
            limits: Limits {
                nodes: options.max_nodes,
                time: options.max_build_time,
            },
            diagnostics: Diagnostics::default(),
        }
    }
}

/// What loading may cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub nodes: Option<usize>,
    pub time: Option<Duration>,
}

/// The model on tract, every input's shape settled as far as `shapes` says.
pub(crate) fn engine(model: &Model, options: &EngineOptions) -> Result<Engine> {
    // What is written in memory on the way is freed before the engine takes memory.
    let builder = builder(model, options)?;
    Ok(builder.build()?)
}

fn builder(model: &Model, options: &EngineOptions) -> Result<SessionBuilder> {
    validate(model)?;
    // tract opens whatever path a file names: a FIFO would hang it, and `..` would leave the model's folder.
    model.check_external_data()?;
    if options.fuse {
        let fused = spliced(model, &options.diagnostics)?;
        builder_of(&inlined(&fused, options)?.unwrap_or(fused), options)
    } else {
        match inlined(model, options)? {
            Some(flat) => builder_of(&flat, options),
            None => builder_of(model, options),
        }
    }
}

/// The model with its functions written out at their calls; `None` if there is nothing to write out.
fn inlined(model: &Model, options: &EngineOptions) -> Result<Option<Model>> {
    let flat = flattened(model, options.operators)?;
    if flat.is_some() {
        options.diagnostics.tell(|| Diagnostic::Inlined {
            functions: model.functions().len(),
        });
    }
    Ok(flat)
}

/// The model without functions that these operators do not know; `None` where it is that already.
pub(crate) fn flattened(model: &Model, operators: Operators) -> Result<Option<Model>> {
    // A function of ours whose body somebody edited means what the body says, and is written out like any other.
    let ours = OwnFunctions::of(model);
    let knows_ours = operators == Operators::OnnxSwish;
    let keep = |domain: &[u8], name: &[u8]| knows_ours && ours.contains(domain, name);
    if !needs_inlining(model, keep) {
        return Ok(None);
    }
    Ok(Some(inline_functions(model, keep)?.into_model()?))
}

fn builder_of(model: &Model, options: &EngineOptions) -> Result<SessionBuilder> {
    let mut builder = Engine::builder_of_pieces(model.pieces().clone())
        .threads(options.threads)
        .operators(options.operators)
        .vzeroupper(options.vzeroupper)
        .convolutions(options.convolutions)
        .tables(options.tables)
        .codes(options.codes)
        .native_half(options.native_half);
    if let Some(dir) = model.base_dir() {
        builder = builder.base_dir(dir);
        for (location, file) in linked_data(model, dir)? {
            builder = builder.data_file(location, file);
        }
    }
    if let Some(count) = options.cached_shapes {
        builder = builder.cached_shapes(count);
    }
    if let Some(nodes) = options.limits.nodes {
        builder = builder.max_nodes(nodes);
    }
    if let Some(time) = options.limits.time {
        builder = builder.max_build_time(time);
    }
    for (name, shape) in &options.shapes {
        builder = builder.input_shape(name, shape.as_slice());
    }
    if options.diagnostics.wanted() {
        let diagnostics = options.diagnostics.clone();
        builder =
            builder.on_event(move |event| diagnostics.tell(|| Diagnostic::Engine(event.clone())));
    }
    Ok(builder)
}

/// Where the external data of a model is by its locations, if any of it is a link out of the folder that may be followed: caches of
/// downloaded models keep model and data as links into one folder.
fn linked_data(model: &Model, base_dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let base = base_dir.canonicalize().unwrap_or_default();
    let mut files = Vec::new();
    for location in model.external_locations() {
        let file = model.external_file(location)?.canonical;
        files.push((String::from_utf8_lossy(location).into_owned(), file));
    }
    if files.iter().all(|(_, file)| file.starts_with(&base)) {
        files.clear();
    }
    Ok(files)
}

/// tract ignores functions, ours too, which it knows as operators where it is to compute with them.
fn needs_inlining(model: &Model, keep: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    model
        .functions()
        .iter()
        .any(|function| !keep(model.text(function.domain()), model.text(function.name())))
}

/// The valid model with every activation fused, in memory.
pub(crate) fn fused_in_memory(model: &Model) -> Result<Model> {
    validate(model)?;
    spliced(model, &Diagnostics::default())
}

fn spliced(model: &Model, diagnostics: &Diagnostics) -> Result<Model> {
    let fused = crate::fuse(model, &crate::FuseOptions::default())?;
    diagnostics.tell(|| Diagnostic::Fused(Box::new(fused.report.clone())));
    let fused = fused.into_model()?;
    validate(&fused).map_err(Error::Splice)?;
    Ok(fused)
}
