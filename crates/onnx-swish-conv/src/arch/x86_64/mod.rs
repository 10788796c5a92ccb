//! The x86-64 instruction sets.
//! Given: a kernel to run.
//! Promise: a token type per set that exists only where the processor has the set.

pub(super) mod avx2;
pub(super) mod avx512;
