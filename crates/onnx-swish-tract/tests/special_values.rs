//! NaN, infinities and tails through a session, for every operator that is ours or that we repair.

mod models;

use models::{constant, model, node, run, zero_point};
use ndarray::ArrayD;
use onnx_swish_tract::{Operators, Session, Tensor};
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto, attribute_proto};

const SPECIAL: [f32; 18] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e-40,
    -1e-40,
    1.0,
    -1.0,
    2.999,
    -2.999,
    3.5,
    -3.5,
    20.0,
    -20.0,
    -87.5,
    -103.0,
    3e38,
];

/// The special values, each next to ordinary ones and in every place of a register.
fn inputs() -> Vec<f32> {
    let mut xs = SPECIAL.to_vec();
    for (i, special) in SPECIAL.iter().cycle().take(90).enumerate() {
        xs.extend([*special, i as f32 * 0.1 - 4.0, 0.7, -1.3]);
    }
    xs
}

fn compare(what: &str, xs: &[f32], found: &Tensor, exact: impl Fn(f64) -> f64, ulps: f64) {
    let found = found.view::<f32>().unwrap();
    for (x, y) in xs.iter().zip(found.iter()) {
        let exact = exact(f64::from(*x));
        let same = if exact.is_nan() || y.is_nan() {
            exact.is_nan() && y.is_nan()
        } else if exact.abs() > f64::from(f32::MAX) {
            f64::from(*y) == exact as f32 as f64
        } else {
            (f64::from(*y) - exact).abs() <= ulps * (exact.abs() / 2f64.powi(23) + 2f64.powi(-149))
        };
        assert!(same, "{what} of {x:e} is {y:e}, not {exact:e}");
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn clamp(x: f64, low: f64, high: f64) -> f64 {
    // `clamp` keeps NaN.
    x.clamp(low, high)
}

fn line(alpha: f32, beta: f32) -> impl Fn(f64) -> f64 {
    move |x| clamp(f64::from(alpha) * x + f64::from(beta), 0.0, 1.0)
}

type Exact = Box<dyn Fn(f64) -> f64>;

/// Every element-wise operator: its node, its constants, the function.
fn operators() -> Vec<(NodeProto, Vec<TensorProto>, Exact)> {
    let unary = |op_type: &str, floats: &[(&str, f32)]| node(op_type, &["x"], "y", floats);
    let silu = |x: f64| x * sigmoid(x);
    let hard = line(1.0 / 6.0, 0.5);
    let hard_swish = move |x: f64| x * hard(x);
    vec![
        (unary("FusedSilu", &[]), vec![], Box::new(silu)),
        (
            node("FusedSwish", &["x", "beta"], "y", &[]),
            vec![constant("beta", &[], &[1.5])],
            Box::new(|x| x * sigmoid(1.5 * x)),
        ),
        (
            node("FusedSwish", &["x", "beta"], "y", &[]),
            vec![constant("beta", &[1, 2, 1], &[0.75, 0.75])],
            Box::new(|x| x * sigmoid(0.75 * x)),
        ),
        (unary("FusedHardSwish", &[]), vec![], Box::new(hard_swish)),
        (
            unary("FusedSlopedHardSwish", &[("alpha", 0.25), ("beta", 0.5)]),
            vec![],
            Box::new(|x| x * line(0.25, 0.5)(x)),
        ),
        (
            unary("HardSwish", &[]),
            vec![],
            Box::new(|x| x * line(1.0 / 6.0, 0.5)(x)),
        ),
        (
            unary("Swish", &[("alpha", 0.5)]),
            vec![],
            Box::new(|x| x * sigmoid(0.5 * x)),
        ),
        (
            unary("QuickGelu", &[]),
            vec![],
            Box::new(|x| x * sigmoid(f64::from(1.702f32) * x)),
        ),
        (unary("Sigmoid", &[]), vec![], Box::new(sigmoid)),
        (unary("HardSigmoid", &[]), vec![], Box::new(line(0.2, 0.5))),
        (
            unary("HardSigmoid", &[("alpha", 1.0 / 6.0)]),
            vec![],
            Box::new(line(1.0 / 6.0, 0.5)),
        ),
        (
            unary("Relu", &[]),
            vec![],
            Box::new(|x| clamp(x, 0.0, f64::INFINITY)),
        ),
        (
            node("Clip", &["x", "low", "high"], "y", &[]),
            vec![constant("low", &[], &[-1.0]), constant("high", &[], &[3.0])],
            Box::new(|x| clamp(x, -1.0, 3.0)),
        ),
        (
            node("Max", &["x", "bound"], "y", &[]),
            vec![constant("bound", &[1], &[0.5])],
            Box::new(|x| clamp(x, 0.5, f64::INFINITY)),
        ),
        (
            node("Min", &["bound", "x"], "y", &[]),
            vec![constant("bound", &[1, 2, 1], &[0.5, 0.5])],
            Box::new(|x| clamp(x, f64::NEG_INFINITY, 0.5)),
        ),
    ]
}

#[test]
fn every_operator_keeps_nan_infinities_and_tails() {
    let xs = inputs();
    let shape = [1, 2, xs.len() / 2];
    for (node, constants, exact) in operators() {
        let what = node.op_type.clone();
        let bytes = model(vec![node], &shape, constants);
        compare(
            &what,
            &xs,
            &run(bytes.clone(), Operators::OnnxSwish, &shape, &xs),
            &exact,
            2.0,
        );
        // Several roundings: not where the gate is next to zero.
        let reference = run(bytes, Operators::Reference, &shape, &xs);
        let near_zero = |x: f32| x.is_finite() && (x < -80.0 || (2.9..3.1).contains(&x.abs()));
        let (xs, reference): (Vec<f32>, Vec<f32>) = xs
            .iter()
            .zip(reference.view::<f32>().unwrap().iter())
            .filter(|(x, _)| !near_zero(**x))
            .unzip();
        let reference = ArrayD::from_shape_vec(vec![xs.len()], reference).unwrap();
        compare(
            &format!("{what} of the reference"),
            &xs,
            &reference.into(),
            &exact,
            8.0,
        );
    }
}

#[test]
fn tanh_keeps_nan_and_ends_at_one() {
    let xs = inputs();
    for operators in [Operators::OnnxSwish, Operators::Reference] {
        let bytes = model(vec![node("Tanh", &["x"], "y", &[])], &[xs.len()], vec![]);
        let found = run(bytes, operators, &[xs.len()], &xs);
        for (x, y) in xs.iter().zip(found.view::<f32>().unwrap().iter()) {
            let exact = f64::from(*x).tanh();
            // tract flushes what is subnormal.
            let near = (f64::from(*y) - exact).abs() <= 1e-6 * exact.abs() + 1.2e-38;
            assert!(near || exact.is_nan() && y.is_nan(), "tanh({x:e}) is {y:e}");
        }
    }
}

/// ∫ of 2/√π·e^(-t²) to x by its Maclaurin series, for |x| to 3.
fn erf(x: f64) -> f64 {
    let (mut sum, mut term) = (0.0, x);
    for n in 0..80 {
        sum += term / f64::from(2 * n + 1);
        term *= -x * x / f64::from(n + 1);
    }
    std::f64::consts::FRAC_2_SQRT_PI * sum
}

#[test]
fn functions_that_tract_loses_digits_of_have_their_tails() {
    let by_tanh = AttributeProto {
        name: "approximate".to_owned(),
        r#type: attribute_proto::AttributeType::String.into(),
        s: b"tanh".to_vec(),
        ..AttributeProto::default()
    };
    let mut gelu = node("Gelu", &["x"], "y", &[]);
    gelu.attribute.push(by_tanh);
    let plain = |op_type: &str| node(op_type, &["x"], "y", &[]);
    let cube = |x: f64| (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
    let cases: Vec<(NodeProto, Exact, Vec<f32>)> = vec![
        // x·σ(2u), which the standard's x·(1 + tanh u)/2 is.
        (
            gelu,
            Box::new(move |x| x * sigmoid(2.0 * cube(x))),
            inputs(),
        ),
        (
            plain("Mish"),
            Box::new(|x| {
                x * if x > 20.0 {
                    1.0
                } else {
                    x.exp().ln_1p().tanh()
                }
            }),
            inputs(),
        ),
        (plain("Asinh"), Box::new(f64::asinh), inputs()),
        (plain("Acosh"), Box::new(f64::acosh), inputs()),
        (
            plain("Erf"),
            Box::new(erf),
            vec![
                1e-8,
                -1e-30,
                0.0,
                0.1,
                -0.3,
                0.499,
                0.5,
                -1.0,
                2.5,
                f32::NAN,
            ],
        ),
    ];
    for (node, exact, xs) in cases {
        let what = node.op_type.clone();
        let bytes = model(vec![node], &[xs.len()], vec![]);
        let found = run(bytes, Operators::OnnxSwish, &[xs.len()], &xs);
        for (x, y) in xs.iter().zip(found.view::<f32>().unwrap().iter()) {
            let exact = exact(f64::from(*x));
            // The exponential of -87.5 and below is subnormal, and may be flushed.
            let off = (f64::from(*y) - exact).abs();
            let near = off <= 1e-5 * exact.abs() + 1.2e-36 || f64::from(*y) == exact;
            assert!(
                near || exact.is_nan() && y.is_nan(),
                "{what}({x:e}) is {y:e}, not {exact:e}"
            );
        }
    }
}

#[test]
fn bounds_in_a_row_are_taken_one_after_the_other() {
    // tract makes one operator of these four, of which the bounds lose NaN.
    let xs = inputs();
    let shape = [1, 1, xs.len()];
    let nodes = vec![
        node("Mul", &["x", "two"], "a", &[]),
        node("Max", &["a", "low"], "b", &[]),
        node("Min", &["b", "high"], "c", &[]),
        node("Max", &["c", "higher"], "d", &[]),
        node("Add", &["d", "two"], "y", &[]),
    ];
    let constants = vec![
        constant("two", &[], &[2.0]),
        constant("low", &[], &[-3.0]),
        constant("high", &[], &[3.0]),
        constant("higher", &[], &[4.0]),
    ];
    for operators in [Operators::OnnxSwish, Operators::Reference] {
        let found = run(
            model(nodes.clone(), &shape, constants.clone()),
            operators,
            &shape,
            &xs,
        );
        compare(
            "a chain",
            &xs,
            &found,
            |x| if x.is_nan() { x } else { 6.0 },
            0.0,
        );
    }
}

#[test]
fn maxima_and_minima_of_two_tensors_are_nan_where_either_is() {
    let xs = inputs();
    let shape = [xs.len()];
    for (op_type, number) in [("Max", f32::max as fn(f32, f32) -> f32), ("Min", f32::min)] {
        let mut ys = xs.clone();
        ys.rotate_left(1);
        let other = constant("o", &[ys.len() as i64], &ys);
        let bytes = model(
            vec![node(op_type, &["x", "o"], "y", &[])],
            &shape,
            vec![other],
        );
        let found = run(bytes, Operators::OnnxSwish, &shape, &xs);
        for ((a, b), found) in xs.iter().zip(&ys).zip(found.view::<f32>().unwrap().iter()) {
            let expected = if a.is_nan() || b.is_nan() {
                f32::NAN
            } else {
                number(*a, *b)
            };
            assert!(
                expected == *found || expected.is_nan() && found.is_nan(),
                "{op_type}({a:e}, {b:e}) is {found:e}"
            );
        }
    }
}

#[test]
fn softmax_is_nan_where_a_sum_is_none_and_zero_for_minus_infinity() {
    let rows = [
        [0.0, f32::NEG_INFINITY, 0.0, -200.0],
        [f32::NAN, 0.0, 0.0, 0.0],
        [f32::INFINITY, 0.0, 0.0, 0.0],
        [f32::NEG_INFINITY; 4],
    ];
    for axis in [0, 1] {
        let mut softmax = node("Softmax", &["x"], "y", &[]);
        softmax.attribute.push(AttributeProto {
            name: "axis".to_owned(),
            r#type: attribute_proto::AttributeType::Int.into(),
            i: axis,
            ..Default::default()
        });
        let at = |row: usize, column: usize| {
            if axis == 1 {
                rows[row][column]
            } else {
                rows[column][row]
            }
        };
        let xs: Vec<f32> = (0..16).map(|i| at(i / 4, i % 4)).collect();
        let found = run(
            model(vec![softmax], &[4, 4], vec![]),
            Operators::OnnxSwish,
            &[4, 4],
            &xs,
        );
        let found = found.view::<f32>().unwrap();
        let found = |row: usize, column: usize| {
            if axis == 1 {
                found[[row, column]]
            } else {
                found[[column, row]]
            }
        };
        assert_eq!([0, 1, 2, 3].map(|i| found(0, i)), [0.5, 0.0, 0.5, 0.0]);
        assert!((1..4).all(|row| (0..4).all(|i| found(row, i).is_nan())));
    }
}

#[test]
fn codes_saturate_and_nan_is_the_lowest() {
    // What ONNX Runtime 1.32 gives on x86-64.
    let xs = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        2.5,
        3.5,
        -2.5,
        1e30,
        1e-40,
    ];
    for (data_type, zero, expected) in [
        (2, 128, [0, 255, 0, 130, 132, 126, 255, 128]),
        (3, 0, [-128, 127, -128, 2, 4, -2, 127, 0]),
        (4, 100, [0, 65535, 0, 102, 104, 98, 65535, 100]),
        (5, 5, [-32768, 32767, -32768, 7, 9, 3, 32767, 5]),
    ] {
        let nodes = vec![node("QuantizeLinear", &["x", "scale", "zero"], "y", &[])];
        let constants = vec![constant("scale", &[], &[1.0]), zero_point(data_type, zero)];
        let found = run(
            model(nodes, &[8], constants),
            Operators::OnnxSwish,
            &[8],
            &xs,
        );
        assert_eq!(
            found.to_f64().unwrap(),
            expected.map(f64::from),
            "type {data_type}"
        );
    }
}

#[test]
fn activations_that_convolutions_take_along_keep_them_too() {
    // The middle row of three, every third column of it: what is next to infinity is infinity times a weight of zero.
    let xs = SPECIAL;
    let width = 3 * xs.len();
    let at = |column: usize| width + 3 * column + 1;
    let mut image = vec![0.5; 3 * width];
    for (column, x) in xs.iter().enumerate() {
        image[at(column)] = *x;
    }
    let mut centre = [0.0; 18];
    (centre[4], centre[13]) = (1.0, 1.0);
    let shape = [1, 1, 3, width];
    for (mut activation, mut constants, exact) in operators() {
        let what = activation.op_type.clone();
        // Operands of lower rank than the images'.
        if constants.iter().any(|constant| constant.dims.len() == 3) {
            continue;
        }
        for input in activation.input.iter_mut().filter(|input| *input == "x") {
            *input = "c".to_owned();
        }
        let mut convolution = node("Conv", &["x", "w"], "c", &[]);
        convolution.attribute.push(AttributeProto {
            name: "pads".to_owned(),
            r#type: attribute_proto::AttributeType::Ints.into(),
            ints: vec![1; 4],
            ..Default::default()
        });
        constants.push(constant("w", &[2, 1, 3, 3], &centre));
        let bytes = model(vec![convolution, activation], &shape, constants);
        let session = Session::builder(bytes.clone()).build().unwrap();
        let convolutions = session.convolutions(&[shape.to_vec()]).unwrap();
        assert!(
            convolutions.len() == 1 && convolutions[0].left.is_none(),
            "{what}: {convolutions:?}"
        );
        let found = run(bytes, Operators::OnnxSwish, &shape, &image);
        let found = found.to_array::<f32>().unwrap().into_raw_vec_and_offset().0;
        for plane in found.chunks(3 * width) {
            let found: Vec<f32> = (0..xs.len()).map(|column| plane[at(column)]).collect();
            let found = ArrayD::from_shape_vec(vec![xs.len()], found).unwrap();
            compare(
                &format!("{what} after a convolution"),
                &xs,
                &found.into(),
                &exact,
                2.0,
            );
        }
    }
}
