//! What is written: operators, functions, nodes.
//! Given: a plan.
//! Promises: edits that leave everything else in the file as it was.

pub(crate) mod apply;
pub(crate) mod functions;
pub(crate) mod nodes;
pub(crate) mod quantised;
pub(crate) mod sweep;
pub(crate) mod target;
pub(crate) mod version;
