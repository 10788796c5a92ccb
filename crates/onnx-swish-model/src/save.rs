//! Saving.

/// Why saving was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {}
