//! Fusing ONNX models in a browser.
//!
//! The page in `page/` runs this as WebAssembly in a worker: it hands over a model's bytes and gets the document that
//! [`onnx_swish_report`] makes, and the fused file as ranges of the file that was handed over and the new bytes between them,
//! so that weights are never copied back. [`Workshop`] is all there is to it; `exports.rs` lends it to JavaScript without
//! any generated code, by numbers and by memory that both see.

#![deny(unsafe_code)]

mod exports;
mod workshop;

pub use workshop::{Answer, Workshop};
