//! The hyperbolic tangent on every instruction set of this machine against that of f64.
//!
//! All f32 with `cargo test --release -p onnx-swish-kernels --test tanh -- --ignored --nocapture`.

#![allow(
    clippy::print_stdout,
    reason = "the figures, for those who ask with --nocapture"
)]

use onnx_swish_kernels::contract::TANH_F32_MAX_ULP;
use onnx_swish_kernels::*;

/// The distance in units of the last place of f32 at the exact result.
fn ulp(y: f32, exact: f64) -> f64 {
    let exponent = exact.abs().log2().floor().max(-126.0);
    (f64::from(y) - exact).abs() / (exponent - 23.0).exp2()
}

/// The largest error for these x, which must have the sign of x and be no larger than 1.
fn error(isa: Isa, x: &[f32]) -> f64 {
    let mut y = vec![f32::NAN; x.len()];
    tanh_with(isa, x, &mut y);
    let mut worst = 0f64;
    for (&x, &y) in x.iter().zip(&y) {
        assert!(
            y.abs() <= 1.0 && y.abs() <= x.abs(),
            "{isa}: tanh {x:e} is {y:e}"
        );
        assert_eq!(
            y.is_sign_negative(),
            x.is_sign_negative(),
            "{isa}: tanh {x:e}"
        );
        if x != 0.0 {
            worst = worst.max(ulp(y, f64::from(x).tanh()));
        }
    }
    worst
}

fn all(step: u32) -> impl Iterator<Item = Vec<f32>> {
    let infinity = f32::INFINITY.to_bits();
    let bits = (0..=infinity).step_by(1 << 20);
    bits.map(move |first| {
        let bits = (first..(first + (1 << 20)).min(infinity + 1)).step_by(step as usize);
        bits.flat_map(|bits| [f32::from_bits(bits), -f32::from_bits(bits)])
            .collect()
    })
}

fn sweep(step: u32) {
    for isa in Isa::available() {
        let worst = all(step).map(|x| error(isa, &x)).fold(0.0, f64::max);
        println!("{isa}: {worst:.5} ulp");
        assert!(worst <= TANH_F32_MAX_ULP, "{isa}: {worst} ulp");
    }
}

#[test]
fn the_bound_holds_from_zero_to_infinity() {
    sweep(997);
}

#[test]
#[ignore = "all f32: minutes"]
fn the_bound_holds_for_all() {
    sweep(1);
}

#[test]
fn nan_is_nan_and_large_numbers_are_one() {
    for isa in Isa::available() {
        let mut x = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            9.1,
            -9.1,
            0.0,
            -0.0,
        ];
        tanh_in_place_with(isa, &mut x);
        assert!(x[0].is_nan());
        assert_eq!(x[1..], [1.0, -1.0, 1.0, -1.0, 0.0, -0.0]);
        assert!(x[6].is_sign_negative());
    }
}

#[test]
fn places_and_neighbours_do_not_matter() {
    let x: Vec<f32> = (0..150).map(|i| (i as f32 - 75.0) * 0.07).collect();
    for isa in Isa::available() {
        let mut whole = x.clone();
        tanh_in_place_with(isa, &mut whole);
        for at in [0, 1, 63, 149] {
            let mut one = [x[at]];
            tanh_in_place_with(isa, &mut one);
            assert_eq!(one[0].to_bits(), whole[at].to_bits());
        }
    }
}
