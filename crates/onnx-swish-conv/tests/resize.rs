//! Resizes against their definition.
//! Given: noise, and taps of every kind.
//! Promise: copies are exact, what is mixed is within its rounding, for each instruction set, and the same for any number of threads.

mod noise;
mod threads;

use onnx_swish_conv::{ConvError, Isa, Resize, Tap};
use onnx_swish_threads::{Inline, Workers};

use noise::noise;
use threads::Threads;

/// Taps of a nearest resize that repeats elements.
fn repeated(size: usize, times: usize) -> Vec<Tap> {
    (0..size * times).map(|at| Tap::One(at / times)).collect()
}

/// Taps of a linear resize, by the place in the image that each element has.
fn linear(size: usize, to: usize, place: impl Fn(usize) -> f64) -> Vec<Tap> {
    let tap = |x: usize| {
        let at = place(x).clamp(0.0, (size - 1) as f64);
        let (first, part) = (at.floor() as usize, at.fract());
        if part == 0.0 {
            Tap::One(first)
        } else {
            Tap::Two(first, [(1.0 - part) as f32, part as f32])
        }
    };
    (0..to).map(tap).collect()
}

fn half_pixel(size: usize, to: usize) -> Vec<Tap> {
    let scale = to as f64 / size as f64;
    linear(size, to, |x| (x as f64 + 0.5) / scale - 0.5)
}

fn asymmetric(size: usize, to: usize) -> Vec<Tap> {
    let scale = to as f64 / size as f64;
    linear(size, to, |x| x as f64 / scale)
}

fn align_corners(size: usize, to: usize) -> Vec<Tap> {
    let step = (size - 1) as f64 / (to.max(2) - 1) as f64;
    linear(size, to, |x| x as f64 * step)
}

/// Places and weights of a tap.
fn terms(tap: Tap) -> Vec<(usize, f64)> {
    match tap {
        Tap::One(at) => vec![(at, 1.0)],
        Tap::Two(at, [first, second]) => vec![(at, f64::from(first)), (at + 1, f64::from(second))],
    }
}

fn run(resize: &Resize, isa: Isa, planes: usize, x: &[f32], workers: &dyn Workers) -> Vec<f32> {
    let [height, width] = resize.output();
    let mut y = vec![f32::from_bits(0x7fab_cdef); planes * height * width];
    resize.run(isa, planes, x, &mut y, workers).unwrap();
    y
}

fn check(input: [usize; 2], rows: &[Tap], columns: &[Tap], planes: usize, x: &[f32]) {
    let resize = Resize::new(input, rows.to_vec(), columns.to_vec()).unwrap();
    let area = rows.len() * columns.len();
    for isa in Isa::available() {
        let got = run(&resize, isa, planes, x, &Inline);
        for (at, got) in got.iter().enumerate() {
            let plane = &x[at / area * input[0] * input[1]..];
            let (row, column) = (rows[at % area / columns.len()], columns[at % columns.len()]);
            let (mut sum, mut magnitude) = (0.0, 0.0);
            for (y, by_row) in terms(row) {
                for (x, by_column) in terms(column) {
                    let term = by_row * by_column * f64::from(plane[y * input[1] + x]);
                    sum += term;
                    magnitude += term.abs();
                }
            }
            let exact = matches!((row, column), (Tap::One(_), Tap::One(_)));
            let allowed = if exact {
                0.0
            } else {
                4.0 * magnitude * 2f64.powi(-24)
            };
            let near = (f64::from(*got) - sum).abs() <= allowed;
            assert!(
                near || f64::from(*got) == sum || (got.is_nan() && sum.is_nan()),
                "{isa:?} {input:?} to {:?}: output {at} is {got}, not {sum}",
                resize.output()
            );
        }
        let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
        let several = run(&resize, isa, planes, x, &Threads(3));
        assert_eq!(
            bits(&several),
            bits(&got),
            "{isa:?} {input:?}: three threads"
        );
    }
}

#[test]
fn repetitions() {
    for times in [
        [1, 1],
        [2, 2],
        [1, 3],
        [4, 1],
        [3, 8],
        [2, 16],
        [2, 5],
        [1, 100],
    ] {
        for input in [[1, 1], [3, 7], [20, 20], [5, 33]] {
            let x = noise(3 * input[0] * input[1], 1);
            let (rows, columns) = (repeated(input[0], times[0]), repeated(input[1], times[1]));
            check(input, &rows, &columns, 3, &x);
        }
    }
}

#[test]
fn lines_between_elements() {
    for of in [half_pixel, asymmetric, align_corners] {
        for input in [[1, 1], [2, 3], [9, 20], [20, 33]] {
            let x = noise(3 * input[0] * input[1], 2);
            for times in [1.0, 2.0, 4.0, 3.0, 1.5, 0.5, 0.3] {
                let to = input.map(|size| ((size as f64 * times) as usize).max(1));
                let (rows, columns) = (of(input[0], to[0]), of(input[1], to[1]));
                check(input, &rows, &columns, 3, &x);
                check(input, &repeated(input[0], 2), &columns, 3, &x);
                check(input, &rows, &repeated(input[1], 1), 3, &x);
            }
        }
    }
}

#[test]
fn what_has_no_weight_is_not_looked_at() {
    let input = [5, 19];
    for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 18, 47, 76, 94] {
            let mut x = noise(2 * 5 * 19, 3);
            x[at] = special;
            for of in [half_pixel, asymmetric, align_corners] {
                check(input, &of(5, 10), &of(19, 38), 2, &x);
                check(input, &of(5, 20), &of(19, 76), 2, &x);
                check(input, &of(5, 9), &of(19, 37), 2, &x);
            }
        }
    }
}

#[test]
fn elements_in_any_order() {
    let rows = vec![
        Tap::One(3),
        Tap::Two(0, [0.25, 0.75]),
        Tap::One(3),
        Tap::Two(2, [0.5, 0.5]),
    ];
    let columns = vec![Tap::One(4), Tap::One(0), Tap::One(0)];
    check([4, 5], &rows, &columns, 4, &noise(80, 4));
    let columns = vec![
        Tap::Two(3, [0.1, 0.9]),
        Tap::One(0),
        Tap::Two(0, [2.0, -1.0]),
    ];
    check([4, 5], &rows, &columns, 4, &noise(80, 5));
}

#[test]
fn wrong_sizes_are_errors() {
    let made = |row: Tap, column: Tap| Resize::new([2, 3], vec![row], vec![column]).map(|_| ());
    assert_eq!(made(Tap::One(1), Tap::Two(1, [0.5, 0.5])), Ok(()));
    for (row, column) in [
        (Tap::One(2), Tap::One(0)),
        (Tap::One(0), Tap::Two(2, [0.5, 0.5])),
        (Tap::Two(usize::MAX, [0.5, 0.5]), Tap::One(0)),
    ] {
        assert_eq!(made(row, column), Err(ConvError::NotResized));
    }
    let resize = Resize::new([2, 3], repeated(2, 2), repeated(3, 2)).unwrap();
    let run =
        |x: usize, y: usize| resize.run(Isa::best(), 2, &vec![0.0; x], &mut vec![0.0; y], &Inline);
    assert_eq!(run(12, 48), Ok(()));
    assert!(run(11, 48).is_err() && run(12, 47).is_err());
    let none = Resize::new([0, 3], vec![], repeated(3, 2)).unwrap();
    let nothing = none.run(Isa::best(), 2, &[], &mut [], &Inline);
    assert_eq!((none.output(), nothing), ([0, 6], Ok(())));
}
