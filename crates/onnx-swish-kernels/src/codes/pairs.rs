//! Codes of two tensors to codes of a third, and sums of codes.
//!
//! Given slices whose lengths agree; promises what dequantising, computing in float32 and quantising again give, to the bit.

use onnx_swish_simd::{Kernel, Lane, Simd};

use super::loops::ROUND;
use super::{Linear, Pair, Table, ZeroPoint};

/// Codes of a plane from which on a table of all products is worth making.
pub(super) const WORTH_A_TABLE: usize = 768;

/// The codes of a type, in order of their bytes.
pub(super) const EVERY: Table = {
    let mut bytes = [0; 256];
    let mut i = 0;
    while i < 256 {
        bytes[i] = i as u8;
        i += 1;
    }
    bytes
};

/// Calls a generic function with the types of the codes.
macro_rules! for_pairs {
    ($pair:expr, $function:ident($($argument:expr),*)) => {
        match ($pair.a.zero_point, $pair.b.zero_point, $pair.to.zero_point) {
            (ZeroPoint::U8(_), ZeroPoint::U8(_), ZeroPoint::U8(_)) => $function::<u8, u8, u8, S>($($argument),*),
            (ZeroPoint::I8(_), ZeroPoint::I8(_), ZeroPoint::I8(_)) => $function::<i8, i8, i8, S>($($argument),*),
            (ZeroPoint::U8(_), ZeroPoint::U8(_), ZeroPoint::I8(_)) => $function::<u8, u8, i8, S>($($argument),*),
            (ZeroPoint::U8(_), ZeroPoint::I8(_), ZeroPoint::U8(_)) => $function::<u8, i8, u8, S>($($argument),*),
            (ZeroPoint::U8(_), ZeroPoint::I8(_), ZeroPoint::I8(_)) => $function::<u8, i8, i8, S>($($argument),*),
            (ZeroPoint::I8(_), ZeroPoint::U8(_), ZeroPoint::U8(_)) => $function::<i8, u8, u8, S>($($argument),*),
            (ZeroPoint::I8(_), ZeroPoint::U8(_), ZeroPoint::I8(_)) => $function::<i8, u8, i8, S>($($argument),*),
            (ZeroPoint::I8(_), ZeroPoint::I8(_), ZeroPoint::U8(_)) => $function::<i8, i8, u8, S>($($argument),*),
        }
    };
}

/// `a + b`, element by element.
pub(super) struct Sum<'a> {
    pub pair: &'a Pair,
    pub a: &'a [u8],
    pub b: &'a [u8],
    pub codes: &'a mut [u8],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pair, a, b, codes } = self;
        let n = codes.len();
        let (a, b, to) = (a.as_ptr(), b.as_ptr(), codes.as_mut_ptr());
        // SAFETY: slices of one length.
        unsafe { for_pairs!(pair, sum(s, pair, a.cast(), b.cast(), to.cast(), n)) }
    }
}

/// `a · b` with one element of `b` for each plane of `a`.
pub(super) struct Product<'a> {
    pub pair: &'a Pair,
    pub a: &'a [u8],
    pub b: &'a [u8],
    pub codes: &'a mut [u8],
}

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { pair, a, b, codes } = self;
        if b.is_empty() {
            return;
        }
        let plane = a.len() / b.len();
        for ((a, codes), b) in a
            .chunks_exact(plane)
            .zip(codes.chunks_exact_mut(plane))
            .zip(b)
        {
            let b = f32::from(pair.b.zero_point.code(*b)) - f32::from(pair.b.zero_point.value());
            let factor = b * pair.b.scale;
            let mut table = EVERY;
            // SAFETY: slices of one length, and a table of as many bytes as there are.
            unsafe {
                let (from, to) = (a.as_ptr(), codes.as_mut_ptr());
                if plane < WORTH_A_TABLE {
                    for_pairs!(
                        pair,
                        product(s, pair, factor, from.cast(), to.cast(), plane)
                    );
                } else {
                    let entries = table.as_mut_ptr();
                    for_pairs!(
                        pair,
                        product(
                            s,
                            pair,
                            factor,
                            EVERY.as_ptr().cast(),
                            entries.cast(),
                            table.len()
                        )
                    );
                    s.look_up_bytes(&table, from, to, plane);
                }
            }
        }
    }
}

/// The float sum of each plane of codes.
pub(super) struct PlaneSums<'a> {
    pub codes: &'a [u8],
    pub linear: Linear,
    pub sums: &'a mut [f32],
}

impl Kernel for PlaneSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self {
            codes,
            linear,
            sums,
        } = self;
        if sums.is_empty() {
            return;
        }
        let plane = codes.len() / sums.len();
        let (lowest, _) = linear.zero_point.range();
        let flip = if lowest < 0 { 0x80 } else { 0 };
        let zero = i64::from(linear.zero_point.value() - lowest);
        for (codes, sum) in codes.chunks_exact(plane.max(1)).zip(sums) {
            let mut total = 0u64;
            // So many bytes as 32 bits hold the sum of.
            for codes in codes.chunks(1 << 20) {
                let part: u32 = codes.iter().map(|code| u32::from(code ^ flip)).sum();
                total += u64::from(part);
            }
            let exact = total.cast_signed() - zero * codes.len() as i64;
            *sum = exact as f32 * linear.scale;
        }
    }
}

/// From codes to floats.
#[derive(Clone, Copy)]
struct Floats<S: Simd> {
    zero_point: S::V,
    scale: S::V,
}

impl<S: Simd> Floats<S> {
    #[inline(always)]
    fn new(s: S, linear: Linear) -> Self {
        Floats {
            zero_point: s.splat(linear.zero_point.value().into()),
            scale: s.splat(linear.scale),
        }
    }

    #[inline(always)]
    fn eval(&self, s: S, code: S::V) -> S::V {
        s.mul(s.sub(code, self.zero_point), self.scale)
    }
}

/// From floats, of which none is below `low`, to codes that the store saturates.
#[derive(Clone, Copy)]
struct Codes<S: Simd> {
    scale: S::V,
    round: S::V,
    back: S::V,
    low: S::V,
}

/// What becomes of floats, of which the store makes codes.
pub(super) trait End<S: Simd>: Copy {
    fn eval(&self, s: S, float: S::V) -> S::V;
}

impl<S: Simd> Codes<S> {
    #[inline(always)]
    fn new(s: S, pair: &Pair) -> Self {
        let zero_point = pair.to.zero_point;
        let low = if pair.relu { 0.0 } else { f32::NEG_INFINITY };
        Codes {
            scale: s.splat(pair.to.scale),
            round: s.splat(ROUND),
            back: s.splat(ROUND - f32::from(zero_point.value())),
            low: s.splat(low),
        }
    }
}

impl<S: Simd> End<S> for Codes<S> {
    #[inline(always)]
    fn eval(&self, s: S, float: S::V) -> S::V {
        let q = s.div(s.at_least(self.low, float), self.scale);
        s.sub(s.add(q, self.round), self.back)
    }
}

/// Floats that become codes, by their place.
pub(super) trait Source<S: Simd>: Copy {
    /// # Safety
    /// There are four registers of them from place i on.
    unsafe fn group(self, s: S, i: usize) -> [S::V; 4];
    /// # Safety
    /// There is a register of them from place i on.
    unsafe fn register(self, s: S, i: usize) -> S::V;
    /// # Safety
    /// There are n from the first on, fewer than a register has.
    unsafe fn first(self, s: S, n: usize) -> S::V;
}

/// Sums of two tensors.
#[derive(Clone, Copy)]
struct Sums<A, B, S: Simd>(Floats<S>, *const A, Floats<S>, *const B);

impl<A: Lane, B: Lane, S: Simd> Source<S> for Sums<A, B, S> {
    #[inline(always)]
    unsafe fn group(self, s: S, i: usize) -> [S::V; 4] {
        let Sums(of_a, a, of_b, b) = self;
        // SAFETY: the caller's promise.
        let (mut a, b) = unsafe { (A::load_group(s, a.add(i)), B::load_group(s, b.add(i))) };
        for (a, b) in a.iter_mut().zip(b) {
            *a = s.add(of_a.eval(s, *a), of_b.eval(s, b));
        }
        a
    }
    #[inline(always)]
    unsafe fn register(self, s: S, i: usize) -> S::V {
        let Sums(of_a, a, of_b, b) = self;
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (A::load(s, a.add(i)), B::load(s, b.add(i))) };
        s.add(of_a.eval(s, a), of_b.eval(s, b))
    }
    #[inline(always)]
    unsafe fn first(self, s: S, n: usize) -> S::V {
        let Sums(of_a, a, of_b, b) = self;
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (A::load_first(s, a, n), B::load_first(s, b, n)) };
        s.add(of_a.eval(s, a), of_b.eval(s, b))
    }
}

/// Products with one factor.
#[derive(Clone, Copy)]
struct Products<A, S: Simd>(Floats<S>, *const A, S::V);

impl<A: Lane, S: Simd> Source<S> for Products<A, S> {
    #[inline(always)]
    unsafe fn group(self, s: S, i: usize) -> [S::V; 4] {
        let Products(of_a, a, factor) = self;
        // SAFETY: the caller's promise.
        let mut a = unsafe { A::load_group(s, a.add(i)) };
        for a in &mut a {
            *a = s.mul(of_a.eval(s, *a), factor);
        }
        a
    }
    #[inline(always)]
    unsafe fn register(self, s: S, i: usize) -> S::V {
        let Products(of_a, a, factor) = self;
        // SAFETY: the caller's promise.
        s.mul(of_a.eval(s, unsafe { A::load(s, a.add(i)) }), factor)
    }
    #[inline(always)]
    unsafe fn first(self, s: S, n: usize) -> S::V {
        let Products(of_a, a, factor) = self;
        // SAFETY: the caller's promise.
        s.mul(of_a.eval(s, unsafe { A::load_first(s, a, n) }), factor)
    }
}

/// Writes the codes of n floats.
///
/// # Safety
/// So many can be read from the source and written at `to`, which is no part of the source.
#[inline(always)]
pub(super) unsafe fn write<C: Lane, S: Simd>(
    s: S,
    end: impl End<S>,
    source: impl Source<S>,
    to: *mut C,
    n: usize,
) {
    let mut i = 0;
    // SAFETY: never beyond n; the source does not change.
    unsafe {
        while i + 4 * S::LANES <= n {
            let mut group = source.group(s, i);
            for floats in &mut group {
                *floats = end.eval(s, *floats);
            }
            C::store_group(s, to.add(i), group);
            i += 4 * S::LANES;
        }
        if n < S::LANES {
            C::store_first(s, to, end.eval(s, source.first(s, n)), n);
            return;
        }
        while i < n {
            // The last register has some of the one before once more.
            let at = i.min(n - S::LANES);
            C::store(s, to.add(at), end.eval(s, source.register(s, at)));
            i += S::LANES;
        }
    }
}

/// # Safety
/// n codes can be read at a and b, and written at `to`, which is no part of them.
#[inline(always)]
unsafe fn sum<A: Lane, B: Lane, C: Lane, S: Simd>(
    s: S,
    pair: &Pair,
    a: *const A,
    b: *const B,
    to: *mut C,
    n: usize,
) {
    let source = Sums(Floats::new(s, pair.a), a, Floats::new(s, pair.b), b);
    // SAFETY: the caller's promise.
    unsafe { write(s, Codes::new(s, pair), source, to, n) }
}

/// # Safety
/// n codes can be read at a and written at `to`, which is no part of them.
#[inline(always)]
#[allow(clippy::extra_unused_type_parameters)] // One macro names the types of all loops.
unsafe fn product<A: Lane, B: Lane, C: Lane, S: Simd>(
    s: S,
    pair: &Pair,
    factor: f32,
    a: *const A,
    to: *mut C,
    n: usize,
) {
    let source = Products(Floats::new(s, pair.a), a, s.splat(factor));
    // SAFETY: the caller's promise.
    unsafe { write(s, Codes::new(s, pair), source, to, n) }
}
