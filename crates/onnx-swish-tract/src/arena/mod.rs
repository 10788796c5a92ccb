//! Memory that the outputs of our operators share and keep.
//!
//! Given a plan; promises that outputs that are never alive together take turns in the same blocks, from run to run, and that
//! the blocks need little more than one run needs without them.
//!
//! A tensor of megabytes that is freed goes back to the system sooner or later, and the next one is mapped in and zeroed page by
//! page: up to a quarter of a whole run. tract allocates every output by itself; our operators ask for a block here.

mod plan;
mod room;
mod storage;

pub(crate) use plan::ArenaPlan;
pub(crate) use room::{announce, bytes_of, check_room, room_for};
pub(crate) use storage::{Arena, elements, uninitialized};

#[cfg(test)]
mod tests;
