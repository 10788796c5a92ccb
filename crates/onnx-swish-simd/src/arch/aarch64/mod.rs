//! The instruction sets of 64-bit ARM.
//!
//! Given a processor; promises a token per set that exists only where the processor has the set.

mod bytes;
pub mod dot;
pub mod neon;
