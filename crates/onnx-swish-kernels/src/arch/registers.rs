//! A clean hand-over of the vector registers between code of different making.
//!
//! Given nothing; promises that x86-64's legacy SSE code which runs next does not wait for upper halves that it never reads.

/// Clears the upper halves of the vector registers where the machine has them (x86-64 with AVX); does nothing elsewhere.
///
/// Assembly that uses 256- or 512-bit registers and returns without `vzeroupper` slows every SSE instruction after it
/// (Intel 64 and IA-32 Architectures Optimization Reference Manual, "Mixing AVX Code with SSE Code"). The kernels of
/// this crate leave no such trace; other people's may.
#[inline]
pub fn clean_vector_registers() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: AVX was just detected.
        unsafe { vzeroupper() }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
fn vzeroupper() {
    std::arch::x86_64::_mm256_zeroupper();
}
