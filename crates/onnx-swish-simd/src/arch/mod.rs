//! One file per instruction set: instructions, and no formulas.
//!
//! Given what a token proves; promises what [`crate::Simd`] says of every operation.

/// The token of an instruction set, from the standard library's question and the list of its features: how it is had, and a function
/// with the features enabled.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
macro_rules! token {
    ($(#[$meta:meta])* $token:ident: $detected:ident, $($feature:tt),*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $token(());

        impl $token {
            /// The token, if this machine executes the instructions.
            #[must_use]
            #[inline]
            pub fn new() -> Option<Self> {
                let available = $( std::arch::$detected!($feature) )&&*;
                available.then_some(Self(()))
            }
        }

        /// Never inlined: a kernel is to have the registers for itself.
        #[inline(never)]
        $( #[target_feature(enable = $feature)] )*
        fn featured<K: $crate::Kernel>(token: $token, kernel: K) -> K::Output {
            kernel.run(token)
        }
    };
}

/// Instructions on registers.
#[cfg(any(target_arch = "aarch64", target_arch = "x86_64"))]
macro_rules! instruction {
    ($instruction:expr) => {{
        // SAFETY: the token `self` exists only where the instructions do; no memory is accessed.
        unsafe { $instruction }
    }};
}

#[cfg(target_arch = "aarch64")]
pub mod aarch64;
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
