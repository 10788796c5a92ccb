//! What stands between codes against float32, step by step.
//!
//! Given random chains with constants between two codes, and arithmetic of two; promises the codes that each step, rounded once, gives, for
//! all codes and all pairs of them.

use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::math;

use crate::conv::Convolutions;
use crate::load::{Operators, finished};
use crate::ops::{Activation, Clamp, Extremum, Gate};
use crate::passes::written::{Net, U8};
use crate::passes::{self, CodeTable, Wanted};

/// What becomes of the last value.
#[derive(Debug, Clone, Copy)]
enum Step {
    Times(f32),
    Over(f32),
    Under(f32),
    Plus(f32),
    Minus(f32),
    Power(f32),
    /// The root of the absolute value.
    Root,
    Clip(f32, f32),
    Sigmoid,
    /// A product with the value so many steps before.
    TimesEarlier(usize),
    /// Axes in another order, and back behind the next step.
    Moved,
}

type Scale = (f32, i32);

impl Step {
    fn apply(self, values: &[f32]) -> f32 {
        let x = values[values.len() - 1];
        match self {
            Step::Times(c) => x * c,
            Step::Over(c) => x / c,
            Step::Under(c) => c / x,
            Step::Plus(c) => x + c,
            Step::Minus(c) => x - c,
            Step::Power(c) => x.powf(c),
            Step::Root => x.abs().sqrt(),
            // NaN stays NaN.
            Step::Clip(low, high) => x.clamp(low, high),
            // The kernel's own, which has tests elsewhere.
            Step::Sigmoid => {
                let one = tensor1(&[x]).into_tvalue();
                let y = Gate::Sigmoid.into_op().eval_out_of_plan(tvec!(one));
                let y = y.unwrap().unwrap().remove(0);
                y.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap()[0]
            }
            Step::TimesEarlier(back) => x * values[values.len().saturating_sub(1 + back)],
            Step::Moved => x,
        }
    }

    fn wire(self, net: &mut Net, values: &[OutletId]) -> OutletId {
        let x = values[values.len() - 1];
        let mut with = |op: TypedBinOp, c: f32, swapped: bool| {
            let c = net.constant(tensor0(c).broadcast_into_rank(2).unwrap());
            let inputs = if swapped { [c, x] } else { [x, c] };
            net.wire(op, &inputs)
        };
        match self {
            Step::Times(c) => with(math::mul(), c, true),
            Step::Over(c) => with(math::div(), c, false),
            Step::Under(c) => with(math::div(), c, true),
            Step::Plus(c) => with(math::add(), c, false),
            Step::Minus(c) => with(math::sub(), c, false),
            Step::Power(c) => with(math::pow(), c, false),
            Step::Root => {
                let x = net.wire(math::abs(), &[x]);
                net.wire(math::sqrt(), &[x])
            }
            Step::Clip(low, high) => {
                let clamp = Clamp::NONE.then(Extremum::Max, f64::from(low));
                let clamp = clamp.and_then(|clamp| clamp.then(Extremum::Min, f64::from(high)));
                net.wire(clamp.unwrap().into_op(), &[x])
            }
            Step::Sigmoid => net.wire(tract_core::ops::nn::sigmoid(), &[x]),
            Step::TimesEarlier(back) => {
                let earlier = values[values.len().saturating_sub(1 + back)];
                net.wire(math::mul(), &[x, earlier])
            }
            Step::Moved => {
                let moved = net.wire(AxisOp::Move(0, 1), &[x]);
                net.wire(AxisOp::Move(1, 0), &[moved])
            }
        }
    }
}

/// All 256 codes through a chain, and what was made of it.
fn run(from: Scale, steps: &[Step], to: Scale) -> (Vec<u8>, Vec<CodeTable>) {
    let mut net = Net(TypedModel::default());
    let codes = net.0.add_source("codes", u8::fact([2, 128])).unwrap();
    let mut values = vec![net.dequantize(codes, from.0, from.1)];
    for step in steps {
        values.push(step.wire(&mut net, &values));
    }
    let end = net.quantize(*values.last().unwrap(), to.0, to.1, U8);
    net.0.select_output_outlets(&[end]).unwrap();
    let mut model = finished(net.0, Operators::OnnxSwish, Convolutions::Auto).unwrap();
    let wanted = Wanted {
        tables: true,
        ..Wanted::default()
    };
    let tables = passes::lower(&mut model, Operators::OnnxSwish, wanted);
    let plan = TypedSimplePlan::new(model).unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let codes = Tensor::from_shape(&[2, 128], &all).unwrap().into_tvalue();
    let result = plan.run(tvec!(codes)).unwrap().remove(0);
    let result = result.try_as_plain_ram().unwrap();
    (
        result.as_slice::<u8>().unwrap().to_vec(),
        tables.unwrap().tables,
    )
}

/// The code of one number through the steps; none where there is no number, about which engines disagree.
fn expected(code: u8, from: Scale, steps: &[Step], to: Scale) -> Option<u8> {
    let mut values = vec![(i32::from(code) - from.1) as f32 * from.0];
    for step in steps {
        values.push(step.apply(&values));
    }
    let quotient = (values[values.len() - 1] / to.0).round_ties_even();
    (!quotient.is_nan()).then(|| (f64::from(quotient) + f64::from(to.1)).clamp(0.0, 255.0) as u8)
}

#[track_caller]
fn check(from: Scale, steps: &[Step], to: Scale) {
    let (codes, tables) = run(from, steps, to);
    for (code, found) in (0..=255u8).zip(codes) {
        if let Some(expected) = expected(code, from, steps, to) {
            assert_eq!(found, expected, "code {code} of {from:?} {steps:?} {to:?}");
        }
    }
    assert_eq!(tables.len(), 1, "{tables:?}");
}

/// Numbers as people write them, which is where products fall on the middle between two codes.
fn number() -> impl Strategy<Value = f32> {
    let round = (-60..60i32).prop_map(|n| if n == 0 { 6.0 } else { n as f32 * 0.1 });
    prop_oneof![
        round,
        Just(6.0f32),
        Just(3.0),
        Just(1.0 / 6.0),
        -8.0..8.0f32
    ]
}

fn scale() -> impl Strategy<Value = Scale> {
    ((1..20i32).prop_map(|n| n as f32 * 0.01), 0..256i32)
}

fn step() -> impl Strategy<Value = Step> {
    let clip = (number(), number()).prop_map(|(a, b)| Step::Clip(a.min(b), a.max(b)));
    prop_oneof![
        3 => number().prop_map(Step::Times),
        3 => number().prop_map(Step::Over),
        1 => number().prop_map(Step::Under),
        2 => number().prop_map(Step::Plus),
        1 => number().prop_map(Step::Minus),
        1 => prop_oneof![Just(2.0f32), Just(0.5), Just(3.0)].prop_map(Step::Power),
        1 => Just(Step::Root),
        2 => clip,
        1 => Just(Step::Sigmoid),
        3 => (0..4usize).prop_map(Step::TimesEarlier),
        1 => Just(Step::Moved),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_table_is_what_float32_gives_step_by_step(
        from in scale(),
        steps in prop::collection::vec(step(), 1..7),
        to in scale(),
    ) {
        check(from, &steps, to);
    }
}

#[test]
fn a_quotient_is_no_product_with_the_reciprocal() {
    check((0.06, 128), &[Step::Over(6.0)], (0.02, 128));
    for to in [0.01, 0.02, 0.03, 0.05, 0.06] {
        let hard = [
            Step::Plus(3.0),
            Step::Clip(0.0, 6.0),
            Step::TimesEarlier(2),
            Step::Over(6.0),
        ];
        check((0.06, 128), &hard, (to, 20));
    }
}

#[test]
fn two_factors_are_two_products() {
    check(
        (0.05, 128),
        &[Step::Times(0.3), Step::Times(0.7)],
        (0.03, 9),
    );
    check(
        (0.05, 128),
        &[Step::Over(0.3), Step::Moved, Step::Times(0.7)],
        (0.03, 9),
    );
}

#[test]
fn the_square_of_a_root_is_rounded_twice() {
    check((0.07, 0), &[Step::Root, Step::Power(2.0)], (0.07, 0));
    check((0.07, 0), &[Step::Root, Step::TimesEarlier(0)], (0.14, 0));
}

/// The codes of all pairs of codes of two tensors, by what is written and by what it means.
#[track_caller]
fn check_pairs(
    scales: [Scale; 3],
    write: impl FnOnce(&mut Net, OutletId, OutletId) -> OutletId,
    means: impl Fn(f32, f32) -> f32,
) {
    let [a, b, to] = scales;
    let mut net = Net(TypedModel::default());
    let floats = [("a", a), ("b", b)].map(|(name, (scale, zero_point))| {
        let codes = net.0.add_source(name, u8::fact([256, 256])).unwrap();
        net.dequantize(codes, scale, zero_point)
    });
    let end = write(&mut net, floats[0], floats[1]);
    let end = net.quantize(end, to.0, to.1, U8);
    net.0.select_output_outlets(&[end]).unwrap();
    let mut model = finished(net.0, Operators::OnnxSwish, Convolutions::Auto).unwrap();
    let wanted = Wanted {
        tables: true,
        codes: true,
        convolutions: Convolutions::Ours,
    };
    passes::lower(&mut model, Operators::OnnxSwish, wanted).unwrap();
    let pairs = (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| [a, b]));
    let pairs: Vec<[u8; 2]> = pairs.collect();
    let given = [0, 1].map(|of| {
        let codes: Vec<u8> = pairs.iter().map(|pair| pair[of]).collect();
        Tensor::from_shape(&[256, 256], &codes)
            .unwrap()
            .into_tvalue()
    });
    let result = TypedSimplePlan::new(model)
        .unwrap()
        .run(given.into_iter().collect());
    let result = result.unwrap().remove(0);
    let plain = result.try_as_plain_ram().unwrap();
    for (&[x, y], &found) in pairs.iter().zip(plain.as_slice::<u8>().unwrap()) {
        let float = |code: u8, (scale, zero): Scale| (i32::from(code) - zero) as f32 * scale;
        let quotient = (means(float(x, a), float(y, b)) / to.0).round_ties_even();
        let expected = (f64::from(quotient) + f64::from(to.1)).clamp(0.0, 255.0) as u8;
        assert_eq!(found, expected, "codes {x} and {y} of {scales:?}");
    }
}

fn number_of(net: &mut Net, c: f32) -> OutletId {
    net.constant(tensor0(c).broadcast_into_rank(2).unwrap())
}

#[test]
fn constants_between_two_codes_divide_and_multiply_one_after_the_other() {
    for scales in [
        [(0.06, 128), (0.02, 3), (0.02, 127)],
        [(0.02, 0), (0.06, 255), (0.004, 1)],
    ] {
        check_pairs(
            scales,
            |net, a, b| {
                let sum = net.wire(math::add(), &[a, b]);
                let six = number_of(net, 6.0);
                net.wire(math::div(), &[sum, six])
            },
            |a, b| (a + b) / 6.0,
        );
        check_pairs(
            scales,
            |net, a, b| {
                let (p, q) = (number_of(net, 0.3), number_of(net, 0.7));
                let product = net.wire(math::mul(), &[a, b]);
                let product = net.wire(math::mul(), &[product, p]);
                net.wire(math::mul(), &[product, q])
            },
            |a, b| a * b * 0.3 * 0.7,
        );
    }
}

#[test]
fn what_divides_by_channel_divides() {
    let rows: Vec<f32> = (0..256).map(|row| [6.0, 3.0, 0.7][row % 3]).collect();
    let (a, to): (Scale, Scale) = ((0.06, 128), (0.02, 128));
    let mut net = Net(TypedModel::default());
    let codes = net.0.add_source("codes", u8::fact([256, 256])).unwrap();
    let x = net.dequantize(codes, a.0, a.1);
    let by = net.constant(Tensor::from_shape(&[256, 1], &rows).unwrap());
    let end = net.wire(math::div(), &[x, by]);
    let end = net.quantize(end, to.0, to.1, U8);
    net.0.select_output_outlets(&[end]).unwrap();
    let mut model = finished(net.0, Operators::OnnxSwish, Convolutions::Auto).unwrap();
    passes::lower(&mut model, Operators::OnnxSwish, Wanted::default()).unwrap();
    let all: Vec<u8> = (0..256).flat_map(|_| 0..=255u8).collect();
    let given = Tensor::from_shape(&[256, 256], &all).unwrap().into_tvalue();
    let result = TypedSimplePlan::new(model).unwrap().run(tvec!(given));
    let result = result.unwrap().remove(0);
    let plain = result.try_as_plain_ram().unwrap();
    let found = plain.as_slice::<u8>().unwrap().chunks(256).zip(&rows);
    for (found, by) in found {
        for (code, found) in (0..=255u8).zip(found) {
            let expected = expected(code, a, &[Step::Over(*by)], to);
            assert_eq!(Some(*found), expected, "code {code} over {by}");
        }
    }
}

#[test]
fn hard_gates_round_the_product_and_the_sum() {
    let alpha = f64::from(1.0f32 / 6.0);
    let gate = |x: f32| (x * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0);
    let scales = [(0.03, 128), (0.02, 3), (0.004, 0)];
    check_pairs(
        scales,
        |net, a, b| {
            let sum = net.wire(math::add(), &[a, b]);
            let gate = Gate::HardSigmoid { alpha, beta: 0.5 };
            net.wire(gate.into_op(), &[sum])
        },
        |a, b| gate(a + b),
    );
    check_pairs(
        scales,
        |net, a, b| {
            let sum = net.wire(math::add(), &[a, b]);
            net.wire(Activation::HardSwish.into_op(), &[sum])
        },
        |a, b| (a + b) * gate(a + b),
    );
}
