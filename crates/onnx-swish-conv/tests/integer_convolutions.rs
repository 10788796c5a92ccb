//! Convolutions of 8-bit codes on every set of instructions against their definition in wide integers.
//! Given: a grid of shapes, random ones, and codes at both ends of their range.
//! Promise: exactly what `Ending` states, on every set and for any number of workers.

mod integers;
mod threads;

use onnx_swish_conv::{
    Activation, CodeType, ConvError, DotIsa, Dynamic, Ending, Frame, QOperands, QOutput, Window,
};
use onnx_swish_threads::Inline;
use proptest::prelude::*;

use integers::*;

#[test]
fn products_of_every_width_and_depth() {
    let window = Window::square(1, 1);
    for columns in [1, 2, 4, 5, 12, 13, 16, 31, 47, 48, 49, 52, 97, 196, 400] {
        for channels in [[1, 1], [3, 8], [4, 9], [31, 17], [64, 5]] {
            let frame = padded(&window, [1, columns], 0).unwrap();
            let mut case = Case::new(window, channels, 1, frame);
            case.check();
            case.bias = Some(bias(channels[1]));
            case.spec.ending = to_codes(&case, CodeType::U8, 128);
            case.check();
        }
    }
}

#[test]
fn dense_grid() {
    for kernel in [1, 2, 3, 5] {
        for stride in [1, 2, 3] {
            for width in [1, 3, 7, 15, 17, 24, 50] {
                for pad in [0, kernel / 2] {
                    for (channels, groups) in [([3, 16], 1), ([5, 9], 1), ([8, 4], 4)] {
                        let window = Window::square(kernel, stride);
                        let size = [width / 2 + 2, width];
                        let Some(frame) = padded(&window, size, pad) else {
                            continue;
                        };
                        let mut case = Case::new(window, channels, groups, frame);
                        case.spec.ending = to_codes(&case, CodeType::I8, -17);
                        case.check();
                    }
                }
            }
        }
    }
}

#[test]
fn depthwise_grid() {
    for kernel in [1, 2, 3, 4, 5, 7] {
        for stride in [1, 2, 3] {
            for width in [1, 2, 5, 7, 8, 14, 16, 17, 28, 33, 56] {
                for pad in [0, kernel / 2] {
                    let window = Window::square(kernel, stride);
                    let size = [width + 2, width];
                    let Some(frame) = padded(&window, size, pad) else {
                        continue;
                    };
                    let mut case = Case::new(window, [3, 3], 3, frame);
                    case.bias = Some(bias(3));
                    case.spec.ending = to_codes(&case, CodeType::U8, 3);
                    case.check();
                }
            }
        }
    }
}

#[test]
fn bands_of_large_planes() {
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
        let window = Window::square(kernel, stride);
        let frame = padded(&window, [231, 217], kernel / 2).unwrap();
        let mut case = Case::new(window, [2, 2], 2, frame);
        case.images = 2;
        case.spec.ending = to_codes(&case, CodeType::U8, 3);
        case.check();
        let frame = padded(&window, [90, 64], kernel / 2).unwrap();
        let mut case = Case::new(window, [70, 2], 1, frame);
        case.spec.ending = to_codes(&case, CodeType::U8, 3);
        case.check();
    }
}

/// Columns of padding between two rows of a band are then more than those of the image.
#[test]
fn kernels_that_reach_far_beyond_a_narrow_image() {
    for (width, kernel, dilation) in [
        (1, [2, 5], [1, 3]),
        (2, [3, 4], [2, 5]),
        (1, [1, 5], [1, 9]),
    ] {
        let window = Window {
            kernel,
            stride: [1, 1],
            dilation,
        };
        let before = [0, (kernel[1] - 1) * dilation[1]];
        let frame = Frame::padded(&window, [9, width], before, [0, 0]).unwrap();
        Case::new(window, [3, 5], 1, frame).check();
    }
}

#[test]
fn padding_is_zero_points_wherever_these_lie() {
    for codes in [CodeType::U8, CodeType::I8] {
        let [low, high] = codes.range();
        for zero_point in [low, low + 1, 0, high - 1, high] {
            for (channels, groups) in [([5, 9], 1), ([4, 4], 4)] {
                for (kernel, stride) in [(3, 1), (3, 2), (4, 3)] {
                    let window = Window::square(kernel, stride);
                    let frame = padded(&window, [9, 21], 2).unwrap();
                    let mut case = Case::new(window, channels, groups, frame);
                    case.spec.input = quantization(codes, 0.02, zero_point);
                    case.images = 2;
                    case.check();
                    case.spec.ending = to_codes(&case, codes, zero_point);
                    case.check();
                }
            }
        }
    }
}

/// 255·127 + 255·127 has 17 bits: `vpmaddubsw` makes 32767 of it.
#[test]
fn pairs_that_leave_16_bits_do_not_saturate() {
    let pointwise = Window::square(1, 1);
    let square = Window::square(3, 1);
    let mut cases = vec![
        Case::new(
            pointwise,
            [64, 9],
            1,
            padded(&pointwise, [7, 10], 0).unwrap(),
        ),
        Case::new(
            pointwise,
            [640, 9],
            1,
            padded(&pointwise, [1, 1], 0).unwrap(),
        ),
        Case::new(square, [8, 9], 1, padded(&square, [9, 17], 1).unwrap()),
        Case::new(square, [4, 4], 4, padded(&square, [9, 17], 1).unwrap()),
    ];
    for case in &mut cases {
        for codes in [CodeType::U8, CodeType::I8] {
            for input in [Fill::Largest, Fill::Ends] {
                for weights in [Fill::Largest, Fill::Ends] {
                    let [low, high] = codes.range();
                    for zero_point in [low, high] {
                        case.spec.input = quantization(codes, 0.02, zero_point);
                        case.fills = [input, weights];
                        case.check();
                    }
                }
            }
        }
    }
}

#[test]
fn weights_less_their_zero_points_may_have_nine_bits() {
    for (codes, zero_points) in [
        (CodeType::U8, vec![128]),
        (CodeType::U8, vec![0]),
        (CodeType::U8, vec![0, 255, 1, 254, 128, 127, 130, 3]),
        (CodeType::I8, vec![-128]),
        (CodeType::I8, vec![127, -128, 0, 5, -5, 100, -100, 1]),
    ] {
        for (kernel, channels, groups) in [
            (1, [13, 8], 1),
            (3, [5, 8], 1),
            (3, [8, 8], 8),
            (1, [8, 8], 2),
        ] {
            for fill in [Fill::Any, Fill::Ends] {
                let window = Window::square(kernel, 1);
                let frame = padded(&window, [6, 9], kernel / 2).unwrap();
                let mut case = Case::new(window, channels, groups, frame);
                case.weights = codes;
                case.zero_points = zero_points.clone();
                case.fills = [fill; 2];
                case.check();
            }
        }
    }
}

#[test]
fn scales_per_channel_and_every_ending() {
    for (kernel, channels, groups) in [
        (1, [13, 11], 1),
        (3, [5, 9], 1),
        (3, [6, 6], 6),
        (1, [64, 12], 2),
    ] {
        for size in [[1, 1], [5, 11]] {
            let window = Window::square(kernel, 1);
            let frame = padded(&window, size, kernel / 2).unwrap();
            let mut case = Case::new(window, channels, groups, frame);
            case.scales = (0..channels[1])
                .map(|i| 0.001 + 0.000_7 * i as f32)
                .collect();
            case.images = 3;
            let float_bias: Vec<f32> = (0..channels[1]).map(|i| i as f32 * 0.37 - 1.0).collect();
            let table: [u8; 256] = std::array::from_fn(|i| (i as u8).wrapping_mul(167) ^ 0x5a);
            for activation in [Activation::None, Activation::Relu] {
                for with_bias in [None, Some(float_bias.clone())] {
                    case.float_bias = with_bias;
                    case.table = None;
                    case.spec.ending = Ending::Floats(activation);
                    case.check();
                    let output = quantization(CodeType::U8, 0.071, 31);
                    case.spec.ending = Ending::Codes(output, activation);
                    case.check();
                    case.table = Some(table);
                    case.check();
                }
            }
        }
    }
}

/// Ties go to the even code before the zero point is added, as in ONNX and in ONNX Runtime.
#[test]
fn halves_round_to_even_and_the_zero_point_comes_after() {
    let window = Window::square(1, 1);
    let frame = padded(&window, [1, 256], 0).unwrap();
    for zero_point in [0, 1, 127, 128, 255] {
        let mut case = Case::new(window, [1, 1], 1, frame);
        case.spec.input = quantization(CodeType::U8, 0.5, 128);
        case.scales = vec![0.25];
        case.spec.ending = Ending::Codes(
            quantization(CodeType::U8, 32.0, zero_point),
            Activation::None,
        );
        case.check();
        // Sums that the quotients of leave 32 bits.
        case.spec.ending = Ending::Codes(
            quantization(CodeType::U8, f32::MIN_POSITIVE, zero_point),
            Activation::None,
        );
        case.check();
    }
}

/// `tests/qlinearconv.py` wrote the numbers.
#[test]
fn codes_are_those_of_onnxruntimes_qlinearconv_bit_for_bit() {
    let kind = |word: &str| {
        if word == "u8" {
            CodeType::U8
        } else {
            CodeType::I8
        }
    };
    let scale = |word: &str| f32::from_bits(u32::from_str_radix(word, 16).unwrap());
    let numbers = |words: &str| words.split(',').map(|word| word.parse().unwrap()).collect();
    for line in include_str!("qlinearconv.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let size = |i: usize| words[i].parse::<usize>().unwrap();
        let window = Window::square(size(4), size(5));
        let frame = padded(&window, [size(7), size(8)], size(4) / 2).unwrap();
        let mut case = Case::new(window, [size(2), size(3)], size(6), frame);
        let codes = kind(words[0]);
        case.spec.input = quantization(codes, scale(words[9]), words[10].parse().unwrap());
        let output = quantization(codes, scale(words[11]), words[12].parse().unwrap());
        case.spec.ending = Ending::Codes(output, Activation::None);
        case.weights = kind(words[1]);
        case.scales = words[13].split(',').map(scale).collect();
        case.zero_points = numbers(words[14]);
        case.bias = Some(numbers(words[15]));
        let digits = words[16].as_bytes().chunks(2);
        let byte = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16);
        let expected = Numbers::Codes(digits.map(|digits| byte(digits).unwrap()).collect());
        assert!(
            expected == case.expected(),
            "the oracle is another: {case:?}"
        );
        for dot in DotIsa::available() {
            let got = case.run(&case.conv(dot).unwrap(), &case.input(), &Inline);
            assert_same(&got, &expected, dot, &case);
        }
    }
}

#[test]
fn quantisation_that_is_known_at_run_time() {
    let window = Window::square(3, 1);
    for (channels, groups) in [([5, 9], 1), ([4, 4], 4)] {
        for codes in [CodeType::U8, CodeType::I8] {
            let frame = padded(&window, [6, 9], 1).unwrap();
            let mut case = Case::new(window, channels, groups, frame);
            case.spec.input = quantization(codes, 1.0, 0);
            let zero_point = 101;
            let scale = 0.037;
            case.dynamic = Some(Dynamic { scale, zero_point });
            case.check();
            case.spec.ending = Ending::Floats(Activation::Relu);
            case.check();
        }
    }
}

#[test]
fn the_size_of_the_images_may_change_from_call_to_call() {
    for (channels, groups, kernel) in [([3, 5], 1, 3), ([4, 4], 4, 5), ([8, 8], 1, 1)] {
        let window = Window::square(kernel, 1);
        for dot in DotIsa::available() {
            let frame = |size: usize| padded(&window, [size, size], kernel / 2).unwrap();
            let conv = Case::new(window, channels, groups, frame(4))
                .conv(dot)
                .unwrap();
            for size in [40, 9, 40, 6, 1] {
                let case = Case::new(window, channels, groups, frame(size));
                let got = case.run(&conv, &case.input(), &Inline);
                assert_same(&got, &case.expected(), dot, &case);
            }
        }
    }
}

#[test]
fn what_cannot_be_computed_is_an_error() {
    let window = Window::square(3, 1);
    let good = Case::new(window, [2, 2], 1, padded(&window, [4, 4], 1).unwrap());
    let dot = DotIsa::available()[0];
    assert!(good.conv(dot).is_ok());
    let error = |change: &dyn Fn(&mut Case)| {
        let mut case = good.clone();
        change(&mut case);
        case.conv(dot).unwrap_err()
    };
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-40] {
        assert!(matches!(
            error(&|case| case.spec.input.scale = scale),
            ConvError::Scale { .. }
        ));
        assert!(matches!(
            error(&|case| case.scales = vec![1.0, scale]),
            ConvError::Scale { .. }
        ));
    }
    assert!(matches!(
        error(&|case| case.zero_points = vec![128]),
        ConvError::ZeroPoint { .. }
    ));
    assert!(matches!(
        error(&|case| case.scales = vec![]),
        ConvError::Length { .. }
    ));
    assert!(matches!(
        error(&|case| case.zero_points = vec![0; 3]),
        ConvError::Length { .. }
    ));
    assert!(matches!(
        error(&|case| case.bias = Some(vec![0; 3])),
        ConvError::Length { .. }
    ));
    assert!(matches!(
        error(&|case| case.float_bias = Some(vec![0.0; 2])),
        ConvError::Unexpected { .. }
    ));
    assert!(matches!(
        error(&|case| case.table = Some([0; 256])),
        ConvError::Unexpected { .. }
    ));
    assert!(matches!(
        error(&|case| case.spec.groups = 3),
        ConvError::Groups { .. }
    ));
    assert!(matches!(
        error(&|case| case.bias = Some(vec![i32::MAX; 2])),
        ConvError::Sums { .. }
    ));

    let conv = good.conv(dot).unwrap();
    let input = good.input();
    let run = |input: &[u8], output: QOutput| {
        let operands = QOperands {
            input,
            dynamic: None,
        };
        conv.run(1, &good.frame, operands, output, &Inline)
    };
    let (mut sums, mut codes) = ([0; 32], [0; 32]);
    assert_eq!(run(&input, QOutput::Sums(&mut sums)), Ok(()));
    assert_eq!(
        run(&input, QOutput::Codes(&mut codes)),
        Err(ConvError::Ending)
    );
    assert!(run(&input[1..], QOutput::Sums(&mut sums)).is_err());
    assert!(run(&input, QOutput::Sums(&mut sums[1..])).is_err());
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
        signed in any::<[bool; 3]>(),
        zero in 0..256i32,
        ending in 0..3,
    ) -> Option<Case> {
        let window = Window { kernel, stride, dilation };
        let frame = Frame::padded(&window, input, before, after)?;
        let mut case = Case::new(window, [ins * groups, outs * groups], groups, frame);
        let [input, weights, output] = signed.map(|signed| if signed { CodeType::I8 } else { CodeType::U8 });
        case.images = images;
        case.spec.input = quantization(input, 0.03, input.range()[0] + zero);
        case.weights = weights;
        case.zero_points = vec![weights.range()[0] + (zero * 7) % 256];
        case.bias = Some(bias(outs * groups));
        case.spec.ending = match ending {
            0 => Ending::Sums,
            1 => Ending::Floats(Activation::Relu),
            _ => to_codes(&case, output, output.range()[0] + (zero * 3) % 256),
        };
        Some(case)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]
    #[test]
    fn random_cases(case in any_case()) {
        if let Some(case) = case {
            case.check();
        }
    }
}
