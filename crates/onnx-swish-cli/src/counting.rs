//! How much memory is in use, counted where it is asked for.
//! Given every allocation of the process.
//! Promises the system's allocator with one addition beside it, and figures that are the same on every system.

use std::alloc::System;

use onnx_swish::HeapMeter;
use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait as _};

#[global_allocator]
static HEAP: PeakMemAlloc<System> = PeakMemAlloc::system();

/// What `bench` measures memory with.
pub const METER: HeapMeter = HeapMeter {
    reset: || HEAP.reset_peak_memory(),
    peak: || HEAP.get_peak_memory(),
};
