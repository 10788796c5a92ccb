//! The loop over memory that both instruction sets share.
//!
//! Given as many elements as the caller says at x and at y, which are the same place or do not
//! overlap; promises to read each once, before it writes it, and nothing else.

use crate::element::sealed::Sealed;
use crate::formula::table::{Activation, Lanes};

/// Elements in memory that become registers of f32.
pub(crate) trait Memory<T: Copy>: Lanes {
    const LANES: usize;

    /// Four registers, in any order that [`Memory::store_group`] knows.
    ///
    /// # Safety
    /// `4·LANES` elements can be read at `x`.
    unsafe fn load_group(self, x: *const T) -> [Self::F32; 4];

    /// # Safety
    /// `4·LANES` elements can be written at `y`.
    unsafe fn store_group(self, y: *mut T, v: [Self::F32; 4]);

    /// The first n lanes from memory, the others zero; `n <= LANES`.
    ///
    /// # Safety
    /// `n` elements can be read at `x`.
    unsafe fn load_first(self, x: *const T, n: usize) -> Self::F32;

    /// The first n lanes to memory; `n <= LANES`.
    ///
    /// # Safety
    /// `n` elements can be written at `y`.
    unsafe fn store_first(self, y: *mut T, v: Self::F32, n: usize);
}

/// `y[i] = f(x[i])`, four registers at a time. Where a group or a register holds an x beyond the
/// limit, `repair` is given a copy of its x and its y.
///
/// # Safety
/// `n` elements can be read at `x` and written at `y`; the two are equal or do not overlap. The
/// caller enables the instructions of `S`, so that everything here becomes part of it.
#[inline(always)]
pub(super) unsafe fn drive<T: Sealed, S: Memory<T>, A: Activation<S>>(
    s: S,
    f: A,
    x: *const T,
    y: *mut T,
    n: usize,
    repair: impl Fn(&mut [T], &mut [T]),
) {
    let group = 4 * S::LANES;
    let mut i = 0;
    if n >= 4 * group {
        // A first step to where a register's elements do not cross a cache line.
        let width = S::LANES * size_of::<T>();
        i = (y.addr().wrapping_neg() % width) / size_of::<T>();
        // SAFETY: i < LANES < n.
        unsafe { first(s, &f, x, y, i, &repair) };
    }
    while n - i >= group {
        // SAFETY: i + 4·LANES <= n.
        let (x, y) = unsafe { (x.add(i), y.add(i)) };
        // SAFETY: as above; all four are read before the first is written.
        let v = unsafe { s.load_group(x) };
        // Not `map`: its closure would not be part of this function.
        let [a, b, c, d] = v;
        if A::LIMITED && s.any_beyond(v, f.limit()) {
            let mut before = [T::ZERO; 64];
            // SAFETY: 4·LANES <= 64 elements of x, then of y, as above.
            unsafe {
                x.copy_to_nonoverlapping(before.as_mut_ptr(), group);
                s.store_group(y, [f.eval(s, a), f.eval(s, b), f.eval(s, c), f.eval(s, d)]);
                repair(
                    &mut before[..group],
                    core::slice::from_raw_parts_mut(y, group),
                );
            }
        } else {
            let v = [f.eval(s, a), f.eval(s, b), f.eval(s, c), f.eval(s, d)];
            // SAFETY: as above.
            unsafe { s.store_group(y, v) };
        }
        i += group;
    }
    while i < n {
        let lanes = S::LANES.min(n - i);
        // SAFETY: i + lanes <= n.
        unsafe { first(s, &f, x.add(i), y.add(i), lanes, &repair) };
        i += lanes;
    }
}

/// The first n elements, `n <= LANES`.
///
/// # Safety
/// As [`drive`].
#[inline(always)]
unsafe fn first<T: Sealed, S: Memory<T>, A: Activation<S>>(
    s: S,
    f: &A,
    x: *const T,
    y: *mut T,
    n: usize,
    repair: &impl Fn(&mut [T], &mut [T]),
) {
    // SAFETY: the caller's promise.
    let v = unsafe { s.load_first(x, n) };
    if A::LIMITED && s.any_beyond([v], f.limit()) {
        let mut before = [T::ZERO; 64];
        // SAFETY: n <= LANES <= 64 elements of x, then of y, by the caller's promise.
        unsafe {
            x.copy_to_nonoverlapping(before.as_mut_ptr(), n);
            s.store_first(y, f.eval(s, v), n);
            repair(&mut before[..n], core::slice::from_raw_parts_mut(y, n));
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { s.store_first(y, f.eval(s, v), n) };
    }
}
