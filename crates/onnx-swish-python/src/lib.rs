//! The compiled half of the Python package `onnx_swish`: models in and out, sessions, verify and bench, and the command.
//! Given Python's objects, most of them by the files in `python/onnx_swish`, which hold what needs no Rust.
//! Promises that whatever takes long runs without the interpreter's lock, and that every failure is a Python exception.
#![deny(unsafe_code)]

mod arrays;
mod errors;
mod judging;
mod lent;
mod options;
mod rewriting;
mod session;
mod source;
mod worker;

use pyo3::prelude::*;

#[pymodule]
mod _onnx_swish {
    use std::ffi::OsString;

    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::judging::{bench, verify};
    #[pymodule_export]
    use crate::rewriting::{Rewriting, expand, fuse, inspect};
    #[pymodule_export]
    use crate::session::{NodeArg, Session};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        // tract's panics become errors with a sentence; nobody needs to see them twice.
        onnx_swish::silence_contained_panics();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// Carries out the command `onnx-swish` with these arguments, its name first; returns its exit status.
    #[pyfunction]
    fn command(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
        py.detach(|| onnx_swish_cli::main(arguments))
    }
}
