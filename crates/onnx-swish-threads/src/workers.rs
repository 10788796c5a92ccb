//! Who does the work.
//! Given: a number of independent tasks.
//! Promise: nothing but that each task has run once when `run` returns.

/// Work that is worth sharing takes at least this long on one thread, in nanoseconds: a [`Pool`](crate::Pool) takes 700 to hand
/// over to threads that are awake (`benches/handoff.rs`). Each kernel knows how much of its work that is.
pub const WORTH_SHARING_NS: usize = 1000;

/// A pool that runs tasks. Tasks write disjoint outputs and are the same for any pool, so results do not depend on it.
pub trait Workers: Sync {
    /// How many tasks may run at a time; used to choose how finely to split.
    fn count(&self) -> usize;

    /// Runs `task(0)`, ..., `task(tasks - 1)`, each once, in any order and on any thread.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync));
}

/// The calling thread alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inline;

impl Workers for Inline {
    fn count(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..tasks).for_each(task);
    }
}
