//! Swish, `x·σ(β·x)`, with β a scalar, a tensor in lockstep with x, or one per channel.
//!
//! Given slices; promises the bound of [`swish`] on every instruction set.

use crate::element::sealed::Run;
use crate::lanewise::Lockstep;
use crate::slices::Slices;
use crate::{Element, Isa};

/// Writes `x·σ(β·x)` of each element of `x` to `y`, with one β, which any number may be.
///
/// For any x and β: at most 2 ulp for f32 and f64, at most 1 for f16 and bf16
/// ([`crate::contract`]), `β·x` not being rounded. β = 0 gives `x/2`, a huge β ReLU.
///
/// Source: Ramachandran, Zoph, Le, "Searching for activation functions", 2017, arXiv:1710.05941.
/// ONNX's operator `Swish` calls β alpha.
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
    T::run_swish(isa, Run(Slices::apart(x, y)), beta);
}

/// [`swish`] of each element in its place.
pub fn swish_in_place<T: Element>(xy: &mut [T], beta: T::Param) {
    swish_in_place_with(Isa::best(), xy, beta);
}

/// [`swish_in_place`] on a given instruction set.
pub fn swish_in_place_with<T: Element>(isa: Isa, xy: &mut [T], beta: T::Param) {
    T::run_swish(isa, Run(Slices::InPlace(xy)), beta);
}

/// Writes `x[i]·σ(betas[i]·x[i])` to `y[i]`, to the bounds of [`swish`].
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
    lockstep(isa, Slices::apart(x, y), betas);
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
pub fn swish_lockstep_in_place_with<T: Element>(isa: Isa, xy: &mut [T], betas: &[T]) {
    lockstep(isa, Slices::InPlace(xy), betas);
}

fn lockstep<T: Element>(isa: Isa, slices: Slices<'_, T>, betas: &[T]) {
    assert_eq!(slices.len(), betas.len(), "x and betas differ in length");
    isa.run(Lockstep { slices, betas });
}

/// Swish with one β per channel, x being `[.., channels, inner]` in row-major order: plane `p`
/// (elements `p·inner .. (p + 1)·inner`) has `betas[p % betas.len()]`.
///
/// For NCHW `inner` is `H·W`; for channels-last it is 1. The bounds are those of [`swish`].
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
    per_channel(isa, Slices::apart(x, y), betas, inner);
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
    per_channel(isa, Slices::InPlace(xy), betas, inner);
}

fn per_channel<T: Element>(isa: Isa, slices: Slices<'_, T>, betas: &[T], inner: usize) {
    let n = slices.len();
    if n == 0 {
        return;
    }
    assert!(
        n.is_multiple_of(betas.len().saturating_mul(inner)),
        "{n} elements are no whole number of {} channels of {inner}",
        betas.len(),
    );
    if inner == 1 {
        slices.for_each_piece(betas.len(), |slices| isa.run(Lockstep { slices, betas }));
        return;
    }
    let mut betas = betas.iter().cycle();
    slices.for_each_piece(inner, |plane| {
        if let Some(beta) = betas.next() {
            T::run_swish(isa, Run(plane), beta.to_param());
        }
    });
}
