//! Validation.

/// The rules that a model breaks.
#[derive(Debug, thiserror::Error)]
#[error("invalid")]
pub struct Invalid;
