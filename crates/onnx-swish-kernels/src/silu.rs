//! SiLU, `x·σ(x)`.
//!
//! Given slices; promises the bound of [`silu`] on every instruction set.

use crate::{Element, Isa, swish_in_place_with, swish_with};

/// Writes `x·σ(x)` of each element of `x` to `y`.
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
