//! Codes against scalar code that is written as ONNX's specification says it, in integers.
//!
//! Given every code, every half-way case, special values and random bits; promises equal codes and equal bits on every set.

use onnx_swish_kernels::Isa;
use onnx_swish_kernels::codes::*;
use onnx_swish_simd::{Kernel, Lane, Simd};

/// The byte of one float: i32 holds every quotient that does not saturate.
fn one_code(x: f32, Linear { scale, zero_point }: Linear) -> u8 {
    let (low, high) = zero_point.range();
    let quotient = x / scale;
    if quotient.is_nan() {
        return low as u8;
    }
    let rounded = quotient.round_ties_even().clamp(-1e6, 1e6) as i32;
    (rounded + i32::from(zero_point.value())).clamp(low.into(), high.into()) as u8
}

fn one_float(code: u8, Linear { scale, zero_point }: Linear) -> f32 {
    let code = match zero_point {
        ZeroPoint::U8(_) => i32::from(code),
        ZeroPoint::I8(_) => i32::from(code.cast_signed()),
    };
    (code - i32::from(zero_point.value())) as f32 * scale
}

/// Scales of real models, powers of two, and ones that mean nothing but must not differ either.
fn linears() -> Vec<Linear> {
    let scales = [
        0.0235,
        1.0 / 255.0,
        0.25,
        2.0f32.powi(-7),
        3.0,
        1e-30,
        1e30,
        f32::MIN_POSITIVE,
        f32::from_bits(3),
        0.0,
        -0.5,
        f32::INFINITY,
        f32::NAN,
    ];
    let zero_points = [0, 1, 3, 127, 128, 254, 255]
        .map(ZeroPoint::U8)
        .into_iter()
        .chain([-128, -127, -1, 0, 5, 127].map(ZeroPoint::I8));
    zero_points
        .flat_map(|zero_point| scales.map(|scale| Linear { scale, zero_point }))
        .collect()
}

/// Half-way cases of the scale and their neighbours, special values, and bits in no order.
fn floats(scale: f32) -> Vec<f32> {
    let mut all = vec![
        0.0,
        -0.0,
        f32::NAN,
        f32::from_bits(0xffc0_0001),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        -f32::from_bits(1),
    ];
    for i in -600..600 {
        let half = i as f32 * 0.5 * scale;
        all.extend([half, half.next_up(), half.next_down()]);
    }
    // Where adding 1.5·2²³ stops to round to whole numbers, and where i32 ends.
    for power in 20..34 {
        for factor in [1.0, -1.0, 1.5, -1.5] {
            let x = factor * 2.0f32.powi(power) * scale;
            all.extend([x, x.next_up(), x.next_down()]);
        }
    }
    let mut word = 7u32;
    for _ in 0..3000 {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        all.push(f32::from_bits(word));
        all.push(((word >> 8) as f32 / 8_388_608.0 - 1.0) * 300.0 * scale);
    }
    all
}

/// Without order, and not its own inverse.
fn table() -> Table {
    std::array::from_fn(|i| (i as u8).wrapping_mul(167) ^ 0x5a)
}

fn same(computed: &[f32], expected: &[f32], what: &str) {
    assert_eq!(computed.len(), expected.len());
    for (a, b) in computed.iter().zip(expected) {
        assert!(
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            "{what}: {a:e} and {b:e}"
        );
    }
}

#[test]
fn codes_are_those_of_the_specification() {
    for linear in linears() {
        let x = floats(linear.scale);
        let expected: Vec<u8> = x.iter().map(|x| one_code(*x, linear)).collect();
        for isa in Isa::available() {
            let mut codes = vec![0; x.len()];
            quantize_with(isa, &x, linear, &mut codes);
            for ((x, code), expected) in x.iter().zip(&codes).zip(&expected) {
                assert_eq!(code, expected, "{isa}, {linear:?}: {x:e}");
            }
        }
    }
}

#[test]
fn the_float_of_every_code_is_exact() {
    let codes: Vec<u8> = (0..=255).chain(0..100).collect();
    for linear in linears() {
        let expected: Vec<f32> = codes.iter().map(|code| one_float(*code, linear)).collect();
        for isa in Isa::available() {
            let mut y = vec![0.0; codes.len()];
            dequantize_with(isa, &codes, linear, &mut y);
            same(&y, &expected, &format!("{isa}, {linear:?}"));
        }
    }
}

/// Every combination that a model may have, a few of all scales.
fn requantizations() -> Vec<Requantize> {
    let linears = linears();
    let mut all = Vec::new();
    for (i, from) in linears.iter().enumerate() {
        for to in linears.iter().skip(i % 5).step_by(5) {
            all.extend(Requantize::new(*from, Some(table()), *to));
            all.extend(Requantize::new(*from, None, *to));
        }
    }
    all
}

fn one_by_one(x: &[f32], by: &Requantize) -> Vec<f32> {
    let float = |x: &f32| {
        let code = one_code(*x, by.quantize());
        let code = by.table().map_or(code, |table| table[usize::from(code)]);
        one_float(code, by.dequantize())
    };
    x.iter().map(float).collect()
}

#[test]
fn requantizing_is_the_three_one_after_the_other() {
    for by in requantizations() {
        let x: Vec<f32> = floats(by.quantize().scale).into_iter().step_by(7).collect();
        let expected = one_by_one(&x, &by);
        for isa in Isa::available() {
            let mut y = x.clone();
            requantize_in_place_with(isa, &mut y, &by);
            same(&y, &expected, &format!("{isa}, {by:?}"));
        }
    }
}

#[test]
fn codes_of_two_types_need_a_table_between_them() {
    let unsigned = Linear {
        scale: 0.5,
        zero_point: ZeroPoint::U8(3),
    };
    let signed = Linear {
        scale: 0.5,
        zero_point: ZeroPoint::I8(3),
    };
    assert_eq!(Requantize::new(unsigned, None, signed), None);
    assert!(Requantize::new(unsigned, Some(table()), signed).is_some());
    assert!(Requantize::new(signed, None, signed).is_some());
}

#[test]
fn slices_of_any_length_and_place_end_where_they_end() {
    let linear = Linear {
        scale: 0.1,
        zero_point: ZeroPoint::U8(100),
    };
    let by = Requantize::new(linear, Some(table()), linear).unwrap();
    let x: Vec<f32> = floats(0.1).into_iter().take(1300).collect();
    let codes: Vec<u8> = x.iter().map(|x| one_code(*x, linear)).collect();
    let entries: Vec<u8> = codes
        .iter()
        .map(|code| table()[usize::from(*code)])
        .collect();
    for isa in Isa::available() {
        for n in (0..70).chain([127, 128, 511, 512, 513, 1100]) {
            for first in [0, 3] {
                let mut written = vec![0xaa; n + 5];
                quantize_with(isa, &x[first..first + n], linear, &mut written[..n]);
                assert_eq!(written[..n], codes[first..first + n]);
                look_up_in_place_with(isa, &table(), &mut written[..n]);
                assert_eq!(written[..n], entries[first..first + n]);
                look_up_with(
                    isa,
                    &table(),
                    &codes[first..first + n],
                    &mut written[1..n + 1],
                );
                assert_eq!(written[1..n + 1], entries[first..first + n]);
                assert!(written[n + 1..].iter().all(|byte| *byte == 0xaa));
                let mut y = vec![7.0; n + 5];
                dequantize_with(isa, &codes[first..first + n], linear, &mut y[..n]);
                assert_eq!(y[n..], [7.0; 5]);
                y[..n].copy_from_slice(&x[first..first + n]);
                requantize_in_place_with(isa, &mut y[..n], &by);
                same(&y[..n], &one_by_one(&x[first..first + n], &by), isa.name());
                assert_eq!(y[n..], [7.0; 5]);
            }
        }
    }
}

/// What registers become, three at a time, by way of memory.
struct Threes<'a>(&'a [f32], &'a Requantize);

impl Kernel for Threes<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f32> {
        let mut all = Vec::new();
        for x in self.0.chunks_exact(3 * S::LANES) {
            let mut values = [s.splat(0.0); 3];
            for (i, v) in values.iter_mut().enumerate() {
                // SAFETY: a chunk is as long as three registers.
                *v = unsafe { f32::load(s, x.as_ptr().add(i * S::LANES)) };
            }
            onnx_swish_kernels::registers::requantize_each(s, &mut values, self.1);
            for v in values {
                let mut y = [0.0; 64];
                // SAFETY: no register has more lanes.
                unsafe { f32::store(s, y.as_mut_ptr(), v) };
                all.extend(&y[..S::LANES]);
            }
        }
        all
    }
}

#[test]
fn registers_become_what_slices_become() {
    for by in requantizations().iter().step_by(3) {
        let x: Vec<f32> = floats(by.quantize().scale).into_iter().step_by(9).collect();
        for isa in Isa::available() {
            let y = isa.run(Threes(&x, by));
            assert!(!y.is_empty());
            same(&y, &one_by_one(&x[..y.len()], by), isa.name());
        }
    }
}

/// Codes in no order.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut word = seed;
    let mut next = || {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (word >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Every combination of types, with scales of models, powers of two, and ones that overflow.
fn pairs() -> Vec<Pair> {
    let types = [ZeroPoint::U8(117), ZeroPoint::I8(-9)];
    let mut all = Vec::new();
    for (i, zero_points) in (0..8).map(|i| [i & 1, i >> 1 & 1, i >> 2]).enumerate() {
        let scales = [
            [0.0237, 0.0113, 0.0291],
            [0.5, 0.25, 0.5],
            [1e30, 1e20, 1e-9],
        ];
        for [a, b, to] in scales {
            let linear = |at: usize, scale| Linear {
                scale,
                zero_point: types[zero_points[at]],
            };
            let (a, b, to) = (linear(0, a), linear(1, b), linear(2, to));
            all.push(Pair {
                a,
                b,
                to,
                relu: i % 2 == 0,
            });
        }
    }
    all
}

fn rectified(x: f32, relu: bool) -> f32 {
    if relu && x < 0.0 { 0.0 } else { x }
}

#[test]
fn sums_of_codes_are_those_of_their_floats() {
    for pair in pairs() {
        for n in [0, 1, 7, 64, 65, 300] {
            let (a, b) = (noise(n, 1), noise(n, 2));
            let expected = a.iter().zip(&b).map(|(a, b)| {
                let sum = one_float(*a, pair.a) + one_float(*b, pair.b);
                one_code(rectified(sum, pair.relu), pair.to)
            });
            let expected: Vec<u8> = expected.collect();
            for isa in Isa::available() {
                let mut codes = vec![77; n];
                add_with(isa, &pair, &a, &b, &mut codes);
                assert_eq!(codes, expected, "{isa} {pair:?}");
            }
        }
    }
}

/// Small planes are computed, large ones are looked up.
#[test]
fn products_of_planes_are_those_of_their_floats() {
    for pair in pairs() {
        for (planes, plane) in [(0, 5), (3, 1), (5, 49), (2, 2000)] {
            let (a, b) = (noise(planes * plane, 3), noise(planes, 4));
            let expected = a.iter().enumerate().map(|(i, a)| {
                let product = one_float(*a, pair.a) * one_float(b[i / plane], pair.b);
                one_code(rectified(product, pair.relu), pair.to)
            });
            let expected: Vec<u8> = expected.collect();
            for isa in Isa::available() {
                let mut codes = vec![77; a.len()];
                scale_planes_with(isa, &pair, &a, &b, &mut codes);
                assert_eq!(codes, expected, "{isa} {pair:?} {plane}");
            }
        }
    }
}

#[test]
fn sums_of_planes_are_exact() {
    for zero_point in [
        ZeroPoint::U8(0),
        ZeroPoint::U8(117),
        ZeroPoint::I8(-128),
        ZeroPoint::I8(5),
    ] {
        let linear = Linear {
            scale: 0.013,
            zero_point,
        };
        for (planes, plane) in [(0, 1), (3, 1), (4, 49), (2, 3_000_000)] {
            let codes = noise(planes * plane, 5);
            let exact = codes.chunks(plane).map(|codes| {
                let codes = codes
                    .iter()
                    .map(|byte| zero_point.code(*byte) - zero_point.value());
                codes.map(i64::from).sum::<i64>() as f32 * linear.scale
            });
            let exact: Vec<f32> = exact.collect();
            for isa in Isa::available() {
                let mut sums = vec![f32::NAN; planes];
                plane_sums_with(isa, &codes, linear, &mut sums);
                assert_eq!(sums, exact, "{isa} {linear:?}");
            }
        }
    }
}

/// ONNX Runtime's operators: scales of models, round ones and powers of two, at which halves occur, and ones that float64 does not hold.
fn combinations() -> Vec<QLinear> {
    let scales = [
        [0.0237, 0.0113, 0.0291],
        [0.5, 0.25, 0.5],
        [0.06, 0.02, 0.04],
        [1e-9, 0.37, 0.01],
        [3e-38, 1e-20, 1.0],
    ];
    let zeros = [[117, 3, 131], [0, 255, 77], [128, 128, 0]];
    let mut all = Vec::new();
    for operator in [Operator::Add, Operator::Mul] {
        for scale in scales {
            for zero in zeros {
                for codes in [CodeType::U8, CodeType::I8] {
                    let linear = |at: usize| Linear {
                        scale: scale[at],
                        zero_point: ZeroPoint::new(codes, zero[at] + codes.range()[0]).unwrap(),
                    };
                    all.extend(QLinear::new(operator, linear(0), linear(1), linear(2)));
                }
            }
        }
    }
    assert_eq!(all.len(), 60);
    all
}

/// Every pair, at once and in parts that end anywhere.
#[test]
fn pairs_are_combined_as_their_formula_says_on_every_set() {
    let a: Vec<u8> = (0..65_536u32).map(|i| (i >> 8) as u8).collect();
    let b: Vec<u8> = (0..65_536u32).map(|i| i as u8).collect();
    for by in combinations() {
        let expected: Vec<u8> = a.iter().zip(&b).map(|(a, b)| by.code(*a, *b)).collect();
        for isa in Isa::available() {
            let mut codes = vec![77; a.len()];
            combine_with(isa, &by, &a, Second::Each(&b), &mut codes);
            assert!(codes == expected, "{isa} {by:?}");
            for n in (0..70).chain([127, 300]) {
                let at = n * 211;
                let mut codes = vec![0xaa; n + 3];
                let (a, b) = (&a[at..at + n], &b[at..at + n]);
                combine_with(isa, &by, a, Second::Each(b), &mut codes[..n]);
                assert_eq!(codes[..n], expected[at..at + n], "{isa} {by:?} {n}");
                assert_eq!(codes[n..], [0xaa; 3]);
            }
        }
    }
}

/// Small planes are computed, large ones are looked up.
#[test]
fn planes_are_combined_with_one_code_each() {
    for by in combinations() {
        for (planes, plane) in [(0, 5), (3, 1), (5, 49), (2, 2000)] {
            let (a, b) = (noise(planes * plane, 3), noise(planes, 4));
            let each = a.iter().enumerate();
            let expected: Vec<u8> = each.map(|(i, a)| by.code(*a, b[i / plane])).collect();
            for isa in Isa::available() {
                let mut codes = vec![77; a.len()];
                combine_with(isa, &by, &a, Second::Planes(&b), &mut codes);
                assert_eq!(codes, expected, "{isa} {by:?} {plane}");
            }
        }
    }
}

#[test]
fn codes_of_two_types_are_not_combined() {
    let linear = |zero_point| Linear {
        scale: 0.5,
        zero_point,
    };
    let (unsigned, signed) = (linear(ZeroPoint::U8(3)), linear(ZeroPoint::I8(3)));
    assert_eq!(
        QLinear::new(Operator::Add, unsigned, signed, unsigned),
        None
    );
    assert_eq!(QLinear::new(Operator::Mul, signed, signed, unsigned), None);
}
