//! Everything that touches raw pointers or processor intrinsics, and nothing else.
//! Given: slices whose lengths the safe entry points here have checked.
//! Promise: the same loops on every instruction set, instantiated once per set behind [`dispatch`].

/// Repeats a block for `$i` in `0..$n`, `$n` at most twelve and known to the compiler, so that register arrays are
/// indexed by constants only. A loop would leave that to the unroller's mood.
macro_rules! unrolled {
    ($i:ident < $n:expr, $body:block) => {
        unrolled!(@ $i, $n, $body, 0 1 2 3 4 5 6 7 8 9 10 11)
    };
    (@ $i:ident, $n:expr, $body:block, $($v:literal)*) => {
        $(
            #[allow(clippy::absurd_extreme_comparisons, unused_comparisons)]
            if $v < $n {
                let $i: usize = $v;
                $body
            }
        )*
    };
}

mod band;
pub(crate) mod depthwise;
pub(crate) mod gemm;
pub(crate) mod pack;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use onnx_swish_kernels::{Isa, SwishConstants};

/// f32 lanes of one register.
pub(crate) fn lanes(isa: Isa) -> usize {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => 16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => 8,
        _ => 4,
    }
}

/// Rows (output channels) of one register tile of the matrix product.
///
/// With three vectors of columns, 8 rows fill 24 of AVX-512's 32 registers and 4 rows 12 of the 16 elsewhere; the rest
/// hold the operands.
pub(crate) fn tile_rows(isa: Isa) -> usize {
    if lanes(isa) == 16 { 8 } else { 4 }
}

/// Vectors of f32 as one instruction set offers them.
///
/// A value of the implementing type is the proof that the processor has the set, so the arithmetic is safe.
pub(crate) trait Simd: Copy {
    /// Lanes of a vector.
    const LANES: usize;
    /// A vector of f32.
    type V: Copy;
    /// A choice of lanes.
    type M: Copy;

    fn splat(self, x: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller, and `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger, and `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the set has a fused instruction.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `x·σ(β·x)`, as accurate as `onnx-swish-kernels` says.
    fn swish(self, x: Self::V, constants: &SwishConstants) -> Self::V;
    /// `x·clamp(alpha·x + beta, 0, 1)`, as accurate as `onnx-swish-kernels` says.
    fn hard_swish(self, x: Self::V, alpha: f32, beta: f32) -> Self::V;
    /// The sum of all lanes.
    fn sum(self, v: Self::V) -> f32;
    /// The elements of `a` then `b` at even and at odd positions.
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// Lane `i` becomes what lane `(i + by) % LANES` was; `by` at most 3.
    fn rotate(self, v: Self::V, by: usize) -> Self::V;
    /// The first `LANES / rows` elements at `from`, each `rows` times; `rows` is what `tile_rows` says.
    ///
    /// # Safety
    /// Two elements must be readable at `from`.
    unsafe fn repeat(self, from: *const f32, rows: usize) -> Self::V;
    /// Asks for the line of memory at `at` to be fetched; any address will do.
    fn prefetch(self, at: *const f32);
    /// Lanes `from..to`, both clamped to the vector.
    fn lanes(self, from: usize, to: usize) -> Self::M;
    /// `v` with zero in the lanes outside the mask.
    fn keep(self, v: Self::V, lanes: Self::M) -> Self::V;

    /// # Safety
    /// `LANES` elements must be readable at `from`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Zero in the lanes outside the mask, whose memory is not touched.
    /// # Safety
    /// The elements of the lanes in the mask must be readable, counted from `from`.
    unsafe fn load_lanes(self, from: *const f32, lanes: Self::M) -> Self::V;
    /// # Safety
    /// `LANES` elements must be writable at `to`.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// Leaves the memory of the lanes outside the mask alone.
    /// # Safety
    /// The elements of the lanes in the mask must be writable, counted from `to`.
    unsafe fn store_lanes(self, to: *mut f32, v: Self::V, lanes: Self::M);
}

/// A computation that [`dispatch`] compiles for each instruction set.
pub(crate) trait Kernel {
    /// Must be `#[inline(always)]`, so that its body is compiled with the set's features.
    fn run<S: Simd>(self, s: S);
}

/// Runs `kernel` with the vectors of `isa`.
pub(crate) fn dispatch(isa: Isa, kernel: impl Kernel) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(token) => x86_64::avx512::run(token, kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(token) => x86_64::avx2::run(token, kernel),
        _ => kernel.run(portable::Portable),
    }
}
