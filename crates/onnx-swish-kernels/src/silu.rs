//! SiLU, `x·σ(x)`.
//!
//! Given slices; promises the bound of [`silu`] on every instruction set.

use crate::{Element, Isa, swish_in_place_with, swish_with};

/// Writes `x·σ(x)`, `σ(t) = 1/(1 + e⁻ᵗ)`, of each element of `x` to `y`.
///
/// For any x: at most 2 ulp for f32 and f64, at most 1 for f16 and bf16 ([`crate::contract`]);
/// NaN for NaN and for −∞ (which is −∞·0), ∞ for ∞, a zero of x's sign for zero.
///
/// Source: Elfwing, Uchibe, Doya, "Sigmoid-weighted linear units", 2017, arXiv:1702.03118.
///
/// ```
/// let x = [-1.0f32, 0.0, 1.0];
/// let mut y = [0.0; 3];
/// onnx_swish_kernels::silu(&x, &mut y);
/// assert!((y[2] - 0.731_058_6).abs() < 1e-6);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn silu<T: Element>(x: &[T], y: &mut [T]) {
    silu_with(Isa::best(), x, y);
}

/// [`silu`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn silu_with<T: Element>(isa: Isa, x: &[T], y: &mut [T]) {
    swish_with(isa, x, 1.0f32.into(), y);
}

/// [`silu`] of each element in its place.
pub fn silu_in_place<T: Element>(xy: &mut [T]) {
    silu_in_place_with(Isa::best(), xy);
}

/// [`silu_in_place`] on a given instruction set.
pub fn silu_in_place_with<T: Element>(isa: Isa, xy: &mut [T]) {
    swish_in_place_with(isa, xy, 1.0f32.into());
}
