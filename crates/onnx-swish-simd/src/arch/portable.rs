//! Plain Rust: what the compiler finds on the target, SSE2 or NEON or SIMD128 or nothing.
//!
//! Given nothing; promises the same bits on every target. Products are rounded before they are added to: an instruction that
//! does both at once is not there everywhere, and `f32::mul_add` calls a library for each lane where it is missing.

use std::array::from_fn;

use half::{bf16, f16};

use crate::bits;
use crate::memory::Memory;
use crate::simd::{Kernel, Registers, Simd};

/// Registers of N lanes, of which there are R. Needs no proof of anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Plain<const N: usize, const R: usize>(());

/// What is left when a target has no instruction set of its own here: 128 bits, of which most targets have 16 or more.
pub type Portable = Plain<4, 16>;

/// Its token.
pub(crate) const PORTABLE: Portable = Plain(());

impl<const N: usize, const R: usize> Plain<N, R> {
    /// The token, which every machine has.
    #[must_use]
    #[inline]
    pub fn new() -> Option<Self> {
        Some(Self(()))
    }
}

/// Calls of this are inlined and unrolled: loops over arrays that the compiler turns into whole registers.
#[inline(always)]
fn each<A: Copy, B: Copy, C, const N: usize>(
    a: [A; N],
    b: [B; N],
    f: impl Fn(A, B) -> C,
) -> [C; N] {
    from_fn(|i| f(a[i], b[i]))
}

/// All bits of a lane that is chosen.
#[inline(always)]
fn choice(chosen: bool) -> u32 {
    if chosen { u32::MAX } else { 0 }
}

impl<const N: usize, const R: usize> Registers for Plain<N, R> {
    const LANES: usize = N;
    const REGISTERS: usize = R;
    type V = [f32; N];
}

impl<const N: usize, const R: usize> Simd for Plain<N, R> {
    const FUSED: bool = false;
    const TABLE: usize = 1;
    const MASKED: bool = false;
    const BY_LANE: bool = false;
    type M = [u32; N];
    type I = [u32; N];
    type Table = f32;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        /// Never inlined: a kernel is to have the registers for itself.
        #[inline(never)]
        fn apart<S: Simd, K: Kernel>(s: S, kernel: K) -> K::Output {
            kernel.run(s)
        }
        apart(self, kernel)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        each(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn mul_add(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn mul_sub(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        self.sub(self.mul(a, b), c)
    }
    #[inline(always)]
    fn mul_add_exact(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // The product of two f32 is exact in f64.
        from_fn(|i| (f64::from(a[i]) * f64::from(b[i]) + f64::from(c[i])) as f32)
    }

    #[inline(always)]
    fn to_bits(self, v: [f32; N]) -> [u32; N] {
        from_fn(|i| v[i].to_bits())
    }
    #[inline(always)]
    fn from_bits(self, i: [u32; N]) -> [f32; N] {
        from_fn(|lane| f32::from_bits(i[lane]))
    }
    #[inline(always)]
    fn int_splat(self, i: u32) -> [u32; N] {
        [i; N]
    }
    #[inline(always)]
    fn int_add(self, a: [u32; N], b: [u32; N]) -> [u32; N] {
        each(a, b, u32::wrapping_add)
    }
    #[inline(always)]
    fn int_and(self, a: [u32; N], b: [u32; N]) -> [u32; N] {
        each(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn int_shl(self, i: [u32; N], by: u32) -> [u32; N] {
        from_fn(|lane| i[lane] << by)
    }

    #[inline(always)]
    fn table(self, entries: &[f32]) -> f32 {
        assert_eq!(entries.len(), Self::TABLE, "entries of a table");
        entries[0]
    }
    #[inline(always)]
    fn look_up(self, table: f32, _index: [u32; N]) -> [f32; N] {
        [table; N]
    }

    #[inline(always)]
    fn lanes(self, from: usize, to: usize) -> [u32; N] {
        from_fn(|i| choice(from <= i && i < to))
    }
    #[inline(always)]
    fn not_less(self, a: [f32; N], b: [f32; N]) -> [u32; N] {
        #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN is not less")]
        each(a, b, |a, b| choice(!(a < b)))
    }
    #[inline(always)]
    fn keep(self, v: [f32; N], lanes: [u32; N]) -> [f32; N] {
        each(v, lanes, |x, chosen| f32::from_bits(x.to_bits() & chosen))
    }
    #[inline(always)]
    fn select(self, lanes: [u32; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        from_fn(|i| if lanes[i] != 0 { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn any_beyond<const K: usize>(self, v: [[f32; N]; K], limit: [f32; N]) -> bool {
        // As integers, doubled to drop the sign: no NaN hides its neighbour. Of a signalling one and a number some processors'
        // maximum is NaN, and the compiler takes a comparison for it.
        let mut most = [0; N];
        for v in v {
            most = each(v, most, |x, most: u32| most.max(x.to_bits() << 1));
        }
        each(most, limit, |most, limit| most >= limit.to_bits() << 1)
            .into_iter()
            .any(|beyond| beyond)
    }

    #[inline(always)]
    fn sum(self, v: [f32; N]) -> f32 {
        halves(v, |a, b| a + b)
    }
    #[inline(always)]
    fn sum_wide(self, v: [f32; N]) -> f64 {
        halves(v.map(f64::from), |a, b| a + b)
    }
    #[inline(always)]
    fn largest(self, v: [f32; N]) -> f32 {
        halves(v, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn deinterleave(self, a: [f32; N], b: [f32; N]) -> ([f32; N], [f32; N]) {
        let at = |i: usize| if i < N { a[i] } else { b[i - N] };
        (from_fn(|i| at(2 * i)), from_fn(|i| at(2 * i + 1)))
    }
    #[inline(always)]
    fn interleave(self, a: [f32; N], b: [f32; N]) -> ([f32; N], [f32; N]) {
        let at = |i: usize| {
            if i.is_multiple_of(2) {
                a[i / 2]
            } else {
                b[i / 2]
            }
        };
        (from_fn(at), from_fn(|i| at(N + i)))
    }
    #[inline(always)]
    fn rotate(self, v: [f32; N], by: usize) -> [f32; N] {
        from_fn(|i| v[(i + by) % N])
    }

    #[inline(always)]
    unsafe fn repeat(self, from: *const f32, times: usize) -> [f32; N] {
        // SAFETY: `i/times < N/times`, and the caller promises so many elements.
        from_fn(|i| unsafe { from.add(i / times).read() })
    }
    #[inline(always)]
    unsafe fn load_lanes(self, from: *const f32, lanes: [u32; N]) -> [f32; N] {
        from_fn(|i| {
            if lanes[i] != 0 {
                // SAFETY: the caller promises the elements of the chosen lanes.
                unsafe { from.wrapping_add(i).read() }
            } else {
                0.0
            }
        })
    }
    #[inline(always)]
    unsafe fn store_lanes(self, to: *mut f32, v: [f32; N], lanes: [u32; N]) {
        for (i, x) in v.into_iter().enumerate() {
            if lanes[i] != 0 {
                // SAFETY: the caller promises the elements of the chosen lanes.
                unsafe { to.wrapping_add(i).write(x) }
            }
        }
    }
    #[inline(always)]
    unsafe fn store_exactly(self, to: *mut f32, v: [f32; N], n: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.store_first(to, v, n) }
    }
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}
}

/// [`Simd::look_up_bytes`] without instructions for it. Eight bytes are read and written at once: single ones would wait for the
/// processor's one store a cycle.
///
/// # Safety
/// As there.
pub(crate) unsafe fn look_up_bytes(table: &[u8; 256], from: *const u8, to: *mut u8, n: usize) {
    let entry = |code: u8| table[usize::from(code)];
    let mut i = 0;
    while i + 8 <= n {
        // SAFETY: 8 bytes that the caller promises; arrays of bytes need no alignment.
        let word = unsafe { u64::from_le_bytes(from.add(i).cast::<[u8; 8]>().read()) };
        let mut found = 0;
        for byte in 0..8 {
            found |= u64::from(entry((word >> (8 * byte)) as u8)) << (8 * byte);
        }
        // SAFETY: as above; they were read before.
        unsafe { to.add(i).cast::<[u8; 8]>().write(found.to_le_bytes()) };
        i += 8;
    }
    while i < n {
        // SAFETY: `i < n`, the caller's promise.
        unsafe { to.add(i).write(entry(from.add(i).read())) };
        i += 1;
    }
}

/// All of an array by one operation: the halves with each other, until one is left.
#[inline(always)]
fn halves<T: Copy, const N: usize>(mut v: [T; N], f: impl Fn(T, T) -> T) -> T {
    let mut n = N;
    while n > 1 {
        n /= 2;
        for i in 0..n {
            v[i] = f(v[i], v[i + n]);
        }
    }
    v[0]
}

/// Loads and stores of a type that converts lane by lane.
macro_rules! memory {
    ($type:ty, $load:expr, $store:expr) => {
        impl<const N: usize, const R: usize> Memory<$type> for Plain<N, R> {
            #[inline(always)]
            unsafe fn load(self, from: *const $type) -> [f32; N] {
                // SAFETY: the caller's promise; an array is aligned as its elements, which may not be aligned at all.
                let elements = unsafe { from.cast::<[$type; N]>().read_unaligned() };
                from_fn(|i| $load(elements[i]))
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $type, v: [f32; N]) {
                let elements: [$type; N] = from_fn(|i| $store(v[i]));
                // SAFETY: the caller's promise, as above.
                unsafe { to.cast::<[$type; N]>().write_unaligned(elements) }
            }
            #[inline(always)]
            unsafe fn load_first(self, from: *const $type, n: usize) -> [f32; N] {
                let mut v = [0.0; N];
                for (i, x) in v.iter_mut().enumerate().take(n) {
                    // SAFETY: `i < n`, the caller's promise.
                    *x = $load(unsafe { from.add(i).read() });
                }
                v
            }
            #[inline(always)]
            unsafe fn store_first(self, to: *mut $type, v: [f32; N], n: usize) {
                for (i, x) in v.into_iter().enumerate().take(n) {
                    // SAFETY: `i < n`, the caller's promise.
                    unsafe { to.add(i).write($store(x)) }
                }
            }
        }
    };
}

/// The integer next to x, ties to even, within the bounds of a type of 8 bits; NaN becomes the lower bound.
#[inline(always)]
fn nearest(x: f32, low: f32, high: f32) -> u32 {
    // By its bits: the compiler takes a comparison for an instruction that on some processors gives NaN for a signalling one.
    let x = if x.to_bits() << 1 > f32::INFINITY.to_bits() << 1 {
        low
    } else {
        x
    };
    let x = if x > low { x } else { low };
    let x = if x < high { x } else { high };
    // Adding 1.5·2²³ rounds to an integer, in the low bits of the sum.
    (x + 12_582_912.0).to_bits()
}

memory!(f32, |x: f32| x, |x: f32| x);
memory!(f16, |x: f16| bits::f16_to_f32(x.to_bits()), |x| {
    f16::from_bits(bits::f32_to_f16(x))
});
memory!(bf16, |x: bf16| bits::bf16_to_f32(x.to_bits()), |x| {
    bf16::from_bits(bits::f32_to_bf16(x))
});
memory!(i8, f32::from, |x| (nearest(x, -128.0, 127.0) as u8)
    .cast_signed());
memory!(u8, f32::from, |x| nearest(x, 0.0, 255.0) as u8);
