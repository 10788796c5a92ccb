//! Layer and RMS normalisation of rows of f32.
//!
//! Given slices; promises the bounds of [`layer_norm`] and [`rms_norm`] on every instruction set, and that a row's result does not
//! depend on other rows.

#[allow(unsafe_code)]
mod loops;

use crate::Isa;
use loops::{Rows, Steps};

/// What [`layer_norm`] and [`rms_norm`] have in common.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Elements of a row, over which it normalises.
    pub length: usize,
    /// What is added to the variance, or to the mean of the squares.
    pub epsilon: f32,
    /// What the elements of each row are multiplied by in the end, if there is such.
    pub scale: Option<&'a [f32]>,
    /// What is added to the elements of each row after that, if there is such.
    pub bias: Option<&'a [f32]>,
}

/// Normalises each row to mean 0 and variance 1: `(x − μ)/√(σ² + ε)·scale + bias`, with μ the mean of the row, and σ² the mean of
/// `(x − μ)²`.
///
/// `x` and `y` are `[rows, length]` in row-major order.
///
/// With `z` the exact quotient, it is at most `(|z| + 1)·`[`crate::contract::NORM_F32_MAX_ERROR`] from `z` before scale and bias, which
/// round once or twice more, as long as `σ² + ε` is a normal f32. However large the mean, it costs none of the digits that the
/// differences have. A row with a NaN or an infinity becomes NaN, and one with squares that f32 does not hold 0.
///
/// Source: ONNX operator `LayerNormalization`, version 17.
///
/// ```
/// use onnx_swish_kernels::{Norm, layer_norm};
///
/// let mut y = [0.0f32; 4];
/// layer_norm(&[1.0, 3.0, -2.0, 2.0], &mut y, &Norm { length: 2, epsilon: 0.0, scale: None, bias: Some(&[0.0, 1.0]) });
/// assert_eq!(y, [-1.0, 2.0, -1.0, 2.0]);
/// ```
///
/// # Panics
/// If the slices differ in length or are no whole number of rows, or scale or bias are not one row.
#[track_caller]
pub fn layer_norm(x: &[f32], y: &mut [f32], norm: &Norm) {
    layer_norm_with(Isa::best(), x, y, norm);
}

/// [`layer_norm`] on a given instruction set.
///
/// # Panics
/// As there.
#[track_caller]
pub fn layer_norm_with(isa: Isa, x: &[f32], y: &mut [f32], norm: &Norm) {
    run::<true>(isa, x, y, norm);
}

/// Divides each row by the root of its mean square: `x/√(mean(x²) + ε)·scale + bias`.
///
/// `x` and `y` are `[rows, length]` in row-major order.
///
/// At most `|z|·`[`crate::contract::NORM_F32_MAX_ERROR`] from the exact quotient `z` before scale and bias, which round once or twice more,
/// as long as `mean(x²) + ε` is a normal f32. A row with a NaN becomes NaN; of one with infinities these do, and the rest becomes 0, as
/// does a row with squares that f32 does not hold.
///
/// Source: ONNX operator `RMSNormalization`, version 23 (Zhang and Sennrich 2019, arXiv:1910.07467).
///
/// # Panics
/// As [`layer_norm`].
#[track_caller]
pub fn rms_norm(x: &[f32], y: &mut [f32], norm: &Norm) {
    rms_norm_with(Isa::best(), x, y, norm);
}

/// [`rms_norm`] on a given instruction set.
///
/// # Panics
/// As [`layer_norm`].
#[track_caller]
pub fn rms_norm_with(isa: Isa, x: &[f32], y: &mut [f32], norm: &Norm) {
    run::<false>(isa, x, y, norm);
}

#[track_caller]
fn run<const CENTRED: bool>(isa: Isa, x: &[f32], y: &mut [f32], norm: &Norm) {
    let Norm {
        length,
        epsilon,
        scale,
        bias,
    } = *norm;
    assert_eq!(x.len(), y.len(), "x and y differ in length");
    if x.is_empty() {
        return;
    }
    assert!(
        length > 0 && x.len().is_multiple_of(length),
        "{} elements are no whole number of rows of {length}",
        x.len()
    );
    for (what, row) in [("scale", scale), ("bias", bias)] {
        assert!(
            row.is_none_or(|row| row.len() == length),
            "the {what} is not one row of {length}"
        );
    }
    isa.run(Rows::<CENTRED> {
        x,
        y,
        length,
        epsilon,
        steps: Steps { scale, bias },
    });
}
