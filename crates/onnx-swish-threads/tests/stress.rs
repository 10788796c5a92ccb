//! The pool under stress.
//! Given: jobs of every size from threads of every kind, with panics and with jobs inside jobs.
//! Promise: each task has run once, before `run` returns, whatever else happens.
#![cfg(not(loom))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use onnx_swish_threads::{Pool, Workers};

/// Runs a job and checks that each task ran once; what tasks borrow is gone afterwards, so that late ones would show.
fn run_and_count(pool: &Pool, tasks: usize) {
    let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
    pool.run(tasks, &|task| {
        counts[task].fetch_add(1, Ordering::Relaxed);
    });
    assert!(counts.iter().all(|n| n.load(Ordering::Relaxed) == 1));
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    *panic.downcast::<String>().unwrap()
}

#[test]
fn every_task_runs_once_for_any_number_of_threads_and_tasks() {
    for threads in 0..6 {
        let pool = Pool::new(threads).unwrap();
        assert_eq!(pool.count(), threads.max(1));
        for tasks in (0..40).chain([1000]) {
            run_and_count(&pool, tasks);
        }
    }
}

#[test]
fn a_hundred_thousand_tiny_jobs() {
    let pool = Pool::new(4).unwrap();
    for i in 0..100_000 {
        run_and_count(&pool, i % 7);
    }
}

#[test]
fn threads_that_have_gone_to_sleep_wake_up() {
    let pool = Pool::new(3).unwrap();
    for _ in 0..20 {
        thread::sleep(Duration::from_millis(2));
        // Three tasks that wait for one another need three threads.
        let begun = AtomicUsize::new(0);
        pool.run(3, &|_| {
            begun.fetch_add(1, Ordering::Relaxed);
            while begun.load(Ordering::Relaxed) < 3 {
                thread::yield_now();
            }
        });
    }
}

#[test]
fn a_caller_who_waits_long_sleeps_and_is_woken() {
    let pool = Pool::new(2).unwrap();
    let caller = thread::current().id();
    let begun = AtomicUsize::new(0);
    let finished = AtomicBool::new(false);
    pool.run(2, &|_| {
        begun.fetch_add(1, Ordering::Relaxed);
        while begun.load(Ordering::Relaxed) < 2 {
            thread::yield_now();
        }
        if thread::current().id() != caller {
            thread::sleep(Duration::from_millis(50));
            finished.store(true, Ordering::Relaxed);
        }
    });
    assert!(finished.load(Ordering::Relaxed));
}

#[test]
fn what_tasks_write_is_seen_by_the_caller() {
    let pool = Pool::new(3).unwrap();
    let mut numbers = vec![0usize; 600];
    for round in 1..2000 {
        let chunks: Vec<_> = numbers.chunks_mut(7).map(std::sync::Mutex::new).collect();
        pool.run(chunks.len(), &|i| {
            let mut chunk = chunks[i].try_lock().unwrap();
            chunk.iter_mut().for_each(|n| *n += 1);
        });
        drop(chunks);
        assert!(numbers.iter().all(|n| *n == round));
    }
}

#[test]
fn callers_from_many_threads_share_one_pool() {
    let pool = Pool::new(3).unwrap();
    thread::scope(|scope| {
        for caller in 0..6 {
            let pool = &pool;
            scope.spawn(move || (0..5000).for_each(|i| run_and_count(pool, (i + caller) % 9)));
        }
    });
}

#[test]
fn a_job_in_a_task_is_done_by_whoever_runs_the_task() {
    let pool = Pool::new(3).unwrap();
    for _ in 0..500 {
        let total = AtomicUsize::new(0);
        pool.run(5, &|_| {
            let here = thread::current().id();
            pool.run(7, &|_| {
                assert_eq!(thread::current().id(), here);
                total.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(total.load(Ordering::Relaxed), 35);
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
    expect_panics();
    let pool = Pool::new(3).unwrap();
    for bad in (0..12).cycle().take(600) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(12, &|task| {
                assert!(task != bad, "task {task}");
            });
        }));
        assert_eq!(message(result.unwrap_err()), format!("task {bad}"));
        run_and_count(&pool, 12);
    }
}

#[test]
fn when_all_tasks_panic_one_panic_comes_out() {
    expect_panics();
    let pool = Pool::new(4).unwrap();
    for _ in 0..300 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(50, &|task| panic!("task {task}"));
        }));
        assert!(message(result.unwrap_err()).starts_with("task "));
    }
    run_and_count(&pool, 50);
}

#[test]
fn a_panic_on_a_thread_of_the_pool_reaches_the_caller() {
    expect_panics();
    let pool = Pool::new(2).unwrap();
    let caller = thread::current().id();
    for _ in 0..100 {
        let begun = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            pool.run(2, &|_| {
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < 2 {
                    thread::yield_now();
                }
                assert!(thread::current().id() == caller, "{}", "elsewhere");
            });
        }));
        assert_eq!(message(result.unwrap_err()), "elsewhere");
    }
}

#[test]
fn dropping_the_pool_ends_its_threads() {
    let held = Arc::new(());
    for sleepers in [false, true] {
        let pool = Pool::new(4).unwrap();
        thread_local! {
            static OF_A_THREAD: std::cell::RefCell<Option<Arc<()>>> = const { std::cell::RefCell::new(None) };
        }
        let begun = AtomicUsize::new(0);
        let caller = thread::current().id();
        pool.run(4, &|_| {
            begun.fetch_add(1, Ordering::Relaxed);
            while begun.load(Ordering::Relaxed) < 4 {
                thread::yield_now();
            }
            if thread::current().id() != caller {
                OF_A_THREAD.set(Some(held.clone()));
            }
        });
        assert_eq!(Arc::strong_count(&held), 4);
        if sleepers {
            thread::sleep(Duration::from_millis(5));
        }
        drop(pool);
        // Threads that have ended have dropped what was theirs.
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

/// Panics of these tests are meant: they are not to fill the screen.
fn expect_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let expected = panic
                .payload()
                .downcast_ref::<String>()
                .is_some_and(|text| text.starts_with("task ") || text == "elsewhere");
            if !expected {
                before(panic);
            }
        }));
    });
}
