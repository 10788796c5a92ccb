//! Transposed convolutions against their definition.
//! Given: noise, over a grid of windows, paddings, channels and sizes.
//! Promise: every output is within the rounding of its sum, for each instruction set, and the same for any number of threads.

mod naive;
mod noise;
mod threads;

use onnx_swish_conv::{Activation, ConvError, ConvTranspose2d, Isa, TransposedSpec, Window};
use onnx_swish_threads::{Inline, Workers};

use noise::noise;
use threads::Threads;

/// Each output's sum, and the sum of its terms' magnitudes: ONNX's definition, by what each input element adds to.
fn sums(
    spec: &TransposedSpec,
    (images, input, output): (usize, [usize; 2], [usize; 2]),
    (x, weights, bias): (&[f32], &[f32], &[f32]),
) -> Vec<(f64, f64)> {
    let (outs, ins) = (spec.out_channels, spec.in_channels);
    let (group_outs, group_ins) = (outs / spec.groups, ins / spec.groups);
    let [kernel_y, kernel_x] = spec.window.kernel;
    let area = output[0] * output[1];
    let mut sums: Vec<(f64, f64)> = (0..images * outs * area)
        .map(|at| f64::from(bias[at / area % outs]))
        .map(|bias| (bias, bias.abs()))
        .collect();
    for (at, x) in x.iter().enumerate() {
        let (column, row) = (at % input[1], at / input[1] % input[0]);
        let channel = at / (input[0] * input[1]) % ins;
        let (image, group) = (at / (input[0] * input[1] * ins), channel / group_ins);
        for out in group * group_outs..(group + 1) * group_outs {
            for tap in 0..kernel_y * kernel_x {
                let place = |at: usize, tap: usize, axis: usize| {
                    let place = at * spec.window.stride[axis] + tap;
                    let inside = place.checked_sub(spec.pad[axis]);
                    inside.filter(|place| *place < output[axis])
                };
                let (Some(y), Some(x_at)) = (
                    place(row, tap / kernel_x, 0),
                    place(column, tap % kernel_x, 1),
                ) else {
                    continue;
                };
                let filter = out * group_ins + channel % group_ins;
                let weight = weights[filter * kernel_y * kernel_x + tap];
                let term = f64::from(*x) * f64::from(weight);
                let (sum, magnitude) =
                    &mut sums[((image * outs + out) * output[0] + y) * output[1] + x_at];
                *sum += term;
                *magnitude += term.abs();
            }
        }
    }
    sums
}

fn computed(
    conv: &ConvTranspose2d,
    (images, input, output): (usize, [usize; 2], [usize; 2]),
    x: &[f32],
    workers: &dyn Workers,
) -> Vec<f32> {
    let spec = conv.spec();
    let mut phases = vec![f32::NAN; spec.elements(images, output).unwrap()];
    conv.run(images, input, output, x, &mut phases, workers)
        .unwrap();
    let mut y = vec![f32::NAN; images * spec.out_channels * output[0] * output[1]];
    conv.interleave(images, output, &phases, &mut y, workers)
        .unwrap();
    y
}

fn check(spec: &TransposedSpec, images: usize, input: [usize; 2], beyond: usize) {
    let output = [0, 1].map(|axis| {
        let whole = (input[axis] - 1) * spec.window.stride[axis] + spec.window.kernel[axis];
        (whole + beyond).saturating_sub(2 * spec.pad[axis])
    });
    let per_filter = spec.window.kernel[0] * spec.window.kernel[1];
    let x = noise(images * spec.in_channels * input[0] * input[1], 1);
    let weights = noise(
        spec.out_channels * spec.in_channels / spec.groups * per_filter,
        2,
    );
    let bias = noise(spec.out_channels, 3);
    let sizes = (images, input, output);
    let expected = sums(spec, sizes, (&x, &weights, &bias));
    let terms = (spec.in_channels / spec.groups * per_filter + 8) as f64;
    for isa in Isa::available() {
        let conv = ConvTranspose2d::with_isa(isa, *spec, &weights, &bias).unwrap();
        let got = computed(&conv, sizes, &x, &Inline);
        assert_eq!(got.len(), expected.len());
        for (i, (got, (sum, magnitude))) in got.iter().zip(&expected).enumerate() {
            let want = naive::activate(spec.activation, *sum);
            let allowed = 2.0 * terms * f64::from(f32::EPSILON) * magnitude;
            assert!(
                (f64::from(*got) - want).abs() <= allowed,
                "{isa:?} {spec:?} {sizes:?}: output {i} is {got}, expected {want}"
            );
        }
        let several = computed(&conv, sizes, &x, &Threads(3));
        assert_eq!(several, got, "{isa:?} {spec:?} {sizes:?}: three threads");
    }
}

fn spec(window: ([usize; 2], [usize; 2]), pad: [usize; 2], channels: [usize; 3]) -> TransposedSpec {
    let ([in_channels, out_channels, groups], (kernel, stride)) = (channels, window);
    TransposedSpec {
        window: Window {
            kernel,
            stride,
            dilation: [1, 1],
        },
        pad,
        in_channels,
        out_channels,
        groups,
        activation: Activation::HARD_SWISH,
        line: None,
        requantize: None,
        exact: true,
    }
}

#[test]
fn windows_strides_and_paddings() {
    for kernel in 1..=5 {
        for stride in 1..=kernel.min(4) {
            for pad in 0..kernel {
                for (beyond, input) in [(0, [5, 4]), (1, [1, 9]), (stride - 1, [3, 17])] {
                    let window = ([kernel; 2], [stride; 2]);
                    check(&spec(window, [pad; 2], [3, 2, 1]), 1, input, beyond);
                }
            }
        }
    }
}

#[test]
fn axes_may_differ() {
    for (window, pad) in [
        (([1, 4], [1, 2]), [0, 1]),
        (([3, 2], [2, 2]), [1, 0]),
        (([2, 5], [1, 3]), [1, 4]),
        (([4, 4], [2, 1]), [3, 0]),
    ] {
        check(&spec(window, pad, [4, 5, 1]), 2, [6, 7], 0);
    }
}

#[test]
fn channels_groups_and_images() {
    for channels in [[24, 24, 1], [17, 1, 1], [8, 6, 2], [40, 33, 1], [9, 9, 3]] {
        for window in [([2, 2], [2, 2]), ([4, 4], [2, 2]), ([3, 3], [1, 1])] {
            check(&spec(window, [0, 0], channels), 3, [7, 13], 0);
        }
    }
}

#[test]
fn what_has_no_phases_is_refused() {
    let made = |change: fn(&mut TransposedSpec)| {
        let mut it = spec(([3, 3], [2, 2]), [1, 1], [2, 2, 1]);
        change(&mut it);
        let weights = vec![0.0; 2 * 2 * it.window.taps()];
        ConvTranspose2d::new(it, &weights, &[]).map(|_| ())
    };
    assert_eq!(made(|_| ()), Ok(()));
    for change in [
        (|it| it.window.dilation = [1, 2]) as fn(&mut TransposedSpec),
        |it| it.window.stride = [4, 2],
        |it| it.pad = [0, 3],
    ] {
        assert_eq!(made(change), Err(ConvError::NotTransposed));
    }
    assert!(made(|it| it.groups = 0).is_err());
}

#[test]
fn wrong_lengths_are_errors() {
    let it = spec(([2, 2], [2, 2]), [0, 0], [3, 2, 1]);
    assert!(ConvTranspose2d::new(it, &[0.0; 23], &[]).is_err());
    assert!(ConvTranspose2d::new(it, &[0.0; 24], &[0.0; 3]).is_err());
    let conv = ConvTranspose2d::new(it, &[0.0; 24], &[]).unwrap();
    let (input, output) = ([2, 2], [4, 4]);
    let run = |x: usize, phases: usize| {
        let mut phases = vec![0.0; phases];
        conv.run(1, input, output, &vec![0.0; x], &mut phases, &Inline)
    };
    assert_eq!(run(12, 32), Ok(()));
    assert!(run(11, 32).is_err() && run(12, 31).is_err());
    let put = |phases: usize, y: usize| {
        let mut y = vec![0.0; y];
        conv.interleave(1, output, &vec![0.0; phases], &mut y, &Inline)
    };
    assert_eq!(put(32, 32), Ok(()));
    assert!(put(31, 32).is_err() && put(32, 31).is_err());
}
