//! Finds every way of writing Swish and HardSwish in an ONNX model, and replaces each by one operator.
//!
//! Recognition works by meaning. Each value of the graph gets the *form* that it has as a function of one earlier value
//! `x`: a line, an exponential, a logistic gate, a clamp. A product of `x` and its own gate is an activation, whichever
//! operators spelled it, in whatever order, and however the file stores the constants:
//!
//! - SiLU, `x·σ(x)`, and Swish, `x·σ(β·x)`, where β is a number, a learned tensor, or computed at run time;
//! - HardSwish, `x·clamp(α·x + b, 0, 1)`, with α = 1/6 and b = 1/2 or any others.
//!
//! [`analyze`] looks and changes nothing. Its [`Plan`] says what would be fused, what already is, and why each gate that
//! is left alone is left alone ([`Report`]). [`apply`] carries the plan out; everything else in the file stays as it is,
//! byte for byte. [`expand`] goes back to plain operators.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onnx_swish_fuse::{Options, analyze, apply};
//!
//! let model = onnx_swish_model::Model::open("model.onnx")?;
//! let plan = analyze(&model, &Options::default());
//! for fusion in plan.report().fusions {
//!     println!("{:?} of {} gives {}", fusion.activation, fusion.input, fusion.output);
//! }
//! std::fs::write("model.fused.onnx", apply(&model, &plan)?.to_bytes())?;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod betas;
mod constants;
mod element;
mod emit;
mod error;
mod expand;
mod facts;
mod forms;
mod graph;
mod learn;
mod loads;
mod near_misses;
mod numbering;
mod obstacles;
mod ops;
mod pattern;
mod permutation;
mod plan;
mod quantised;
mod report;
mod rewrite;
mod runtimes;
mod shapes;
mod types;
mod view;

pub use betas::Betas;
pub use emit::apply::apply;
pub use emit::functions::OwnFunctions;
pub use emit::target::Emit;
pub use error::Error;
pub use expand::{Expansion, expand, expand_for};
pub use near_misses::NearMiss;
pub use near_misses::reasons::REASONS;
pub use obstacles::Obstacles;
pub use plan::{Options, Plan, analyze};
pub use report::{
    ActivationKind, AlreadyFused, BetaValue, FusionEntry, NearMissGroup, QuantisedEntry, Report,
};
pub use rewrite::{Rewrite, rewrite, rewrite_planned};
pub use runtimes::{Loads, Reads, Runtime, Source, TooNew, UnknownRuntime, VersionOf};
pub use view::{Origin, Place, Places, Size, ValueId, View};
