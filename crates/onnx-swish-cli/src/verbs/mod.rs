//! The verbs, one file each: its options, what it asks of the library, and how the answer is told.

pub mod bench;
pub mod expand;
pub mod fuse;
pub mod inspect;
pub mod run;
pub mod verify;
