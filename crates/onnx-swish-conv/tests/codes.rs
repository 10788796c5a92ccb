//! Convolutions that end in 8-bit codes and back, against the same convolution with codes as a pass of its own.
//!
//! Given each method, activations and residuals; promises equal bits, for the sums are the same.

use onnx_swish_conv::{Activation, Conv2d, Frame, Isa, Operands, Outputs, Residual, Spec, Window};
use onnx_swish_kernels::codes::{Linear, Requantize, ZeroPoint, requantize_in_place_with};
use onnx_swish_threads::Inline;

/// Reproducible values around zero.
fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut word = seed;
    let mut next = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

fn rounding() -> Requantize {
    let linear = Linear {
        scale: 0.013,
        zero_point: ZeroPoint::U8(117),
    };
    Requantize::new(linear, None, linear).unwrap()
}

/// Codes of one type to the other's in reverse.
fn by_table() -> Requantize {
    let from = Linear {
        scale: 0.017,
        zero_point: ZeroPoint::I8(-5),
    };
    let to = Linear {
        scale: 0.011,
        zero_point: ZeroPoint::U8(9),
    };
    Requantize::new(from, Some(std::array::from_fn(|i| 255 - i as u8)), to).unwrap()
}

/// kernel, stride, input channels, output channels, groups, height, width.
type Case = (usize, usize, usize, usize, usize, usize, usize);

/// Every method: bands, blocks of depth, columns, few pixels; depthwise as it lies and padded.
const CASES: [Case; 11] = [
    (1, 1, 24, 40, 1, 9, 9),
    (1, 1, 700, 33, 1, 7, 7),
    (1, 1, 60, 75, 1, 1, 1),
    (1, 1, 17, 9, 1, 2, 3),
    (3, 1, 3, 20, 1, 13, 50),
    (3, 2, 16, 8, 1, 11, 15),
    (3, 1, 8, 8, 2, 6, 7),
    (3, 1, 5, 5, 5, 14, 19),
    (5, 2, 6, 6, 6, 15, 15),
    (3, 2, 4, 4, 4, 23, 112),
    (7, 3, 3, 3, 3, 30, 31),
];

#[test]
fn codes_in_the_epilogue_are_codes_behind_it() {
    for case in CASES {
        let (kernel, stride, in_channels, out_channels, groups, height, width) = case;
        let window = Window::square(kernel, stride);
        let pad = [kernel / 2; 2];
        let frame = Frame::padded(&window, [height, width], pad, pad).unwrap();
        let plain = Spec {
            window,
            in_channels,
            out_channels,
            groups,
            activation: Activation::None,
            residual: Residual::None,
            line: None,
            requantize: None,
            gated: false,
            plane_sums: false,
            exact: false,
            rows: false,
        };
        for isa in Isa::available() {
            both(isa, plain, &frame);
        }
    }
}

fn both(isa: Isa, plain: Spec, frame: &Frame) {
    let weights = noise(plain.out_channels * plain.macs_per_output(), 2);
    let bias = noise(plain.out_channels, 3);
    let input = noise(2 * plain.in_channels * frame.input_area(), 1);
    let added = noise(2 * plain.out_channels * frame.output_area(), 4);
    let run = |spec: Spec| {
        let conv = Conv2d::with_isa(isa, spec, &weights, &bias).unwrap();
        let operands = Operands {
            input: &input,
            residual: (spec.residual != Residual::None).then_some(&*added),
            ..Operands::default()
        };
        let mut output = vec![f32::NAN; added.len()];
        let mut sums = vec![f32::NAN; 2 * spec.out_channels];
        let outputs = Outputs {
            output: &mut output,
            plane_sums: spec.plane_sums.then_some(&mut sums),
        };
        conv.run(2, frame, operands, outputs, &Inline).unwrap();
        (output, sums)
    };
    let equal = |spec: Spec, mut behind: Vec<f32>, by: &Requantize| {
        requantize_in_place_with(isa, &mut behind, by);
        let (got, _) = run(spec);
        assert!(got.iter().any(|x| *x != got[0]), "{spec:?}");
        for (got, behind) in got.iter().zip(&behind) {
            assert_eq!(got.to_bits(), behind.to_bits(), "{isa} {spec:?} {frame:?}");
        }
        behind
    };
    for by in [rounding(), by_table()] {
        for activation in [Activation::None, Activation::Relu, Activation::Silu] {
            let before = Spec {
                activation,
                ..plain
            };
            let spec = Spec {
                requantize: Some(by),
                ..before
            };
            equal(spec, run(before).0, &by);
        }
        let activation = Activation::Requantize(by);
        let spec = Spec {
            activation,
            ..plain
        };
        let codes = equal(spec, run(plain).0, &by);
        if plain.is_depthwise() {
            let plane_sums = true;
            let (output, sums) = run(Spec { plane_sums, ..spec });
            assert_eq!(output, codes);
            for (plane, sum) in output.chunks(frame.output_area()).zip(sums) {
                let exact: f64 = plane.iter().map(|x| f64::from(*x)).sum();
                assert!((exact - f64::from(sum)).abs() < 1e-4 * plane.len() as f64);
            }
            continue;
        }
        // A residual between two roundings, as a quantised network has it.
        let sum: Vec<f32> = codes.iter().zip(&added).map(|(a, b)| a + b).collect();
        let spec = Spec {
            residual: Residual::AfterActivation,
            requantize: Some(rounding()),
            ..spec
        };
        equal(spec, sum, &rounding());
        let spec = Spec {
            activation: Activation::Requantize(by),
            residual: Residual::BeforeActivation,
            ..plain
        };
        let before = Spec {
            activation: Activation::None,
            ..spec
        };
        equal(spec, run(before).0, &by);
    }
}
