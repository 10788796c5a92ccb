//! Threads for work that is over in microseconds.
//! Given: a number of independent tasks that share nothing but what they read.
//! Promise: each task has run once when [`Workers::run`] returns; who runs it changes no result.
//!
//! [`Pool`] is the crate's own implementation of [`Workers`], [`Inline`] the calling thread alone. Whoever has a pool
//! already (rayon, an engine's own) implements [`Workers`] for it.
//!
//! The hand-over of a job is checked in two ways: `tests/stress.rs` runs many jobs on real threads, and `tests/loom.rs`
//! runs few jobs in every order in which threads can meet ([loom](https://docs.rs/loom)):
//!
//! ```sh
//! RUSTFLAGS='--cfg loom' cargo test --release -p onnx-swish-threads --test loom --target-dir target/loom
//! ```
#![deny(unsafe_code)]

mod pool;
mod sync;
mod workers;

pub use pool::Pool;
pub use workers::{Inline, WORTH_SHARING_NS, Workers};
