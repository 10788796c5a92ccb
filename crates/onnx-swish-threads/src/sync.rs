//! What the pool takes from the standard library, and what loom puts in its place.
//! Given: `--cfg loom` or not.
//! Promise: the same names and meanings; under loom a model explores every order of them, and no clock decides anything.

#[cfg(loom)]
pub(crate) use loom::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread::{Builder, JoinHandle},
};
#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread::{Builder, JoinHandle},
};

#[cfg(not(loom))]
pub(crate) use timed::watch;

/// Looks once whether something `happened`.
///
/// A thread that looks for a while sees it at one look or at none; loom explores both with a single look.
#[cfg(loom)]
pub(crate) fn watch(happened: impl Fn() -> bool) -> bool {
    happened()
}

#[cfg(not(loom))]
mod timed {
    use std::time::{Duration, Instant};
    use std::{hint, thread};

    /// How long a thread looks for the next job before it sleeps: as long as most operators between two convolutions take.
    const AWAKE: Duration = Duration::from_micros(200);

    /// How long it does so without offering its core to other threads of the machine. Longer brings nothing where cores are free,
    /// and where they are not (50, 200 and 1000 microseconds were tried) it takes from the caller what the caller waits for.
    const UNYIELDING: Duration = Duration::from_micros(20);

    /// Looks for a while whether something `happened`, without sleeping.
    pub(crate) fn watch(happened: impl Fn() -> bool) -> bool {
        // Between two looks at the clock, which costs as much as ten at the cache line.
        const LOOKS: usize = 32;
        let mut since = None;
        loop {
            for _ in 0..LOOKS {
                if happened() {
                    return true;
                }
                hint::spin_loop();
            }
            match since.get_or_insert_with(Instant::now).elapsed() {
                passed if passed >= AWAKE => return false,
                passed if passed >= UNYIELDING => thread::yield_now(),
                _ => (),
            }
        }
    }
}
