//! Threads that stay awake between the layers of a network.
//! Given: a number of threads.
//! Promise: a job reaches threads that are awake in under a microsecond; every task has run, once, when `run` returns,
//! and none runs later; a panic of a task is the caller's panic; no job waits for a thread that has not begun on it.
//!
//! A layer takes 5 to 100 microseconds and waking a sleeping thread as long, so after a job threads keep looking for
//! the next one for a while (see [`watch`]), nearly all of it offering their core to others, and then they sleep.
//!
//! How it holds together:
//! - `run` opens a job: under the lock it puts it in [`State::job`] and raises [`Shared::jobs`], which idle threads watch.
//! - A thread that sees the change enters under the same lock, if the job is still there: it takes a copy of it and
//!   raises [`Shared::working`]. Tasks are then drawn from [`Shared::next`], by the caller too, until none is left.
//! - The caller, when it finds no task left, closes the job under the lock, after which nobody can enter, and waits
//!   until those who did have left. Only then does it return, so nobody holds a closed job: neither the task, which
//!   borrows from the caller, nor a number drawn from `next`, which the next job starts again, outlives it.
//! - Threads that come late, or not at all because the machine is busy, find the job closed. The work never depends
//!   on them.
//! - One job at a time: who finds the pool busy, in another thread or in a task of the pool's own, does its tasks itself.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::{fmt, io};

use crate::Workers;
use crate::sync::{
    Arc, AtomicBool, AtomicUsize, Builder, Condvar, JoinHandle, Mutex, MutexGuard, watch,
};

type Task = dyn Fn(usize) + Sync;

/// A pool of threads with room for one job at a time.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Clone, Copy)]
struct Job {
    /// Not static in truth: see [`outlive`].
    task: &'static Task,
    tasks: usize,
}

#[derive(Default)]
struct State {
    /// The job that may be entered.
    job: Option<Job>,
    /// The first panic of a task on a thread of the pool.
    panic: Option<Box<dyn Any + Send>>,
    /// Threads that wait for `wake`.
    asleep: usize,
    /// Whether the caller waits for `done`.
    caller_asleep: bool,
    /// Whether the threads are to end.
    closed: bool,
}

/// On cache lines of its own, two because processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    done: Condvar,
    /// Whether somebody is running a job.
    busy: AtomicBool,
    /// Changes, under the lock, whenever there is something to enter or to end for.
    jobs: Apart<AtomicUsize>,
    /// The next task of the job.
    next: Apart<AtomicUsize>,
    /// Threads of the pool that have entered the job and not left it.
    working: Apart<AtomicUsize>,
}

impl Pool {
    /// A pool for `threads` threads, the one that calls [`Workers::run`] included.
    ///
    /// # Errors
    /// If the system starts no more threads.
    pub fn new(threads: usize) -> io::Result<Pool> {
        let mut pool = Pool {
            shared: Arc::default(),
            threads: Vec::new(),
        };
        for i in 1..threads {
            let shared = pool.shared.clone();
            let builder = Builder::new().name(format!("onnx-swish-{i}"));
            // Should it fail, those that run end as `pool` is dropped.
            pool.threads.push(builder.spawn(move || shared.serve())?);
        }
        Ok(pool)
    }
}

impl Workers for Pool {
    fn count(&self) -> usize {
        self.threads.len() + 1
    }

    /// # Panics
    /// If a task does. The others may then not have run, but none is running and the pool is ready for the next job.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let shared = &*self.shared;
        if self.threads.is_empty() || tasks < 2 || shared.busy.swap(true, Ordering::Acquire) {
            (0..tasks).for_each(task);
            return;
        }
        let job = Job {
            task: outlive(task),
            tasks,
        };
        // From here to the end of `close` nothing unwinds: that is what `outlive` asks for.
        shared.open(job);
        let own = catch_unwind(AssertUnwindSafe(|| shared.work(job)));
        if own.is_err() {
            shared.skip_rest(job);
        }
        let others = shared.close();
        shared.busy.store(false, Ordering::Release);
        if let Some(panic) = own.err().or(others) {
            resume_unwind(panic);
        }
    }
}

/// The same task, said to live for ever, for threads that cannot know how long it does.
#[allow(unsafe_code)]
fn outlive<'a>(task: &'a (dyn Fn(usize) + Sync + 'a)) -> &'static Task {
    // SAFETY: only the lifetime changes. `Pool::run`, the one caller, holds `task` and returns, or unwinds, only after
    // `Shared::close`, when no thread has the job or can get it any more.
    unsafe { std::mem::transmute::<&'a (dyn Fn(usize) + Sync + 'a), &'static Task>(task) }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No task runs under the lock, so nothing is left half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets threads enter `job`. The caller has `busy`, and the job before was closed.
    fn open(&self, job: Job) {
        let mut state = self.lock();
        self.next.0.store(0, Ordering::Relaxed);
        state.job = Some(job);
        self.jobs.0.fetch_add(1, Ordering::Release);
        let asleep = state.asleep > 0;
        drop(state);
        if asleep {
            // One: it costs microseconds. Whoever wakes up wakes another.
            self.wake.notify_one();
        }
    }

    /// Draws tasks and runs them until none is left.
    fn work(&self, job: Job) {
        loop {
            // Relaxed: what the tasks read came with the lock, what they write goes with `working`.
            let task = self.next.0.fetch_add(1, Ordering::Relaxed);
            if task >= job.tasks {
                break;
            }
            (job.task)(task);
        }
    }

    /// Leaves nothing more to draw.
    fn skip_rest(&self, job: Job) {
        self.next.0.store(job.tasks, Ordering::Relaxed);
    }

    /// Lets nobody enter, waits until everybody has left, and gives the first of their panics.
    fn close(&self) -> Option<Box<dyn Any + Send>> {
        self.lock().job = None;
        // Acquire: everything that the tasks wrote is seen with the zero.
        let all_left = || self.working.0.load(Ordering::Acquire) == 0;
        let early = watch(all_left);
        let mut state = self.lock();
        if !early {
            state.caller_asleep = true;
            while !all_left() {
                state = self
                    .done
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.caller_asleep = false;
        }
        state.panic.take()
    }

    /// The life of a thread of the pool.
    fn serve(&self) {
        let mut seen = 0;
        while let Some(job) = self.enter(&mut seen) {
            let _leaves_however_this_ends = Leave(self);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(job))) {
                self.skip_rest(job);
                self.lock().panic.get_or_insert(panic);
            }
        }
    }

    /// Waits for a job that has not been `seen` and enters it; `None` when the thread is to end.
    fn enter(&self, seen: &mut usize) -> Option<Job> {
        loop {
            let changed = |seen| self.jobs.0.load(Ordering::Acquire) != seen;
            let slept = !watch(|| changed(*seen));
            let mut state = self.lock();
            if slept {
                state.asleep += 1;
                while !changed(*seen) {
                    state = self
                        .wake
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                state.asleep -= 1;
            }
            if state.closed {
                return None;
            }
            *seen = self.jobs.0.load(Ordering::Relaxed);
            let Some(job) = state.job else {
                // Over before this thread got here.
                continue;
            };
            self.working.0.fetch_add(1, Ordering::Relaxed);
            let wake_another = slept && state.asleep > 0;
            drop(state);
            if wake_another {
                self.wake.notify_one();
            }
            return Some(job);
        }
    }
}

/// Leaves the job that was entered.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        // Release: with the zero the caller sees all that this thread's tasks wrote.
        if self.0.working.0.fetch_sub(1, Ordering::Release) == 1 {
            // The caller looks at `working` under the lock before it sleeps: either it has seen the zero, or it sleeps
            // by the time this thread has the lock. Should it be long gone, the next one merely looks once more.
            let state = self.0.lock();
            if state.caller_asleep {
                self.0.done.notify_one();
            }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        self.shared.jobs.0.fetch_add(1, Ordering::Release);
        drop(state);
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A thread has nothing to tell: panics of tasks went to the caller.
            let _ended = thread.join();
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.count())
            .finish()
    }
}
