//! Every method on every instruction set against the definition.
//! Given: a grid of shapes, and random ones.
//! Promise: within the rounding bound of the sum, the same for any number of workers.

mod naive;
mod noise;
mod threads;

use onnx_swish_conv::{
    Activation, Conv2d, ConvError, Frame, Isa, Line, Operands, Outputs, Residual, Spec, Window,
};
use onnx_swish_threads::{Inline, Workers};
use proptest::prelude::*;

use noise::noise;
use threads::Threads;

fn check(spec: &Spec, images: usize, frame: &Frame) {
    let inputs = images * spec.in_channels * frame.input_area();
    let outputs = images * spec.out_channels * frame.output_area();
    let input = noise(inputs, 1);
    let weights = noise(
        spec.out_channels * spec.in_channels / spec.groups * spec.window.taps(),
        2,
    );
    let bias = noise(spec.out_channels, 3);
    let residual = (spec.residual != Residual::None).then(|| noise(outputs, 4));
    let gate = spec.gated.then(|| noise(images * spec.in_channels, 5));
    let operands = Operands {
        input: &input,
        residual: residual.as_deref(),
        gate: gate.as_deref(),
        ..Operands::default()
    };
    let expected = naive::expected(spec, images, frame, &operands, &weights, &bias);
    for isa in Isa::available() {
        let conv = Conv2d::with_isa(isa, *spec, &weights, &bias).unwrap();
        // Whatever an output holds beforehand must not matter.
        let run = |workers: &dyn Workers| {
            let mut output = vec![f32::NAN; outputs];
            conv.run(images, frame, operands, &mut *output, workers)
                .unwrap();
            output
        };
        let got = run(&Inline);
        for (i, (got, (want, tolerance))) in got.iter().zip(&expected).enumerate() {
            assert!(
                (*got as f64 - want).abs() <= *tolerance,
                "{isa:?} {spec:?} {frame:?} x{images}: output {i} is {got}, expected {want} within {tolerance:e}"
            );
        }
        assert_eq!(
            run(&Threads(3)),
            got,
            "{isa:?} {spec:?} {frame:?}: other numbers with three threads"
        );
        if spec.is_depthwise() {
            let spec = Spec {
                plane_sums: true,
                ..*spec
            };
            let conv = Conv2d::with_isa(isa, spec, &weights, &bias).unwrap();
            check_sums(&conv, images, frame, operands, &got);
        }
    }
}

/// The sums of the planes that `expected` has.
fn check_sums(conv: &Conv2d, images: usize, frame: &Frame, operands: Operands, expected: &[f32]) {
    let run = |workers: &dyn Workers| {
        let planes = images * conv.spec().out_channels;
        let mut output = vec![f32::NAN; expected.len()];
        let mut sums = vec![f32::NAN; planes];
        let outputs = Outputs {
            output: &mut output,
            plane_sums: Some(&mut sums),
        };
        conv.run(images, frame, operands, outputs, workers).unwrap();
        assert_eq!(output, expected);
        sums
    };
    let sums = run(&Threads(2));
    assert_eq!(sums, run(&Inline), "other sums with two threads");
    for (plane, sum) in expected.chunks(frame.output_area().max(1)).zip(&sums) {
        let exact: f64 = plane.iter().map(|v| *v as f64).sum();
        let magnitude: f64 = plane.iter().map(|v| v.abs() as f64).sum();
        let tolerance = plane.len() as f64 * magnitude * f32::EPSILON as f64;
        assert!(
            (*sum as f64 - exact).abs() <= tolerance,
            "{:?} {frame:?}: sum {sum}, not {exact}",
            conv.spec()
        );
    }
}

/// An input and nothing else.
fn only(input: &[f32]) -> Operands<'_> {
    Operands {
        input,
        ..Operands::default()
    }
}

fn spec(window: Window, channels: [usize; 2], groups: usize, activation: Activation) -> Spec {
    let [in_channels, out_channels] = channels;
    Spec {
        window,
        in_channels,
        out_channels,
        groups,
        activation,
        residual: Residual::None,
        line: None,
        requantize: None,
        gated: false,
        plane_sums: false,
        exact: false,
        rows: false,
    }
}

#[test]
fn depthwise_grid() {
    let widths = [1, 2, 5, 7, 8, 9, 14, 16, 17, 28, 33, 56];
    for kernel in [1, 2, 3, 4, 5, 7] {
        for stride in [1, 2, 3] {
            for width in widths {
                for pad in [0, kernel / 2] {
                    let window = Window::square(kernel, stride);
                    let size = [width + 2, width];
                    let Some(frame) = Frame::padded(&window, size, [pad; 2], [pad; 2]) else {
                        continue;
                    };
                    check(&spec(window, [3, 3], 3, Activation::HARD_SWISH), 1, &frame);
                }
            }
        }
    }
}

#[test]
fn depthwise_kernels_of_many_taps() {
    let kernels = [
        [1, 2],
        [1, 7],
        [1, 8],
        [1, 9],
        [1, 16],
        [1, 17],
        [1, 31],
        [1, 70],
        [2, 1],
        [9, 1],
        [31, 1],
        [7, 7],
        [9, 9],
        [11, 11],
        [3, 5],
        [2, 31],
    ];
    for kernel in kernels {
        for stride in [[1, 1], [2, 2], [1, 3], [3, 1]] {
            for size in [[1, 200], [200, 1], [7, 7], [14, 13], [5, 50], [33, 26]] {
                for pad in [[0; 2], kernel.map(|taps| taps / 2), [1, 2]] {
                    let window = Window {
                        kernel,
                        stride,
                        dilation: [1; 2],
                    };
                    let Some(frame) = Frame::padded(&window, size, pad, pad) else {
                        continue;
                    };
                    check(&spec(window, [3, 3], 3, Activation::HARD_SWISH), 1, &frame);
                }
            }
        }
    }
    // Bands, and a multiplier.
    for kernel in [[31, 31], [1, 31], [31, 1], [9, 9]] {
        let window = Window {
            kernel,
            stride: [1; 2],
            dilation: [1; 2],
        };
        let pad = kernel.map(|taps| taps / 2);
        let frame = Frame::padded(&window, [131, 115], pad, pad).unwrap();
        check(&spec(window, [2, 4], 2, Activation::Silu), 2, &frame);
    }
}

#[test]
fn depthwise_bands_of_a_large_plane() {
    for stride in [1, 2] {
        for kernel in [3, 5] {
            let window = Window::square(kernel, stride);
            let pad = [kernel / 2; 2];
            let frame = Frame::padded(&window, [131, 115], pad, pad).unwrap();
            check(&spec(window, [2, 4], 2, Activation::RELU6), 2, &frame);
        }
        // Narrow and tall: the flat layout in bands.
        let window = Window::square(3, stride);
        let frame = Frame::padded(&window, [3001, 3], [1; 2], [1; 2]).unwrap();
        check(&spec(window, [2, 2], 2, Activation::None), 1, &frame);
    }
}

#[test]
fn dense_grid() {
    for kernel in [1, 2, 3, 5] {
        for stride in [1, 2, 3] {
            for width in [1, 3, 7, 8, 15, 17, 24] {
                for pad in [0, kernel / 2] {
                    for (channels, groups) in [([3, 16], 1), ([5, 9], 1), ([8, 4], 4)] {
                        let window = Window::square(kernel, stride);
                        let size = [width / 2 + 2, width];
                        let Some(frame) = Frame::padded(&window, size, [pad; 2], [pad; 2]) else {
                            continue;
                        };
                        check(&spec(window, channels, groups, Activation::Relu), 1, &frame);
                    }
                }
            }
        }
    }
}

#[test]
fn deep_products_in_several_blocks() {
    for (kernel, channels, size) in [
        (1, [500, 33], [7, 7]),
        (3, [70, 20], [9, 11]),
        (1, [331, 40], [1, 1]),
        (1, [200, 17], [14, 14]),
    ] {
        let window = Window::square(kernel, 1);
        let pad = [kernel / 2; 2];
        let frame = Frame::padded(&window, size, pad, pad).unwrap();
        for residual in naive::RESIDUALS {
            let spec = Spec {
                residual,
                ..spec(window, channels, 1, Activation::Relu)
            };
            check(&spec, 2, &frame);
            let gated = Spec {
                gated: true,
                ..spec
            };
            check(&gated, 2, &frame);
        }
    }
}

#[test]
fn a_line_behind_the_activation() {
    let line = Some(Line {
        scale: -1.5,
        offset: 0.375,
    });
    for (kernel, channels, groups, size) in [
        (1, [40, 33], 1, [7, 9]),
        (1, [331, 40], 1, [1, 1]),
        (3, [20, 9], 1, [9, 11]),
        (3, [8, 8], 8, [9, 11]),
        (5, [6, 6], 6, [20, 33]),
    ] {
        let window = Window::square(kernel, 1);
        let pad = [kernel / 2; 2];
        let frame = Frame::padded(&window, size, pad, pad).unwrap();
        for residual in naive::RESIDUALS {
            if groups > 1 && residual != Residual::None {
                continue;
            }
            let spec = Spec {
                line,
                residual,
                ..spec(window, channels, groups, Activation::HARD_SWISH)
            };
            check(&spec, 2, &frame);
        }
    }
}

#[test]
fn bands_of_wide_images() {
    let windows = [
        ([3, 3], 1),
        ([1, 3], 1),
        ([3, 1], 2),
        ([2, 2], 2),
        ([5, 2], 1),
    ];
    let images = [[9, 32], [4, 47], [5, 50], [3, 97], [70, 64], [1, 200]];
    for (kernel, dilation) in windows {
        for stride in [[1, 1], [2, 2], [1, 2], [2, 1]] {
            for (channels, groups) in [([3, 16], 1), ([20, 9], 1), ([8, 6], 2)] {
                for (i, size) in images.into_iter().enumerate() {
                    let window = Window {
                        kernel,
                        stride,
                        dilation: [dilation; 2],
                    };
                    let pad = [1, i % 3];
                    let Some(frame) = Frame::padded(&window, size, pad, [0, 1]) else {
                        continue;
                    };
                    let residual = [
                        Residual::None,
                        Residual::BeforeActivation,
                        Residual::AfterActivation,
                    ][i % 3];
                    let spec = Spec {
                        residual,
                        ..spec(window, channels, groups, Activation::HARD_SWISH)
                    };
                    check(&spec, 1 + i % 2, &frame);
                }
            }
        }
    }
}

#[test]
fn padding_wider_than_the_input() {
    let window = Window {
        kernel: [3, 3],
        stride: [1, 2],
        dilation: [4, 3],
    };
    let frame = Frame::padded(&window, [2, 3], [7, 9], [8, 5]).unwrap();
    check(&spec(window, [2, 2], 2, Activation::None), 1, &frame);
    check(&spec(window, [2, 3], 1, Activation::None), 1, &frame);
}

#[test]
fn a_nan_input_reaches_exactly_the_outputs_that_read_it() {
    for groups in [1, 2] {
        let window = Window::square(3, 1);
        let frame = Frame::padded(&window, [9, 20], [1; 2], [1; 2]).unwrap();
        for activation in [Activation::Relu, Activation::RELU6, Activation::HARD_SWISH] {
            let spec = spec(window, [2, 2], groups, activation);
            let mut input = noise(2 * 180, 5);
            input[4 * 20 + 10] = f32::NAN;
            for isa in Isa::available() {
                let conv = Conv2d::with_isa(isa, spec, &noise(36 / groups, 6), &[]).unwrap();
                let mut output = vec![0.0; 2 * 180];
                conv.run(1, &frame, only(&input), &mut *output, &Inline)
                    .unwrap();
                for (i, v) in output.iter().enumerate() {
                    let (channel, y, x) = (i / 180, i % 180 / 20, i % 20);
                    let reads =
                        (groups == 1 || channel == 0) && y.abs_diff(4) <= 1 && x.abs_diff(10) <= 1;
                    assert_eq!(
                        v.is_nan(),
                        reads,
                        "{isa:?} {activation:?}: output {channel}, {y}, {x}"
                    );
                }
            }
        }
    }
}

/// Neighbouring rows and planes lie where the padding would be: a NaN at a row's end is what betrays a load that reaches for them.
#[test]
fn a_nan_at_a_rows_end_reaches_exactly_the_outputs_of_its_own_plane_that_read_it() {
    for (kernel, stride) in [
        (3, 1),
        (3, 2),
        (5, 1),
        (5, 2),
        (7, 1),
        (7, 2),
        (9, 1),
        (9, 2),
    ] {
        for width in [5, 8, 9, 14, 15, 16, 17, 23, 28, 33] {
            let (window, pad, height) = (Window::square(kernel, stride), kernel / 2, 11);
            let frame = Frame::padded(&window, [height, width], [pad; 2], [pad; 2]).unwrap();
            let spec = spec(window, [3, 3], 3, Activation::None);
            let [out_height, out_width] = frame.output;
            for (nan_y, nan_x) in [(0, 0), (4, 0), (4, width - 1), (height - 1, width - 1)] {
                let mut input = noise(3 * height * width, 5);
                input[(height + nan_y) * width + nan_x] = f32::NAN;
                for isa in Isa::available() {
                    let weights = noise(3 * kernel * kernel, 6);
                    let conv = Conv2d::with_isa(isa, spec, &weights, &[]).unwrap();
                    let mut output = vec![0.0; 3 * out_height * out_width];
                    conv.run(1, &frame, only(&input), &mut *output, &Inline)
                        .unwrap();
                    for (i, v) in output.iter().enumerate() {
                        let (channel, y) =
                            (i / (out_height * out_width), i / out_width % out_height);
                        let reads = |at: usize, from: usize| {
                            (at * stride..at * stride + kernel).contains(&(from + pad))
                        };
                        assert_eq!(
                            v.is_nan(),
                            channel == 1 && reads(y, nan_y) && reads(i % out_width, nan_x),
                            "{isa:?} {kernel} {stride} {width}: output {channel}, {y}, {}",
                            i % out_width
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    let window = Window::square(3, 1);
    let frame = Frame::padded(&window, [4, 4], [1; 2], [1; 2]).unwrap();
    let spec = spec(window, [2, 2], 1, Activation::None);
    let weights = [0.0; 36];
    assert!(Conv2d::new(spec, &weights[1..], &[]).is_err());
    assert!(Conv2d::new(spec, &weights, &[0.0]).is_err());
    let conv = Conv2d::new(spec, &weights, &[]).unwrap();
    let mut output = [0.0; 32];
    let mut run = |conv: &Conv2d, operands: Operands, elements: usize| {
        conv.run(1, &frame, operands, &mut output[..elements], &Inline)
    };
    let (input, gate) = ([0.0; 32], [0.0; 2]);
    let good = only(&input);
    assert_eq!(run(&conv, good, 32), Ok(()));
    assert_eq!(
        run(&conv, only(&input[1..]), 32),
        Err(ConvError::Length {
            what: "the input",
            got: 31,
            want: 32
        })
    );
    assert_eq!(
        run(&conv, good, 31),
        Err(ConvError::Length {
            what: "the output",
            got: 31,
            want: 32
        })
    );
    let with_residual = Operands {
        residual: Some(&input),
        ..good
    };
    let with_gate = Operands {
        gate: Some(&gate),
        ..good
    };
    let unexpected = |what| Err(ConvError::Unexpected { what });
    assert_eq!(run(&conv, with_residual, 32), unexpected("the residual"));
    assert_eq!(run(&conv, with_gate, 32), unexpected("the gate"));
    let gated = Conv2d::new(
        Spec {
            gated: true,
            ..spec
        },
        &weights,
        &[],
    )
    .unwrap();
    assert_eq!(run(&gated, with_gate, 32), Ok(()));
    assert_eq!(
        run(&gated, good, 32),
        Err(ConvError::Missing { what: "the gate" })
    );
}

#[test]
fn what_a_method_does_not_have_is_an_error_before_there_is_a_convolution() {
    let dense = spec(Window::square(3, 1), [2, 2], 1, Activation::None);
    let depthwise = Spec { groups: 2, ..dense };
    assert_eq!(dense.check(), Ok(()));
    assert_eq!(depthwise.check(), Ok(()));
    let with_residual = Spec {
        residual: Residual::AfterActivation,
        ..depthwise
    };
    let gated = Spec {
        gated: true,
        ..depthwise
    };
    let with_sums = Spec {
        plane_sums: true,
        ..dense
    };
    for bad in [
        with_residual,
        gated,
        with_sums,
        Spec { groups: 3, ..dense },
        Spec { groups: 0, ..dense },
        Spec {
            out_channels: 0,
            ..dense
        },
    ] {
        let error = bad.check().unwrap_err();
        assert_eq!(Conv2d::new(bad, &[0.0; 36], &[]).unwrap_err(), error);
    }
}

#[test]
fn the_size_of_the_images_may_change_from_call_to_call() {
    for (channels, groups, kernel) in [([3, 5], 1, 3), ([4, 4], 4, 5), ([8, 8], 8, 4)] {
        let window = Window::square(kernel, 1);
        let spec = spec(window, channels, groups, Activation::Relu);
        let weights = noise(channels[1] * spec.macs_per_output(), 1);
        let frame = |size| Frame::padded(&window, [size, size], [1; 2], [1; 2]).unwrap();
        let frames: Vec<Frame> = [40, 9, 40, 6].map(frame).to_vec();
        for isa in Isa::available() {
            let once = Conv2d::with_isa(isa, spec, &weights, &[]).unwrap();
            for frame in &frames {
                let input = noise(channels[0] * frame.input_area(), 2);
                let fresh = Conv2d::with_isa(isa, spec, &weights, &[]).unwrap();
                let run = |conv: &Conv2d| {
                    let mut output = vec![f32::NAN; channels[1] * frame.output_area()];
                    conv.run(1, frame, only(&input), &mut *output, &Inline)
                        .unwrap();
                    output
                };
                assert_eq!(run(&once), run(&fresh));
            }
        }
    }
}

prop_compose! {
    fn any_case()(
        kernel in [1..6usize, 1..6usize],
        stride in [1..4usize, 1..4usize],
        dilation in [1..4usize, 1..4usize],
        before in [0..4usize, 0..4usize],
        after in [0..4usize, 0..4usize],
        input in [1..40usize, 1..40usize],
        groups in 1..4usize,
        (ins, outs) in prop_oneof![Just((1usize, 1usize)), (1..20usize, 1..20usize)],
        images in 1..3usize,
        gated in any::<bool>(),
        activation in prop_oneof![
            Just(Activation::None),
            Just(Activation::Clamp { low: -0.3, high: 0.4 }),
            Just(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }),
            Just(Activation::HARD_SWISH),
            Just(Activation::Silu),
            Just(Activation::Swish { beta: 1.702 }),
        ],
    ) -> Option<(Spec, usize, Frame)> {
        let window = Window { kernel, stride, dilation };
        let frame = Frame::padded(&window, input, before, after)?;
        let spec = spec(window, [groups * ins, groups * outs], groups, activation);
        let gated = gated && !spec.is_depthwise();
        Some((Spec { gated, ..spec }, images, frame))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_convolution(case in any_case()) {
        if let Some((spec, images, frame)) = case {
            check(&spec, images, &frame);
        }
    }
}
