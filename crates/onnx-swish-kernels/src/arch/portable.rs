//! Plain Rust, in blocks that the compiler turns into the vectors of the target.
//!
//! Given slices; promises the same results on every target, f32 and shorter rounded once from f64.

pub(crate) mod softmax;

use crate::element::sealed::Sealed;
use crate::formula::wide;
use crate::slices::Slices;

/// Elements per block: whole vectors everywhere, and a loop that the compiler vectorises rather than
/// unrolls.
const BLOCK: usize = 64;

/// The same for what is left over, padded with zeros: there is no loop over single elements.
const LAST: usize = 8;

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
    match slices {
        Slices::Apart(x, y) => {
            let ((x, last_x), (y, last_y)) = (x.as_chunks(), y.as_chunks_mut());
            let (blocks, last_betas) = betas.as_chunks::<BLOCK>();
            for ((x, betas), y) in x.iter().zip(blocks).zip(y) {
                lockstep_block(x, betas, y);
            }
            let parts = last_x.chunks(LAST).zip(last_betas.chunks(LAST));
            for ((x, betas), y) in parts.zip(last_y.chunks_mut(LAST)) {
                let mut buffer = [T::ZERO; LAST];
                lockstep_block(&padded(x), &padded(betas), &mut buffer);
                y.copy_from_slice(&buffer[..y.len()]);
            }
        }
        Slices::InPlace(xy) => {
            let (xy, last) = xy.as_chunks_mut();
            let (blocks, last_betas) = betas.as_chunks::<BLOCK>();
            for (xy, betas) in xy.iter_mut().zip(blocks) {
                let x = *xy;
                lockstep_block(&x, betas, xy);
            }
            for (xy, betas) in last.chunks_mut(LAST).zip(last_betas.chunks(LAST)) {
                let mut buffer = [T::ZERO; LAST];
                lockstep_block(&padded(xy), &padded(betas), &mut buffer);
                xy.copy_from_slice(&buffer[..xy.len()]);
            }
        }
    }
}

#[inline(always)]
fn map<T: Sealed>(slices: Slices<'_, T>, f: impl Fn(T) -> T) {
    match slices {
        Slices::Apart(x, y) => {
            let ((x, last_x), (y, last_y)) = (x.as_chunks::<BLOCK>(), y.as_chunks_mut());
            for (x, y) in x.iter().zip(y) {
                block(x, y, &f);
            }
            for (x, y) in last_x.chunks(LAST).zip(last_y.chunks_mut(LAST)) {
                let mut buffer = [T::ZERO; LAST];
                block(&padded(x), &mut buffer, &f);
                y.copy_from_slice(&buffer[..y.len()]);
            }
        }
        Slices::InPlace(xy) => {
            let (xy, last) = xy.as_chunks_mut::<BLOCK>();
            for xy in xy {
                let x = *xy;
                block(&x, xy, &f);
            }
            for xy in last.chunks_mut(LAST) {
                let mut buffer = [T::ZERO; LAST];
                block(&padded(xy), &mut buffer, &f);
                xy.copy_from_slice(&buffer[..xy.len()]);
            }
        }
    }
}

// These are inlined by force: each caller enables its own instructions for them.

#[inline(always)]
fn block<T: Sealed, const N: usize>(x: &[T; N], y: &mut [T; N], f: &impl Fn(T) -> T) {
    for (x, y) in x.iter().zip(y) {
        *y = f(*x);
    }
}

#[inline(always)]
fn lockstep_block<T: Sealed, const N: usize>(x: &[T; N], betas: &[T; N], y: &mut [T; N]) {
    for ((x, beta), y) in x.iter().zip(betas).zip(y) {
        *y = x.swish_one(beta.own_rate());
    }
}

#[inline(always)]
fn padded<T: Sealed>(last: &[T]) -> [T; LAST] {
    let mut buffer = [T::ZERO; LAST];
    buffer[..last.len()].copy_from_slice(last);
    buffer
}
