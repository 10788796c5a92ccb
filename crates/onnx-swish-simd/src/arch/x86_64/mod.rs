//! The instruction sets of x86-64.
//!
//! Given a processor; promises a token per set that exists only where the processor has the set.

/// The token of an instruction set, from the list of its features: how it is had, and a function with the features enabled.
macro_rules! token {
    ($(#[$meta:meta])* $token:ident: $($feature:tt),*) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $token(());

        impl $token {
            /// The token, if this machine executes the instructions.
            #[must_use]
            #[inline]
            pub fn new() -> Option<Self> {
                let available = $( std::arch::is_x86_feature_detected!($feature) )&&*;
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
macro_rules! instruction {
    ($instruction:expr) => {{
        // SAFETY: the token `self` exists only where the instructions do; no memory is accessed.
        unsafe { $instruction }
    }};
}

pub mod avx2;
pub mod avx512;

/// See [`super::clean_vector_registers`].
#[inline]
pub(super) fn clean_vector_registers() {
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: AVX was just detected.
        unsafe { vzeroupper() }
    }
}

#[target_feature(enable = "avx")]
fn vzeroupper() {
    std::arch::x86_64::_mm256_zeroupper();
}
