//! How much memory a contender needs.
//!
//! Given a meter in the allocator of the process; promises bytes that were alive at once, of one contender and nobody else.
//!
//! A process's resident memory only grows, so it can tell two contenders in one process apart no more than two processes of
//! different size would: what is counted here is what was asked of the allocator. Files that are mapped, code, and the stacks of
//! threads are not in it.

use serde::Serialize;

/// An allocator that counts, which only an application can install; the command `onnx-swish` does.
///
/// Two functions suffice, and those of the crate `peakmem-alloc` are such.
#[derive(Debug, Clone, Copy)]
pub struct HeapMeter {
    /// Begins anew: what is alive now no longer counts.
    pub reset: fn(),
    /// The most bytes that were alive at once since, on top of those that were alive then.
    pub peak: fn() -> usize,
}

/// What a contender asked of the allocator, in bytes that were alive at the same time. Inputs are apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// The most while the model was read, fused, built and its weights packed.
    pub loading_bytes: usize,
    /// What the session holds afterwards: weights and graph, and the file where that is not mapped.
    pub held_bytes: usize,
    /// The most while it ran for the first time, what it holds included: with scratch space and whatever it keeps for next time.
    pub running_bytes: usize,
}

impl HeapMeter {
    /// What `load` makes, with the first two figures.
    pub(super) fn load<T, E>(self, load: impl FnOnce() -> Result<T, E>) -> Result<(T, Memory), E> {
        (self.reset)();
        let loaded = load()?;
        let loading_bytes = (self.peak)();
        let memory = Memory {
            loading_bytes,
            held_bytes: self.alive(),
            running_bytes: 0,
        };
        Ok((loaded, memory))
    }

    /// What `work` needs on top of what was there. A thread of its own does it, which has none of the scratch space that a
    /// thread keeps from whoever ran on it before.
    pub(super) fn work<E: Send>(
        self,
        work: impl FnOnce() -> Result<(), E> + Send,
    ) -> Result<usize, E> {
        (self.reset)();
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        match done {
            Ok(done) => done.map(|()| (self.peak)()),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// The bytes alive now of those since the reset. There is no counter of them to read, but a block as large as the peak makes a peak
    /// of its own on top of them; nobody touches it, so it takes up no memory.
    fn alive(self) -> usize {
        let size = (self.peak)();
        let mut block = Vec::<u8>::new();
        if std::hint::black_box(&mut block)
            .try_reserve_exact(size)
            .is_err()
        {
            // No room for a second one: all that was needed is the safe answer.
            return size;
        }
        (self.peak)().saturating_sub(size)
    }
}
