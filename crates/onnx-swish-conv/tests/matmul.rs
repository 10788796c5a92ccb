//! Products of two tensors on every instruction set against the definition.
//! Given: a grid of sizes around those of tiles, panels and blocks, each operand in every order of its axes, batches that are repeated.
//! Promise: within the rounding bound of the sum, and the same bits for any number of workers and any order.

mod noise;
mod threads;

use onnx_swish_conv::{Axis, ConvError, Isa, MatMul};
use onnx_swish_threads::{Inline, Workers};

use noise::noise;
use threads::Threads;

/// Sizes of the axes a, b (of batches), i, j and k, in this order.
type Sizes = [usize; 5];

/// The strides of a tensor whose axes are these letters.
fn strides(axes: &str, sizes: Sizes) -> [usize; 5] {
    let mut strides = [0; 5];
    let mut stride = 1;
    for axis in axes.chars().rev() {
        let axis = "abijk".find(axis).unwrap();
        strides[axis] = stride;
        stride *= sizes[axis];
    }
    strides
}

fn len(axes: &str, sizes: Sizes) -> usize {
    axes.chars()
        .map(|axis| sizes["abijk".find(axis).unwrap()])
        .product()
}

fn matmul([left, right, output]: [&str; 3], sizes: Sizes) -> Result<MatMul, ConvError> {
    let [l, r, o] = [left, right, output].map(|axes| strides(axes, sizes));
    let axis = |i: usize| Axis {
        size: sizes[i],
        left: l[i],
        right: r[i],
        output: o[i],
    };
    MatMul::new(&[axis(0), axis(1)], [axis(2), axis(3), axis(4)])
}

fn run(of: &MatMul, isa: Isa, operands: [&[f32]; 2], len: usize, by: &dyn Workers) -> Vec<f32> {
    // Whatever an output holds beforehand must not matter.
    let mut output = vec![f32::NAN; len];
    of.run(isa, operands, &mut output, by).unwrap();
    output
}

/// Each sum and how far off it may be: every product and every addition rounds once, by at most half a unit of the sum of magnitudes.
fn expected(axes: [&str; 3], sizes: Sizes, left: &[f32], right: &[f32]) -> Vec<(f64, f64)> {
    let [l, r, o] = axes.map(|axes| strides(axes, sizes));
    let mut all = vec![(f64::NAN, 0.0); len(axes[2], sizes)];
    let [a, b, i, j, k] = sizes;
    for at in 0..a * b * i * j {
        let place = [at / (b * i * j), at / (i * j) % b, at / j % i, at % j];
        let start = |strides: [usize; 5]| (0..4).map(|axis| place[axis] * strides[axis]).sum();
        let (from_left, from_right): (usize, usize) = (start(l), start(r));
        let (mut sum, mut magnitude) = (0.0, 0.0);
        for k in 0..k {
            let x = f64::from(left[from_left + k * l[4]]);
            let y = f64::from(right[from_right + k * r[4]]);
            (sum, magnitude) = (sum + x * y, magnitude + (x * y).abs());
        }
        let to: usize = start(o);
        all[to] = (sum, magnitude * (k + 1) as f64 * f64::from(f32::EPSILON));
    }
    all
}

fn check(axes: [&str; 3], sizes: Sizes) {
    let of = matmul(axes, sizes).unwrap();
    let (left, right) = (noise(len(axes[0], sizes), 1), noise(len(axes[1], sizes), 2));
    let expected = expected(axes, sizes, &left, &right);
    for isa in Isa::available() {
        let got = run(&of, isa, [&left, &right], expected.len(), &Inline);
        for (i, (got, (want, tolerance))) in got.iter().zip(&expected).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() <= *tolerance,
                "{isa:?} {axes:?} {sizes:?}: output {i} is {got}, expected {want} within {tolerance:e}"
            );
        }
        for threads in [2, 5] {
            let several = run(&of, isa, [&left, &right], expected.len(), &Threads(threads));
            assert_eq!(
                several, got,
                "{isa:?} {axes:?} {sizes:?}: {threads} threads"
            );
        }
        // Whole rows, each once, when all of their sums are there.
        let mut finished = got;
        add_the_last(&mut finished, sizes[3]);
        for threads in [1, 2, 5] {
            let mut output = vec![f32::NAN; finished.len()];
            let finish = |rows: &mut [f32]| add_the_last(rows, sizes[3]);
            of.run_rows(
                isa,
                [&left, &right],
                &mut output,
                &Threads(threads),
                &finish,
            )
            .unwrap();
            assert_eq!(
                output, finished,
                "{isa:?} {axes:?} {sizes:?}: rows, {threads} threads"
            );
        }
    }
}

/// Adds the last element of each row to all of them.
fn add_the_last(rows: &mut [f32], columns: usize) {
    for row in rows.chunks_exact_mut(columns.max(1)) {
        let last = row[columns - 1];
        row.iter_mut().for_each(|element| *element += last);
    }
}

const PLAIN: [&str; 3] = ["abik", "abkj", "abij"];

#[test]
fn sizes_around_those_of_tiles() {
    for rows in [1, 2, 4, 5, 8, 9, 17] {
        for columns in [1, 3, 8, 15, 16, 17, 33, 48, 49, 70] {
            for depth in [1, 2, 7, 16, 19, 40] {
                check(PLAIN, [1, 2, rows, columns, depth]);
                check(["abik", "abjk", "abij"], [2, 1, rows, columns, depth]);
            }
        }
    }
}

#[test]
// An operand that does not have an axis is repeated along it.
fn operands_and_outputs_in_any_order() {
    let sizes = [[2, 3, 5, 19, 9], [3, 2, 20, 50, 33], [1, 4, 9, 16, 17]];
    for left in ["abik", "abki", "aibk", "kiba", "ik", "k"] {
        for right in ["abkj", "abjk", "jkab", "kbja", "j"] {
            for output in ["abij", "aibj", "ibaj", "baij"] {
                for sizes in sizes {
                    check([left, right, output], sizes);
                }
            }
        }
    }
}

#[test]
fn deep_products_in_blocks_and_many_rows_in_chunks() {
    for sizes in [
        [1, 1, 300, 65, 333],
        [1, 2, 70, 97, 1100],
        [1, 1, 2500, 20, 70],
        [2, 1, 9, 40, 161],
        [1, 3, 256, 16, 256],
    ] {
        check(PLAIN, sizes);
        check(["abki", "abjk", "aibj"], sizes);
    }
}

#[test]
fn no_places_and_no_depth() {
    for sizes in [[0, 2, 3, 4, 5], [1, 2, 0, 4, 5], [1, 2, 3, 0, 5]] {
        check(PLAIN, sizes);
    }
    check(PLAIN, [1, 2, 3, 4, 0]);
    let of = matmul(PLAIN, [1, 2, 3, 4, 0]).unwrap();
    assert_eq!(run(&of, Isa::best(), [&[], &[]], 24, &Inline), [0.0; 24]);
}

/// A NaN or an infinity goes to all sums that it is part of, and to no other, although they share registers and zeros fill them up.
#[test]
fn special_values_stay_in_their_row_or_column() {
    let sizes = [1, 2, 11, 21, 30];
    for right_axes in ["abkj", "abjk"] {
        let of = matmul(["abik", right_axes, "abij"], sizes).unwrap();
        for isa in Isa::available() {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let (mut left, mut right) = (vec![0.5; 660], vec![0.5; 1260]);
                left[330 + 10 * 30 + 29] = value;
                let rows = run(&of, isa, [&left, &right], 462, &Inline);
                left.fill(0.5);
                right[20 * strides(right_axes, sizes)[3]] = value;
                let columns = run(&of, isa, [&left, &right], 462, &Inline);
                for at in 0..462 {
                    let [batch, row, column] = [at / 231, at / 21 % 11, at % 21];
                    let special = |x: f32| !x.is_finite() && x.is_nan() == value.is_nan();
                    assert_eq!(special(rows[at]), batch == 1 && row == 10, "{isa:?}");
                    assert_eq!(special(columns[at]), batch == 0 && column == 20, "{isa:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_product_is_refused() {
    let axis = |size, left, right, output| Axis {
        size,
        left,
        right,
        output,
    };
    let [rows, columns, depth] = [axis(2, 4, 0, 3), axis(3, 0, 1, 1), axis(4, 1, 3, 0)];
    assert!(MatMul::new(&[], [rows, columns, depth]).is_ok());
    let refused = [
        [axis(2, 4, 1, 3), columns, depth],
        [rows, axis(3, 1, 1, 1), depth],
        [rows, columns, axis(4, 1, 3, 1)],
        // Columns apart, rows that overlap, rows with a gap.
        [axis(2, 4, 0, 1), axis(3, 0, 1, 2), depth],
        [axis(2, 4, 0, 2), columns, depth],
        [axis(2, 4, 0, 4), columns, depth],
    ];
    for axes in refused {
        assert_eq!(
            MatMul::new(&[], axes),
            Err(ConvError::NotProduct),
            "{axes:?}"
        );
    }
    let repeated = MatMul::new(&[axis(2, 8, 12, 0)], [rows, columns, depth]);
    assert_eq!(repeated, Err(ConvError::NotProduct));
    let huge = axis(usize::MAX / 2, 4, 0, 3);
    assert_eq!(
        MatMul::new(&[], [huge, columns, depth]),
        Err(ConvError::TooLarge)
    );
    let of = MatMul::new(&[], [rows, columns, depth]).unwrap();
    for (lens, what, want) in [
        ([7, 12, 6], "the left operand", 8),
        ([8, 11, 6], "the right operand", 12),
        ([8, 12, 5], "the output", 6),
        ([8, 12, 7], "the output", 6),
    ] {
        let [left, right, mut output] = lens.map(|len| vec![0.0; len]);
        let got = of.run(Isa::best(), [&left, &right], &mut output, &Inline);
        let given = lens
            .into_iter()
            .zip([8, 12, 6])
            .find(|(got, want)| got != want);
        let got_len = given.map_or(0, |(got, _)| got);
        assert_eq!(
            got,
            Err(ConvError::Length {
                what,
                got: got_len,
                want
            })
        );
    }
}
