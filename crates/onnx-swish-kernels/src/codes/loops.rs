//! The loops behind the functions on codes.
//!
//! Given slices whose lengths agree; promises to read each element once, before it is written, and nothing else.

use std::mem::MaybeUninit;

use onnx_swish_simd::{Kernel, Lane, Simd};

use super::{Linear, Requantize, Table, ZeroPoint};
use crate::slices::Slices;

/// `1.5·2²³`: adding it to a float of magnitude below 2²² rounds to an integer, ties to even, and taking it away again is exact. Any
/// larger magnitude stays one of at least 2²², which saturates.
pub(super) const ROUND: f32 = 12_582_912.0;

/// Floats whose codes wait on the stack for the table.
const BLOCK: usize = 512;

/// Calls a generic function with the type of the codes.
macro_rules! for_codes {
    ($zero_point:expr, $function:ident($($argument:expr),*)) => {
        match $zero_point {
            ZeroPoint::U8(_) => $function::<u8, S>($($argument),*),
            ZeroPoint::I8(_) => $function::<i8, S>($($argument),*),
        }
    };
}

pub(super) struct Quantize<'a> {
    pub x: &'a [f32],
    pub linear: Linear,
    pub codes: &'a mut [u8],
}

impl Kernel for Quantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, linear, codes } = self;
        let (x, to, n) = (x.as_ptr(), codes.as_mut_ptr(), x.len());
        // SAFETY: slices of one length.
        unsafe { for_codes!(linear.zero_point, to_codes(s, x, linear, to.cast(), n)) }
    }
}

pub(super) struct Dequantize<'a> {
    pub codes: &'a [u8],
    pub linear: Linear,
    pub y: &'a mut [f32],
}

impl Kernel for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { codes, linear, y } = self;
        let (from, y, n) = (codes.as_ptr(), y.as_mut_ptr(), codes.len());
        // SAFETY: slices of one length.
        unsafe { for_codes!(linear.zero_point, to_floats(s, from.cast(), linear, y, n)) }
    }
}

pub(super) struct LookUp<'a> {
    table: &'a Table,
    codes: Slices<'a, u8>,
}

impl<'a> LookUp<'a> {
    pub fn apart(table: &'a Table, codes: &'a [u8], found: &'a mut [u8]) -> Self {
        let codes = Slices::apart(codes, found);
        Self { table, codes }
    }

    pub fn in_place(table: &'a Table, codes: &'a mut [u8]) -> Self {
        let codes = Slices::InPlace(codes);
        Self { table, codes }
    }
}

impl Kernel for LookUp<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (from, to, n) = self.codes.parts();
        // SAFETY: the parts of slices.
        unsafe { s.look_up_bytes(self.table, from, to, n) }
    }
}

pub(super) struct RequantizeSlice<'a> {
    pub xy: &'a mut [f32],
    pub by: &'a Requantize,
}

impl Kernel for RequantizeSlice<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: a slice of so many elements.
        unsafe { requantize(s, self.xy.as_mut_ptr(), self.xy.len(), self.by) }
    }
}

/// # Safety
/// n elements can be read at x and n codes written at `to`.
#[inline(always)]
unsafe fn to_codes<C: Lane, S: Simd>(s: S, x: *const f32, linear: Linear, to: *mut C, n: usize) {
    let scale = s.splat(linear.scale);
    let round = s.splat(ROUND);
    // Exact, and so is what it gives: whole numbers where the quotient is not out of range already.
    let back = s.splat(ROUND - f32::from(linear.zero_point.value()));
    let mut i = 0;
    while i < n {
        let lanes = S::LANES.min(n - i);
        // SAFETY: i + lanes <= n.
        unsafe {
            if lanes == S::LANES {
                let q = s.div(f32::load(s, x.add(i)), scale);
                // The store saturates, and makes the lowest code of NaN.
                C::store(s, to.add(i), s.sub(s.add(q, round), back));
            } else {
                let q = s.div(f32::load_first(s, x.add(i), lanes), scale);
                C::store_first(s, to.add(i), s.sub(s.add(q, round), back), lanes);
            }
        }
        i += lanes;
    }
}

/// # Safety
/// n codes can be read at `from` and n elements written at y.
#[inline(always)]
unsafe fn to_floats<C: Lane, S: Simd>(s: S, from: *const C, linear: Linear, y: *mut f32, n: usize) {
    let scale = s.splat(linear.scale);
    let zero_point = s.splat(linear.zero_point.value().into());
    let mut i = 0;
    while i < n {
        let lanes = S::LANES.min(n - i);
        // SAFETY: i + lanes <= n.
        unsafe {
            if lanes == S::LANES {
                let code = s.sub(C::load(s, from.add(i)), zero_point);
                f32::store(s, y.add(i), s.mul(code, scale));
            } else {
                let code = s.sub(C::load_first(s, from.add(i), lanes), zero_point);
                f32::store_first(s, y.add(i), s.mul(code, scale), lanes);
            }
        }
        i += lanes;
    }
}

/// A [`Requantize`] without a table, on registers: codes never leave f32, which holds them exactly.
#[derive(Clone, Copy)]
pub(crate) struct Round<S: Simd> {
    scale: S::V,
    low: S::V,
    high: S::V,
    round: S::V,
    back: S::V,
    scale_back: S::V,
}

impl<S: Simd> Round<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, by: &Requantize) -> Self {
        let zero_point = by.quantize.zero_point.value();
        let (low, high) = by.quantize.zero_point.range();
        let back = by.dequantize.zero_point.value() - zero_point;
        Self {
            scale: s.splat(by.quantize.scale),
            low: s.splat((low - zero_point).into()),
            high: s.splat((high - zero_point).into()),
            round: s.splat(ROUND),
            back: s.splat(ROUND + f32::from(back)),
            scale_back: s.splat(by.dequantize.scale),
        }
    }

    #[inline(always)]
    pub(crate) fn eval(&self, s: S, x: S::V) -> S::V {
        // Bounds that are whole numbers: before rounding or after it is the same. Of NaN and the lower one, the latter.
        let q = s.min(s.max(s.div(x, self.scale), self.low), self.high);
        let code = s.sub(s.add(q, self.round), self.back);
        s.mul(code, self.scale_back)
    }
}

/// Quantises, looks up and dequantises n floats in their place.
///
/// # Safety
/// n elements can be read and written at `xy`.
#[inline(always)]
pub(crate) unsafe fn requantize<S: Simd>(s: S, xy: *mut f32, n: usize, by: &Requantize) {
    let Some(table) = &by.table else {
        let f = Round::new(s, by);
        let mut i = 0;
        while i < n {
            let lanes = S::LANES.min(n - i);
            // SAFETY: i + lanes <= n.
            unsafe {
                if lanes == S::LANES {
                    f32::store(s, xy.add(i), f.eval(s, f32::load(s, xy.add(i))));
                } else {
                    let x = f32::load_first(s, xy.add(i), lanes);
                    f32::store_first(s, xy.add(i), f.eval(s, x), lanes);
                }
            }
            i += lanes;
        }
        return;
    };
    // A tile has few floats: zeroing bytes that are written before they are read would take as long as the table.
    let mut codes = MaybeUninit::<[u8; BLOCK]>::uninit();
    let codes = codes.as_mut_ptr().cast::<u8>();
    let mut i = 0;
    while i < n {
        let (part, count) = (xy.wrapping_add(i), BLOCK.min(n - i));
        // SAFETY: i + count <= n, and the buffer has as many bytes, all of which are written first.
        unsafe {
            for_codes!(
                by.quantize.zero_point,
                to_codes(s, part, by.quantize, codes.cast(), count)
            );
            s.look_up_bytes(table, codes, codes, count);
            for_codes!(
                by.dequantize.zero_point,
                to_floats(s, codes.cast(), by.dequantize, part, count)
            );
        }
        i += count;
    }
}
