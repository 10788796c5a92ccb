//! Linear layers on every instruction set against the definition.
//! Given: a grid of rows, input and output channels around the sizes of tiles, panels and blocks.
//! Promise: within the rounding bound of the sum, the same bits for any number of workers and for a row among any others.

mod naive;
mod noise;
mod threads;

use onnx_swish_conv::{
    Activation, Conv2d, ConvError, Frame, Isa, Method, Operands, Residual, Spec, Window,
};
use onnx_swish_threads::{Inline, Workers};

use noise::noise;
use threads::Threads;

const PIXEL: Frame = Frame {
    input: [1, 1],
    output: [1, 1],
    pad: [0, 0],
};

fn spec(channels: [usize; 2], activation: Activation, residual: Residual) -> Spec {
    Spec {
        window: Window::square(1, 1),
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        activation,
        residual,
        line: None,
        requantize: None,
        gated: false,
        plane_sums: false,
        exact: false,
        rows: true,
    }
}

fn run(
    conv: &Conv2d,
    rows: usize,
    input: &[f32],
    residual: Option<&[f32]>,
    workers: &dyn Workers,
) -> Vec<f32> {
    // Whatever an output holds beforehand must not matter.
    let mut output = vec![f32::NAN; rows * conv.spec().out_channels];
    let operands = Operands {
        input,
        residual,
        gate: None,
        ..Operands::default()
    };
    conv.run(rows, &PIXEL, operands, &mut *output, workers)
        .unwrap();
    output
}

fn check(spec: &Spec, rows: usize) {
    let input = noise(rows * spec.in_channels, 1);
    let weights = noise(spec.in_channels * spec.out_channels, 2);
    let bias = noise(spec.out_channels, 3);
    let residual = (spec.residual != Residual::None).then(|| noise(rows * spec.out_channels, 4));
    let operands = Operands {
        input: &input,
        residual: residual.as_deref(),
        gate: None,
        ..Operands::default()
    };
    let expected = naive::expected(spec, rows, &PIXEL, &operands, &weights, &bias);
    for isa in Isa::available() {
        let conv = Conv2d::with_isa(isa, *spec, &weights, &bias).unwrap();
        assert_eq!(conv.method(&PIXEL), Method::Linear);
        let got = run(&conv, rows, &input, residual.as_deref(), &Inline);
        for (i, (got, (want, tolerance))) in got.iter().zip(&expected).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= *tolerance,
                "{isa:?} {spec:?} x{rows}: output {i} is {got}, expected {want} within {tolerance:e}"
            );
        }
        let several = run(&conv, rows, &input, residual.as_deref(), &Threads(3));
        assert_eq!(several, got, "{isa:?} {spec:?} x{rows}: three threads");
        // A row is the same among others and alone.
        let last = |all: &[f32], each: usize| all[(rows - 1) * each..].to_vec();
        let of_last = residual.as_ref().map(|all| last(all, spec.out_channels));
        let row = last(&input, spec.in_channels);
        let alone = run(&conv, 1, &row, of_last.as_deref(), &Inline);
        let among = last(&got, spec.out_channels);
        assert_eq!(alone, among, "{isa:?} {spec:?} x{rows}: the last row alone");
    }
}

#[test]
fn rows_and_channels_around_the_sizes_of_tiles() {
    let plain = |channels| spec(channels, Activation::Silu, Residual::None);
    for rows in [1, 2, 3, 4, 5, 7, 8, 9, 12, 17, 31] {
        for depth in [1, 3, 8, 16, 17, 33] {
            for columns in [1, 5, 8, 15, 16, 17, 24, 31, 33, 48, 49, 65, 100] {
                check(&plain([depth, columns]), rows);
            }
        }
    }
}

#[test]
fn deep_layers_in_blocks_and_many_rows_in_chunks() {
    for (rows, channels) in [
        (9, [161, 40]),
        (33, [500, 65]),
        (2, [700, 130]),
        (1, [1030, 97]),
        (300, [333, 20]),
        (70, [1100, 33]),
    ] {
        for residual in naive::RESIDUALS {
            check(&spec(channels, Activation::Silu, residual), rows);
        }
    }
}

#[test]
fn whatever_sums_end_in() {
    for activation in [
        Activation::None,
        Activation::Relu,
        Activation::RELU6,
        Activation::HARD_SWISH,
        Activation::Swish { beta: 1.702 },
        Activation::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
    ] {
        for rows in [1, 3, 13] {
            check(&spec([40, 50], activation, Residual::None), rows);
        }
    }
}

#[test]
fn no_rows_are_no_output() {
    let conv = Conv2d::new(
        spec([3, 5], Activation::None, Residual::None),
        &[1.0; 15],
        &[],
    );
    assert_eq!(run(&conv.unwrap(), 0, &[], None, &Inline), []);
}

/// A NaN or an infinity goes to all outputs of its row, and to no other row, although rows share registers and zeros fill them up.
#[test]
fn special_values_stay_in_their_row() {
    for isa in Isa::available() {
        for (rows, special) in [(1, 0), (3, 1), (11, 10), (20, 4)] {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut input = noise(rows * 30, 5);
                input[special * 30 + 29] = value;
                let weights = vec![0.5; 30 * 21];
                let spec = spec([30, 21], Activation::None, Residual::None);
                let conv = Conv2d::with_isa(isa, spec, &weights, &[]).unwrap();
                let output = run(&conv, rows, &input, None, &Inline);
                for (row, outputs) in output.chunks(21).enumerate() {
                    for output in outputs {
                        let same = output.to_bits() == value.to_bits()
                            || output.is_nan() && value.is_nan();
                        assert_eq!(same, row == special, "{isa:?}: {output} in row {row}");
                        assert!(same || output.is_finite());
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_no_linear_layer_is_refused() {
    let plain = spec([4, 4], Activation::None, Residual::None);
    let refused = [
        Spec {
            window: Window::square(3, 1),
            ..plain
        },
        Spec {
            window: Window::square(1, 2),
            ..plain
        },
        Spec { groups: 2, ..plain },
        Spec {
            gated: true,
            ..plain
        },
    ];
    for spec in refused {
        assert_eq!(spec.check(), Err(ConvError::NotLinear), "{spec:?}");
    }
    let conv = Conv2d::new(plain, &[1.0; 16], &[]).unwrap();
    let frame = Frame {
        input: [1, 2],
        output: [1, 2],
        pad: [0, 0],
    };
    let operands = Operands {
        input: &[1.0; 8],
        ..Operands::default()
    };
    let result = conv.run(1, &frame, operands, &mut [0.0; 8][..], &Inline);
    assert_eq!(result, Err(ConvError::NotPixels));
}
