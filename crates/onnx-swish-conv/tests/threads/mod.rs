//! Workers whose tasks come in another order.
//! Given: a number of threads.
//! Promise: every task runs once, the last ones first.

use onnx_swish_threads::Workers;

/// Runs tasks on threads of its own, last task first, to show that order does not matter.
pub struct Threads(pub usize);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0
    }
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for worker in 0..self.0 {
                scope.spawn(move || {
                    (0..tasks)
                        .rev()
                        .filter(|i| i % self.0 == worker)
                        .for_each(task)
                });
            }
        });
    }
}
