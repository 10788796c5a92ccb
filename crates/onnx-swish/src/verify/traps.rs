//! Judgements that were wrong once: outputs that must differ, and outputs that must not.
//!
//! Given small models and outputs that somebody else is said to have computed; promises what `verify` answers.

use std::collections::HashMap;

use onnx_swish_model::DataType;
use onnx_swish_model::schema::tensor_shape_proto::{Dimension, dimension::Value};
use onnx_swish_model::schema::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, type_proto,
};
use prost::Message as _;

use super::{OutputComparison, Reference, VerifyOptions, VerifyReport, verify};
use crate::{Error, Model, NamedTensors, Tensor};

fn value(name: &'static str, element_type: DataType, shape: &[i64]) -> ValueInfoProto {
    let dim = shape.iter().map(|&size| Dimension {
        value: Some(Value::DimValue(size)),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: Some(element_type as i32),
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

/// An output whose shape inference finds.
fn output(name: &'static str) -> ValueInfoProto {
    ValueInfoProto {
        name: Some(name.into()),
        ..ValueInfoProto::default()
    }
}

fn node(op: &'static str, inputs: &[&'static str], outputs: &[&'static str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        name: Some(format!("{op} of {}", outputs[0]).into()),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: outputs.iter().map(|&name| name.into()).collect(),
        ..NodeProto::default()
    }
}

fn with(mut node: NodeProto, name: &'static str, value: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: Some(name.into()),
        r#type: Some(AttributeType::Int as i32),
        i: Some(value),
        ..AttributeProto::default()
    });
    node
}

fn float(name: &'static str, value: f32) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DataType::Float as i32),
        float_data: vec![value],
        ..TensorProto::default()
    }
}

fn code(name: &'static str, value: i32) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(DataType::Uint8 as i32),
        int32_data: vec![value],
        ..TensorProto::default()
    }
}

fn model(graph: GraphProto) -> Model {
    let model = ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto {
            version: Some(17),
            ..OperatorSetIdProto::default()
        }],
        graph: Some(GraphProto {
            name: Some("g".into()),
            ..graph
        }),
        ..ModelProto::default()
    };
    Model::from_bytes(model.encode_to_vec()).unwrap()
}

/// The `few` largest of x's elements, and those of b that stand where they stand.
fn ranked(few: i64, size: i64, outputs: &[&'static str]) -> Model {
    model(GraphProto {
        node: vec![
            node("TopK", &["x", "k"], &["v", "i"]),
            with(node("Gather", &["b", "i"], &["y"]), "axis", 0),
        ],
        initializer: vec![TensorProto {
            name: Some("k".into()),
            data_type: Some(DataType::Int64 as i32),
            dims: vec![1],
            int64_data: vec![few],
            ..TensorProto::default()
        }],
        input: vec![
            value("x", DataType::Float, &[size]),
            value("b", DataType::Float, &[size]),
        ],
        output: outputs.iter().map(|name| output(name)).collect(),
        ..GraphProto::default()
    })
}

fn named<const N: usize>(tensors: [(&str, Tensor); N]) -> NamedTensors {
    tensors
        .into_iter()
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .collect()
}

fn against(
    model: &Model,
    inputs: NamedTensors,
    expected: NamedTensors,
) -> Result<VerifyReport, Error> {
    let options = VerifyOptions {
        reference: Reference::Expected(vec![expected]),
        inputs: vec![inputs],
        ..VerifyOptions::default()
    };
    verify(model, None, &options, |_| ())
}

fn by_name(report: VerifyReport) -> HashMap<String, OutputComparison> {
    let outputs = report.outputs.into_iter();
    outputs.map(|one| (one.name.clone(), one)).collect()
}

fn dynamic() -> Model {
    model(GraphProto {
        node: vec![node("DynamicQuantizeLinear", &["x"], &["q", "s", "z"])],
        input: vec![value("x", DataType::Float, &[3])],
        output: ["q", "s", "z"].map(output).to_vec(),
        ..GraphProto::default()
    })
}

#[test]
fn a_computed_scale_is_a_float_and_a_zero_point_exact() {
    // From -1 to 1.55: a scale of 0.01, and 100 as zero.
    let judged = |scale: f32, zero: u8, last: u8| {
        let inputs = named([("x", ndarray::arr1(&[-1.0f32, 0.0, 1.55]).into())]);
        let expected = named([
            ("q", ndarray::arr1(&[0u8, 100, last]).into()),
            ("s", ndarray::arr0(scale).into()),
            ("z", ndarray::arr0(zero).into()),
        ]);
        let report = by_name(against(&dynamic(), inputs, expected).unwrap());
        ["q", "s", "z"].map(|name| report[name].equal)
    };
    assert_eq!(judged(0.01, 100, 255), [true, true, true]);
    assert_eq!(judged(0.71, 100, 255), [true, false, true]);
    assert_eq!(judged(0.01, 101, 255), [true, true, false]);
    // A code may fall to the other side.
    assert_eq!(judged(0.01, 100, 254), [true, true, true]);
}

/// x in codes of 0.02 and back, and what `then` makes of it.
fn quantised(size: i64, then: Vec<NodeProto>) -> Model {
    let mut nodes = vec![
        node("QuantizeLinear", &["x", "s", "z"], &["q"]),
        node("DequantizeLinear", &["q", "s", "z"], &["d"]),
    ];
    nodes.extend(then);
    model(GraphProto {
        node: nodes,
        initializer: vec![float("s", 0.02), code("z", 128)],
        input: vec![value("x", DataType::Float, &[size])],
        output: vec![output("y")],
        ..GraphProto::default()
    })
}

#[test]
fn one_number_behind_codes_has_the_steps_in_front_of_it() {
    let sum = quantised(
        3,
        vec![with(node("ReduceSum", &["d"], &["y"]), "keepdims", 0)],
    );
    let judged = |y: f32| {
        let inputs = named([("x", ndarray::arr1(&[1.0f32, 1.0, 0.5]).into())]);
        let expected = named([("y", ndarray::arr0(y).into())]);
        by_name(against(&sum, inputs, expected).unwrap())
            .remove("y")
            .unwrap()
    };
    let moved = judged(2.52);
    assert!(moved.equal, "{moved:?}");
    assert!((moved.codes.unwrap().step - 0.02).abs() < 1e-6);
    assert!(!judged(2.6).equal);
}

#[test]
fn an_index_twice_or_an_order_of_its_own_is_no_tie() {
    let top = ranked(3, 5, &["v", "i", "y"]);
    let judged = |scores: [f32; 5], i: [i64; 3], y: [f32; 3]| {
        let inputs = named([
            ("x", ndarray::arr1(&scores).into()),
            (
                "b",
                ndarray::arr1(&[10.0f32, 20.0, 30.0, 40.0, 50.0]).into(),
            ),
        ]);
        let v = i.map(|index| scores[index as usize]);
        let expected = named([
            ("v", ndarray::arr1(&v).into()),
            ("i", ndarray::arr1(&i).into()),
            ("y", ndarray::arr1(&y).into()),
        ]);
        against(&top, inputs, expected).unwrap().equal
    };
    let near = [0.1, 0.9, 0.5, 0.500_01, 0.3];
    assert!(judged(near, [1, 3, 2], [20.0, 40.0, 30.0]));
    // All scores alike: the reference may keep other rows, but must have what stands in them.
    assert!(judged([0.5; 5], [2, 3, 4], [30.0, 40.0, 50.0]));
    assert!(
        !judged([0.5; 5], [2, 3, 4], [30.0, 40.5, 50.0]),
        "another box"
    );
    assert!(judged(near, [1, 2, 3], [20.0, 30.0, 40.0]));
    assert!(
        !judged(near, [1, 2, 2], [20.0, 30.0, 30.0]),
        "one row twice"
    );
    assert!(
        !judged(near, [1, 2, 3], [20.0, 40.0, 30.0]),
        "swapped in `i` alone"
    );
    assert!(
        !judged([0.5; 5], [2, 3, 3], [30.0, 40.0, 40.0]),
        "a tie, and one row twice"
    );
}

#[test]
fn rows_behind_a_tie_whose_indices_nobody_gives_are_different_with_a_word() {
    let top = ranked(2, 4, &["v", "y"]);
    let judged = |scores: [f32; 4], y: [f32; 2]| {
        let inputs = named([
            ("x", ndarray::arr1(&scores).into()),
            ("b", ndarray::arr1(&[10.0f32, 20.0, 30.0, 40.0]).into()),
        ]);
        let v = ndarray::arr1(&[0.9f32, 0.5]);
        let expected = named([("v", v.into()), ("y", ndarray::arr1(&y).into())]);
        let report = against(&top, inputs, expected).unwrap();
        let said = |it: &&String| it.contains("scores tie where it cuts") && it.contains("`i`");
        (report.equal, report.warnings.iter().filter(said).count())
    };
    let tie = [0.5, 0.9, 0.5, 0.1];
    assert_eq!(judged(tie, [20.0, 10.0]), (true, 0));
    assert_eq!(judged(tie, [20.0, 30.0]), (false, 1));
    assert_eq!(judged([0.5, 0.9, 0.3, 0.1], [20.0, 30.0]), (false, 0));
}

#[test]
fn a_tolerance_that_calls_anything_equal_is_refused() {
    let model = quantised(3, vec![node("Identity", &["d"], &["y"])]);
    for wrong in [f64::NAN, f64::INFINITY, -1.0] {
        for (rtol, atol) in [(Some(wrong), None), (None, Some(wrong))] {
            let options = VerifyOptions {
                rtol,
                atol,
                ..VerifyOptions::default()
            };
            let error = verify(&model, None, &options, |_| ()).unwrap_err();
            assert!(error.is_input_error(), "{error}");
        }
    }
}

#[test]
fn what_is_expected_of_no_output_is_left_out() {
    let inputs = named([("x", ndarray::arr1(&[-1.0f32, 0.0, 1.55]).into())]);
    let expected = named([
        ("z", ndarray::arr0(100u8).into()),
        ("other", ndarray::arr0(1u8).into()),
    ]);
    let report = against(&dynamic(), inputs, expected).unwrap();
    assert!(report.equal);
    let said = |it: &String| it.contains("no output `other`");
    assert!(report.warnings.iter().any(said), "{:#?}", report.warnings);
}

#[test]
fn another_shape_is_another_answer() {
    let sum = quantised(3, vec![node("Identity", &["d"], &["y"])]);
    let inputs = named([("x", ndarray::arr1(&[1.0f32, 1.0, 0.5]).into())]);
    let expected = named([("y", ndarray::arr1(&[1.0f32, 1.0]).into())]);
    let report = against(&sum, inputs, expected).unwrap();
    assert!(!report.equal);
    let said = |it: &String| it.contains("[2]") && it.contains("[3]");
    assert!(report.warnings.iter().any(said), "{:#?}", report.warnings);
}

/// What `each` says of the only activation.
fn only_activation(model: &Model) -> OutputComparison {
    let options = VerifyOptions {
        each: true,
        ..VerifyOptions::default()
    };
    let mut report = verify(model, None, &options, |_| ()).unwrap();
    assert_eq!(report.coverage.len(), 1);
    report.coverage.remove(0).against_reference.unwrap()
}

#[test]
fn an_activation_whose_gate_is_needed_elsewhere_is_compared() {
    let gate = model(GraphProto {
        node: vec![
            node("Sigmoid", &["x"], &["g"]),
            node("Mul", &["x", "g"], &["y"]),
        ],
        input: vec![value("x", DataType::Float, &[9])],
        output: ["y", "g"].map(output).to_vec(),
        ..GraphProto::default()
    });
    assert_eq!(only_activation(&gate).name, "y");
}

#[test]
fn an_activation_behind_codes_is_judged_by_them() {
    let silu = vec![
        node("Mul", &["d", "d"], &["h"]),
        node("Sigmoid", &["h"], &["g"]),
        node("Mul", &["h", "g"], &["y"]),
    ];
    let found = only_activation(&quantised(9, silu));
    assert!(found.codes.is_some(), "{found:?}");
}

#[test]
fn an_output_below_the_tolerance_is_not_called_equal_without_a_word() {
    let same = model(GraphProto {
        node: vec![node("Identity", &["x"], &["y"])],
        input: vec![value("x", DataType::Float, &[2])],
        output: vec![output("y")],
        ..GraphProto::default()
    });
    let judged = |x: [f32; 2], y: [f32; 2]| {
        let inputs = named([("x", ndarray::arr1(&x).into())]);
        let report = against(&same, inputs, named([("y", ndarray::arr1(&y).into())])).unwrap();
        let said = |it: &String| it.contains("nothing is decided of output `y`");
        (report.equal, report.warnings.iter().any(said))
    };
    assert_eq!(judged([1e-9, 2e-9], [1e-9, -2e-9]), (true, true));
    assert_eq!(judged([1e-9, 2e-9], [1e-9, 2.000_001e-9]), (true, false));
    assert_eq!(judged([0.0, 0.0], [0.0, 0.0]), (true, false));
    assert_eq!(judged([1e-9, 2.0], [-1e-9, 2.0]), (true, false));
}

#[test]
fn codes_decide_where_the_tolerance_would_overlook_all() {
    // Steps of 2e-11: as small as those of a network with random weights.
    let small = model(GraphProto {
        node: vec![
            node("QuantizeLinear", &["x", "s", "z"], &["q"]),
            node("DequantizeLinear", &["q", "t", "z"], &["y"]),
        ],
        initializer: vec![float("s", 0.02), float("t", 2e-11), code("z", 128)],
        input: vec![value("x", DataType::Float, &[3])],
        output: vec![output("y")],
        ..GraphProto::default()
    });
    let judged = |y: [f32; 3]| {
        let inputs = named([("x", ndarray::arr1(&[1.0f32, -1.0, 0.5]).into())]);
        let expected = named([("y", ndarray::arr1(&y.map(|code| 2e-11 * code)).into())]);
        let found = by_name(against(&small, inputs, expected).unwrap());
        (found["y"].equal, found["y"].decided, found["y"].judged_by)
    };
    use super::JudgedBy::{Codes, Tolerance};
    assert_eq!(judged([50.0, -50.0, 25.0]), (true, true, Tolerance));
    assert_eq!(judged([50.0, -50.0, 26.0]), (true, true, Codes));
    assert_eq!(judged([50.0, -50.0, 60.0]), (false, true, Codes));
}
