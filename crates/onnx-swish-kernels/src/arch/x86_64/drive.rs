//! The loop over memory that both instruction sets share.
//!
//! Given as many elements as the caller says at x and at y, which are the same place or do not
//! overlap; promises to read each once, before it writes it, and nothing else.

use crate::formula::table::{Activation, Lanes};

/// Elements in memory that become a register of f32.
pub(crate) trait Memory<T: Copy>: Lanes {
    const LANES: usize;

    /// # Safety
    /// `LANES` elements can be read at `x`.
    unsafe fn load(self, x: *const T) -> Self::F32;

    /// # Safety
    /// `LANES` elements can be written at `y`.
    unsafe fn store(self, y: *mut T, v: Self::F32);

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

/// `y[i] = f(x[i])`, four registers at a time. Groups with an x beyond the limit go to `beyond`.
///
/// # Safety
/// `n` elements can be read at `x` and written at `y`; the two are equal or do not overlap. The
/// caller enables the instructions of `S`, so that everything here becomes part of it.
#[inline(always)]
pub(super) unsafe fn drive<T: Copy, S: Memory<T>, A: Activation<S>>(
    s: S,
    f: A,
    x: *const T,
    y: *mut T,
    n: usize,
    beyond: impl Fn(*const T, *mut T, usize),
) {
    let group = 4 * S::LANES;
    let mut i = 0;
    while n - i >= group {
        // SAFETY: i + 4·LANES <= n.
        let (x, y) = unsafe { (x.add(i), y.add(i)) };
        // SAFETY: as above; all four are read before the first is written.
        let v: [S::F32; 4] = core::array::from_fn(|j| unsafe { s.load(x.add(j * S::LANES)) });
        if A::LIMITED && s.any_beyond(v, f.limit()) {
            beyond(x, y, group);
        } else {
            for (j, v) in v.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { s.store(y.add(j * S::LANES), f.eval(s, v)) };
            }
        }
        i += group;
    }
    while i < n {
        let lanes = S::LANES.min(n - i);
        // SAFETY: i + lanes <= n.
        let (x, y) = unsafe { (x.add(i), y.add(i)) };
        // SAFETY: as above.
        let v = unsafe { s.load_first(x, lanes) };
        if A::LIMITED && s.any_beyond([v], f.limit()) {
            beyond(x, y, lanes);
        } else {
            // SAFETY: as above.
            unsafe { s.store_first(y, f.eval(s, v), lanes) };
        }
        i += lanes;
    }
}
