//! Which instruction set a computation runs on.
//!
//! Given the machine and the variable [`ISA_VARIABLE`]; promises that an [`Isa`] is only ever one that this machine executes.
//! A set is one row of the table at the end of this file.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::arch;
use crate::simd::{Kernel, Registers, Simd};

/// The environment variable that overrides [`Isa::best`], read once per process: one of [`Isa::NAMES`].
///
/// For those who must reproduce what our kernels compute on another machine; what else a program uses goes by the processor still.
/// A value that is unknown, or that this machine does not execute, is ignored by [`Isa::best`]; [`Isa::from_environment`] says so.
pub const ISA_VARIABLE: &str = "ONNX_SWISH_ISA";

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
    /// The instruction set of everything that is not told one: the fastest of this machine, or what
    /// [`ISA_VARIABLE`] asks for. Found out once per process.
    #[must_use]
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| match Self::from_environment() {
            Ok(Some(isa)) => isa,
            // The portable one, which every machine has, is in the list.
            Ok(None) | Err(_) => Self::available()[0],
        })
    }

    /// What [`ISA_VARIABLE`] asks for, if it is set and not empty.
    ///
    /// # Errors
    /// If its value is unknown, or names what this machine does not execute.
    pub fn from_environment() -> Result<Option<Self>, IsaError> {
        match std::env::var_os(ISA_VARIABLE).filter(|name| !name.is_empty()) {
            None => Ok(None),
            Some(name) => name.to_string_lossy().parse().map(Some),
        }
    }

    /// Whether it is plain Rust that the compiler made something of, and no instructions of the processor's own.
    #[must_use]
    pub const fn is_portable(self) -> bool {
        matches!(self, Isa::Portable(_))
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

/// Makes of each row `name: Token of its file, on target` the variant, its name and its place in the dispatch. The token's
/// `new` says whether this machine has the instructions.
macro_rules! instruction_sets {
    ($( $(#[$meta:meta])* $name:literal: $token:ident of $($file:ident)::+,
        on $condition:meta $(, with feature $feature:literal)?; )*) => {
        /// An instruction set that this machine executes.
        ///
        /// Each variant exists where its instructions can, and carries the token that can be had only where they do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Isa {
            $(
                $(#[$meta])*
                #[cfg(all($condition $(, feature = $feature)?))]
                $token(arch::$($file)::+::$token),
            )*
        }

        impl Isa {
            /// All names, fastest first, whether this machine executes them or not.
            pub const NAMES: &'static [&'static str] = &[$( $(#[cfg(feature = $feature)])? $name, )*];

            /// All instruction sets of this machine, fastest first. The portable one is always among them.
            #[must_use]
            pub fn available() -> Vec<Self> {
                let mut all = Vec::with_capacity(Self::NAMES.len());
                $(
                    #[cfg(all($condition $(, feature = $feature)?))]
                    all.extend(arch::$($file)::+::$token::new().map(Isa::$token));
                )*
                all
            }

            /// One of [`Isa::NAMES`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        Isa::$token(_) => $name,
                    )*
                }
            }

            /// [`Registers::LANES`] of the set.
            #[must_use]
            pub const fn lanes(self) -> usize {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        Isa::$token(_) => arch::$($file)::+::$token::LANES,
                    )*
                }
            }

            /// [`Registers::REGISTERS`] of the set.
            #[must_use]
            pub const fn registers(self) -> usize {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        Isa::$token(_) => arch::$($file)::+::$token::REGISTERS,
                    )*
                }
            }

            /// [`Simd::MASKED`] of the set.
            #[must_use]
            pub const fn masked(self) -> bool {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        Isa::$token(_) => <arch::$($file)::+::$token as Simd>::MASKED,
                    )*
                }
            }

            /// Runs a kernel with the instructions of the set.
            #[inline]
            pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
                match self {
                    $(
                        #[cfg(all($condition $(, feature = $feature)?))]
                        Isa::$token(token) => token.vectorize(kernel),
                    )*
                }
            }
        }
    };
}

instruction_sets! {
    /// AVX-512 F, BW, DQ and VL.
    "avx512": Avx512 of x86_64::avx512, on target_arch = "x86_64";
    /// AVX2, FMA and F16C.
    "avx2": Avx2 of x86_64::avx2, on target_arch = "x86_64";
    /// NEON of 64-bit ARM.
    "neon": Neon of aarch64::neon, on target_arch = "aarch64";
    /// What the compiler makes of plain Rust for the target.
    "portable": Portable of portable, on all();
    /// Eight lanes of plain Rust: a set that no processor has, for tests.
    "imaginary": Imaginary of imaginary, on all(), with feature "imaginary";
}
