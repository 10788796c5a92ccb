//! Winograd's method on every instruction set against the definition.
//! Given: a grid of shapes for which it is chosen.
//! Promise: within the stated error of the exact sums, the same bits for any number of workers, and never where it was not asked for.
#![allow(clippy::print_stdout)]

mod naive;
mod noise;
mod threads;

use onnx_swish_conv::{
    Activation, Conv2d, Frame, Isa, Line, Method, Operands, Residual, Spec, Window,
};
use onnx_swish_threads::{Inline, Workers};

use noise::{noise, noise_from};
use threads::Threads;

fn window(kernel: [usize; 2]) -> Window {
    Window {
        kernel,
        stride: [1; 2],
        dilation: [1; 2],
    }
}

fn spec(channels: [usize; 2]) -> Spec {
    of_kernel([3; 2], channels)
}

fn of_kernel(kernel: [usize; 2], channels: [usize; 2]) -> Spec {
    Spec {
        window: window(kernel),
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

/// Kernels of one row, and of one column.
const LINES: [[usize; 2]; 6] = [[1, 3], [1, 5], [1, 7], [3, 1], [5, 1], [7, 1]];

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
        ..Operands::default()
    };
    let sums = naive::convolve(spec, images, frame, &operands, &weights, &bias);
    let largest = sums
        .iter()
        .fold(0.0f64, |most, (sum, _)| most.max(sum.abs()));
    let expected = naive::of_sums(spec, &operands, &sums);
    let mut sets = 0;
    for isa in Isa::available() {
        let conv = Conv2d::with_isa(isa, *spec, &weights, &bias).unwrap();
        if !conv.method(frame).is_winograd() {
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
        if spec.activation == Activation::None && spec.residual == Residual::None {
            let apart = got.iter().zip(&expected);
            let apart = apart.map(|(got, (want, _))| (f64::from(*got) - want).abs() / largest);
            // With `--nocapture` for the documents.
            println!(
                "{} {isa:?} {:?} channels: {:.1e}",
                conv.method(frame),
                spec.in_channels,
                apart.fold(0.0, f64::max)
            );
        }
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
fn sums_of_lines_are_within_the_stated_error() {
    let sets = Isa::available().len();
    for kernel in LINES {
        let [before, after] = [kernel.map(|taps| taps / 2), kernel.map(|taps| taps - 1)];
        let mut on_all_sets = 0;
        let cases = [
            ([17, 17], [128, 40]),
            ([20, 23], [33, 19]),
            ([9, 161], [24, 24]),
            ([70, 12], [40, 24]),
            ([40, 47], [24, 32]),
        ];
        for (i, (size, channels)) in cases.into_iter().enumerate() {
            let pads = [(before, before), ([0; 2], after), ([1, 2], [0, 1])];
            for (j, (before, after)) in pads.into_iter().enumerate() {
                let Some(frame) = Frame::padded(&window(kernel), size, before, after) else {
                    continue;
                };
                // Of both signs and of one, in turns: each size and each padding has both.
                let low = if (i + j) % 2 == 0 { -1.0 } else { 0.0 };
                let found = check(&of_kernel(kernel, channels), 1, &frame, low);
                on_all_sets += usize::from(found == sets);
            }
        }
        // It does not pay for all of them: nine rows are three tiles of four.
        assert!(on_all_sets >= 8, "{kernel:?}: {on_all_sets}");
    }
}

#[test]
fn deep_sums_of_lines_are_within_the_stated_error() {
    for kernel in LINES {
        let pad = kernel.map(|taps| taps / 2);
        let frame = Frame::padded(&window(kernel), [17, 17], pad, pad).unwrap();
        for low in [-1.0, 0.0] {
            let most = if kernel.contains(&7) { 256 } else { 512 };
            assert!(check(&of_kernel(kernel, [most, 24]), 1, &frame, low) > 0);
            if most < 512 {
                let more = of_kernel(kernel, [most + 1, 24]);
                let method = Method::of(&more, Isa::best(), &frame);
                assert_eq!(method, Method::Product, "next to the bound");
            }
        }
    }
}

#[test]
fn lines_of_one_row_and_what_sums_end_in() {
    for kernel in LINES {
        for residual in naive::RESIDUALS {
            let spec = Spec {
                activation: Activation::Silu,
                residual,
                ..of_kernel(kernel, [24, 22])
            };
            let pad = kernel.map(|taps| taps / 2);
            for size in [[21, 22], [1, 200], [200, 1]] {
                let frame = Frame::padded(&spec.window, size, pad, pad).unwrap();
                check(&spec, 2, &frame, -1.0);
            }
        }
    }
    let spec = of_kernel([1, 5], [40, 24]);
    let frame = Frame::padded(&spec.window, [1, 200], [0, 2], [0, 2]).unwrap();
    assert!(check(&spec, 1, &frame, -1.0) > 0);
    // Padding wider than the input, and a row wider than a part.
    let frame = Frame::padded(&spec.window, [5, 3], [9, 17], [12, 16]).unwrap();
    assert!(check(&spec, 1, &frame, -1.0) > 0);
    let wide = of_kernel([1, 5], [700, 8]);
    let frame = Frame::padded(&wide.window, [4, 900], [0, 2], [0, 2]).unwrap();
    assert!(check(&wide, 1, &frame, -1.0) > 0);
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
        for kernel in LINES {
            let taps = kernel[0].max(kernel[1]);
            let line = of_kernel(kernel, [64, 64]);
            assert_eq!(
                Method::of(&line, isa, &frame),
                Method::WinogradLine { taps }
            );
            let exact = Spec {
                exact: true,
                ..line
            };
            assert_eq!(Method::of(&exact, isa, &frame), Method::Product);
        }
        let longer = of_kernel([1, 9], [64, 64]);
        assert_eq!(Method::of(&longer, isa, &frame), Method::Product);
        // A tile of four by four for one output.
        let small = Frame {
            input: [1, 1],
            output: [1, 1],
            pad: [1, 1],
        };
        assert_eq!(Method::of(&plain, isa, &small), Method::Product);
    }
}

/// Those that `inspect --engine` shows.
#[test]
fn methods_have_names() {
    assert_eq!(Method::Winograd.to_string(), "Winograd F(4x4, 3x3)");
    let line = Method::WinogradLine { taps: 7 };
    assert_eq!(line.to_string(), "Winograd F(4, 7)");
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
fn weights_for_one_size_are_kept_in_one_order() {
    let weights = noise(32 * 32 * 9, 2);
    let frames = [40, 2].map(|size| frame([size; 2], [1; 2], [1; 2]));
    let of_any = Conv2d::new(spec([32, 32]), &weights, &[]).unwrap();
    for own in frames {
        let conv = Conv2d::for_frame(spec([32, 32]), &weights, &[], &own).unwrap();
        assert_eq!(conv.method(&own), of_any.method(&own));
        let packed = conv.packed_bytes();
        // Images of other sizes are computed the same way.
        for frame in frames {
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
            let (got, want) = (run(&conv), run(&of_any));
            assert_eq!(
                got == want,
                frame == own,
                "{frame:?} on weights for {own:?}"
            );
            let apart = got.iter().zip(&want).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) <= 1e-3);
        }
        assert_eq!(conv.method(&frames[0]), conv.method(&frames[1]));
        assert_eq!(conv.packed_bytes(), packed);
    }
    // Both orders, and the weights as they were given.
    let given = size_of_val(&*weights);
    for own in frames {
        of_any.prepare(&own);
        let one = Conv2d::for_frame(spec([32, 32]), &weights, &[], &own).unwrap();
        assert!(one.packed_bytes() + given <= of_any.packed_bytes());
    }
}

#[test]
fn a_nan_reaches_no_output_whose_tile_does_not_read_it() {
    for kernel in LINES {
        let pad = kernel.map(|taps| taps / 2);
        let spec = of_kernel(kernel, [64, 32]);
        let frame = Frame::padded(&spec.window, [24, 24], pad, pad).unwrap();
        let weights = noise(32 * spec.macs_per_output(), 2);
        let mut input = noise(64 * 576, 1);
        let nan = [7, 12];
        input[5 * 576 + 7 * 24 + 12] = f32::NAN;
        for isa in Isa::available() {
            let conv = Conv2d::with_isa(isa, spec, &weights, &[]).unwrap();
            assert!(conv.method(&frame).is_winograd());
            let operands = Operands {
                input: &input,
                ..Operands::default()
            };
            let mut output = vec![0.0; 32 * 576];
            conv.run(1, &frame, operands, &mut *output, &Inline)
                .unwrap();
            for (i, v) in output.iter().enumerate() {
                let at = [i % 576 / 24, i % 24];
                let near = |axis: usize, tile: usize| {
                    let (first, last) = (at[axis] / tile * tile, at[axis] / tile * tile + tile - 1);
                    first <= nan[axis] + pad[axis] && nan[axis] <= last + pad[axis]
                };
                let tile = kernel.map(|taps| if taps > 1 { 4 } else { 1 });
                let reads = near(0, 1) && near(1, 1);
                let in_tile = near(0, tile[0]) && near(1, tile[1]);
                assert!(v.is_nan() || !reads, "{isa:?} {kernel:?}: output {at:?}");
                assert!(in_tile || !v.is_nan(), "{isa:?} {kernel:?}: output {at:?}");
            }
        }
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
