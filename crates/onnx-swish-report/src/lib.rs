//! Shows what fusing a model changes, and how any model differs from one that was made of it.
//!
//! [`Document::report`] says of a model and its fused version what was fused, what nearly was and why not, each with the
//! nodes around it before and after. [`Document::diff`] says of any two models which parts of one are in the other, byte
//! for byte, and what stands in the place of the rest. A document is serialisable (`schema_version` 1), and
//! [`html`] puts it into one file that opens offline, with the drawing code in it; [`markdown`] makes a summary for a
//! pull request. The drawing code is in [`assets`], for pages that have documents of their own.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use onnx_swish_fuse::{Options, analyze, apply};
//! use onnx_swish_model::Model;
//! use onnx_swish_report::{Document, html};
//!
//! let model = Model::open("model.onnx")?;
//! let plan = analyze(&model, &Options::default());
//! let fused = apply(&model, &plan)?.into_model()?;
//! std::fs::write("report.html", html(&Document::report(&plan, &fused)))?;
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

pub mod assets;
mod build;
mod curves;
mod diff;
mod document;
mod entries;
mod html;
mod markdown;
mod neighbourhood;
mod outside;
mod packed;
mod tables;

pub use document::{
    Curve, Document, Entry, EntryKind, Kind, ModelFacts, NodeEntry, OperatorCount, Side, Summary,
    Tables, ValueEntry,
};
pub use html::html;
pub use markdown::markdown;
