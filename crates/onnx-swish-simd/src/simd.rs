//! What every instruction set can do with registers of f32.
//!
//! Given a token, whose existence proves that the processor has the instructions; promises the same results on every set,
//! NaN and zeros included, except where an operation says what is left open.

use half::{bf16, f16};

use crate::arch::portable::look_up_bytes;
use crate::memory::Memory;

/// The registers of one instruction set.
///
/// The implementor is a token: a value of it exists only where its instructions do.
pub trait Registers: Copy + Send + Sync + 'static {
    /// f32 in one register, a power of two from 4 to 64.
    const LANES: usize;
    /// Registers that the processor has. A tile of a matrix product is as tall as they allow.
    const REGISTERS: usize;
    /// A register of f32.
    type V: Copy;
}

/// The operations of one instruction set.
///
/// A lane of a result depends on the same lane of the operands only, where an operation does not say otherwise. Arithmetic is
/// that of IEEE 754, rounded to nearest, ties to even; subnormal numbers are neither taken nor given as zero. Which NaN an
/// operation gives is left open, and whether it is signalling; that it gives one is not.
///
/// Every method is `#[inline(always)]` and its instruction becomes part of the caller. Callers are therefore reached by
/// [`Simd::vectorize`] (or [`crate::Isa::run`]), are themselves `#[inline(always)]` all the way down, and use loops where a
/// closure would be a function of its own, compiled without the instructions.
pub trait Simd:
    Registers + Memory<f32> + Memory<f16> + Memory<bf16> + Memory<i8> + Memory<u8>
{
    /// Whether [`Simd::mul_add`] and [`Simd::mul_sub`] round once. If not, they round twice.
    const FUSED: bool;
    /// Entries of a [`Simd::Table`], a power of two up to 32. A table of one entry is a constant: there the set has no
    /// look-ups that are worth their time, and formulas do without.
    const TABLE: usize;
    /// Whether [`Simd::load_lanes`] and [`Simd::store_lanes`] are instructions, as fast as those of whole registers. If not, loops
    /// had better not need them.
    const MASKED: bool;
    /// Whether a product takes one lane of a register for all lanes of an operand: [`Simd::splat_each`] then costs a load for a
    /// whole register of elements, and copies none of them.
    const BY_LANE: bool;
    /// A choice of lanes.
    type M: Copy;
    /// A register of 32-bit integers, which wrap.
    type I: Copy;
    /// A look-up table of [`Simd::TABLE`] f32, in as many registers as it takes.
    type Table: Copy;

    /// Runs a kernel with these instructions enabled. The kernel is a function of its own, with the registers for itself.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a·b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a/b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a/b` to within 2⁻¹⁵ of it, for `b` from 1 to 2¹²⁶ and finite `a`: for results that are rounded to 11 bits or fewer.
    #[inline(always)]
    fn div_short(self, a: Self::V, b: Self::V) -> Self::V {
        self.div(a, b)
    }
    /// `a` where `a < b`, else `b`: `b` where either is NaN, and where both are zeros.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a` where `a > b`, else `b`: `b` where either is NaN, and where both are zeros.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `v`, or `bound` where that is less. NaN where `v` is NaN; where only `bound` is, NaN or `v`. Of two zeros either.
    #[inline(always)]
    fn at_most(self, bound: Self::V, v: Self::V) -> Self::V {
        self.min(bound, v)
    }
    /// `v`, or `bound` where that is greater. NaN where `v` is NaN; where only `bound` is, NaN or `v`. Of two zeros either.
    #[inline(always)]
    fn at_least(self, bound: Self::V, v: Self::V) -> Self::V {
        self.max(bound, v)
    }
    /// `a·b + c`, rounded once if [`Simd::FUSED`].
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a·b − c`, rounded once if [`Simd::FUSED`].
    fn mul_sub(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a·b + c` to within 0.51 ulp on every set: where product and addend cancel, nothing is lost. By way of f64, and that
    /// much slower, where the set is not [`Simd::FUSED`].
    fn mul_add_exact(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// The bits of each lane as an integer.
    fn to_bits(self, v: Self::V) -> Self::I;
    /// The f32 of these bits.
    #[allow(
        clippy::wrong_self_convention,
        reason = "self is the token; the name is that of f32"
    )]
    fn from_bits(self, i: Self::I) -> Self::V;
    /// `i` in every lane.
    fn int_splat(self, i: u32) -> Self::I;
    /// `a + b`, modulo 2³².
    fn int_add(self, a: Self::I, b: Self::I) -> Self::I;
    /// The bits that are set in both.
    fn int_and(self, a: Self::I, b: Self::I) -> Self::I;
    /// `i·2ᵇʸ`, modulo 2³²; `by` is 0 to 31 and known to the compiler, or this is slow.
    fn int_shl(self, i: Self::I, by: u32) -> Self::I;

    /// A table of these entries.
    ///
    /// # Panics
    /// If they are not [`Simd::TABLE`] many.
    fn table(self, entries: &[f32]) -> Self::Table;
    /// Entry `index mod TABLE`.
    fn look_up(self, table: Self::Table, index: Self::I) -> Self::V;

    /// Lanes `from..to`, both clamped to the register; none if `from >= to`.
    fn lanes(self, from: usize, to: usize) -> Self::M;
    /// The lanes where `a` is not less than `b`. A NaN is not less, nor is anything less than it.
    fn not_less(self, a: Self::V, b: Self::V) -> Self::M;
    /// `v` in the chosen lanes, +0 in the others.
    fn keep(self, v: Self::V, lanes: Self::M) -> Self::V;
    /// `a` in the chosen lanes, `b` in the others.
    fn select(self, lanes: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// Whether a lane of any of these registers has a magnitude of `limit` or more. For a NaN either answer may come, but it
    /// hides no other number. N is 1 or 4; `limit` is positive or +0.
    fn any_beyond<const N: usize>(self, v: [Self::V; N], limit: Self::V) -> bool;

    /// The sum of all lanes, in an order that is the set's own.
    fn sum(self, v: Self::V) -> f32;
    /// The sum of all lanes in f64, in an order that is the set's own.
    fn sum_wide(self, v: Self::V) -> f64;
    /// The largest lane; any number, or NaN, if one is NaN.
    fn largest(self, v: Self::V) -> f32;

    /// The elements of `a` and then `b` at even and at odd places.
    fn deinterleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// As [`Simd::deinterleave`], but each half in an order of lanes that is the set's own, and cheaper where that is another than
    /// the order of memory: for sums that [`Simd::settle`] puts in order at their end.
    #[inline(always)]
    fn unzip(self, a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        self.deinterleave(a, b)
    }
    /// What came of [`Simd::unzip`], in the order of memory.
    #[inline(always)]
    fn settle(self, v: Self::V) -> Self::V {
        v
    }
    /// The lanes that [`Simd::settle`] makes lanes `from..to` of.
    #[inline(always)]
    fn unzipped_lanes(self, from: usize, to: usize) -> Self::M {
        self.lanes(from, to)
    }
    /// The elements of `a` and `b` in turn, `a` first, in two registers: the inverse of [`Simd::deinterleave`].
    fn interleave(self, a: Self::V, b: Self::V) -> (Self::V, Self::V);
    /// Lane `i` becomes what lane `(i + by) mod LANES` was.
    fn rotate(self, v: Self::V, by: usize) -> Self::V;

    /// The first `LANES/times` elements at `from`, each `times` times in a row.
    ///
    /// # Safety
    /// `times` divides `LANES`, and `LANES/times` elements can be read at `from`.
    unsafe fn repeat(self, from: *const f32, times: usize) -> Self::V;
    /// Each of N elements in every lane of a register of its own.
    ///
    /// # Safety
    /// N elements can be read at `from`.
    #[inline(always)]
    unsafe fn splat_each<const N: usize>(self, from: *const f32) -> [Self::V; N] {
        let mut all = [self.splat(0.0); N];
        for (i, v) in all.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *v = self.splat(unsafe { from.add(i).read() });
        }
        all
    }
    /// The chosen lanes from memory, +0 in the others, whose memory is not touched.
    ///
    /// # Safety
    /// The elements of the chosen lanes can be read, counted from `from`.
    unsafe fn load_lanes(self, from: *const f32, lanes: Self::M) -> Self::V;
    /// The chosen lanes to memory; that of the others is not touched.
    ///
    /// # Safety
    /// The elements of the chosen lanes can be written, counted from `to`.
    unsafe fn store_lanes(self, to: *mut f32, v: Self::V, lanes: Self::M);
    /// The first n lanes to memory by stores that are no wider than they, `n < LANES`. A masked store is taken for one of a
    /// whole register by the loads that come after it, which then wait until it has left the store queue.
    ///
    /// # Safety
    /// `n` elements can be written at `to`.
    unsafe fn store_exactly(self, to: *mut f32, v: Self::V, n: usize);
    /// Bytes replaced by what a table has for them: `to[i] = table[from[i]]` for n of them. The sets have nothing in common here
    /// but what comes out, so this is a whole loop and no operation on registers; sets without instructions for it leave it alone.
    ///
    /// # Safety
    /// `n` bytes can be read at `from` and written at `to`; the two are equal or do not overlap.
    #[inline(always)]
    unsafe fn look_up_bytes(self, table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { look_up_bytes(table, from, to, n) }
    }
    /// Asks for the cache line at `at` to be fetched. Any address will do.
    fn prefetch(self, at: *const f32);
}

/// A computation that is compiled for each instruction set.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Must be `#[inline(always)]`, so that its body is compiled with the instructions of `S`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}
