//! The choices before a session exists.
//!
//! Given bytes and options; promises to check what can be checked at once: the encoding, every operator, the given shapes, and
//! the whole model where no dimension is left free.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cache::{PlanCache, PlanOptions};
use super::events::{Event, Listener};
use super::{Inner, Session, names};
use crate::conv::Convolutions;
use crate::error::{Error, Result};
use crate::load::{Dim, Format, Limits, Operators, Pieces, Source};

/// Builds a [`Session`].
#[derive(Debug, Clone)]
pub struct SessionBuilder {
    source: Source,
    shapes: Vec<(String, Vec<usize>)>,
    cached_shapes: usize,
    options: PlanOptions,
}

impl SessionBuilder {
    pub(super) fn new(bytes: Pieces, format: Format) -> SessionBuilder {
        SessionBuilder {
            source: Source {
                bytes,
                format,
                limits: Limits::default(),
                native_half: false,
            },
            shapes: Vec::new(),
            cached_shapes: 4,
            options: PlanOptions {
                threads: 1,
                operators: Operators::default(),
                vzeroupper: true,
                listener: Listener::default(),
                convolutions: Convolutions::Auto,
                tables: true,
                codes: true,
            },
        }
    }

    /// The directory that holds an ONNX model's external data, normally the model's own.
    #[must_use]
    pub fn base_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        if let Format::Onnx { base_dir, .. } = &mut self.source.format {
            *base_dir = Some(dir.into());
        }
        self
    }

    /// Where the file of external data is that tensors of an ONNX model give this location for, when it is not below the base directory:
    /// a link out of it, for example, which would not be followed. Whoever calls vouches for the path, which must be absolute and free of
    /// links; all files of the model have to be given, or none.
    #[must_use]
    pub fn data_file(mut self, location: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        if let Format::Onnx { files, .. } = &mut self.source.format {
            files.insert(location.into(), file.into());
        }
        self
    }

    /// Settles the shape of an input whose dimensions the file leaves free; runs must then use this shape.
    ///
    /// The empty name stands for the only input of a model.
    #[must_use]
    pub fn input_shape(mut self, input: impl Into<String>, shape: impl Into<Vec<usize>>) -> Self {
        self.shapes.push((input.into(), shape.into()));
        self
    }

    /// How many threads one run may use. 1 is the default and means the calling thread alone.
    ///
    /// Our operators use a pool of the session's whose threads stay awake for 0.2 ms after their last work; tract's operators use
    /// another one, of as many threads, which sleep when they have nothing to do. Results of our operators are the same for any number.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.options.threads = threads.max(1);
        self
    }

    /// Who computes the activations, and softmax; [`Operators::OnnxSwish`] unless a comparison is wanted.
    #[must_use]
    pub fn operators(mut self, operators: Operators) -> Self {
        self.options.operators = operators;
        self
    }

    /// Whether to execute `vzeroupper` before every node on x86-64. On by default; off only to measure what it brings.
    #[must_use]
    pub fn vzeroupper(mut self, on: bool) -> Self {
        self.options.vzeroupper = on;
        self
    }

    /// Who computes the convolutions: `onnx-swish-conv`, together with the activation that follows them, or tract. The faster on this
    /// processor by default ([`Convolutions::Auto`], which is also `true`), and without effect unless the activations are ours too
    /// ([`Operators::OnnxSwish`]).
    #[must_use]
    pub fn convolutions(mut self, who: impl Into<Convolutions>) -> Self {
        self.options.convolutions = who.into();
        self
    }

    /// Whether what a quantised model computes from one 8-bit code alone runs as a table of 256 entries, and codes that nobody reads as
    /// an activation. On by default, and without effect unless the activations are ours too ([`Operators::OnnxSwish`]). The codes are the
    /// same either way: off only to show that, or to measure what it brings.
    #[must_use]
    pub fn tables(mut self, on: bool) -> Self {
        self.options.tables = on;
        self
    }

    /// Whether convolutions and products between 8-bit codes are computed on the codes, with exact sums, and additions, gates and pools
    /// between them too. On by default, and without effect unless convolutions are ours. Codes next to the middle between two may differ
    /// by one from those of sums of floats, whose rounding depends on their order.
    #[must_use]
    pub fn codes(mut self, on: bool) -> Self {
        self.options.codes = on;
        self
    }

    /// Whether float16 is computed in float16, as tract does it: half the memory, sums that overflow from 65,520 on and lose digits
    /// long before. Off by default: 16-bit floats are widened to float32 once, when the model is loaded,
    /// inputs and outputs keep their declared types, and a Cast to 16 bits still rounds. bfloat16 is always computed in float32.
    #[must_use]
    pub fn native_half(mut self, on: bool) -> Self {
        self.source.native_half = on;
        self
    }

    /// For how many different sets of input shapes to keep a plan, each with the memory for the intermediate
    /// tensors of one run; packed weights and constants are shared. 4 by default.
    #[must_use]
    pub fn cached_shapes(mut self, count: usize) -> Self {
        self.cached_shapes = count.max(1);
        self
    }

    /// Refuses an ONNX model of more nodes, those in nested graphs counted. No limit by default.
    ///
    /// tract's loading takes a time that grows with the square of the nodes: half a second for 10,000, five for 40,000.
    #[must_use]
    pub fn max_nodes(mut self, nodes: usize) -> Self {
        self.source.limits.nodes = Some(nodes);
        self
    }

    /// Gives up building a plan that takes longer. No limit by default.
    ///
    /// The time is looked at between two nodes and between two rewrites of the graph, and so is overrun by what one of these takes.
    #[must_use]
    pub fn max_build_time(mut self, time: Duration) -> Self {
        self.source.limits.time = Some(time);
        self
    }

    /// Tells `listener` of what a session does behind its callers' backs, such as building a plan for a new shape.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.options.listener = Listener::to(listener);
        self
    }

    /// Decodes and checks the model, and builds it at once when no input dimension is free.
    ///
    /// # Errors
    /// If the bytes are no model, an operator or a type is one that tract lacks, a given shape contradicts the file, or tract
    /// cannot build the model.
    pub fn build(self) -> Result<Session> {
        let mut signature = self.source.signature(self.options.operators)?;
        for (name, shape) in self.shapes {
            let known = names(&signature.inputs);
            if name.is_empty() && signature.inputs.len() != 1 {
                return Err(Error::WhichInput { known });
            }
            let mut ports = signature.inputs.iter_mut();
            let port = ports.find(|port| port.name == name || name.is_empty());
            let port = port.ok_or_else(|| {
                if signature.stored.contains(&name) {
                    Error::StoredInput(name)
                } else {
                    Error::UnknownInput { name, known }
                }
            })?;
            if !port.accepts(&shape) {
                return Err(Error::InputShape {
                    name: port.name.clone(),
                    expected: port.shape_text(),
                    found: shape,
                });
            }
            port.shape = Some(shape.into_iter().map(Dim::Fixed).collect());
        }
        let observed = PlanOptions {
            threads: 1,
            convolutions: Convolutions::Tract,
            tables: false,
            codes: false,
            ..self.options.clone()
        };
        let session = Session {
            inner: Arc::new(Inner {
                signature,
                observed: PlanCache::new(self.source.clone(), observed, 1)?,
                plans: PlanCache::new(self.source, self.options, self.cached_shapes)?,
            }),
        };
        let fixed: Option<Vec<Vec<usize>>> = session
            .inputs()
            .iter()
            .map(crate::load::Port::fixed_shape)
            .collect();
        if let Some(shapes) = fixed {
            match session.prepare(&shapes) {
                // Perhaps with the values of the first run.
                Err(error)
                    if error.may_depend_on_values() && PlanCache::may_need_values(&shapes) => {}
                prepared => prepared?,
            }
        }
        Ok(session)
    }
}
