//! Swish, `x·σ(β·x)`, with β a scalar, a tensor in lockstep with x, or one per channel.
//!
//! Given slices; promises the bound of [`swish`] on every instruction set.

use crate::{Element, Isa};

pub(crate) fn apart<T: Element>(_isa: Isa, x: &[T], y: &mut [T], f: impl Fn(f64) -> f64) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    for (x, y) in x.iter().zip(y) {
        *y = T::narrow(f(x.wide()));
    }
}

pub(crate) fn in_place<T: Element>(_isa: Isa, xy: &mut [T], f: impl Fn(f64) -> f64) {
    for x in xy {
        *x = T::narrow(f(x.wide()));
    }
}

/// Writes `x·σ(β·x)` of each element of `x` to `y`, with one β.
///
/// # Panics
/// If the lengths differ.
pub fn swish<T: Element>(x: &[T], beta: T::Param, y: &mut [T]) {
    swish_with(Isa::best(), x, beta, y);
}

/// [`swish`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn swish_with<T: Element>(isa: Isa, x: &[T], beta: T::Param, y: &mut [T]) {
    let beta = T::param_wide(beta);
    apart(isa, x, y, |x| crate::plain::swish(x, beta));
}

/// [`swish`] of each element in its place.
pub fn swish_in_place<T: Element>(xy: &mut [T], beta: T::Param) {
    swish_in_place_with(Isa::best(), xy, beta);
}

/// [`swish_in_place`] on a given instruction set.
pub fn swish_in_place_with<T: Element>(isa: Isa, xy: &mut [T], beta: T::Param) {
    let beta = T::param_wide(beta);
    in_place(isa, xy, |x| crate::plain::swish(x, beta));
}

/// Writes `x[i]·σ(betas[i]·x[i])` to `y[i]`.
///
/// # Panics
/// If the lengths differ.
pub fn swish_lockstep<T: Element>(x: &[T], betas: &[T], y: &mut [T]) {
    swish_lockstep_with(Isa::best(), x, betas, y);
}

/// [`swish_lockstep`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn swish_lockstep_with<T: Element>(isa: Isa, x: &[T], betas: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    y.copy_from_slice(x);
    swish_lockstep_in_place_with(isa, y, betas);
}

/// [`swish_lockstep`] of each element in its place.
///
/// # Panics
/// If the lengths differ.
pub fn swish_lockstep_in_place<T: Element>(xy: &mut [T], betas: &[T]) {
    swish_lockstep_in_place_with(Isa::best(), xy, betas);
}

/// [`swish_lockstep_in_place`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn swish_lockstep_in_place_with<T: Element>(_isa: Isa, xy: &mut [T], betas: &[T]) {
    assert_eq!(xy.len(), betas.len(), "x and betas differ in length");
    for (x, beta) in xy.iter_mut().zip(betas) {
        *x = T::narrow(crate::plain::swish(x.wide(), beta.wide()));
    }
}

/// Swish with one β per channel, x being `[.., channels, inner]` in row-major order: plane `p`
/// (elements `p·inner .. (p + 1)·inner`) has `betas[p % betas.len()]`.
///
/// For NCHW `inner` is `H·W`; for channels-last it is 1.
///
/// # Panics
/// If the lengths of x and y differ, or the length of x is no multiple of `betas.len()·inner`.
pub fn swish_per_channel<T: Element>(x: &[T], betas: &[T], inner: usize, y: &mut [T]) {
    swish_per_channel_with(Isa::best(), x, betas, inner, y);
}

/// [`swish_per_channel`] on a given instruction set.
///
/// # Panics
/// As [`swish_per_channel`].
pub fn swish_per_channel_with<T: Element>(
    isa: Isa,
    x: &[T],
    betas: &[T],
    inner: usize,
    y: &mut [T],
) {
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    y.copy_from_slice(x);
    swish_per_channel_in_place_with(isa, y, betas, inner);
}

/// [`swish_per_channel`] of each element in its place.
///
/// # Panics
/// If the length of x is no multiple of `betas.len()·inner`.
pub fn swish_per_channel_in_place<T: Element>(xy: &mut [T], betas: &[T], inner: usize) {
    swish_per_channel_in_place_with(Isa::best(), xy, betas, inner);
}

/// [`swish_per_channel_in_place`] on a given instruction set.
///
/// # Panics
/// As [`swish_per_channel_in_place`].
pub fn swish_per_channel_in_place_with<T: Element>(
    isa: Isa,
    xy: &mut [T],
    betas: &[T],
    inner: usize,
) {
    if xy.is_empty() {
        return;
    }
    assert!(
        xy.len().is_multiple_of(betas.len().saturating_mul(inner)),
        "{} elements are no whole number of {} channels of {inner}",
        xy.len(),
        betas.len(),
    );
    for (plane, beta) in xy.chunks_exact_mut(inner).zip(betas.iter().cycle()) {
        swish_in_place_with(isa, plane, beta.to_param());
    }
}
