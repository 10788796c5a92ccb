//! The verbs, one file each: its options, what it asks of the library, and how the answer is told.

#[cfg(feature = "engine")]
pub mod bench;
pub mod completions;
pub mod diff;
pub mod expand;
pub mod fuse;
pub mod inspect;
pub mod man;
#[cfg(not(feature = "engine"))]
pub mod no_engine;
pub mod report;
#[cfg(feature = "engine")]
pub mod run;
#[cfg(feature = "engine")]
pub mod verify;
