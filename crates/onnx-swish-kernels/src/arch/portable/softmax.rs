//! Softmax in plain Rust, by way of f64.
//!
//! Given rows of any length; promises exponentials, sums and quotients in f64, with one rounding to f32 on the way (the
//! exponentials wait in memory for their sum) and one at the end.

use crate::formula::wide::scaled_exp;

/// Elements per block: whole vectors everywhere.
const BLOCK: usize = 16;

/// Each run of `length` elements, which divides the slice's length.
pub(crate) fn rows(xy: &mut [f32], length: usize) {
    for row in xy.chunks_exact_mut(length) {
        let (blocks, last) = row.as_chunks::<BLOCK>();
        let mut max = [f32::NEG_INFINITY; BLOCK];
        for block in blocks {
            widen(&mut max, block);
        }
        let max = max
            .iter()
            .chain(last)
            .fold(f32::NEG_INFINITY, |a, &b| larger(a, b));
        let mut sum = [0.0; BLOCK];
        let (blocks, last) = row.as_chunks_mut::<BLOCK>();
        for block in blocks {
            exponentials(&[max; BLOCK], block, &mut sum);
        }
        for (x, sum) in last.iter_mut().zip(&mut sum) {
            exponentials(&[max], std::array::from_mut(x), std::array::from_mut(sum));
        }
        let factor = 1.0 / sum.iter().sum::<f64>();
        for e in row {
            *e = quotient(*e, factor);
        }
    }
}

/// Across rows of equal lengths.
pub(crate) fn columns(rows: &mut [&mut [f32]]) {
    let width = rows.first().map_or(0, |row| row.len());
    let blocks = width / BLOCK;
    for block in 0..blocks {
        column_block::<BLOCK>(rows, block * BLOCK);
    }
    for column in blocks * BLOCK..width {
        column_block::<1>(rows, column);
    }
}

fn column_block<const N: usize>(rows: &mut [&mut [f32]], at: usize) {
    let mut max = [f32::NEG_INFINITY; N];
    for row in rows.iter() {
        if let Some(x) = row[at..].first_chunk() {
            widen(&mut max, x);
        }
    }
    let mut sum = [0.0; N];
    for row in rows.iter_mut() {
        if let Some(x) = row[at..].first_chunk_mut() {
            exponentials(&max, x, &mut sum);
        }
    }
    let factor = sum.map(|sum| 1.0 / sum);
    for row in rows.iter_mut() {
        for (e, factor) in row[at..].iter_mut().zip(factor) {
            *e = quotient(*e, factor);
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    // A NaN in b loses; it makes its own exponential NaN, and by the sum all of its row.
    if b > a { b } else { a }
}

#[inline(always)]
fn widen<const N: usize>(max: &mut [f32; N], x: &[f32; N]) {
    for (max, x) in max.iter_mut().zip(x) {
        *max = larger(*max, *x);
    }
}

#[inline(always)]
fn exponentials<const N: usize>(max: &[f32; N], x: &mut [f32; N], sum: &mut [f64; N]) {
    for ((x, max), sum) in x.iter_mut().zip(max).zip(sum) {
        let e = scaled_exp(*x, *max);
        *sum += e;
        *x = e as f32;
    }
}

#[inline(always)]
fn quotient(e: f32, factor: f64) -> f32 {
    let y = (f64::from(e) * factor) as f32;
    // Not `min`: NaN must stay NaN.
    if y > 1.0 { 1.0 } else { y }
}
