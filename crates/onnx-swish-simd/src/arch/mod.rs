//! One file per instruction set: instructions, and no formulas.
//!
//! Given what a token proves; promises what [`crate::Simd`] says of every operation.

#[cfg(feature = "imaginary")]
pub mod imaginary;
pub mod portable;
#[cfg(target_arch = "x86_64")]
pub mod x86_64;

/// Clears the upper halves of the vector registers where the machine has them (x86-64 with AVX); does nothing elsewhere.
///
/// Assembly that uses 256- or 512-bit registers and returns without `vzeroupper` slows every SSE instruction after it
/// (Intel 64 and IA-32 Architectures Optimization Reference Manual, "Mixing AVX Code with SSE Code"). The kernels of
/// this project leave no such trace; other people's may.
#[inline]
pub fn clean_vector_registers() {
    #[cfg(target_arch = "x86_64")]
    x86_64::clean_vector_registers();
}
