//! Plain Rust, in blocks that the compiler turns into the vectors of the target.
//!
//! Given slices; promises the same results on every target, f32 and shorter rounded once from f64.

use crate::element::sealed::Sealed;
use crate::formula::wide;
use crate::slices::Slices;

/// Elements per block: whole vectors everywhere, and enough of them to keep a processor busy.
const BLOCK: usize = 16;

/// `x·σ(x)` of one element.
#[must_use]
#[inline]
pub fn silu_lane(x: f32) -> f32 {
    wide::swish(x, wide::rate(1.0))
}

/// `x·σ(β·x)` of one element.
#[must_use]
#[inline]
pub fn swish_lane(x: f32, constants: &crate::SwishConstants) -> f32 {
    wide::swish(x, constants.wide_rate)
}

/// `x·clamp(x/6 + 1/2, 0, 1)` of one element.
#[must_use]
#[inline]
pub fn hard_swish_lane(x: f32) -> f32 {
    sloped_hard_swish_lane(x, crate::HARD_SWISH_ALPHA, crate::HARD_SWISH_BETA)
}

/// `x·clamp(alpha·x + beta, 0, 1)` of one element.
#[must_use]
#[inline]
pub fn sloped_hard_swish_lane(x: f32, alpha: f32, beta: f32) -> f32 {
    wide::hard_swish(x, alpha.into(), beta.into())
}

#[inline(always)]
pub(crate) fn swish<T: Sealed>(slices: Slices<'_, T>, rate: f64) {
    map(slices, |x| x.swish_one(rate));
}

#[inline(always)]
pub(crate) fn hard_swish<T: Sealed>(slices: Slices<'_, T>, alpha: f64, beta: f64) {
    map(slices, |x| x.hard_swish_one(alpha, beta));
}

#[inline(always)]
pub(crate) fn swish_lockstep<T: Sealed>(slices: Slices<'_, T>, betas: &[T]) {
    let block = |x: &[T; BLOCK], betas: &[T; BLOCK], y: &mut [T; BLOCK]| {
        for ((x, beta), y) in x.iter().zip(betas).zip(y) {
            *y = x.swish_one(beta.own_rate());
        }
    };
    let (betas, last_betas) = betas.as_chunks::<BLOCK>();
    match slices {
        Slices::Apart(x, y) => {
            let ((x, last_x), (y, last_y)) = (x.as_chunks(), y.as_chunks_mut());
            for ((x, betas), y) in x.iter().zip(betas).zip(y) {
                block(x, betas, y);
            }
            let mut buffer = [T::ZERO; BLOCK];
            block(&padded(last_x), &padded(last_betas), &mut buffer);
            last_y.copy_from_slice(&buffer[..last_x.len()]);
        }
        Slices::InPlace(xy) => {
            let (xy, last) = xy.as_chunks_mut();
            for (xy, betas) in xy.iter_mut().zip(betas) {
                let x = *xy;
                block(&x, betas, xy);
            }
            let mut buffer = [T::ZERO; BLOCK];
            block(&padded(last), &padded(last_betas), &mut buffer);
            last.copy_from_slice(&buffer[..last.len()]);
        }
    }
}

#[inline(always)]
fn padded<T: Sealed>(last: &[T]) -> [T; BLOCK] {
    let mut buffer = [T::ZERO; BLOCK];
    buffer[..last.len()].copy_from_slice(last);
    buffer
}

#[inline(always)]
fn map<T: Sealed>(slices: Slices<'_, T>, f: impl Fn(T) -> T) {
    let block = |x: &[T; BLOCK], y: &mut [T; BLOCK]| {
        for (x, y) in x.iter().zip(y) {
            *y = f(*x);
        }
    };
    match slices {
        Slices::Apart(x, y) => {
            let ((x, last_x), (y, last_y)) = (x.as_chunks(), y.as_chunks_mut());
            for (x, y) in x.iter().zip(y) {
                block(x, y);
            }
            if !last_x.is_empty() {
                let mut buffer = [T::ZERO; BLOCK];
                block(&padded(last_x), &mut buffer);
                last_y.copy_from_slice(&buffer[..last_x.len()]);
            }
        }
        Slices::InPlace(xy) => {
            let (xy, last) = xy.as_chunks_mut();
            for xy in xy {
                let x = *xy;
                block(&x, xy);
            }
            if !last.is_empty() {
                let mut buffer = [T::ZERO; BLOCK];
                block(&padded(last), &mut buffer);
                last.copy_from_slice(&buffer[..last.len()]);
            }
        }
    }
}
