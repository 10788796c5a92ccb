//! The hyperbolic tangent of f32.
//!
//! Given slices; promises the bound of [`tanh`], and the same bits on every instruction set.

use crate::slices::Slices;
use crate::{Isa, lanewise};

/// Writes `tanh x` of each element of `x` to `y`.
///
/// At most [`crate::contract::TANH_F32_MAX_ULP`] from the exact result, by way of f64: 1 from where f32 has nothing nearer, −0 for −0,
/// subnormal numbers as they are, NaN for NaN.
///
/// Source: ONNX `Tanh`.
///
/// ```
/// let mut y = [0.0f32; 3];
/// onnx_swish_kernels::tanh(&[-0.0, 1.0, 9.1], &mut y);
/// assert_eq!(y, [-0.0, 0.761_594_2, 1.0]);
/// ```
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn tanh(x: &[f32], y: &mut [f32]) {
    tanh_with(Isa::best(), x, y);
}

/// [`tanh`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
#[track_caller]
pub fn tanh_with(isa: Isa, x: &[f32], y: &mut [f32]) {
    run(isa, Slices::apart(x, y));
}

/// [`tanh`] of each element in its place.
pub fn tanh_in_place(xy: &mut [f32]) {
    tanh_in_place_with(Isa::best(), xy);
}

/// [`tanh_in_place`] on a given instruction set.
pub fn tanh_in_place_with(isa: Isa, xy: &mut [f32]) {
    run(isa, Slices::InPlace(xy));
}

fn run(isa: Isa, slices: Slices<'_, f32>) {
    isa.run(lanewise::Tanh { slices });
}
