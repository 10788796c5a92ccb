//! What `bench` measures memory with, where the program has something to measure it with.
//! Given the meter of an allocator that the program installed; a library installs none, for a process has one allocator.
//! Promises figures of memory where there is a meter, and none where not.

use std::sync::OnceLock;

use onnx_swish::HeapMeter;

static METER: OnceLock<HeapMeter> = OnceLock::new();

/// Says what counts the memory of this process. `bench` tells how much memory each contender needs only where this was said.
///
/// The first call decides; later ones have no effect.
pub fn count_memory_with(meter: HeapMeter) {
    METER.get_or_init(|| meter);
}

/// What was said, if anything.
pub fn meter() -> Option<HeapMeter> {
    METER.get().copied()
}
