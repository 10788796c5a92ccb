//! SiLU, `x·σ(x)`.
//!
//! Given slices; promises the bound of [`silu`] on every instruction set.

use crate::{Element, Isa, swish::apart, swish::in_place};

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
    apart(isa, x, y, |x| crate::plain::swish(x, 1.0));
}

/// [`silu`] of each element in its place.
pub fn silu_in_place<T: Element>(xy: &mut [T]) {
    silu_in_place_with(Isa::best(), xy);
}

/// [`silu_in_place`] on a given instruction set.
pub fn silu_in_place_with<T: Element>(isa: Isa, xy: &mut [T]) {
    in_place(isa, xy, |x| crate::plain::swish(x, 1.0));
}
