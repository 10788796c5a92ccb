//! Which instruction set a call runs on.
//!
//! Given the machine and the variable `ONNX_SWISH_ISA`; promises that an [`Isa`] is only ever one
//! that this machine can execute.

use std::fmt;

/// An instruction set that this machine can execute.
///
/// The variants other than [`Isa::Portable`] exist on their architecture only and carry a token
/// that can be had only where the instructions can be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// What the compiler makes of plain Rust for the target.
    Portable,
}

impl Isa {
    /// The instruction set of every function without `_with`.
    #[must_use]
    pub fn best() -> Self {
        Isa::Portable
    }

    /// All instruction sets of this machine, fastest first; the last is [`Isa::Portable`].
    #[must_use]
    pub fn available() -> Vec<Self> {
        vec![Isa::Portable]
    }

    /// `"avx512"`, `"avx2"` or `"portable"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
