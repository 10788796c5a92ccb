//! One element at a time, in blocks that the compiler turns into the vectors of an instruction set.
//!
//! Given slices; promises the same bits on every instruction set. For f64, for tanh, for β in lockstep with x, and for the parameters of
//! HardSwish that the formulas on registers leave out.

use onnx_swish_simd::{Kernel, Simd};

use crate::element::Scalar;
use crate::formula::wide;
use crate::slices::Slices;

/// Elements per block: whole vectors everywhere, and a loop that the compiler vectorises rather than
/// unrolls.
const BLOCK: usize = 64;

/// The same for what is left over, padded with zeros: there is no loop over single elements.
const LAST: usize = 8;

/// `x·σ(β·x)`, given what [`Scalar::own_rate`] is of β.
pub(crate) struct Swish<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) rate: f64,
}

impl<T: Scalar> Kernel for Swish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        map(self.slices, |x| x.swish_one(self.rate));
    }
}

/// `tanh x`.
pub(crate) struct Tanh<'a> {
    pub(crate) slices: Slices<'a, f32>,
}

impl Kernel for Tanh<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        map(self.slices, wide::tanh);
    }
}

/// `x·clamp(α·x + β, 0, 1)` of any α and β.
pub(crate) struct HardSwish<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
}

impl<T: Scalar> Kernel for HardSwish<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        map(self.slices, |x| x.hard_swish_one(self.alpha, self.beta));
    }
}

/// `clamp(α·x + β, 0, 1)` of any α and β.
pub(crate) struct HardSigmoid<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
}

impl<T: Scalar> Kernel for HardSigmoid<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        map(self.slices, |x| x.hard_sigmoid_one(self.alpha, self.beta));
    }
}

/// `x[i]·σ(betas[i]·x[i])`.
pub(crate) struct Lockstep<'a, T> {
    pub(crate) slices: Slices<'a, T>,
    pub(crate) betas: &'a [T],
}

impl<T: Scalar> Kernel for Lockstep<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        swish_lockstep(self.slices, self.betas);
    }
}

// These are inlined by force: each instruction set enables its own instructions for them.

#[inline(always)]
fn swish_lockstep<T: Scalar>(slices: Slices<'_, T>, betas: &[T]) {
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
pub(crate) fn map<T: Scalar>(slices: Slices<'_, T>, f: impl Fn(T) -> T) {
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

#[inline(always)]
fn block<T: Scalar, const N: usize>(x: &[T; N], y: &mut [T; N], f: &impl Fn(T) -> T) {
    for (x, y) in x.iter().zip(y) {
        *y = f(*x);
    }
}

#[inline(always)]
fn lockstep_block<T: Scalar, const N: usize>(x: &[T; N], betas: &[T; N], y: &mut [T; N]) {
    for ((x, beta), y) in x.iter().zip(betas).zip(y) {
        *y = x.swish_one(beta.own_rate());
    }
}

#[inline(always)]
fn padded<T: Scalar>(last: &[T]) -> [T; LAST] {
    let mut buffer = [T::ZERO; LAST];
    buffer[..last.len()].copy_from_slice(last);
    buffer
}
