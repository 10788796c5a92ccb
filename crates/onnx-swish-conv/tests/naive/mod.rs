//! The convolution's definition, in f64 and without any trick.
//! Given: the same arguments as the kernels.
//! Promise: slow, obvious, and wider than what it judges.
#![allow(dead_code)]

use onnx_swish_conv::{Activation, Frame, Operands, Residual, Spec};

/// Every place for a residual, and none.
pub const RESIDUALS: [Residual; 4] = [
    Residual::None,
    Residual::BeforeActivation,
    Residual::AfterActivation,
    Residual::Factor,
];

/// The exact sum of every output, and the sum of the terms' magnitudes, which bounds the rounding errors.
pub fn convolve(
    spec: &Spec,
    images: usize,
    frame: &Frame,
    operands: &Operands,
    weights: &[f32],
    bias: &[f32],
) -> Vec<(f64, f64)> {
    let (ins, outs) = (
        spec.in_channels / spec.groups,
        spec.out_channels / spec.groups,
    );
    let [kernel_y, kernel_x] = spec.window.kernel;
    let mut sums = Vec::new();
    for image in 0..images {
        for out in 0..spec.out_channels {
            for y in 0..frame.output[0] {
                for x in 0..frame.output[1] {
                    let mut sum = bias[out] as f64;
                    let mut magnitude = sum.abs();
                    for tap_y in 0..kernel_y {
                        for tap_x in 0..kernel_x {
                            let at = |o: usize, tap: usize, axis: usize| {
                                (o * spec.window.stride[axis] + tap * spec.window.dilation[axis])
                                    .checked_sub(frame.pad[axis])
                                    .filter(|at| *at < frame.input[axis])
                            };
                            let (Some(y), Some(x)) = (at(y, tap_y, 0), at(x, tap_x, 1)) else {
                                continue;
                            };
                            // The channels last: where a tap reads is the same for all of them, and under an emulator it is
                            // most of the work.
                            for i in 0..ins {
                                let channel = image * spec.in_channels + out / outs * ins + i;
                                let gate = operands.gate.map_or(1.0, |gate| gate[channel] as f64);
                                let value = operands.input
                                    [(channel * frame.input[0] + y) * frame.input[1] + x];
                                let weight = weights
                                    [((out * ins + i) * kernel_y + tap_y) * kernel_x + tap_x];
                                let term = gate * value as f64 * weight as f64;
                                sum += term;
                                magnitude += term.abs();
                            }
                        }
                    }
                    sums.push((sum, magnitude));
                }
            }
        }
    }
    sums
}

pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Clamp { low, high } => x.max(low as f64).min(high as f64),
        Activation::HardSigmoid { alpha, beta } => (alpha as f64 * x + beta as f64).clamp(0.0, 1.0),
        Activation::HardSwish { alpha, beta } => {
            x * (alpha as f64 * x + beta as f64).clamp(0.0, 1.0)
        }
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Swish { beta } => x / (1.0 + (-(beta as f64) * x).exp()),
        other => panic!("the oracle does not know {other:?}"),
    }
}

/// What the convolution must return, and how far an f32 result may be from it.
///
/// A chain of n fused multiply-adds errs by at most n ulp of the magnitudes' sum (unfused: 2n; every activation here
/// has a slope below two, and adds a handful of roundings).
pub fn expected(
    spec: &Spec,
    images: usize,
    frame: &Frame,
    operands: &Operands,
    weights: &[f32],
    bias: &[f32],
) -> Vec<(f64, f64)> {
    let sums = convolve(spec, images, frame, operands, weights, bias);
    of_sums(spec, operands, &sums)
}

/// The same of sums that are known.
pub fn of_sums(spec: &Spec, operands: &Operands, sums: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let terms = (spec.in_channels / spec.groups * spec.window.taps() + 8) as f64;
    sums.iter()
        .enumerate()
        .map(|(i, &(sum, magnitude))| {
            let extra = operands.residual.map_or(0.0, |residual| residual[i] as f64);
            let activate = |activation, sum| {
                let value = activate(activation, sum);
                let line = spec
                    .line
                    .map(|it| (f64::from(it.scale), f64::from(it.offset)));
                line.map_or(value, |(scale, offset)| scale * value + offset)
            };
            let value = match spec.residual {
                Residual::None => activate(spec.activation, sum),
                Residual::BeforeActivation => activate(spec.activation, sum + extra),
                Residual::AfterActivation => activate(spec.activation, sum) + extra,
                Residual::Factor => activate(spec.activation, sum) * extra,
            };
            // No residual of the tests is a factor above one.
            let tolerance =
                4.0 * terms * (magnitude + extra.abs() + 1.0) * f32::EPSILON as f64 / 2.0;
            (value, tolerance)
        })
        .collect()
}
