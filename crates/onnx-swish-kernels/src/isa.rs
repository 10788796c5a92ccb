//! Which instruction set a call runs on.
//!
//! Given the machine and the variable [`ISA_VARIABLE`]; promises that an [`Isa`] is only ever one
//! that this machine executes.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::arch::x86_64::{avx2::Avx2, avx512::Avx512};

/// The environment variable that overrides [`Isa::best`], read once per process: `avx512`, `avx2`
/// or `portable`.
///
/// For those who must reproduce the numbers of another machine. A value that is unknown, or that
/// this machine does not execute, is ignored by [`Isa::best`]; [`Isa::from_environment`] says so.
pub const ISA_VARIABLE: &str = "ONNX_SWISH_ISA";

/// An instruction set that this machine executes.
///
/// The variants other than [`Isa::Portable`] exist on their architecture only and carry a token
/// that can be had only where the instructions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// What the compiler makes of plain Rust for the target.
    Portable,
}

/// Why a name is no [`Isa`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IsaError {
    /// The name is none of [`Isa::NAMES`].
    Unknown(String),
    /// This machine does not execute it.
    Unavailable(String),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IsaError::Unknown(name) => {
                write!(f, "unknown instruction set \"{name}\": give one of ")?;
                f.write_str(&Isa::NAMES.join(", "))
            }
            IsaError::Unavailable(name) => {
                write!(f, "this machine does not execute \"{name}\": give one of ")?;
                let names: Vec<_> = Isa::available().into_iter().map(Isa::name).collect();
                f.write_str(&names.join(", "))
            }
        }
    }
}

impl std::error::Error for IsaError {}

impl Isa {
    /// All names, whether this machine executes them or not.
    pub const NAMES: [&'static str; 3] = ["avx512", "avx2", "portable"];

    /// The instruction set of every function without `_with`: the fastest of this machine, or what
    /// [`ISA_VARIABLE`] asks for. Found out once per process.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| match Self::from_environment() {
            Ok(Some(isa)) => isa,
            // The first of a list that ends with the portable one.
            Ok(None) | Err(_) => Self::available().first().copied().unwrap_or(Isa::Portable),
        })
    }

    /// What [`ISA_VARIABLE`] asks for, if it is set.
    ///
    /// # Errors
    /// If its value is unknown, or names what this machine does not execute.
    pub fn from_environment() -> Result<Option<Self>, IsaError> {
        match std::env::var_os(ISA_VARIABLE) {
            None => Ok(None),
            Some(name) => name.to_string_lossy().parse().map(Some),
        }
    }

    /// All instruction sets of this machine, fastest first; the last is [`Isa::Portable`].
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut all = Vec::with_capacity(3);
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx512::new().map(Isa::Avx512));
            all.extend(Avx2::new().map(Isa::Avx2));
        }
        all.push(Isa::Portable);
        all
    }

    /// `"avx512"`, `"avx2"` or `"portable"`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            Isa::Portable => "portable",
        }
    }
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Self, IsaError> {
        if !Self::NAMES.contains(&name) {
            return Err(IsaError::Unknown(name.to_owned()));
        }
        let found = Self::available().into_iter().find(|isa| isa.name() == name);
        found.ok_or_else(|| IsaError::Unavailable(name.to_owned()))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
