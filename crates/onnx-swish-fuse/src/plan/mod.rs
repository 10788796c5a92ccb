//! From a model to what would be done to it.
//! Given: a model and options.
//! Promises: pure and linear; the plan holds everything that `apply` writes and the report says, so that a dry run and a
//! real one cannot differ.

mod analysis;
mod between;
mod borders;
mod calls;
mod carried;
mod decide;
mod explain;
pub(crate) mod guards;
mod regions;
mod settle;

use onnx_swish_model::Model;

use crate::element::Element;
use crate::emit::quantised::Calls;
use crate::emit::target::{Emit, Target};
use crate::facts::Facts;
use crate::forms::products::{Activation, Mismatch};
use crate::graph::{Graph, Node, Value};
use crate::pattern::{Broken, Pattern};
use crate::quantised::{Obstacle, Region};
use crate::runtimes::Runtime;
use guards::Block;

/// What to look for and what to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Options {
    /// Which operators to write.
    pub emit: Emit,
    /// The runtime that is to load the result; what it does not load is not written.
    pub runtime: Option<&'static Runtime>,
    /// Whether activations from one 8-bit code to another are written as functions of the file, whose bodies are their own nodes, if
    /// functions may be written at all ([`Options::writes_functions`]). Without it the file keeps them as they are.
    pub quantized: bool,
}

impl Options {
    /// Options that write these operators.
    pub fn emit(emit: Emit) -> Self {
        Self {
            emit,
            ..Self::default()
        }
    }

    /// Options that write what serves a runtime best.
    pub fn runtime(runtime: &'static Runtime) -> Self {
        Self {
            emit: runtime.write.unwrap_or(Emit::Standard),
            runtime: Some(runtime),
            ..Self::default()
        }
    }

    /// Whether functions of the file may be written: the runtime loads them, or [`Emit::Custom`] asks for them.
    pub fn writes_functions(&self) -> bool {
        match self.runtime {
            Some(runtime) => runtime.loads.functions,
            None => self.emit == Emit::Custom,
        }
    }

    /// Whether to write activations of 8-bit codes as functions.
    #[must_use]
    pub fn quantized(mut self, on: bool) -> Self {
        self.quantized = on;
        self
    }
}

/// What fusing a model would do, and why not more.
pub struct Plan<'m> {
    pub(crate) graph: Graph<'m>,
    pub(crate) facts: Facts,
    pub(crate) emit: Emit,
    pub(crate) runtime: Option<&'static Runtime>,
    /// In the order of the file.
    pub(crate) fusions: Vec<Fusion>,
    pub(crate) already: Vec<Already>,
    pub(crate) misses: Vec<Miss>,
    /// Activations from one 8-bit code to another.
    pub(crate) regions: Vec<Region>,
    /// Those of them that are to be functions; the others stay as they are.
    pub(crate) calls: Calls,
}

impl std::fmt::Debug for Plan<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("emit", &self.emit)
            .field("fusions", &self.fusions.len())
            .field("already_fused", &self.already.len())
            .field("quantised", &self.regions.len())
            .field("near_misses", &self.misses.len())
            .finish()
    }
}

impl Plan<'_> {
    /// Whether applying it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.fusions.is_empty() && self.calls.functions.is_empty()
    }
}

/// One activation to be replaced.
#[derive(Debug, Clone)]
pub(crate) struct Fusion {
    /// The value at its end, which keeps its name.
    pub(crate) end: Value,
    /// The value that the activation is applied to.
    pub(crate) root: Value,
    /// What it is, with settled numbers.
    pub(crate) activation: Activation,
    /// What is written.
    pub(crate) target: Target,
    /// A factor that stays; 1 means none.
    pub(crate) k: f64,
    /// A further factor that the spelling had multiplied in between.
    pub(crate) other: Option<Value>,
    /// Element type.
    pub(crate) element: Element,
    /// The nodes it replaces.
    pub(crate) pattern: Pattern,
    /// How it was spelled, where that matters to the digits.
    pub(crate) spelling: Spelling,
}

/// What a spelling does to the digits of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Nothing: the same to rounding.
    Plain,
    /// `1 + tanh`, `1 - σ`: loses digits where the gate is nearly closed.
    Cancels,
    /// `1 + e^-x`: overflows, harmlessly, where the gate is closed.
    Exponential,
}

/// A Swish or HardSwish that is one operator already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Already {
    pub(crate) node: Node,
    /// Two plain operators that `--emit contrib` would write just so.
    pub(crate) as_pair: bool,
}

/// A gate that multiplies something and stays.
#[derive(Debug, Clone)]
pub(crate) struct Miss {
    /// The product.
    pub(crate) output: Value,
    /// The gate.
    pub(crate) gate: Value,
    /// What it multiplies.
    pub(crate) partner: Value,
    /// Why it stays.
    pub(crate) why: Why,
}

impl Miss {
    /// The gate itself, where what is multiplied only came of it.
    pub(crate) fn carried(&self) -> Value {
        match self.why {
            Why::Carried(gate) => gate,
            _ => self.gate,
        }
    }
}

/// Why a gate stays.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// It is no activation.
    Mismatch(Mismatch),
    /// It is one, but its nodes do not stand as they should.
    Broken(Broken),
    /// It is one, but something else needs a part of it, or the types or shapes say no.
    Blocked(Block),
    /// It looks like a gate and is something else.
    Almost(crate::forms::gates::Almost),
    /// The gate is an operator of which we know too little.
    Opaque,
    /// What is multiplied is no gate, but this gate flows into it.
    Carried(Value),
    /// It is computed by a function of the file, or multiplied in one.
    InFunction,
    /// It comes out of an If, a Loop or a Scan.
    Inside,
    /// An operator of our domain whose function in this file is not the one that we write.
    Edited,
    /// It is one of a quantised number, but no table.
    Quantised(Obstacle),
}

/// Finds everything that can be fused, and explains what nearly could.
///
/// Linear in the number of nodes; nothing is changed and nothing is decoded but small constants.
pub fn analyze<'m>(model: &'m Model, options: &Options) -> Plan<'m> {
    analysis::run(Graph::new(model), *options)
}
