//! The instruction sets of x86-64.
//!
//! Given a processor; promises a token per set that exists only where the processor has the set.

pub mod avx2;
pub mod avx512;
pub mod dot256;
pub mod dot512;

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
