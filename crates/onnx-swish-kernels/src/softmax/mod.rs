//! Softmax, `e^xᵢ / Σⱼ e^xⱼ`, along any axis of f32.
//!
//! Given slices; promises the bound of [`softmax_in_place`] on every instruction set.

#[allow(unsafe_code)]
mod loops;

use crate::Isa;

/// Replaces each element of a tensor by its softmax along one axis: `e^xᵢ / Σⱼ e^xⱼ`, the sum over the axis.
///
/// `xy` is the tensor `[outer, length, inner]` in row-major order, `length` the axis; `inner` is 1 for a last axis.
///
/// At most [`crate::contract::SOFTMAX_F32_MAX_ULP`] from the exact quotient, and never above 1; subnormal results are not flushed. As
/// in ONNX Runtime, −∞ gives 0, and where an element is NaN or ∞, or all are −∞, all of the sum's elements become NaN. A
/// result does not depend on what lies outside of its sum.
///
/// Source: ONNX operator `Softmax`, version 13.
///
/// ```
/// let mut x = [0.0f32, 0.0, f32::NEG_INFINITY, 1.0];
/// onnx_swish_kernels::softmax_in_place(&mut x, 2, 2);
/// assert_eq!(x, [1.0, 0.268_941_43, 0.0, 0.731_058_6]);
/// ```
///
/// # Panics
/// If the slice is no whole number of `length·inner` elements.
pub fn softmax_in_place(xy: &mut [f32], length: usize, inner: usize) {
    softmax_in_place_with(Isa::best(), xy, length, inner);
}

/// [`softmax_in_place`] on a given instruction set.
///
/// # Panics
/// If the slice is no whole number of `length·inner` elements.
pub fn softmax_in_place_with(isa: Isa, xy: &mut [f32], length: usize, inner: usize) {
    if xy.is_empty() {
        return;
    }
    let block = length.saturating_mul(inner);
    assert!(
        block > 0 && xy.len().is_multiple_of(block),
        "{} elements are no whole number of {length}·{inner}",
        xy.len()
    );
    if inner == 1 {
        isa.run(loops::Rows { xy, length });
        return;
    }
    for block in xy.chunks_exact_mut(block) {
        let mut rows: Vec<&mut [f32]> = block.chunks_exact_mut(inner).collect();
        columns(isa, &mut rows);
    }
}

/// [`softmax_in_place`] across slices of equal lengths: over the elements of the same index. For those who split an
/// axis' neighbours among threads.
///
/// # Panics
/// If the lengths differ.
pub fn softmax_columns_in_place(rows: &mut [&mut [f32]]) {
    softmax_columns_in_place_with(Isa::best(), rows);
}

/// [`softmax_columns_in_place`] on a given instruction set.
///
/// # Panics
/// If the lengths differ.
pub fn softmax_columns_in_place_with(isa: Isa, rows: &mut [&mut [f32]]) {
    let width = rows.first().map_or(0, |row| row.len());
    assert!(
        rows.iter().all(|row| row.len() == width),
        "rows differ in length"
    );
    columns(isa, rows);
}

/// Of rows whose lengths agree.
fn columns(isa: Isa, rows: &mut [&mut [f32]]) {
    isa.run(loops::Columns { rows });
}
