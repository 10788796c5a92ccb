//! The messages of an ONNX file as Rust types.
//!
//! Generated from `proto/onnx.proto`, with text as [`bytes::Bytes`]: borrowed from the file, UTF-8 or not.

#![allow(missing_docs, clippy::all)]

include!("onnx.rs");
