//! Pools and sums of planes against their definition.
//! Given: noise, over a grid of windows, paddings and sizes.
//! Promise: maxima are exact, means within the rounding of their sums, for each instruction set, and the same for any number of threads.

mod noise;
mod threads;

use onnx_swish_conv::{ConvError, Frame, Isa, Pool, Pooling, Window, sum_planes};
use onnx_swish_threads::{Inline, Workers};

use noise::noise;
use threads::Threads;

const POOLINGS: [Pooling; 3] = [
    Pooling::Max,
    Pooling::Mean {
        counts_padding: false,
    },
    Pooling::Mean {
        counts_padding: true,
    },
];

/// Images of one size, and how they are padded.
#[derive(Debug, Clone, Copy)]
struct Case {
    window: Window,
    frame: Frame,
    after: [usize; 2],
}

impl Case {
    /// By ONNX's rule for the size of the output; `None` where a window would not fit.
    fn of(
        window: Window,
        input: [usize; 2],
        before: [usize; 2],
        after: [usize; 2],
        ceil: bool,
    ) -> Option<Case> {
        let size = |axis: usize| {
            let reach = (window.kernel[axis] - 1) * window.dilation[axis] + 1;
            let room = (input[axis] + before[axis] + after[axis]).checked_sub(reach)?;
            let stride = window.stride[axis];
            let steps = if ceil {
                room.div_ceil(stride)
            } else {
                room / stride
            };
            // The last window begins in the image or in the padding before it.
            let last = if steps * stride >= input[axis] + before[axis] {
                steps - 1
            } else {
                steps
            };
            Some(last + 1)
        };
        let frame = Frame {
            input,
            output: [size(0)?, size(1)?],
            pad: before,
        };
        Some(Case {
            window,
            frame,
            after,
        })
    }

    /// The elements of a window, and how many of its places are in the image or in its padding.
    fn window(&self, plane: &[f32], y: usize, x: usize) -> (Vec<f64>, usize) {
        let Case {
            window,
            frame,
            after,
        } = self;
        let (mut elements, mut counted) = (Vec::new(), 0);
        for i in 0..window.kernel[0] {
            for j in 0..window.kernel[1] {
                let at = [
                    y * window.stride[0] + i * window.dilation[0],
                    x * window.stride[1] + j * window.dilation[1],
                ];
                let padded =
                    |axis: usize| at[axis] < frame.pad[axis] + frame.input[axis] + after[axis];
                counted += usize::from(padded(0) && padded(1));
                let inside = |axis: usize| {
                    let at = at[axis].checked_sub(frame.pad[axis])?;
                    (at < frame.input[axis]).then_some(at)
                };
                if let (Some(y), Some(x)) = (inside(0), inside(1)) {
                    elements.push(f64::from(plane[y * frame.input[1] + x]));
                }
            }
        }
        (elements, counted)
    }
}

fn run(pool: &Pool, isa: Isa, case: &Case, x: &[f32], workers: &dyn Workers) -> Vec<f32> {
    let planes = x.len() / case.frame.input_area();
    let mut y = vec![f32::from_bits(0x7fab_cdef); planes * case.frame.output_area()];
    pool.run(isa, planes, x, &mut y, workers).unwrap();
    y
}

fn check(case: &Case, planes: usize, x: &[f32]) {
    let [height, width] = case.frame.output;
    for pooling in POOLINGS {
        let Ok(pool) = Pool::new(pooling, case.window, case.frame, case.after) else {
            let empty =
                (0..height * width).any(|at| case.window(x, at / width, at % width).0.is_empty());
            assert!(empty, "{case:?} is refused");
            continue;
        };
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::available() {
            let got = run(&pool, isa, case, x, &Inline);
            for (at, got) in got.iter().enumerate() {
                let plane = &x[at / (height * width) * case.frame.input_area()..];
                let (elements, counted) = case.window(plane, at / width % height, at % width);
                let what = || format!("{isa:?} {pooling:?} {case:?}: output {at} is {got}");
                match pooling {
                    Pooling::Max if elements.iter().any(|x| x.is_nan()) => {
                        assert!(got.is_nan(), "{}", what());
                    }
                    Pooling::Max => {
                        let most = elements.iter().copied().reduce(f64::max).unwrap();
                        assert_eq!(f64::from(*got), most, "{}", what());
                    }
                    Pooling::Mean { counts_padding } => {
                        let by = if counts_padding {
                            counted
                        } else {
                            elements.len()
                        } as f64;
                        let mean = elements.iter().sum::<f64>() / by;
                        let magnitude = elements.iter().map(|x| x.abs()).sum::<f64>() / by;
                        let allowed = (elements.len() + 1) as f64 * magnitude * 2f64.powi(-24);
                        let near = (f64::from(*got) - mean).abs() <= allowed;
                        assert!(
                            near || (got.is_nan() && mean.is_nan()) || f64::from(*got) == mean,
                            "{}, not {mean}",
                            what()
                        );
                    }
                }
            }
            let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
            let several = run(&pool, isa, case, x, &Threads(3));
            assert_eq!(
                bits(&several),
                bits(&got),
                "{isa:?} {case:?}: three threads"
            );
            let first = first.get_or_insert_with(|| got.clone());
            let same = first
                .iter()
                .zip(&got)
                .all(|(a, b)| a == b || (a.is_nan() && b.is_nan()));
            assert!(same, "{isa:?} {pooling:?} {case:?}: other bits");
        }
        assert!(planes > 0);
    }
}

fn window(kernel: [usize; 2], stride: [usize; 2], dilation: [usize; 2]) -> Window {
    Window {
        kernel,
        stride,
        dilation,
    }
}

#[test]
fn windows_strides_and_paddings() {
    for kernel in [1, 2, 3, 5] {
        for stride in 1..=3 {
            for before in 0..kernel {
                for after in [0, before, kernel - 1] {
                    for ceil in [false, true] {
                        for input in [[1, 1], [5, 7], [9, 33]] {
                            let window = Window::square(kernel, stride);
                            let case = Case::of(window, input, [before; 2], [after; 2], ceil);
                            if let Some(case) = case {
                                check(&case, 2, &noise(2 * input[0] * input[1], 7));
                            }
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn axes_may_differ() {
    for (kernel, stride, dilation, before, after) in [
        ([3, 1], [1, 2], [1, 1], [1, 0], [1, 0]),
        ([1, 4], [2, 1], [1, 1], [0, 3], [0, 1]),
        ([2, 3], [1, 2], [3, 2], [1, 2], [2, 1]),
        ([3, 3], [1, 1], [2, 3], [2, 3], [2, 3]),
        ([3, 2], [3, 4], [1, 5], [1, 1], [0, 4]),
        ([13, 9], [1, 1], [1, 1], [6, 4], [6, 4]),
        ([7, 20], [1, 1], [1, 1], [0, 0], [0, 0]),
        ([1, 1], [2, 2], [1, 1], [0, 0], [0, 0]),
    ] {
        for input in [[7, 20], [20, 7], [17, 147], [64, 65]] {
            let window = window(kernel, stride, dilation);
            if let Some(case) = Case::of(window, input, before, after, false) {
                check(&case, 3, &noise(3 * input[0] * input[1], 8));
            }
        }
    }
}

#[test]
fn many_planes_and_wide_rows() {
    for (planes, input) in [(40, [20, 20]), (65, [7, 7]), (3, [3, 3000]), (1, [300, 40])] {
        for (kernel, stride, pad) in [(5, 1, 2), (3, 2, 1), (2, 2, 0), (3, 1, 1)] {
            let case = Case::of(
                Window::square(kernel, stride),
                input,
                [pad; 2],
                [pad; 2],
                false,
            );
            check(
                &case.unwrap(),
                planes,
                &noise(planes * input[0] * input[1], 9),
            );
        }
    }
}

#[test]
fn special_numbers_stay_in_their_windows() {
    let input = [9, 21];
    for (kernel, stride, pad) in [(5, 1, 2), (3, 2, 1), (3, 1, 1), (2, 3, 0)] {
        let case = Case::of(
            Window::square(kernel, stride),
            input,
            [pad; 2],
            [pad; 2],
            false,
        );
        let case = case.unwrap();
        for special in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 20, 21, 94, 188] {
                let mut x = noise(3 * 9 * 21, 10);
                x[189 + at] = special;
                check(&case, 3, &x);
            }
        }
        // Nothing but the least.
        check(&case, 1, &[f32::NEG_INFINITY; 9 * 21]);
        let mut x = [f32::NEG_INFINITY; 9 * 21];
        (x[40], x[100]) = (f32::NAN, f32::INFINITY);
        check(&case, 1, &x);
    }
}

#[test]
fn what_is_no_pool_is_refused() {
    let frame = Frame {
        input: [3, 3],
        output: [3, 3],
        pad: [1, 1],
    };
    let made =
        |window: Window, frame: Frame| Pool::new(Pooling::Max, window, frame, [1, 1]).map(|_| ());
    let square = Window::square(3, 1);
    assert_eq!(made(square, frame), Ok(()));
    assert!(matches!(
        made(Window::square(0, 1), frame),
        Err(ConvError::Zero { .. })
    ));
    // Both taps of the first window are beside the image.
    let beside = window([1, 2], [1, 1], [1, 4]);
    let wide = Frame {
        output: [3, 1],
        pad: [0, 1],
        ..frame
    };
    assert_eq!(made(beside, wide), Err(ConvError::EmptyWindow));
    assert_eq!(
        made(
            square,
            Frame {
                output: [9, 3],
                ..frame
            }
        ),
        Err(ConvError::EmptyWindow)
    );
    assert_eq!(
        made(
            square,
            Frame {
                output: [usize::MAX / 2, 1],
                ..frame
            }
        ),
        Err(ConvError::TooLarge)
    );
    let pool = Pool::new(Pooling::Max, square, frame, [1, 1]).unwrap();
    let run =
        |x: usize, y: usize| pool.run(Isa::best(), 2, &vec![0.0; x], &mut vec![0.0; y], &Inline);
    assert_eq!(run(18, 18), Ok(()));
    assert!(run(17, 18).is_err() && run(18, 17).is_err());
}

#[test]
fn sums_of_planes() {
    for area in [1, 2, 3, 16, 49, 63, 64, 65, 400, 1000, 6401] {
        for planes in [1, 2, 17, 100] {
            let x = noise(area * planes, 11);
            for isa in Isa::available() {
                let mut sums = vec![f32::NAN; planes];
                sum_planes(isa, area, &x, &mut sums, &Inline).unwrap();
                for (plane, sum) in x.chunks_exact(area).zip(&sums) {
                    let exact: f64 = plane.iter().map(|x| f64::from(*x)).sum();
                    let magnitude: f64 = plane.iter().map(|x| f64::from(x.abs())).sum();
                    let allowed = (area as f64 / 16.0 + 8.0) * magnitude * 2f64.powi(-24);
                    assert!(
                        (f64::from(*sum) - exact).abs() <= allowed,
                        "{isa:?} {area}: {sum}, not {exact}"
                    );
                }
                let mut several = vec![f32::NAN; planes];
                sum_planes(isa, area, &x, &mut several, &Threads(3)).unwrap();
                assert_eq!(several, sums, "{isa:?} {area}: three threads");
            }
        }
    }
    let mut none = [f32::NAN; 3];
    sum_planes(Isa::best(), 0, &[], &mut none, &Inline).unwrap();
    assert_eq!(none, [0.0; 3]);
    assert!(sum_planes(Isa::best(), 2, &[0.0; 5], &mut none, &Inline).is_err());
    let mut sums = [0.0; 2];
    let x = [f32::INFINITY, 1.0, f32::NAN, 2.0];
    sum_planes(Isa::best(), 2, &x, &mut sums, &Inline).unwrap();
    assert!(sums[0] == f32::INFINITY && sums[1].is_nan());
}
