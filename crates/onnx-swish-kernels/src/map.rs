//! The loop over memory that every function of f32, f16 and bf16 shares.
//!
//! Given slices whose lengths agree; promises to read each element once, before it is written, and nothing else; and that no
//! result depends on the place of its element or on the element's neighbours.

use std::mem::MaybeUninit;

use onnx_swish_simd::{Kernel, Lane, Simd};

use crate::element::Scalar;
use crate::formula::swish_constants::SwishConstants;
use crate::formula::{Activation, by_table, hard_swish, plain, table};
use crate::slices::Slices;

/// The most elements that four registers hold.
const MOST: usize = 256;

/// Elements that go through two loops together: enough for a processor to look ahead in each, and a multiple of any register.
const BLOCK: usize = 64;

/// Swish to f32 precision.
pub(crate) struct Swish<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) beta: f32,
}

impl<T: Scalar + Lane> Kernel for Swish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let constants = SwishConstants::new(self.beta);
        if by_table::<S>() {
            map(s, table::Swish::new(s, &constants), self.slices, &constants);
        } else if constants.exact {
            let f = plain::Swish::<S, true>::new(s, &constants);
            map(s, f, self.slices, &constants);
        } else {
            let f = plain::Swish::<S, false>::new(s, &constants);
            map(s, f, self.slices, &constants);
        }
    }
}

/// Swish for results that are rounded to 11 bits or fewer.
pub(crate) struct ShortSwish<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) beta: f32,
}

impl<T: Scalar + Lane> Kernel for ShortSwish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let constants = SwishConstants::new(self.beta);
        if by_table::<S>() {
            let f = table::ShortSwish::new(s, &constants);
            map(s, f, self.slices, &constants);
        } else {
            let f = plain::ShortSwish::new(s, &constants);
            map(s, f, self.slices, &constants);
        }
    }
}

/// HardSwish of parameters that [`hard_swish::takes`].
pub(crate) struct HardSwish<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) alpha: f32,
    pub(crate) beta: f32,
}

impl<T: Scalar + Lane> Kernel for HardSwish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let f = hard_swish::HardSwish::new(s, self.alpha, self.beta);
        map(s, f, self.slices, &SwishConstants::SILU);
    }
}

/// `y[i] = f(x[i])`. Where what is looked at together holds an x beyond the limit, those x are repaired with the constants.
#[inline(always)]
fn map<T: Scalar + Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: A,
    slices: Slices<'_, T>,
    constants: &SwishConstants,
) {
    let (x, y, n) = slices.parts();
    let group = 4 * S::LANES;
    let mut i = 0;
    if n >= 4 * group {
        // A first step to where a register's elements do not cross a cache line.
        let width = S::LANES * size_of::<T>();
        i = (y.addr().wrapping_neg() % width) / size_of::<T>();
        // SAFETY: i < LANES < n.
        unsafe { first(s, &f, x, y, i, constants) };
    }
    if A::LONG {
        while n - i >= BLOCK {
            // SAFETY: i + BLOCK <= n.
            unsafe { block(s, &f, x.add(i), y.add(i), constants) };
            i += BLOCK;
        }
    }
    while n - i >= group {
        // SAFETY: i + 4·LANES <= n.
        unsafe { self::group(s, &f, x.add(i), y.add(i), constants) };
        i += group;
    }
    while i < n {
        let lanes = S::LANES.min(n - i);
        // SAFETY: i + lanes <= n.
        unsafe { first(s, &f, x.add(i), y.add(i), lanes, constants) };
        i += lanes;
    }
}

/// Four registers, in one piece.
///
/// # Safety
/// `4·LANES` elements can be read at x and written at y; the two are equal or do not overlap.
#[inline(always)]
unsafe fn group<T: Scalar + Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    constants: &SwishConstants,
) {
    // SAFETY: the caller's promise; all four are read before the first is written.
    let v = unsafe { T::load_group(s, x) };
    // Not `map`: its closure would not be part of this function.
    let [a, b, c, d] = v;
    if A::LIMITED && s.any_beyond(v, f.limit()) {
        // SAFETY: the caller's promise, for x and then for y.
        unsafe {
            let mut before = copied(x, 4 * S::LANES);
            T::store_group(
                s,
                y,
                [f.eval(s, a), f.eval(s, b), f.eval(s, c), f.eval(s, d)],
            );
            repair(s, before.as_mut_ptr(), y, 4 * S::LANES, constants);
        }
    } else {
        let v = [f.eval(s, a), f.eval(s, b), f.eval(s, c), f.eval(s, d)];
        // SAFETY: the caller's promise.
        unsafe { T::store_group(s, y, v) };
    }
}

/// [`BLOCK`] elements, in two loops: a processor that looks ahead as far as it does sees more elements at once.
///
/// # Safety
/// [`BLOCK`] elements can be read at x and written at y; the two are equal or do not overlap.
#[inline(always)]
unsafe fn block<T: Scalar + Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    constants: &SwishConstants,
) {
    let mut parts = MaybeUninit::<[f32; BLOCK]>::uninit();
    let parts = parts.as_mut_ptr().cast::<f32>();
    // The largest magnitude of each lane. Of a NaN and a number it is the number.
    let mut most = s.splat(0.0);
    for i in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: LANES divides BLOCK; the caller's promise.
        unsafe {
            let v = T::load(s, x.add(i));
            f32::store(s, parts.add(i), f.part(s, v));
            let magnitude = s.int_and(s.to_bits(v), s.int_splat(0x7fff_ffff));
            most = s.max(s.from_bits(magnitude), most);
        }
    }
    let beyond = A::LIMITED && s.any_beyond([most], f.limit());
    // SAFETY: the caller's promise; the first loop wrote all parts.
    unsafe {
        if beyond {
            let mut before = copied(x, BLOCK);
            finish(s, f, x, parts, y);
            repair(s, before.as_mut_ptr(), y, BLOCK, constants);
        } else {
            finish(s, f, x, parts, y);
        }
    }
}

/// The second loop of [`block`].
///
/// # Safety
/// As [`block`]; [`BLOCK`] parts can be read.
#[inline(always)]
unsafe fn finish<T: Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    parts: *const f32,
    y: *mut T,
) {
    for i in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: as in `block`; each element is read before it is written.
        unsafe {
            let y_of_x = f.whole(s, T::load(s, x.add(i)), f32::load(s, parts.add(i)));
            T::store(s, y.add(i), y_of_x);
        }
    }
}

/// The first n elements, `n <= LANES`.
///
/// # Safety
/// n elements can be read at x and written at y; the two are equal or do not overlap.
#[inline(always)]
unsafe fn first<T: Scalar + Lane, S: Simd, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    n: usize,
    constants: &SwishConstants,
) {
    // SAFETY: the caller's promise.
    let v = unsafe { T::load_first(s, x, n) };
    if A::LIMITED && s.any_beyond([v], f.limit()) {
        // SAFETY: the caller's promise, for x and then for y.
        unsafe {
            let mut before = copied(x, n);
            T::store_first(s, y, f.eval(s, v), n);
            repair(s, before.as_mut_ptr(), y, n, constants);
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { T::store_first(s, y, f.eval(s, v), n) };
    }
}

/// # Safety
/// n elements can be read at x, and are no more than [`MOST`].
#[inline(always)]
unsafe fn copied<T: Scalar>(x: *const T, n: usize) -> [T; MOST] {
    let mut copy = [T::ZERO; MOST];
    // SAFETY: the caller's promise.
    unsafe { x.copy_to_nonoverlapping(copy.as_mut_ptr(), n) };
    copy
}

/// Repairs the results of those x that are outside of the formulas' domain, and only
/// of those: a result must not depend on its neighbours.
///
/// # Safety
/// n elements can be read and written at x and at y, which do not overlap.
#[cold]
#[inline(never)]
pub(crate) unsafe fn repair<T: Scalar, S: Simd>(
    s: S,
    x: *mut T,
    y: *mut T,
    n: usize,
    constants: &SwishConstants,
) {
    // SAFETY: the caller's promise.
    let (x, y) = unsafe {
        (
            std::slice::from_raw_parts_mut(x, n),
            std::slice::from_raw_parts_mut(y, n),
        )
    };
    s.vectorize(Repair { x, y, constants });
}

struct Repair<'a, T> {
    x: &'a mut [T],
    y: &'a mut [T],
    constants: &'a SwishConstants,
}

impl<T: Scalar> Kernel for Repair<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { x, y, constants } = self;
        for (x, y) in x.iter_mut().zip(&*y) {
            if x.is_within(constants.limit) {
                *x = *y;
            } else {
                *x = x.swish_one(constants.wide_rate);
            }
        }
        y.copy_from_slice(x);
    }
}
