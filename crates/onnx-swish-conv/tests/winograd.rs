//! Winograd's method on every instruction set against the definition.
//! Given: a grid of shapes for which it is chosen.
//! Promise: within the stated error of the exact sums, the same bits for any number of workers, and never where it was not asked for.

mod naive;
mod noise;
mod threads;

use onnx_swish_conv::{
    Activation, Conv2d, Frame, Isa, Line, Method, Operands, Residual, Spec, Window,
};
use onnx_swish_threads::{Inline, Workers};

use noise::{noise, noise_from};
use threads::Threads;

fn spec(channels: [usize; 2]) -> Spec {
    Spec {
        window: Window::square(3, 1),
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        activation: Activation::None,
        residual: Residual::None,
        line: None,
        requantize: None,
        gated: false,
        plane_sums: false,
        exact: false,
        rows: false,
    }
}

fn frame(size: [usize; 2], before: [usize; 2], after: [usize; 2]) -> Frame {
    Frame::padded(&Window::square(3, 1), size, before, after).unwrap()
}

/// Computes on every set that takes the method, and compares with the definition. Says on how many sets.
fn check(spec: &Spec, images: usize, frame: &Frame, low: f32) -> usize {
    let input = noise_from(low, images * spec.in_channels * frame.input_area(), 1);
    let weights = noise(spec.out_channels * spec.macs_per_output(), 2);
    let bias = noise(spec.out_channels, 3);
    let outputs = images * spec.out_channels * frame.output_area();
    let residual = (spec.residual != Residual::None).then(|| noise(outputs, 4));
    let operands = Operands {
        input: &input,
        residual: residual.as_deref(),
        gate: None,
    };
    let sums = naive::convolve(spec, images, frame, &operands, &weights, &bias);
    let largest = sums
        .iter()
        .fold(0.0f64, |most, (sum, _)| most.max(sum.abs()));
    let expected = naive::expected(spec, images, frame, &operands, &weights, &bias);
    let mut sets = 0;
    for isa in Isa::available() {
        let conv = Conv2d::with_isa(isa, *spec, &weights, &bias).unwrap();
        if conv.method(frame) != Method::Winograd {
            continue;
        }
        sets += 1;
        let run = |workers: &dyn Workers| {
            let mut output = vec![f32::NAN; outputs];
            conv.run(images, frame, operands, &mut *output, workers)
                .unwrap();
            output
        };
        let got = run(&Inline);
        // No activation here has a slope above 1.1.
        let tolerance = 1.1 * f64::from(Method::WINOGRAD_ERROR) * largest;
        for (i, (got, (want, _))) in got.iter().zip(&expected).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= tolerance,
                "{isa:?} {spec:?} {frame:?} x{images}: output {i} is {got}, expected {want} within {tolerance:e}"
            );
        }
        for threads in 2..=4 {
            assert_eq!(
                run(&Threads(threads)),
                got,
                "{isa:?} {spec:?} {frame:?}: other numbers with {threads} threads"
            );
        }
    }
    sets
}

#[test]
fn sums_are_within_the_stated_error() {
    let sets = Isa::available().len();
    for (size, channels) in [
        ([20, 20], [32, 32]),
        ([16, 16], [64, 40]),
        ([27, 33], [17, 19]),
        ([40, 47], [16, 9]),
        ([9, 161], [18, 24]),
        ([70, 16], [16, 17]),
        ([20, 20], [130, 24]),
    ] {
        for (before, after) in [([1, 1], [1, 1]), ([0, 2], [2, 0]), ([0, 0], [0, 0])] {
            let frame = frame(size, before, after);
            for low in [-1.0, 0.0] {
                let found = check(&spec(channels), 1, &frame, low);
                assert_eq!(found, sets, "{frame:?} {channels:?}");
            }
        }
    }
}

#[test]
fn deep_sums_are_within_the_stated_error() {
    for low in [-1.0, 0.0] {
        assert!(check(&spec([512, 16]), 1, &frame([20, 20], [1; 2], [1; 2]), low) > 0);
    }
}

#[test]
fn what_sums_end_in_and_several_images() {
    for residual in naive::RESIDUALS {
        for activation in [
            Activation::None,
            Activation::Relu,
            Activation::RELU6,
            Activation::Silu,
            Activation::Swish { beta: 1.702 },
            Activation::HardSigmoid {
                alpha: 0.2,
                beta: 0.5,
            },
        ] {
            let spec = Spec {
                activation,
                line: (activation == Activation::Relu).then_some(Line {
                    scale: -0.5,
                    offset: 0.375,
                }),
                residual,
                ..spec([24, 22])
            };
            assert!(check(&spec, 2, &frame([21, 22], [1; 2], [1; 2]), -1.0) > 0);
        }
    }
}

#[test]
fn a_row_wider_than_a_part_and_padding_wider_than_the_input() {
    assert!(check(&spec([200, 8]), 1, &frame([4, 300], [1; 2], [1; 2]), -1.0) > 0);
    assert!(check(&spec([24, 24]), 1, &frame([5, 3], [9, 17], [12, 16]), -1.0) > 0);
}

#[test]
fn it_is_not_chosen_where_products_are_to_be_exact_or_it_does_not_fit() {
    let plain = spec([64, 64]);
    let frame = frame([40, 40], [1; 2], [1; 2]);
    let strided = Window::square(3, 2);
    let dilated = Window {
        dilation: [2, 1],
        ..plain.window
    };
    let others = [
        Spec {
            exact: true,
            ..plain
        },
        Spec {
            gated: true,
            ..plain
        },
        Spec { groups: 2, ..plain },
        Spec {
            window: strided,
            ..plain
        },
        Spec {
            window: dilated,
            ..plain
        },
        Spec {
            window: Window::square(5, 1),
            ..plain
        },
    ];
    for isa in Isa::available() {
        assert_eq!(Method::of(&plain, isa, &frame), Method::Winograd);
        for other in others {
            assert_eq!(Method::of(&other, isa, &frame), Method::Product);
        }
        let depthwise = Spec {
            groups: 64,
            ..plain
        };
        assert_eq!(Method::of(&depthwise, isa, &frame), Method::Depthwise);
        // A tile of four by four for one output.
        let small = Frame {
            input: [1, 1],
            output: [1, 1],
            pad: [1, 1],
        };
        assert_eq!(Method::of(&plain, isa, &small), Method::Product);
    }
}

#[test]
fn images_of_other_sizes_get_their_own_method() {
    let spec = spec([32, 32]);
    let weights = noise(32 * 32 * 9, 2);
    let conv = Conv2d::new(spec, &weights, &[]).unwrap();
    let exactly = Spec {
        exact: true,
        ..spec
    };
    let exact = Conv2d::new(exactly, &weights, &[]).unwrap();
    let given = conv.packed_bytes();
    for (size, method) in [
        (40, Method::Winograd),
        (2, Method::Product),
        (40, Method::Winograd),
    ] {
        let frame = frame([size; 2], [1; 2], [1; 2]);
        assert_eq!(conv.method(&frame), method);
        conv.prepare(&frame);
        assert!(conv.packed_bytes() > given);
        let input = noise(32 * frame.input_area(), 1);
        let run = |conv: &Conv2d| {
            let operands = Operands {
                input: &input,
                ..Operands::default()
            };
            let mut output = vec![f32::NAN; 32 * frame.output_area()];
            conv.run(1, &frame, operands, &mut *output, &Inline)
                .unwrap();
            output
        };
        let (got, want) = (run(&conv), run(&exact));
        let apart = got.iter().zip(&want).map(|(a, b)| (a - b).abs());
        assert!(apart.fold(0.0, f32::max) <= 1e-3);
        assert_eq!(got == want, method == Method::Product);
    }
}

#[test]
fn a_nan_reaches_all_outputs_that_read_it() {
    let frame = frame([24, 24], [1; 2], [1; 2]);
    let weights = noise(32 * 32 * 9, 2);
    let mut input = noise(32 * 576, 1);
    input[5 * 576 + 7 * 24 + 12] = f32::NAN;
    for isa in Isa::available() {
        let conv = Conv2d::with_isa(isa, spec([32, 32]), &weights, &[]).unwrap();
        assert_eq!(conv.method(&frame), Method::Winograd);
        let operands = Operands {
            input: &input,
            ..Operands::default()
        };
        let mut output = vec![0.0; 32 * 576];
        conv.run(1, &frame, operands, &mut *output, &Inline)
            .unwrap();
        for (i, v) in output.iter().enumerate() {
            let (y, x) = (i % 576 / 24, i % 24);
            let reads = y.abs_diff(7) <= 1 && x.abs_diff(12) <= 1;
            // Row 7 is read by the tiles of rows 4 to 7 and 8 to 11, column 12 by those of columns 8 to 11 and 12 to 15.
            let near = (4..12).contains(&y) && (8..16).contains(&x);
            assert!(v.is_nan() || !reads, "{isa:?}: output {y}, {x}");
            assert!(near || !v.is_nan(), "{isa:?}: output {y}, {x}");
        }
    }
}
