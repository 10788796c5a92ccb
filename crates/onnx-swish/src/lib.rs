//! Fuse, verify and run ONNX models with Swish and HardSwish in them.
//!
//! Given ONNX models as exporters write them; promises that every way of writing x·σ(βx) and x·clamp(x/6 + 1/2, 0, 1)
//! becomes one operator, that nothing else in the file changes, and that the numbers can be checked.
//!
//! | to | use |
//! |---|---|
//! | read a file | [`Model::open`] |
//! | see what would be fused, and why the rest is not | [`inspect`] |
//! | fuse it | [`fuse()`] |
//! | write it, safely | [`save()`] |
//! | show what fusing changed, or how two models differ | [`report()`], [`diff()`], [`document_html`] |
//! | run it | [`Session`] |
//! | see which convolutions run on our kernels | [`Session::convolutions`] |
//! | see what a quantised model looks up in tables | [`Session::tables`] |
//! | prove that fusing changed nothing, by tract, ONNX Runtime or known outputs | [`verify()`], [`Reference`] |
//! | measure | [`bench()`] |

// Asking a shared library whether it is an ONNX Runtime is the exception (`verify/reference/probe.rs`).
#![cfg_attr(not(feature = "onnxruntime"), forbid(unsafe_code))]
#![cfg_attr(feature = "onnxruntime", deny(unsafe_code))]

#[cfg(feature = "engine")]
mod bench;
#[cfg(feature = "engine")]
mod diagnostics;
#[cfg(feature = "engine")]
mod engine;
mod error;
mod fuse;
#[cfg(feature = "engine")]
mod inputs;
#[cfg(feature = "engine")]
mod processor;
mod progress;
mod report;
mod save;
#[cfg(feature = "engine")]
mod session;
#[cfg(feature = "engine")]
mod verify;
#[cfg(feature = "engine")]
mod words;

#[cfg(feature = "engine")]
pub use bench::{
    BenchOptions, BenchReport, HeapMeter, Memory, NodeProfile, OpTime, Ratio, Timing, Variant,
    bench,
};
#[cfg(feature = "engine")]
pub use diagnostics::Diagnostic;
pub use error::{Error, Result};
pub use fuse::{Fused, expand, expand_for, fuse, inspect};
#[cfg(feature = "engine")]
pub use inputs::Shapes;
#[cfg(feature = "engine")]
pub use ndarray;
pub use onnx_swish_fuse::{
    ActivationKind, AlreadyFused, BetaValue, Emit, Error as FuseError, Expansion, FusionEntry,
    Loads, NearMiss, NearMissGroup, Obstacles, Options as FuseOptions, QuantisedEntry, Reads,
    Report, Runtime, Source as RuntimeSource, TooNew, UnknownRuntime, VersionOf,
};
#[cfg(feature = "engine")]
pub use onnx_swish_kernels::{ISA_VARIABLE, Isa, IsaError};
pub use onnx_swish_model::{
    Error as ModelError, ExternalError, Invalid, Model, SaveError, Saved, Spliced, check_target,
    display as display_name,
};
pub use onnx_swish_report::{
    Document, EntryKind, OperatorCount, Summary, html as document_html,
    markdown as document_markdown,
};
#[cfg(feature = "engine")]
pub use onnx_swish_tract::{
    CodeTable, Convolution, Convolutions, Dim, Element, ElementType, Error as RunError, Event,
    Outputs, Port, Tensor, silence_contained_panics,
};
pub use progress::Progress;
pub use report::{diff, report};
pub use save::{SaveOptions, save};
#[cfg(feature = "engine")]
pub use session::{Session, SessionBuilder};
#[cfg(feature = "engine")]
pub use verify::{
    Codes, Coverage, FirstOff, Inexact, JudgedBy, Layers, OffFrom, OnCodes, OnnxRuntimeError,
    OutputComparison, Reference, Rows, TestDataError, TestSet, Tolerance, VerifyOptions,
    VerifyReport, Worst, read_test_data, verify,
};

/// Tensors by the names of inputs or outputs.
#[cfg(feature = "engine")]
pub type NamedTensors = Vec<(String, Tensor)>;
