//! Regions of several codes against their own nodes, one by one on whole tensors.
//!
//! Given random regions and what is almost one; promises the same bits for every size and number of threads, and one operator where one
//! is due.

use onnx_swish_threads::Pool;
use proptest::prelude::*;
use tract_core::internal::*;
use tract_core::ops::logic::{Iff, comp_gt};
use tract_core::ops::math;

use crate::conv::Convolutions;
use crate::load::{Operators, finished};
use crate::ops::{Activation, Clamp, Extremum, Gate, QElementwise};
use crate::passes::written::{I8, Net, U8};
use crate::passes::{self, CodeTable, Wanted};
use crate::workers::with_pool;

/// What is made of values by their places in the list of all so far, modulo its length.
#[derive(Debug, Clone, Copy)]
enum Made {
    Sum(usize, usize),
    Difference(usize, usize),
    Product(usize, usize),
    Quotient(usize, usize),
    Larger(usize, usize),
    Chosen(usize, usize),
    Times(usize, f32),
    Under(usize, f32),
    Plus(usize, f32),
    ByChannel(usize, f32),
    Clip(usize, f32),
    Power(usize, f32),
    Sigmoid(usize),
    Silu(usize),
    HardSwish(usize),
    Tanh(usize),
    Erf(usize),
    Exp(usize),
}

impl Made {
    fn wire(self, net: &mut Net, values: &[OutletId], channels: usize) -> OutletId {
        let of = |at: usize| values[values.len() - 1 - at % values.len()];
        let single =
            |net: &mut Net, c: f32| net.constant(tensor0(c).broadcast_into_rank(4).unwrap());
        let mut with = |op: tract_core::ops::binary::TypedBinOp, x: usize, c: f32| {
            let c = single(net, c);
            net.wire(op, &[of(x), c])
        };
        match self {
            Made::Times(x, c) => with(math::mul(), x, c),
            Made::Plus(x, c) => with(math::add(), x, c),
            Made::Power(x, c) => with(math::pow(), x, c),
            Made::Sum(a, b) => net.wire(math::add(), &[of(a), of(b)]),
            Made::Difference(a, b) => net.wire(math::sub(), &[of(a), of(b)]),
            Made::Product(a, b) => net.wire(math::mul(), &[of(a), of(b)]),
            Made::Quotient(a, b) => net.wire(math::div(), &[of(a), of(b)]),
            Made::Larger(a, b) => net.wire(math::max(), &[of(a), of(b)]),
            Made::Chosen(a, b) => {
                let greater = net.wire(
                    tract_core::ops::binary::TypedBinOp(comp_gt(), None),
                    &[of(a), of(b)],
                );
                net.wire(Iff, &[greater, of(a), of(b)])
            }
            Made::Under(x, c) => {
                let c = single(net, c);
                net.wire(math::div(), &[c, of(x)])
            }
            Made::ByChannel(x, c) => {
                let each: Vec<f32> = (0..channels).map(|i| c + i as f32 * 0.1).collect();
                let each = Tensor::from_shape(&[1, channels, 1, 1], &each).unwrap();
                let each = net.constant(each);
                net.wire(math::mul(), &[of(x), each])
            }
            Made::Clip(x, c) => {
                let clamp = Clamp::NONE.then(Extremum::Max, f64::from(-c.abs()));
                let clamp = clamp.and_then(|clamp| clamp.then(Extremum::Min, f64::from(c.abs())));
                net.wire(clamp.unwrap().into_op(), &[of(x)])
            }
            Made::Sigmoid(x) => net.wire(Gate::Sigmoid.into_op(), &[of(x)]),
            Made::Silu(x) => net.wire(Activation::Silu.into_op(), &[of(x)]),
            Made::HardSwish(x) => net.wire(Activation::HardSwish.into_op(), &[of(x)]),
            Made::Tanh(x) => net.wire(math::tanh(), &[of(x)]),
            Made::Erf(x) => net.wire(math::erf(), &[of(x)]),
            Made::Exp(x) => net.wire(math::exp(), &[of(x)]),
        }
    }
}

/// A tensor of codes: whether the whole shape is its own, and of the other axes which.
#[derive(Debug, Clone, Copy)]
struct Codes {
    ones: usize,
    signed: bool,
    scale: f32,
    zero_point: i32,
}

impl Codes {
    fn dt(self) -> DatumType {
        if self.signed { I8 } else { U8 }
    }

    /// Of a u8, brought to the type.
    fn zero_point(self) -> i32 {
        self.zero_point - if self.signed { 128 } else { 0 }
    }

    fn shape(self, whole: &[usize]) -> Vec<usize> {
        let own =
            |(axis, size): (usize, &usize)| if self.ones >> axis & 1 == 0 { *size } else { 1 };
        whole.iter().enumerate().map(own).collect()
    }

    fn tensor(self, whole: &[usize], mut word: u32) -> TValue {
        let shape = self.shape(whole);
        let bytes: Vec<u8> = (0..shape.iter().product())
            .map(|_| {
                word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (word >> 24) as u8
            })
            .collect();
        let codes = if self.signed {
            let signed: Vec<i8> = bytes.into_iter().map(u8::cast_signed).collect();
            Tensor::from_shape(&shape, &signed)
        } else {
            Tensor::from_shape(&shape, &bytes)
        };
        codes.unwrap().into_tvalue()
    }
}

/// A graph of codes of these shapes, in which `write` makes floats that are quantised.
fn net(
    codes: &[Codes],
    shape: &dyn Fn(&mut TypedModel, Codes) -> TVec<TDim>,
    to: Codes,
    write: impl FnOnce(&mut Net, &[OutletId]) -> OutletId,
) -> TypedModel {
    let mut net = Net(TypedModel::default());
    let mut values = Vec::new();
    for (i, one) in codes.iter().enumerate() {
        let shape = shape(&mut net.0, *one);
        let source = net.0.add_source(format!("x{i}"), one.dt().fact(&*shape));
        values.push(net.dequantize(source.unwrap(), one.scale, one.zero_point()));
    }
    let last = write(&mut net, &values);
    let end = net.quantize(last, to.scale, to.zero_point(), to.dt());
    net.0.select_output_outlets(&[end]).unwrap();
    finished(net.0, Operators::OnnxSwish, Convolutions::Auto).unwrap()
}

/// With regions as operators, or node by node.
fn lowered(model: &TypedModel, tables: bool) -> (Arc<TypedSimplePlan>, Vec<CodeTable>) {
    let mut model = model.clone();
    let wanted = Wanted {
        tables,
        codes: tables,
        convolutions: Convolutions::Ours,
    };
    let found = passes::lower(&mut model, Operators::OnnxSwish, wanted).unwrap();
    (TypedSimplePlan::new(model).unwrap(), found.tables)
}

fn regions(plan: &TypedSimplePlan) -> usize {
    let nodes = plan.model().nodes().iter();
    nodes.filter(|node| node.op_is::<QElementwise>()).count()
}

/// Compares the two, and gives how many regions there are.
#[track_caller]
fn check(model: &TypedModel, inputs: &[TVec<TValue>]) -> usize {
    let (ours, _) = lowered(model, true);
    let (plain, _) = lowered(model, false);
    assert_eq!(regions(&plain), 0);
    for inputs in inputs {
        let expected = plain.run(inputs.clone()).unwrap().remove(0);
        for threads in [1, 3] {
            let pool = (threads > 1).then(|| Arc::new(Pool::new(threads).unwrap()));
            let found = with_pool(pool, || ours.run(inputs.clone()));
            assert_eq!(*found.unwrap().remove(0), *expected, "{threads} threads");
        }
    }
    regions(&ours)
}

fn made() -> impl Strategy<Value = Made> {
    let at = || 0..4usize;
    let number = || {
        prop_oneof![
            Just(6.0f32),
            Just(0.3),
            Just(1.0 / 6.0),
            Just(-0.7),
            -4.0..4.0f32
        ]
    };
    prop_oneof![
        4 => (at(), at()).prop_map(|(a, b)| Made::Sum(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Made::Difference(a, b)),
        4 => (at(), at()).prop_map(|(a, b)| Made::Product(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Made::Quotient(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Made::Larger(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Made::Chosen(a, b)),
        2 => (at(), number()).prop_map(|(x, c)| Made::Times(x, c)),
        1 => (at(), number()).prop_map(|(x, c)| Made::Under(x, c)),
        2 => (at(), number()).prop_map(|(x, c)| Made::Plus(x, c)),
        2 => (at(), number()).prop_map(|(x, c)| Made::ByChannel(x, c)),
        1 => (at(), number()).prop_map(|(x, c)| Made::Clip(x, c)),
        1 => (at(), number()).prop_map(|(x, c)| Made::Power(x, c)),
        2 => at().prop_map(Made::Sigmoid),
        1 => at().prop_map(Made::Silu),
        2 => at().prop_map(Made::HardSwish),
        1 => at().prop_map(Made::Tanh),
        1 => at().prop_map(Made::Erf),
        1 => at().prop_map(Made::Exp),
    ]
}

fn codes() -> impl Strategy<Value = Codes> {
    let ones = prop_oneof![3 => Just(0usize), 1 => 0..16usize, 1 => Just(0b1100usize)];
    (ones, any::<bool>(), 1..20i32, 0..256i32).prop_map(|(ones, signed, scale, zero_point)| Codes {
        ones,
        signed,
        scale: scale as f32 * 0.01,
        zero_point,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_region_is_what_its_nodes_are(
        codes in prop::collection::vec(codes(), 1..4),
        made in prop::collection::vec(made(), 1..8),
        to in codes(),
        sizes in prop_oneof![
            Just([1usize, 3, 5, 7]), Just([2, 3, 1, 1]), Just([1, 1, 1, 1]), Just([2, 5, 33, 31]), Just([0, 3, 4, 4]), Just([1, 2, 96, 97])
        ],
        seed in any::<u32>(),
    ) {
        let shape = |_: &mut TypedModel, one: Codes| one.shape(&sizes).iter().map(ToDim::to_dim).collect();
        let model = net(&codes, &shape, to, |net, values| {
            let mut values = values.to_vec();
            for made in &made {
                values.push(made.wire(net, &values, sizes[1]));
            }
            // All that came in takes part.
            let mut last = values[values.len() - 1];
            for value in values.iter().take(codes.len()) {
                last = net.wire(math::add(), &[last, *value]);
            }
            last
        });
        let inputs = codes.iter().enumerate();
        let inputs = inputs.map(|(i, one)| one.tensor(&sizes, seed ^ (i as u32 * 77)));
        check(&model, &[inputs.collect()]);
    }
}

const PLAIN: Codes = Codes {
    ones: 0,
    signed: false,
    scale: 0.05,
    zero_point: 128,
};

/// SiLU in two operators of the sum of two tensors.
fn silu_of_sum(net: &mut Net, values: &[OutletId]) -> OutletId {
    let sum = net.wire(math::add(), &[values[0], values[1]]);
    let gate = net.wire(Gate::Sigmoid.into_op(), &[sum]);
    net.wire(math::mul(), &[sum, gate])
}

fn given(codes: &[Codes], sizes: &[usize]) -> TVec<TValue> {
    let codes = codes.iter().enumerate();
    codes
        .map(|(i, one)| one.tensor(sizes, i as u32 * 31 + 5))
        .collect()
}

#[test]
fn silu_of_a_sum_is_one_operator_and_named() {
    let codes = [
        PLAIN,
        Codes {
            signed: true,
            scale: 0.1,
            ..PLAIN
        },
    ];
    let sizes = [2, 16, 41, 43];
    let shape =
        |_: &mut TypedModel, one: Codes| one.shape(&sizes).iter().map(ToDim::to_dim).collect();
    let model = net(&codes, &shape, PLAIN, silu_of_sum);
    assert_eq!(check(&model, &[given(&codes, &sizes)]), 1);
    let (plan, tables) = lowered(&model, true);
    let described: Vec<String> = tables.iter().map(CodeTable::description).collect();
    assert_eq!(described, ["sum of two tensors, SiLU, from codes to codes"]);
    // The two tensors and the operator.
    assert_eq!(plan.model().nodes().len(), 3, "{}", plan.model());
}

#[test]
fn sizes_may_be_open_and_zero() {
    let codes = [
        PLAIN,
        Codes {
            ones: 0b1101,
            ..PLAIN
        },
    ];
    let shape = |model: &mut TypedModel, one: Codes| {
        let n = if one.ones == 0 {
            model.symbols.sym("N").to_dim()
        } else {
            1.to_dim()
        };
        let own = one.shape(&[1, 3, 5, 7]);
        let rest = own[1..].iter().map(ToDim::to_dim);
        [n].into_iter().chain(rest).collect()
    };
    let model = net(&codes, &shape, PLAIN, silu_of_sum);
    let runs = [0, 1, 2, 100].map(|n| given(&codes, &[n, 3, 5, 7]));
    assert_eq!(check(&model, &runs), 1);
}

/// A sum that two activations read is computed in both; a sigmoid is not.
#[test]
fn what_is_read_twice_is_computed_twice_if_it_is_cheap() {
    let codes = [PLAIN, PLAIN];
    let sizes = [1, 4, 9, 9];
    for (is_cheap, regions) in [(true, 2), (false, 2)] {
        let mut net = Net(TypedModel::default());
        let mut values = Vec::new();
        for i in 0..2 {
            let source = net.0.add_source(format!("x{i}"), U8.fact(sizes)).unwrap();
            values.push(net.dequantize(source, 0.05, 128));
        }
        let mut sum = net.wire(math::add(), &values);
        if !is_cheap {
            sum = net.wire(Gate::Sigmoid.into_op(), &[sum]);
        }
        let ends = [values[0], values[1]].map(|other| {
            let hard = net.wire(Activation::HardSwish.into_op(), &[sum]);
            let product = net.wire(math::mul(), &[hard, other]);
            net.quantize(product, 0.07, 3, U8)
        });
        net.0.select_output_outlets(&ends).unwrap();
        let model = finished(net.0, Operators::OnnxSwish, Convolutions::Auto).unwrap();
        assert_eq!(check(&model, &[given(&codes, &sizes)]), regions);
        let (plan, _) = lowered(&model, true);
        let sigmoids = plan.model().nodes().iter();
        let sigmoids = sigmoids
            .filter(|node| node.op.name() == "SimdSigmoid")
            .count();
        assert_eq!(sigmoids, usize::from(!is_cheap), "{}", plan.model());
    }
}

/// What comes from a product of tract's, which takes along what follows it.
#[test]
fn what_tract_would_take_along_is_left() {
    use tract_core::ops::einsum::EinSum;
    let mut net = Net(TypedModel::default());
    let floats = net.0.add_source("floats", f32::fact([8, 8])).unwrap();
    let weights = net.constant(Tensor::zero::<f32>(&[8, 8]).unwrap());
    let codes = net.0.add_source("codes", U8.fact([8, 8])).unwrap();
    let x = net.dequantize(codes, 0.05, 128);
    let product = EinSum::new("mk,kn->mn".parse().unwrap(), DatumType::F32);
    let product = net.wire(product, &[floats, weights]);
    let sum = net.wire(math::add(), &[product, x]);
    let gate = net.wire(Gate::Sigmoid.into_op(), &[sum]);
    let end = net.wire(math::mul(), &[sum, gate]);
    let end = net.quantize(end, 0.05, 128, U8);
    net.0.select_output_outlets(&[end]).unwrap();
    let mut model = net.0;
    let mut found = Vec::new();
    super::take_over(&mut model, &mut found).unwrap();
    assert_eq!(found, []);
}
