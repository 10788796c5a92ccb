//! What the linker must be told about a module of Python.
//! Given the target; PyO3 knows.
//! Promises that `cargo build --workspace` links on macOS, where symbols that the process brings must be announced.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
