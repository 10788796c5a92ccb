//! The program `onnx-swish`: the library of this package, in an allocator that counts.
//! Given the process's arguments.
//! Promises what the library promises, and memory in the figures of `bench`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

#[cfg(feature = "engine")]
mod counting;

fn main() -> ExitCode {
    #[cfg(feature = "engine")]
    onnx_swish_cli::count_memory_with(counting::METER);
    ExitCode::from(onnx_swish_cli::main(std::env::args_os()))
}
