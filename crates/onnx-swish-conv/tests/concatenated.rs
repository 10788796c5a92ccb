//! Input whose channels lie in several tensors, next to the same in one.
//! Given: layers of each method that takes it, and ways to cut their channels.
//! Promise: the same bits on every instruction set, for any number of workers.

mod noise;
mod threads;

use onnx_swish_conv::{
    Activation, Conv2d, ConvError, Frame, Isa, Method, Operands, Residual, Spec, Window,
};
use onnx_swish_threads::{Inline, Workers};

use noise::noise;
use threads::Threads;

fn spec(kernel: [usize; 2], stride: usize, channels: [usize; 2]) -> Spec {
    Spec {
        window: Window {
            kernel,
            stride: [stride; 2],
            dilation: [1; 2],
        },
        in_channels: channels[0],
        out_channels: channels[1],
        groups: 1,
        activation: Activation::Silu,
        residual: Residual::None,
        line: None,
        requantize: None,
        gated: false,
        plane_sums: false,
        exact: false,
        rows: false,
    }
}

/// `[image][channel][area]` as tensors of so many channels each.
fn cut(input: &[f32], counts: &[usize], channels: usize, area: usize) -> Vec<Vec<f32>> {
    let mut first = 0;
    let tensors = counts.iter().map(|count| {
        let own = first * area..(first + count) * area;
        first += count;
        let images = input.chunks_exact(channels * area);
        images
            .flat_map(|image| &image[own.clone()])
            .copied()
            .collect()
    });
    tensors.collect()
}

/// Says how the last set computes it.
fn check(spec: &Spec, images: usize, size: [usize; 2], counts: &[usize]) -> Method {
    let pad = spec.window.kernel.map(|taps| taps / 2);
    let frame = Frame::padded(&spec.window, size, pad, pad).unwrap();
    let area = frame.input_area();
    let input = noise(images * spec.in_channels * area, 1);
    let weights = noise(spec.out_channels * spec.macs_per_output(), 2);
    let bias = noise(spec.out_channels, 3);
    let outputs = images * spec.out_channels * frame.output_area();
    let residual = (spec.residual != Residual::None).then(|| noise(outputs, 4));
    let gate = spec.gated.then(|| noise(images * spec.in_channels, 5));
    let whole = Operands {
        input: &input,
        residual: residual.as_deref(),
        gate: gate.as_deref(),
        ..Operands::default()
    };
    let tensors = cut(&input, counts, spec.in_channels, area);
    let tensors: Vec<&[f32]> = tensors.iter().map(Vec::as_slice).collect();
    let several = Operands {
        input: tensors[0],
        more: &tensors[1..],
        ..whole
    };
    let mut method = None;
    for isa in Isa::available() {
        let conv = Conv2d::with_isa(isa, *spec, &weights, &bias).unwrap();
        method = Some(conv.method(&frame));
        let run = |operands, workers: &dyn Workers| {
            let mut output = vec![f32::NAN; outputs];
            conv.run(images, &frame, operands, &mut *output, workers)
                .unwrap();
            output
        };
        let expected = run(whole, &Inline);
        assert!(expected.iter().all(|y| y.is_finite()));
        for threads in [1, 2, 3] {
            let got = run(several, &Threads(threads));
            assert_eq!(
                got, expected,
                "{isa:?} {spec:?} {size:?} x{images}: {counts:?}"
            );
        }
    }
    method.unwrap()
}

#[test]
fn every_method_reads_tensors_as_it_reads_their_concatenation() {
    let gated = |spec| Spec {
        gated: true,
        ..spec
    };
    let with_residual = |spec| Spec {
        residual: Residual::AfterActivation,
        ..spec
    };
    let exact = |spec| Spec {
        exact: true,
        ..spec
    };
    let layers = [
        // Panels that are copied, deeper than one block and gated too; strides and borders.
        (spec([1, 1], 1, [24, 10]), [17, 19]),
        (with_residual(spec([1, 1], 1, [600, 9])), [9, 11]),
        (gated(spec([1, 1], 1, [24, 10])), [17, 19]),
        (gated(spec([1, 1], 2, [24, 10])), [17, 19]),
        (spec([1, 1], 3, [24, 10]), [17, 19]),
        (gated(spec([3, 3], 2, [24, 10])), [17, 19]),
        (spec([7, 5], 3, [24, 10]), [9, 33]),
        // More panels than are unfolded together, of which the last run is full or not.
        (spec([1, 1], 1, [48, 9]), [80, 80]),
        (spec([1, 1], 1, [384, 9]), [60, 61]),
        // A few pixels.
        (spec([1, 1], 1, [24, 10]), [1, 2]),
        (spec([3, 3], 1, [24, 10]), [2, 1]),
        // Bands.
        (exact(spec([3, 3], 1, [24, 10])), [17, 70]),
        (spec([3, 3], 2, [24, 10]), [17, 70]),
        // Winograd's.
        (spec([3, 3], 1, [24, 24]), [40, 38]),
        (with_residual(spec([1, 7], 1, [24, 24])), [40, 38]),
        (spec([5, 1], 1, [24, 24]), [40, 38]),
    ];
    let mut transformed = 0;
    for (spec, size) in layers {
        let part = spec.in_channels / 24;
        for counts in [
            &[11, 13][..],
            &[1, 22, 1],
            &[8, 0, 8, 8],
            &[0, 24],
            &[24, 0],
        ] {
            let counts: Vec<usize> = counts.iter().map(|count| count * part).collect();
            for images in [1, 2] {
                let method = check(&spec, images, size, &counts);
                transformed += usize::from(method.is_winograd());
            }
        }
    }
    assert!(transformed >= 30, "{transformed}");
}

#[test]
fn groups_may_lie_across_tensors() {
    for (groups, counts) in [(2, [5, 7]), (3, [1, 11]), (4, [6, 6])] {
        for kernel in [[1, 1], [3, 3]] {
            let spec = Spec {
                groups,
                ..spec(kernel, 1, [12, 12])
            };
            for images in [1, 3] {
                assert_eq!(check(&spec, images, [13, 21], &counts), Method::Product);
            }
        }
    }
}

#[test]
fn tensors_of_other_sizes_are_refused() {
    let input = noise(2 * 4 * 9, 1);
    let run = |spec: Spec, cuts: &[usize]| {
        let weights = vec![0.5; spec.out_channels * spec.macs_per_output()];
        let conv = Conv2d::new(spec, &weights, &[]).unwrap();
        let size = if spec.rows { [1, 1] } else { [3, 3] };
        let frame = Frame::padded(&spec.window, size, [0; 2], [0; 2]).unwrap();
        let more: Vec<&[f32]> = cuts[1..].iter().map(|len| &input[..*len]).collect();
        let operands = Operands {
            input: &input[..cuts[0]],
            more: &more,
            ..Operands::default()
        };
        let mut output = vec![0.0; 2 * spec.out_channels * frame.output_area()];
        conv.run(2, &frame, operands, &mut *output, &Inline)
    };
    let pointwise = spec([1, 1], 1, [4, 4]);
    assert_eq!(run(pointwise, &[18, 36, 18]), Ok(()));
    let length = |what, got, want| Err(ConvError::Length { what, got, want });
    let one = "a tensor of the input";
    assert_eq!(run(pointwise, &[9, 63]), length(one, 9, 0));
    assert_eq!(run(pointwise, &[36, 40]), length(one, 40, 36));
    let all = "all tensors of the input";
    assert_eq!(run(pointwise, &[36, 18]), length(all, 54, 72));
    assert_eq!(run(pointwise, &[72, 18]), length(all, 90, 72));
    let second = Err(ConvError::Unexpected {
        what: "a second tensor of the input",
    });
    let depthwise = Spec {
        groups: 4,
        ..pointwise
    };
    assert_eq!(run(depthwise, &[36, 36]), second);
    let rows = Spec {
        rows: true,
        ..pointwise
    };
    assert_eq!(run(rows, &[4, 4]), second);
}
