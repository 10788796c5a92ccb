//! The instruction sets of x86-64.
//!
//! Given a processor; promises a token per set that exists only where the processor has the set.

/// What both sets of a width do alike, with its `store_saturated`.
macro_rules! shared {
    ($simd:ident, $floats:ident, $integers:ident, $to_float:ident, $nearest:ident) => {
        type S = $simd;

        #[inline(always)]
        fn simd(self) -> $simd {
            self.0
        }
        #[inline(always)]
        fn to_float(self, i: $integers) -> $floats {
            instruction!($to_float(i))
        }
        #[inline(always)]
        fn nearest(self, v: $floats) -> $integers {
            instruction!($nearest(v))
        }
        #[inline(always)]
        unsafe fn store_saturated<const N: usize>(
            self,
            to: *mut u8,
            i: [$integers; N],
            n: usize,
            signed: bool,
        ) {
            // SAFETY: the token, and the caller's promise.
            unsafe { store_saturated(to, i, n, signed) }
        }
    };
}

/// The method that runs a kernel with these features.
macro_rules! vectorize {
    ($token:ident: $($feature:tt),*) => {
        #[inline(always)]
        fn vectorize<K: DotKernel>(self, kernel: K) -> K::Output {
            /// Never inlined: a kernel is to have the registers for itself.
            #[inline(never)]
            $( #[target_feature(enable = $feature)] )*
            fn featured<K: DotKernel>(token: $token, kernel: K) -> K::Output {
                kernel.run(token)
            }
            // SAFETY: the token is proof of the instructions.
            unsafe { featured(self, kernel) }
        }
    };
}

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

/// Words of the bytes at every `stride`, `group` bytes of each, one by one.
///
/// # Safety
/// `(N − 1)·stride + 4` bytes can be read at `from`.
#[inline(always)]
unsafe fn apart<const GROUP: usize, const N: usize>(from: *const u8, stride: usize) -> [u32; N] {
    let mut words = [0u32; N];
    for (i, word) in words.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        let bytes = unsafe { from.add(i * stride).cast::<[u8; 4]>().read() };
        *word = if GROUP == 4 {
            u32::from_le_bytes(bytes)
        } else {
            u32::from(bytes[0]) | u32::from(bytes[1]) << 16
        };
    }
    words
}
