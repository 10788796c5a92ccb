//! The gates alone: Sigmoid, `σ(x) = 1/(1 + e⁻ˣ)`, and HardSigmoid, `clamp(α·x + β, 0, 1)`.
//!
//! Given slices; promises the bounds of [`sigmoid`] and [`hard_sigmoid`] on every instruction set.

use crate::element::sealed::Run;
use crate::slices::Slices;
use crate::{Element, Isa, lanewise};

/// Writes `1/(1 + e⁻ˣ)` of each element of `x` to `y`.
///
/// For any x: at most 2 ulp for f32 and f64, at most 1 for f16 and bf16 ([`crate::contract`]), subnormal
/// results included; NaN for NaN, 0 for −∞, 1 for ∞.
///
/// Source: ONNX `Sigmoid`; the formula is [`crate::silu`]'s without its factor x.
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid<T: Element>(x: &[T], y: &mut [T]) {
    sigmoid_with(Isa::best(), x, y);
}

/// [`sigmoid`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid_with<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    T::run_sigmoid(isa, Run(Slices::apart(x, y)));
}

/// [`sigmoid`] of each element in its place.
pub fn sigmoid_in_place<T: Element>(xy: &mut [T]) {
    sigmoid_in_place_with(Isa::best(), xy);
}

/// [`sigmoid_in_place`] on a given instruction set.
pub fn sigmoid_in_place_with<T: Element>(isa: Isa, xy: &mut [T]) {
    T::run_sigmoid(isa, Run(Slices::InPlace(xy)));
}

/// Writes `clamp(alpha·x + beta, 0, 1)` of each element of `x` to `y`.
///
/// For any x: the exact result rounded once for f32, f16 and bf16 (of f16 and bf16 to f32 first), at most 2 ulp
/// for f64; NaN for NaN, and where `alpha·x + beta` is NaN.
///
/// Source: ONNX `HardSigmoid`, whose defaults are 0.2 and 0.5.
///
/// # Panics
/// If the lengths differ.
pub fn hard_sigmoid<T: Element>(x: &[T], alpha: T::Param, beta: T::Param, y: &mut [T]) {
    hard_sigmoid_with(Isa::best(), x, alpha, beta, y);
}

/// [`hard_sigmoid`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn hard_sigmoid_with<T: Element>(
    isa: Isa,
    x: &[T],
    alpha: T::Param,
    beta: T::Param,
    y: &mut [T],
) {
    hard(isa, Slices::apart(x, y), alpha, beta);
}

/// [`hard_sigmoid`] of each element in its place.
pub fn hard_sigmoid_in_place<T: Element>(xy: &mut [T], alpha: T::Param, beta: T::Param) {
    hard_sigmoid_in_place_with(Isa::best(), xy, alpha, beta);
}

/// [`hard_sigmoid_in_place`] on a given instruction set.
pub fn hard_sigmoid_in_place_with<T: Element>(
    isa: Isa,
    xy: &mut [T],
    alpha: T::Param,
    beta: T::Param,
) {
    hard(isa, Slices::InPlace(xy), alpha, beta);
}

fn hard<T: Element>(isa: Isa, slices: Slices<'_, T>, alpha: T::Param, beta: T::Param) {
    let (alpha, beta) = (alpha.into(), beta.into());
    isa.run(lanewise::HardSigmoid {
        slices,
        alpha,
        beta,
    });
}
