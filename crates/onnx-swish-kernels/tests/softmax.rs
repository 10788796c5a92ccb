//! Softmax on every instruction set of this machine against its definition in f64.
//!
//! Lengths of a million with
//! `cargo test --release -p onnx-swish-kernels --test softmax -- --ignored --nocapture`.

#![allow(
    clippy::print_stdout,
    reason = "the figures, for those who ask with --nocapture"
)]

use onnx_swish_kernels::contract::SOFTMAX_F32_MAX_ULP;
use onnx_swish_kernels::*;
use proptest::prelude::*;

/// The definition, over a tensor `[outer, length, inner]`.
fn naive(x: &[f32], length: usize, inner: usize) -> Vec<f64> {
    let mut y = vec![0.0; x.len()];
    for start in 0..x.len() {
        // The first element of each sum.
        if !(start / inner).is_multiple_of(length) {
            continue;
        }
        let places = || (0..length).map(|i| start + i * inner);
        let max = places().fold(f64::NEG_INFINITY, |max, i| max.max(x[i].into()));
        let sum: f64 = places().map(|i| (f64::from(x[i]) - max).exp()).sum();
        for i in places() {
            y[i] = (f64::from(x[i]) - max).exp() / sum;
        }
    }
    y
}

/// The distance in units of the last place of f32 at the exact result.
fn ulp(y: f32, exact: f64) -> f64 {
    let exponent = (exact.log2().floor()).max(-126.0);
    (f64::from(y) - exact).abs() / (exponent - 23.0).exp2()
}

/// The largest error of one call. Panics where NaN is due and a number is there, or the other way round.
fn error(isa: Isa, x: &[f32], length: usize, inner: usize) -> f64 {
    let mut y = x.to_vec();
    softmax_in_place_with(isa, &mut y, length, inner);
    let mut worst = 0f64;
    for (i, (&y, exact)) in y.iter().zip(naive(x, length, inner)).enumerate() {
        assert_eq!(
            y.is_nan(),
            exact.is_nan(),
            "{isa}, [_, {length}, {inner}], element {i}: {y:e}, exact {exact:e}"
        );
        if !exact.is_nan() {
            assert!((0.0..=1.0).contains(&y), "{isa}: {y:e}");
            worst = worst.max(ulp(y, exact));
        }
    }
    worst
}

fn holds(x: &[f32], length: usize, inner: usize) {
    for isa in Isa::available() {
        let worst = error(isa, x, length, inner);
        assert!(
            worst <= SOFTMAX_F32_MAX_ULP,
            "{isa}, [_, {length}, {inner}]: {worst} ulp"
        );
    }
}

/// Numbers in [-1, 1), the same on every machine.
fn noise(n: usize, seed: u32) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..n).map(move |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

#[test]
fn the_bound_holds_at_every_scale_and_offset() {
    for (seed, scale) in [1e-6, 0.1, 1.0, 5.0, 20.0, 60.0, 110.0, 1e3, 1e6, 1e30, 3e38]
        .into_iter()
        .enumerate()
    {
        for offset in [
            0.0, -3.7, 100.0, -200.0, 255.9, -256.0, 300.0, 1e5, -1e7, 2e38,
        ] {
            for (length, inner) in [(1, 1), (7, 1), (16, 1), (83, 1), (400, 1), (16, 70)] {
                let x: Vec<f32> = noise(3 * length * inner, seed as u32)
                    .map(|x| (x * scale + offset).clamp(f32::MIN, f32::MAX))
                    .collect();
                holds(&x, length, inner);
            }
        }
    }
}

#[test]
fn the_bound_holds_for_terms_that_grow_shrink_or_are_alike() {
    // Sums whose roundings all go one way are the hard ones.
    for length in [2, 16, 100, 1000] {
        for step in [0.0, 1e-3, 0.05, 0.7, -1e-3, -0.05, -0.7] {
            let row: Vec<f32> = (0..length).map(|i| i as f32 * step).collect();
            holds(&row, length, 1);
            let spread: Vec<f32> = row.iter().flat_map(|&x| vec![x; 19]).collect();
            holds(&spread, length, 19);
        }
    }
}

#[test]
#[ignore = "prints how far off rows of any length are; the contract speaks of a thousand"]
fn long_axes() {
    for length in [16, 1000, 10_000, 100_000, 1 << 20] {
        for isa in Isa::available() {
            for inner in [1, 16] {
                let mut worst = 0f64;
                for seed in 0..(4_000_000 / (length * inner)).max(2) {
                    let x: Vec<f32> = noise(length * inner, seed as u32)
                        .map(|x| x * 8.0)
                        .collect();
                    worst = worst.max(error(isa, &x, length, inner));
                }
                println!("{isa} [{length}, {inner}]: {worst:.4} ulp");
            }
        }
    }
}

#[test]
fn nan_and_infinities_are_as_in_onnx_runtime() {
    // Inputs and what ONNX Runtime 1.32 gives for them, along the last axis and along the first.
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let cases: [([f32; 4], [f32; 4]); 8] = [
        ([1.0, nan, 2.0, 3.0], [nan; 4]),
        (
            [1.0, -inf, 2.0, 3.0],
            [0.090_030_57, 0.0, 0.244_728_48, 0.665_240_94],
        ),
        ([-inf; 4], [nan; 4]),
        ([1.0, inf, 2.0, 3.0], [nan; 4]),
        ([inf, -inf, inf, 0.0], [nan; 4]),
        ([nan; 4], [nan; 4]),
        ([3e38, -3e38, 0.0, 3e38], [0.5, 0.0, 0.0, 0.5]),
        // Subnormal quotients, and one too small for them.
        (
            [0.0, -103.5, -104.5, -80.0],
            [1.0, 1e-45, 0.0, 1.804_851_3e-35],
        ),
    ];
    for isa in Isa::available() {
        for (x, expected) in cases {
            for columns in [1, 3, 16, 37, 64] {
                // Ordinary neighbours on both sides, which must not be touched by it.
                let mut spread = Vec::new();
                for (i, x) in x.iter().enumerate() {
                    spread.extend((0..columns).map(|c| {
                        if c == columns / 2 {
                            *x
                        } else {
                            (c + i) as f32 * 0.1
                        }
                    }));
                }
                softmax_in_place_with(isa, &mut spread, 4, columns);
                for (i, expected) in expected.iter().enumerate() {
                    for c in 0..columns {
                        let y = spread[i * columns + c];
                        if c != columns / 2 {
                            assert!(y > 0.1 && y < 0.5, "{isa}: a neighbour became {y}");
                        } else if expected.is_nan() {
                            assert!(y.is_nan(), "{isa}, {x:?}: {y}");
                        } else {
                            // Theirs is off by an ulp or two as well.
                            let near = (y - expected).abs() <= 4e-7 * expected + 1e-45;
                            assert!(near, "{isa}, {x:?}: {y:e} for {expected:e}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_outside_of_the_slice_is_touched_and_nothing_happens_to_nothing() {
    for isa in Isa::available() {
        for (length, inner) in [(5, 1), (33, 1), (64, 1), (5, 3), (2, 67)] {
            let mut all = vec![7.5f32; length * inner + 40];
            softmax_in_place_with(isa, &mut all[20..20 + length * inner], length, inner);
            assert!(
                all[..20]
                    .iter()
                    .chain(&all[20 + length * inner..])
                    .all(|x| *x == 7.5)
            );
        }
        for (length, inner) in [(0, 1), (4, 0), (4, 1)] {
            softmax_in_place_with(isa, &mut [], length, inner);
        }
        softmax_columns_in_place_with(isa, &mut []);
    }
}

#[test]
#[should_panic(expected = "no whole number of 3·2")]
fn a_length_that_does_not_divide_panics() {
    softmax_in_place(&mut [0.0; 8], 3, 2);
}

#[test]
#[should_panic(expected = "rows differ in length")]
fn rows_of_unequal_lengths_panic() {
    softmax_columns_in_place(&mut [&mut [0.0; 3], &mut [0.0; 2]]);
}

/// Ordinary numbers, now and then a special one.
fn number() -> impl Strategy<Value = f32> {
    prop_oneof![
        60 => -20f32..20.0,
        10 => -300f32..300.0,
        2 => any::<f32>(),
        1 => Just(f32::NEG_INFINITY),
    ]
}

/// A tensor `[outer, length, inner]`.
fn tensors() -> impl Strategy<Value = (Vec<f32>, usize, usize)> {
    let inner = prop_oneof![Just(1usize), 1usize..90];
    (1usize..4, 1usize..90, inner).prop_flat_map(|(outer, length, inner)| {
        let values = proptest::collection::vec(number(), outer * length * inner);
        (values, Just(length), Just(inner))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_shape_holds_the_bound((x, length, inner) in tensors()) {
        holds(&x, length, inner);
    }

    /// What threads rely on: columns may be cut anywhere.
    #[test]
    fn columns_apart_are_columns_together((x, length, inner) in tensors(), cut in 0usize..90) {
        let cut = cut.min(inner);
        for isa in Isa::available() {
            let mut together = x[..length * inner].to_vec();
            let mut apart = together.clone();
            softmax_columns_in_place_with(isa, &mut together.chunks_exact_mut(inner).collect::<Vec<_>>());
            let (mut left, mut right): (Vec<_>, Vec<_>) =
                apart.chunks_exact_mut(inner).map(|row| row.split_at_mut(cut)).unzip();
            softmax_columns_in_place_with(isa, &mut left);
            softmax_columns_in_place_with(isa, &mut right);
            for (a, b) in together.iter().zip(&apart) {
                prop_assert!(a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            }
        }
    }
}
