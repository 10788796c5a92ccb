//! Every implementation that this machine has against the oracle, within the contract's bounds.
//!
//! All inputs of the 16-bit types, strided f32, random and structured f64; all 2³² f32 with
//! `cargo test --release -p onnx-swish-kernels --test accuracy -- --ignored --nocapture`.

#![allow(
    clippy::print_stdout,
    reason = "the figures, for those who ask with --nocapture"
)]

mod oracle;

use half::{bf16, f16};
use onnx_swish_kernels::{HARD_SWISH_ALPHA, HARD_SWISH_BETA, swish_lockstep_with};
use oracle::sweep::{Row, isas, sweep};
use oracle::{Function, Oracle, Verdict, judge};

const SILU: Function = Function::Swish { beta: 1.0 };
/// The slope of "quick GELU", as f32.
const QUICK_GELU: Function = Function::Swish {
    beta: 1.702f32 as f64,
};
const HARD_SWISH: Function = Function::HardSwish {
    alpha: HARD_SWISH_ALPHA as f64,
    beta: HARD_SWISH_BETA as f64,
};

/// Ordinary, tiny, huge and special β, all of them f32.
const BETAS: [f32; 20] = [
    1.0,
    1.702,
    0.1,
    10.0,
    -1.0,
    -0.37,
    1.369_999_9,
    0.770_000_1,
    37.3,
    0.0,
    -0.0,
    1e-40,
    2.3e-20,
    1e-30,
    1.1e20,
    3e38,
    -3e38,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

fn hold<T: Oracle>(function: Function, rows: Vec<Row<T>>) {
    for row in rows {
        let Row {
            isa,
            inputs,
            max_ulp,
            worst_input,
            mismatched_specials,
            ..
        } = row;
        println!(
            "{function:?} {} {isa}: {inputs} inputs, {max_ulp:.4} ulp at {worst_input:e}",
            T::NAME
        );
        assert!(
            mismatched_specials == 0,
            "{function:?} {} {isa}: {mismatched_specials} wrong specials, the first at {:?}",
            T::NAME,
            row.first_mismatch.map(|x| format!("{x:e}"))
        );
        assert!(
            max_ulp <= T::MAX_ULP,
            "{function:?} {} {isa}: {max_ulp} ulp at {worst_input:e}",
            T::NAME
        );
    }
}

fn functions() -> Vec<Function> {
    let mut all: Vec<_> = BETAS
        .map(|beta| Function::Swish { beta: beta.into() })
        .into();
    all.push(HARD_SWISH);
    for (alpha, beta) in [
        (0.3f32, 0.4f32),
        (-0.21, -1.4),
        (1e30, -1e-30),
        (0.0, 0.5),
        (0.0, -0.0),
        (1e-45, 0.0),
        (3e-41, 1e-40),
        (-1e-36, 1e-36),
        (f32::NAN, 0.5),
        (0.2, f32::NAN),
        (f32::INFINITY, 0.5),
        (f32::NEG_INFINITY, f32::INFINITY),
        (0.2, f32::NEG_INFINITY),
    ] {
        let (alpha, beta) = (alpha.into(), beta.into());
        all.push(Function::HardSwish { alpha, beta });
        all.push(Function::HardSigmoid { alpha, beta });
    }
    all.push(Function::Sigmoid);
    all
}

#[test]
fn every_f16_is_faithful() {
    let isas = isas();
    for function in functions() {
        hold(
            function,
            sweep(&isas, function, 1 << 16, |i| f16::from_bits(i as u16)),
        );
    }
}

#[test]
fn every_bf16_is_faithful() {
    let isas = isas();
    for function in functions() {
        hold(
            function,
            sweep(&isas, function, 1 << 16, |i| bf16::from_bits(i as u16)),
        );
    }
}

#[test]
fn strided_f32_of_every_function_hold_the_bound() {
    let isas = isas();
    for (k, function) in (0..).zip(functions()) {
        // An odd stride visits every exponent and, over the functions, different significands.
        let input = |i: u64| f32::from_bits((i * 16_411 + k * 977) as u32);
        hold(function, sweep(&isas, function, (1 << 32) / 16_411, input));
    }
}

#[test]
fn dense_f32_where_activations_live_hold_the_bound() {
    let isas = isas();
    for function in [SILU, QUICK_GELU, HARD_SWISH, Function::Sigmoid] {
        for (low, high) in [
            (-120.0f32, -80.0f32),
            (-20.0, -2.0),
            (-2.0, -0.1),
            (0.1, 2.0),
            (2.0, 20.0),
        ] {
            let (a, b) = (
                low.to_bits().min(high.to_bits()),
                low.to_bits().max(high.to_bits()),
            );
            let (count, width) = (300_000, u64::from(b - a));
            let input = |i: u64| f32::from_bits(a + (i * width / count) as u32);
            hold(function, sweep(&isas, function, count, input));
        }
    }
}

#[test]
fn f32_holds_the_bound_for_many_betas() {
    let isas = isas();
    for k in 0..64u64 {
        // Every significand alike, magnitudes from 2⁻¹⁵ to 2¹⁶, both signs.
        let word = (k + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let beta = f32::from_bits((112 + (word as u32 & 31)) << 23 | (word >> 41) as u32)
            .copysign(if k % 4 == 0 { -1.0 } else { 1.0 });
        // Where β·x is within ±110, in steps that differ from one β to the next.
        let input = |i: u64| ((i * 2_654_435_761 % 40_000) as f32 / 181.8 - 110.0) / beta;
        let function = Function::Swish { beta: beta.into() };
        hold(function, sweep(&isas, function, 40_000, input));
    }
}

#[test]
fn f64_holds_the_bound() {
    let isas = isas();
    for function in functions() {
        // Golden-ratio steps through the bit patterns: all exponents, both signs, NaN, subnormals.
        let anything = |i: u64| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        hold(function, sweep(&isas, function, 20_000, anything));
        let scale = match function {
            Function::Swish { beta } if beta.is_normal() => 1.0 / beta.abs(),
            _ => 1.0,
        };
        let near = |i: u64| (i as f64 - 10_000.0) * 0.081_7 * scale;
        hold(function, sweep(&isas, function, 20_000, near));
    }
}

#[test]
fn f64_beta_that_f32_cannot_hold() {
    let isas = isas();
    for beta in [
        1e-300,
        1e300,
        0.1,
        f64::from_bits(1),
        -1.7e308,
        1.234_567_890_123_456_7,
    ] {
        let function = Function::Swish { beta };
        let anything = |i: u64| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        hold(function, sweep(&isas, function, 20_000, anything));
        let near = |i: u64| (i as f64 - 10_000.0) * 0.081_7 / beta;
        hold(function, sweep(&isas, function, 20_000, near));
    }
}

fn lockstep_holds<T: Oracle>(beta: impl Fn(u64) -> T, input: impl Fn(u64) -> T) {
    let x: Vec<T> = (0..40_000).map(input).collect();
    let betas: Vec<T> = (0..40_000).map(beta).collect();
    for isa in isas() {
        let mut y = x.clone();
        swish_lockstep_with(isa, &x, &betas, &mut y);
        for ((x, beta), y) in x.iter().zip(&betas).zip(&y) {
            let exact = x.exact(Function::Swish { beta: beta.wide() });
            match judge(exact, *y) {
                Verdict::Ulp(ulp) => assert!(ulp <= T::MAX_ULP, "{isa} {x:e} {beta:e}: {ulp}"),
                Verdict::Mismatch => panic!("{isa} {x:e} {beta:e}: {y:e}"),
            }
        }
    }
}

#[test]
fn beta_in_lockstep_holds_the_bound() {
    let bits = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let beta = |i: u64| (i % 401) as f64 * 0.013 - 2.0;
    lockstep_holds::<f32>(
        |i| beta(i) as f32,
        |i| f32::from_bits((bits(i) >> 32) as u32),
    );
    lockstep_holds::<f32>(|i| beta(i) as f32, |i| (i as f32 - 2e4) * 0.007);
    lockstep_holds::<f64>(beta, |i| f64::from_bits(bits(i)));
    lockstep_holds::<f64>(beta, |i| (i as f64 - 2e4) * 0.037);
    lockstep_holds::<f16>(|i| f16::from_f64(beta(i)), |i| f16::from_bits(i as u16));
    lockstep_holds::<bf16>(|i| bf16::from_f64(beta(i)), |i| bf16::from_bits(i as u16));
}

#[test]
#[ignore = "all 2^32 inputs: minutes, in a release build"]
fn every_f32_holds_the_bound() {
    let isas = isas();
    for function in [SILU, QUICK_GELU, HARD_SWISH, Function::Sigmoid] {
        hold(
            function,
            sweep(&isas, function, 1 << 32, |i| f32::from_bits(i as u32)),
        );
    }
}
