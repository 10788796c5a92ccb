//! Registers of f32 and the instructions on them, with one trait for all instruction sets.
//!
//! Given a [`Kernel`], which is generic over [`Simd`]; promises to run it with the instructions of an [`Isa`], and only with
//! those that this machine executes. There is no arithmetic of ours here: formulas and their coefficients are the callers'.
//!
//! | module | has |
//! |---|---|
//! | `isa` | [`Isa`]: the table of instruction sets, and the only `match` on them |
//! | `simd` | [`Simd`]: what every instruction set can do, with its rules for NaN |
//! | `dot` | [`Dot`]: sums of products of 8-bit codes, with a table of its own ([`DotIsa`]) |
//! | `memory` | [`Memory`] and [`Lane`]: the element types that become a register of f32 |
//! | `arch` | one file per instruction set |
//!
//! ```
//! use onnx_swish_simd::{Isa, Kernel, Memory, Simd};
//!
//! /// The sum of a slice.
//! struct Sum<'a>(&'a [f32]);
//!
//! impl Kernel for Sum<'_> {
//!     type Output = f32;
//!
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) -> f32 {
//!         let mut sum = s.splat(0.0);
//!         for x in self.0.chunks(S::LANES) {
//!             // SAFETY: the chunk has that many elements, and no more than a register.
//!             sum = s.add(sum, unsafe { s.load_first(x.as_ptr(), x.len()) });
//!         }
//!         s.sum(sum)
//!     }
//! }
//!
//! let numbers: Vec<f32> = (1..=100u8).map(f32::from).collect();
//! for isa in Isa::available() {
//!     assert_eq!(isa.run(Sum(&numbers)), 5050.0);
//! }
//! ```

mod arch;
pub mod bits;
mod dot;
mod isa;
mod memory;
mod simd;

pub use arch::clean_vector_registers;
pub use dot::{Dot, DotIsa, DotKernel, Format};
pub use isa::{ISA_VARIABLE, Isa, IsaError};
pub use memory::{Lane, Memory};
pub use simd::{Kernel, Registers, Simd};
