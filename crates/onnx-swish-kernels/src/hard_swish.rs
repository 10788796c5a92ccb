//! HardSwish, `x·clamp(α·x + β, 0, 1)`, at the standard slope and at any.
//!
//! Given slices; promises the bound of [`hard_swish`] on every instruction set.

use crate::element::sealed::Run;
use crate::slices::Slices;
use crate::{Element, Isa};

/// The standard slope, 1/6 in single precision: what ONNX's `HardSigmoid` attribute holds in the
/// function body of `HardSwish`, for every element type.
pub const HARD_SWISH_ALPHA: f32 = 1.0 / 6.0;

/// The standard offset, 1/2.
pub const HARD_SWISH_BETA: f32 = 0.5;

/// Writes `x·clamp(x/6 + 1/2, 0, 1)` of each element of `x` to `y`, 1/6 being
/// [`HARD_SWISH_ALPHA`].
///
/// For any x: at most 2 ulp for f32 and f64, at most 1 for f16 and bf16 ([`crate::contract`]),
/// next to −3 too; x itself from 3 on; NaN for NaN and for −∞ (which is −∞·0).
///
/// Source: Howard et al., "Searching for MobileNetV3", 2019, arXiv:1905.02244.
///
/// # Panics
/// If the lengths differ.
pub fn hard_swish<T: Element>(x: &[T], y: &mut [T]) {
    hard_swish_with(Isa::best(), x, y);
}

/// [`hard_swish`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn hard_swish_with<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    let (alpha, beta) = (HARD_SWISH_ALPHA.into(), HARD_SWISH_BETA.into());
    sloped_hard_swish_with(isa, x, alpha, beta, y);
}

/// [`hard_swish`] of each element in its place.
pub fn hard_swish_in_place<T: Element>(xy: &mut [T]) {
    hard_swish_in_place_with(Isa::best(), xy);
}

/// [`hard_swish_in_place`] on a given instruction set.
pub fn hard_swish_in_place_with<T: Element>(isa: Isa, xy: &mut [T]) {
    let (alpha, beta) = (HARD_SWISH_ALPHA.into(), HARD_SWISH_BETA.into());
    sloped_hard_swish_in_place_with(isa, xy, alpha, beta);
}

/// Writes `x·clamp(alpha·x + beta, 0, 1)` of each element of `x` to `y`, to the bounds of
/// [`hard_swish`].
///
/// Any parameters will do; where `alpha·x + beta` is NaN, so is the result. In f64 an alpha that is
/// not zero but below 2⁻⁹⁰⁰ may cost the bound: the gate itself is then subnormal.
///
/// # Panics
/// If the lengths differ.
pub fn sloped_hard_swish<T: Element>(x: &[T], alpha: T::Param, beta: T::Param, y: &mut [T]) {
    sloped_hard_swish_with(Isa::best(), x, alpha, beta, y);
}

/// [`sloped_hard_swish`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn sloped_hard_swish_with<T: Element>(
    isa: Isa,
    x: &[T],
    alpha: T::Param,
    beta: T::Param,
    y: &mut [T],
) {
    T::run_hard_swish(isa, Run(Slices::apart(x, y)), alpha, beta);
}

/// [`sloped_hard_swish`] of each element in its place.
pub fn sloped_hard_swish_in_place<T: Element>(xy: &mut [T], alpha: T::Param, beta: T::Param) {
    sloped_hard_swish_in_place_with(Isa::best(), xy, alpha, beta);
}

/// [`sloped_hard_swish_in_place`] on a given instruction set.
pub fn sloped_hard_swish_in_place_with<T: Element>(
    isa: Isa,
    xy: &mut [T],
    alpha: T::Param,
    beta: T::Param,
) {
    T::run_hard_swish(isa, Run(Slices::InPlace(xy)), alpha, beta);
}
