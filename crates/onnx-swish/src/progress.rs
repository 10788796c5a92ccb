//! How far a verification, a benchmark or the copying of weights has come.
//!
//! Given to whoever asked to be told; promises one type for all that takes long, so that one progress bar serves.

/// What is about to be done, or how much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A model is about to be loaded: `original` and `fused` of a verification, or a contender of a benchmark.
    Loading(&'static str),
    /// Both models are about to run on this set of inputs, counted from 0.
    Running(usize),
    /// The values of so many activations have been compared one by one.
    Compared {
        /// How many.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// So much of the weights in other files has been copied beside a model that is saved.
    Copied {
        /// Bytes copied so far, of all files.
        done: u64,
        /// Bytes in all.
        of: u64,
    },
    /// So many runs of a benchmark are done, those that warm up and those for the profile included.
    Timed {
        /// Runs done.
        done: usize,
        /// Runs in all.
        of: usize,
    },
}
