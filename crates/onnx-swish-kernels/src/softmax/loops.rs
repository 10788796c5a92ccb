//! The loops of softmax.
//!
//! Given rows of elements; promises to read and write these only. Three passes, over little enough to stay in the nearest cache
//! for any common length: the largest, the exponentials and their sum, the quotients.

use onnx_swish_simd::{Kernel, Lane, Simd};

use crate::formula::softmax::{LARGE, Shift, Sum, quotient};
use crate::formula::{Exponential, Means, fused, means, plain, table};

/// Softmax of each run of `length` elements, which divides the slice's length.
pub(super) struct Rows<'a> {
    pub(super) xy: &'a mut [f32],
    pub(super) length: usize,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match means::<S>() {
            Means::Table => rows(s, &table::Exp::new(s), self.xy, self.length),
            Means::Fused => rows(s, &fused::Exp, self.xy, self.length),
            Means::Plain => rows(s, &plain::Exp, self.xy, self.length),
        }
    }
}

/// Softmax across rows of equal lengths: over the elements of the same index.
pub(super) struct Columns<'a, 'b> {
    pub(super) rows: &'a mut [&'b mut [f32]],
}

impl Kernel for Columns<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match means::<S>() {
            Means::Table => columns(s, &table::Exp::new(s), self.rows),
            Means::Fused => columns(s, &fused::Exp, self.rows),
            Means::Plain => columns(s, &plain::Exp, self.rows),
        }
    }
}

/// Registers that go through the columns abreast: enough work to hide the latency of each step, and each touches a cache
/// line of every row.
const ABREAST: usize = 4;

/// The most elements that so many registers hold.
const MOST: usize = ABREAST * 64;

/// Terms after which a sum over columns is settled: often enough for a million of them, too seldom to cost anything.
const SETTLED: usize = 256;

#[inline(always)]
fn rows<S: Simd, E: Exponential<S>>(s: S, exp: &E, xy: &mut [f32], length: usize) {
    for row in xy.chunks_exact_mut(length) {
        self::row(s, exp, row);
    }
}

#[inline(always)]
fn row<S: Simd, E: Exponential<S>>(s: S, exp: &E, row: &mut [f32]) {
    let rest = row.len() % S::LANES;
    let whole = row.len() - rest;
    let groups = whole - whole % (4 * S::LANES);
    let x = row.as_mut_ptr();

    let lowest = s.splat(f32::NEG_INFINITY);
    let mut max = [lowest; 4];
    for at in (0..groups).step_by(4 * S::LANES) {
        // SAFETY: `at + 4·LANES <= groups <= row.len()`.
        let v = unsafe { f32::load_group(s, x.add(at)) };
        for (max, v) in max.iter_mut().zip(v) {
            *max = s.at_least(v, *max);
        }
    }
    for at in (groups..whole).step_by(S::LANES) {
        // SAFETY: `at + LANES <= whole <= row.len()`.
        max[0] = s.at_least(unsafe { s.load(x.add(at)) }, max[0]);
    }
    // SAFETY: `whole + rest = row.len()`.
    let last = unsafe { s.load_first(x.add(whole), rest) };
    let mut last = s.select(s.lanes(0, rest), last, lowest);
    let max = s.max(s.max(max[0], max[1]), s.max(max[2], max[3]));
    let mut max = s.largest(s.max(last, max));
    if max.abs() >= LARGE {
        lower(&mut row[..whole], max);
        last = s.sub(last, s.splat(max));
        // Zero, or NaN where it is infinite.
        max -= max;
    }
    let x = row.as_mut_ptr();

    let shift = Shift::new(s, exp, s.splat(max));
    let mut sum = Sum::new(s);
    for at in (0..groups).step_by(4 * S::LANES) {
        // SAFETY: as above.
        let v = unsafe { f32::load_group(s, x.add(at)) };
        let mut e = v;
        for (e, v) in e.iter_mut().zip(v) {
            *e = exp.eval(s, &shift, v);
        }
        // SAFETY: as above.
        unsafe { f32::store_group(s, x.add(at), e) };
        for e in e {
            sum.add(s, e);
        }
    }
    for at in (groups..whole).step_by(S::LANES) {
        // SAFETY: as above.
        let e = exp.eval(s, &shift, unsafe { s.load(x.add(at)) });
        sum.add(s, e);
        // SAFETY: as above.
        unsafe { s.store(x.add(at), e) };
    }
    // Lanes that are not there hold −∞, whose exponential is zero.
    let last = exp.eval(s, &shift, last);
    sum.add(s, last);

    let [high, low] = sum.terms(s);
    let total = s.sum_wide(high) + s.sum_wide(low);
    let factor = s.splat((1.0 / total) as f32);
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: as above.
        unsafe { s.store(x.add(at), quotient(s, s.load(x.add(at)), factor)) };
    }
    // SAFETY: `whole + rest = row.len()`.
    unsafe { s.store_exactly(x.add(whole), quotient(s, last, factor), rest) };
}

/// Takes what is large from all x, for softmax is the same without it. Rare, and apart from the loops, whose registers are few.
#[cold]
#[inline(never)]
fn lower(x: &mut [f32], by: f32) {
    for x in x {
        *x -= by;
    }
}

/// [`lower`] of the columns from `at` on, each by its own largest x where that is large, and of that x.
#[cold]
#[inline(never)]
fn lower_columns(rows: &mut [&mut [f32]], at: usize, max: &mut [f32]) {
    for row in rows {
        for (x, max) in row[at..].iter_mut().zip(&*max) {
            if max.abs() >= LARGE {
                *x -= max;
            }
        }
    }
    for max in max {
        if max.abs() >= LARGE {
            *max -= *max;
        }
    }
}

/// All rows are equally long.
#[inline(always)]
fn columns<S: Simd, E: Exponential<S>>(s: S, exp: &E, rows: &mut [&mut [f32]]) {
    let width = rows.first().map_or(0, |row| row.len());
    let mut at = 0;
    while width - at >= ABREAST * S::LANES {
        // SAFETY: every row has that many elements from `at` on.
        unsafe { block::<S, E, ABREAST, true>(s, exp, rows, at, S::LANES) };
        at += ABREAST * S::LANES;
    }
    while width - at >= S::LANES {
        // SAFETY: every row has that many elements from `at` on.
        unsafe { block::<S, E, 1, true>(s, exp, rows, at, S::LANES) };
        at += S::LANES;
    }
    if at < width {
        // SAFETY: every row has that many elements from `at` on.
        unsafe { block::<S, E, 1, false>(s, exp, rows, at, width - at) };
    }
}

/// `N` registers abreast, in each of which the first `lanes` count; all of them if it is `WHOLE`.
///
/// # Safety
/// Each row has `N·LANES` elements from `at` on if `WHOLE`, else `lanes < LANES`, and `N` is one.
#[inline(always)]
unsafe fn block<S: Simd, E: Exponential<S>, const N: usize, const WHOLE: bool>(
    s: S,
    exp: &E,
    rows: &mut [&mut [f32]],
    at: usize,
    lanes: usize,
) {
    let zero = s.splat(0.0);
    let mut max = [s.splat(f32::NEG_INFINITY); N];
    for row in rows.iter() {
        // SAFETY: the caller's promise.
        let v = unsafe { load::<S, N, WHOLE>(s, row.as_ptr().add(at), lanes) };
        for (max, v) in max.iter_mut().zip(v) {
            *max = s.at_least(v, *max);
        }
    }
    let mut large = false;
    for max in max {
        large |= s.any_beyond([max], s.splat(LARGE));
    }
    if large {
        let mut each = [0.0f32; MOST];
        for (i, max) in max.iter_mut().enumerate() {
            // SAFETY: N registers are no more than MOST.
            unsafe { s.store(each.as_mut_ptr().add(i * S::LANES), *max) };
        }
        let columns = if WHOLE { N * S::LANES } else { lanes };
        lower_columns(rows, at, &mut each[..columns]);
        for (i, max) in max.iter_mut().enumerate() {
            // SAFETY: as above.
            *max = unsafe { s.load(each.as_ptr().add(i * S::LANES)) };
        }
    }
    let mut shift: [Shift<S>; N] = [Shift::new(s, exp, zero); N];
    for (shift, max) in shift.iter_mut().zip(max) {
        *shift = Shift::new(s, exp, max);
    }
    let mut sum = [Sum::new(s); N];
    for rows in rows.chunks_mut(SETTLED) {
        for row in rows {
            // SAFETY: the caller's promise.
            let x = unsafe { row.as_mut_ptr().add(at) };
            // SAFETY: the caller's promise.
            let mut v = unsafe { load::<S, N, WHOLE>(s, x, lanes) };
            for ((v, shift), sum) in v.iter_mut().zip(&shift).zip(&mut sum) {
                *v = exp.eval(s, shift, *v);
                sum.add(s, *v);
            }
            // SAFETY: the caller's promise.
            unsafe { store::<S, N, WHOLE>(s, x, v, lanes) };
        }
        for sum in &mut sum {
            sum.settle(s);
        }
    }
    let mut factor = [zero; N];
    for (factor, sum) in factor.iter_mut().zip(&sum) {
        *factor = sum.reciprocal(s);
    }
    for row in rows.iter_mut() {
        // SAFETY: the caller's promise.
        let x = unsafe { row.as_mut_ptr().add(at) };
        // SAFETY: the caller's promise.
        let mut v = unsafe { load::<S, N, WHOLE>(s, x, lanes) };
        for (v, factor) in v.iter_mut().zip(factor) {
            *v = quotient(s, *v, factor);
        }
        // SAFETY: the caller's promise.
        unsafe { store::<S, N, WHOLE>(s, x, v, lanes) };
    }
}

/// # Safety
/// As [`block`], for the row that begins `at` elements before `x`.
#[inline(always)]
unsafe fn load<S: Simd, const N: usize, const WHOLE: bool>(
    s: S,
    x: *const f32,
    lanes: usize,
) -> [S::V; N] {
    let mut v = [s.splat(0.0); N];
    for (i, v) in v.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        *v = unsafe {
            if WHOLE {
                s.load(x.add(i * S::LANES))
            } else {
                s.load_first(x, lanes)
            }
        };
    }
    v
}

/// # Safety
/// As [`load`].
#[inline(always)]
unsafe fn store<S: Simd, const N: usize, const WHOLE: bool>(
    s: S,
    y: *mut f32,
    v: [S::V; N],
    lanes: usize,
) {
    for (i, v) in v.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            if WHOLE {
                s.store(y.add(i * S::LANES), v);
            } else {
                s.store_exactly(y, v, lanes);
            }
        }
    }
}
