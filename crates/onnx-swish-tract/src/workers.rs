//! The threads of the run that is going on.
//!
//! Given the pool of a session; promises that all operators of ours use it while the session runs, on the thread that runs
//! it, and that in graphs of somebody else's they use tract's executor and no other threads.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use onnx_swish_threads::{Pool, WORTH_SHARING_NS, Workers};
use tract_linalg::multithread::{Executor, current_tract_executor, par_chunks_mut};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Pool>>> = const { RefCell::new(None) };
}

/// Runs `work` with `pool` for our operators; without one they use tract's executor.
pub(crate) fn with_pool<R>(pool: Option<Arc<Pool>>, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<Pool>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _however_work_ends = Restore(CURRENT.replace(pool));
    work()
}

/// Calls `work` with the threads that an operator may use here.
pub(crate) fn with_workers<R>(work: impl FnOnce(&dyn Workers) -> R) -> R {
    match CURRENT.with_borrow(Option::clone) {
        Some(pool) => work(&*pool),
        None => work(&TractExecutor),
    }
}

/// The threads that tract's own operators use.
struct TractExecutor;

impl Workers for TractExecutor {
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

/// Elements of an activation or a softmax in a nanosecond, on one thread, where they are in cache and the instruction set is good.
const ELEMENTS_PER_NS: usize = 16;

/// Elements that are worth a second thread.
const THREADING_ELEMENTS: usize = ELEMENTS_PER_NS * WORTH_SHARING_NS;

/// Calls `work` for stretches of whole rows of `xs`, with the number of the first row of each, on all threads if `elements`,
/// all that is read in the course of it, are worth it.
pub(crate) fn in_chunks<T: Send>(
    xs: &mut [T],
    row: usize,
    elements: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let rows = xs.len() / row;
    if elements < THREADING_ELEMENTS || rows < 2 {
        return work(0, xs);
    }
    with_workers(|workers| {
        if workers.count() == 1 {
            return work(0, xs);
        }
        let rows_each = rows.div_ceil(4 * workers.count());
        let chunks: Vec<Mutex<&mut [T]>> = xs.chunks_mut(rows_each * row).map(Mutex::new).collect();
        workers.run(chunks.len(), &|i| {
            // Each lock is taken once, by the one who runs the task.
            if let Ok(mut chunk) = chunks[i].lock() {
                work(i * rows_each, &mut chunk);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_whole_rows_and_cover_everything_once() {
        let pool = Arc::new(Pool::new(3).unwrap());
        for (rows, row) in [(1, 40_000), (7, 3001), (40_000, 1), (3, 1), (0, 5)] {
            let mut xs = vec![0usize; rows * row];
            let len = xs.len();
            with_pool(Some(pool.clone()), || {
                in_chunks(&mut xs, row, len, |first, chunk| {
                    assert_eq!(chunk.len() % row, 0);
                    for (i, x) in chunk.iter_mut().enumerate() {
                        *x += first * row + i + 1;
                    }
                });
            });
            assert!(xs.iter().enumerate().all(|(i, x)| *x == i + 1));
        }
    }

    #[test]
    fn the_pool_is_there_for_the_run_and_no_longer_even_if_it_panics() {
        let count = || with_workers(|workers| workers.count());
        let pool = |threads| Some(Arc::new(Pool::new(threads).unwrap()));
        let outer = with_pool(pool(3), || {
            assert_eq!(with_pool(pool(2), count), 2);
            let panics = || with_pool(pool(4), || panic!("meant"));
            assert!(std::panic::catch_unwind(panics).is_err());
            count()
        });
        assert_eq!((outer, count()), (3, 1));
    }
}
