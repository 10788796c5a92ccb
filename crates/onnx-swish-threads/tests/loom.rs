//! The hand-over in every order in which threads can meet.
//! Given: few threads, tasks and jobs; more would take days.
//! Promise: no order loses a task, runs one twice or after its job, misses a wake-up, or hides from the caller what a
//! task wrote. The crate's documentation has the command; loom finds what a model gets wrong as a panic or a deadlock.
#![cfg(loom)]

use std::panic::{AssertUnwindSafe, catch_unwind};

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use onnx_swish_threads::{Pool, Workers};

/// Explores `model` with at most so many preemptions, the switches that a thread did not ask for.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Memory of a caller that its tasks borrow. loom reports two accesses that nothing orders.
struct Borrowed {
    /// Written by one task each.
    results: Vec<UnsafeCell<usize>>,
    /// Read by every task, and written when the job is over: a task that still runs then would be reported.
    alive: UnsafeCell<bool>,
}

// SAFETY: that accesses are ordered is what the models check.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    fn new(tasks: usize) -> Borrowed {
        Borrowed {
            results: (0..tasks).map(|_| UnsafeCell::new(0)).collect(),
            alive: UnsafeCell::new(true),
        }
    }

    fn task(&self, i: usize) {
        // SAFETY: loom hands out the pointers and checks who has them at the same time.
        self.alive.with(|alive| assert!(unsafe { *alive }));
        // SAFETY: as above.
        self.results[i].with_mut(|result| unsafe { *result += 1 });
    }

    /// What `run` promises when it returns.
    fn all_ran_once(&self) {
        // SAFETY: as above.
        self.alive.with_mut(|alive| unsafe { *alive = false });
        for result in &self.results {
            // SAFETY: as above.
            result.with(|result| assert_eq!(unsafe { *result }, 1));
        }
    }
}

fn job(pool: &Pool, tasks: usize) {
    let borrowed = Borrowed::new(tasks);
    pool.run(tasks, &|i| borrowed.task(i));
    borrowed.all_ran_once();
}

#[test]
fn a_pool_without_a_job_ends() {
    explore(4, || drop(Pool::new(3).unwrap()));
}

#[test]
fn a_job_of_two_tasks() {
    explore(4, || job(&Pool::new(2).unwrap(), 2));
}

#[test]
fn a_second_job_takes_nothing_from_the_first() {
    explore(3, || {
        let pool = Pool::new(2).unwrap();
        job(&pool, 2);
        job(&pool, 2);
    });
}

#[test]
fn three_threads_share_a_job() {
    explore(2, || job(&Pool::new(3).unwrap(), 3));
}

/// Tasks that wait for each other: every thread is needed, so all that sleep must be woken.
fn job_for_all(threads: usize) {
    let pool = Pool::new(threads).unwrap();
    let (begun, all) = (Mutex::new(0), Condvar::new());
    pool.run(threads, &|_| {
        let mut begun = begun.lock().unwrap();
        *begun += 1;
        all.notify_all();
        while *begun < threads {
            begun = all.wait(begun).unwrap();
        }
    });
}

#[test]
fn a_thread_that_sleeps_is_woken() {
    explore(3, || job_for_all(2));
}

#[test]
fn a_thread_that_was_woken_wakes_another() {
    explore(2, || job_for_all(3));
}

#[test]
fn two_callers_share_a_pool() {
    explore(2, || {
        let pool = Arc::new(Pool::new(2).unwrap());
        let other = pool.clone();
        let caller = thread::spawn(move || job(&other, 2));
        job(&pool, 2);
        caller.join().unwrap();
    });
}

#[test]
fn a_job_in_a_task() {
    explore(2, || {
        let pool = Pool::new(2).unwrap();
        let borrowed = Borrowed::new(4);
        pool.run(2, &|outer| {
            pool.run(2, &|inner| borrowed.task(2 * outer + inner))
        });
        borrowed.all_ran_once();
    });
}

#[test]
fn a_panic_on_whatever_thread_is_the_callers() {
    std::panic::set_hook(Box::new(|_| ()));
    explore(2, || {
        let pool = Pool::new(2).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(2, &|task| {
                if task == 0 {
                    std::panic::resume_unwind(Box::new("meant"));
                }
            });
        }));
        assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "meant");
        job(&pool, 2);
    });
}
