//! Layer and RMS normalisation on every instruction set of this machine against their definitions in f64.
//!
//! How far off they are, with `cargo test --release -p onnx-swish-kernels --test norm -- --ignored --nocapture`.

#![allow(
    clippy::print_stdout,
    reason = "the figures, for those who ask with --nocapture"
)]

use onnx_swish_kernels::contract::NORM_F32_MAX_ERROR;
use onnx_swish_kernels::*;

/// The definition, of one row: `(x − μ)/√(σ² + ε)`, or without the mean.
fn naive(x: &[f32], epsilon: f32, centred: bool) -> Vec<f64> {
    let count = x.len() as f64;
    // Two passes: what the first rounds, the second finds.
    let mut mean = 0.0;
    for _ in 0..2 * usize::from(centred) {
        mean += x.iter().map(|&x| f64::from(x) - mean).sum::<f64>() / count;
    }
    let square = x
        .iter()
        .map(|&x| (f64::from(x) - mean).powi(2))
        .sum::<f64>()
        / count;
    let root = (square + f64::from(epsilon)).sqrt();
    x.iter().map(|&x| (f64::from(x) - mean) / root).collect()
}

fn run(isa: Isa, x: &[f32], norm: &Norm, centred: bool) -> Vec<f32> {
    // What is not written stays NaN.
    let mut y = vec![f32::NAN; x.len()];
    if centred {
        layer_norm_with(isa, x, &mut y, norm);
    } else {
        rms_norm_with(isa, x, &mut y, norm);
    }
    y
}

fn rows(length: usize, epsilon: f32) -> Norm<'static> {
    Norm {
        length,
        epsilon,
        scale: None,
        bias: None,
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

const LENGTHS: [usize; 16] = [
    1, 2, 3, 7, 8, 16, 31, 33, 64, 96, 257, 512, 513, 768, 2049, 10_000,
];

/// The largest error of one call, as the contract counts it.
fn error(isa: Isa, x: &[f32], length: usize, epsilon: f32, centred: bool) -> f64 {
    let y = run(isa, x, &rows(length, epsilon), centred);
    let exact = x
        .chunks(length)
        .flat_map(|row| naive(row, epsilon, centred));
    let off = y.iter().zip(exact).map(|(&y, z)| {
        assert!(!y.is_nan(), "{isa}, rows of {length}: NaN for {z:e}");
        (f64::from(y) - z).abs() / (z.abs() + f64::from(u8::from(centred)))
    });
    off.fold(0.0, f64::max)
}

fn holds(x: &[f32], length: usize, epsilon: f32, centred: bool) {
    for isa in Isa::available() {
        let worst = error(isa, x, length, epsilon, centred);
        assert!(
            worst <= NORM_F32_MAX_ERROR,
            "{isa}, rows of {length}: off by {worst:e}"
        );
    }
}

#[test]
#[ignore = "prints how far off rows of any length are"]
fn how_far_off() {
    for length in [64, 768, 4096, 100_000] {
        for isa in Isa::available() {
            let mut worst = [0f64; 2];
            for seed in 0..(4_000_000 / length) as u32 {
                let x: Vec<f32> = noise(length, seed).map(|x| x * 8.0 + 1.0).collect();
                for (worst, centred) in worst.iter_mut().zip([false, true]) {
                    *worst = worst.max(error(isa, &x, length, 1e-5, centred));
                }
            }
            let [rms, layer] = worst.map(|worst| worst * f64::from(1 << 24));
            println!("{isa}, {length}: {rms:.2} and {layer:.2} times 2^-24");
        }
    }
}

#[test]
fn the_bounds_hold_at_every_length_and_scale() {
    for (seed, length) in LENGTHS.into_iter().enumerate() {
        for scale in [1e-6, 0.01, 1.0, 300.0, 1e12] {
            let x: Vec<f32> = noise(3 * length, seed as u32).map(|x| x * scale).collect();
            holds(&x, length, 1e-5, false);
            holds(&x, length, 1e-5, true);
        }
    }
}

#[test]
fn a_large_mean_costs_no_digits() {
    for (seed, length) in LENGTHS.into_iter().enumerate() {
        for mean in [-3.0, 100.0, 4e4, -1e7] {
            let x: Vec<f32> = noise(2 * length, seed as u32)
                .map(|x| x * 8.0 + mean)
                .collect();
            holds(&x, length, 1e-5, true);
            holds(&x, length, 1e-5, false);
        }
    }
}

#[test]
fn sums_of_one_sign_are_as_good_in_long_rows() {
    for length in [4096, 100_000] {
        let x: Vec<f32> = (0..length).map(|i| 0.1 + i as f32 * 1e-7).collect();
        holds(&x, length, 1e-6, false);
        holds(&x, length, 1e-6, true);
    }
}

#[test]
fn scale_and_bias_come_after_the_quotient() {
    for length in LENGTHS {
        let x: Vec<f32> = noise(2 * length, 5).collect();
        let scale: Vec<f32> = noise(length, 6).collect();
        let bias: Vec<f32> = noise(length, 7).collect();
        for isa in Isa::available() {
            for centred in [false, true] {
                let plain = run(isa, &x, &rows(length, 1e-5), centred);
                for (scaled, biased) in [(true, true), (true, false), (false, true)] {
                    let norm = Norm {
                        scale: scaled.then_some(&scale),
                        bias: biased.then_some(&bias),
                        ..rows(length, 1e-5)
                    };
                    let y = run(isa, &x, &norm, centred);
                    for (i, (y, z)) in y.iter().zip(&plain).enumerate() {
                        let scale = if scaled { scale[i % length] } else { 1.0 };
                        let bias = if biased { bias[i % length] } else { 0.0 };
                        let exact = f64::from(*z) * f64::from(scale) + f64::from(bias);
                        let bound = (f64::from(*z) * f64::from(scale)).abs() + exact.abs();
                        let off = (f64::from(*y) - exact).abs();
                        assert!(
                            off <= bound / f64::from(1 << 23),
                            "{isa}, {i} of {length}: {y}, exact {exact}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_row_does_not_depend_on_others_nor_on_its_place() {
    for length in [5, 32, 70] {
        let x: Vec<f32> = noise(4 * length, 9).collect();
        for isa in Isa::available() {
            for centred in [false, true] {
                let together = run(isa, &x, &rows(length, 1e-5), centred);
                for (row, y) in x.chunks(length).zip(together.chunks(length)) {
                    let mut shifted = vec![0.0; 3];
                    shifted.extend_from_slice(row);
                    assert_eq!(run(isa, &shifted[3..], &rows(length, 1e-5), centred), y);
                }
            }
        }
    }
}

#[test]
fn nan_infinities_and_overflow_are_as_documented() {
    let cases: [(&[f32], bool, &[f32]); 6] = [
        (&[1.0, f32::NAN, 2.0], false, &[f32::NAN; 3]),
        (&[1.0, f32::NAN, 2.0], true, &[f32::NAN; 3]),
        (&[1.0, f32::INFINITY, 2.0], false, &[0.0, f32::NAN, 0.0]),
        (&[1.0, f32::NEG_INFINITY, 2.0], true, &[f32::NAN; 3]),
        (&[1e30, 2e30, -1e30], false, &[0.0, 0.0, -0.0]),
        (&[1e30, 2e30, -1e30], true, &[0.0, 0.0, -0.0]),
    ];
    for (x, centred, expected) in cases {
        for isa in Isa::available() {
            let y = run(isa, x, &rows(3, 1e-5), centred);
            for (y, expected) in y.iter().zip(expected) {
                assert!(
                    y == expected || y.is_nan() && expected.is_nan(),
                    "{isa}: {x:?} became {y}"
                );
            }
        }
    }
}

#[test]
fn a_row_of_one_number_and_no_rows_are_fine() {
    for isa in Isa::available() {
        assert_eq!(run(isa, &[7.5; 9], &rows(9, 1e-5), true), [0.0; 9]);
        assert!(run(isa, &[], &rows(0, 1e-5), true).is_empty());
    }
}

#[test]
#[should_panic(expected = "no whole number of rows of 3")]
fn rows_are_whole() {
    rms_norm(&[0.0; 8], &mut [0.0; 8], &rows(3, 0.0));
}

#[test]
#[should_panic(expected = "the bias is not one row of 4")]
fn a_bias_is_one_row() {
    let norm = Norm {
        bias: Some(&[0.0; 3]),
        ..rows(4, 0.0)
    };
    layer_norm(&[0.0; 8], &mut [0.0; 8], &norm);
}
