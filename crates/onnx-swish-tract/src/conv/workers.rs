//! The session's threads as `onnx-swish-conv` wants them.
//!
//! Given the executor that tract has installed for this run; promises to use its threads and no others.

use onnx_swish_conv::Workers;
use tract_linalg::multithread::{Executor, current_tract_executor, par_chunks_mut};

/// The pool of the run that is going on.
pub(super) struct SessionPool;

impl Workers for SessionPool {
    fn count(&self) -> usize {
        match current_tract_executor() {
            Executor::MultiThread(pool) => pool.current_num_threads(),
            _ => 1,
        }
    }

    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        // tract splits slices over its pool: one byte stands for each task, and no task can fail.
        let mut tokens = vec![0u8; tasks];
        let _always_ok = par_chunks_mut(&mut tokens, 1, usize::MAX, |first, tokens| {
            (first..first + tokens.len()).for_each(task);
            Ok(())
        });
    }
}
