//! Softmax on our kernel next to tract's, shape by shape.
//!
//!     cargo run --release --workspace --example softmax [-- <threads>]
//!
//! Given models of one node; promises, for each shape and axis, the median time of the node in sessions that take turns, and the median
//! of tract's time over ours in the same round, which is the number to trust on a machine that others use too.
#![allow(clippy::print_stdout)]

use std::error::Error;

use ndarray::ArrayD;
use onnx_swish_tract::{Operators, Session};
use prost::Message;
use tract_onnx::pb;

/// Shapes and axes: YOLOv8's and YOLO11's heads, attention, classifiers, and rows and columns that fill no register.
const CASES: [(&[usize], usize); 14] = [
    (&[1, 16, 4, 8400], 1),
    (&[1, 80, 8400], 1),
    (&[1, 21, 513, 513], 1),
    (&[512, 512], 0),
    (&[256, 64, 15], 1),
    (&[256, 64, 4], 1),
    (&[256, 64, 2], 1),
    (&[1, 2, 400, 400], 3),
    (&[1, 12, 197, 197], 3),
    (&[64, 1000], 1),
    (&[1, 1000], 1),
    (&[4096, 16], 1),
    (&[4096, 10], 1),
    (&[4096, 3], 1),
];

const ROUNDS: usize = 41;

fn main() -> Result<(), Box<dyn Error>> {
    let threads = std::env::args().nth(1).map_or(Ok(1), |n| n.parse())?;
    println!(
        "| shape | axis | onnx-swish, µs | tract, µs | tract / onnx-swish |\n|---|---|---|---|---|"
    );
    for (shape, axis) in CASES {
        let bytes = model(shape, axis);
        let session = |operators| {
            Session::builder(bytes.clone())
                .operators(operators)
                .threads(threads)
                .build()
        };
        let ours = session(Operators::OnnxSwish)?;
        let tracts = session(Operators::Stock)?;
        let mut state = 1u32;
        let x = ArrayD::from_shape_fn(shape, |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 21) as f32 - 4.0
        });
        let (mut our_times, mut their_times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (a, b) = (time(&ours, &x)?, time(&tracts, &x)?);
            our_times.push(a);
            their_times.push(b);
            ratios.push(b / a);
        }
        println!(
            "| {shape:?} | {axis} | {:.1} | {:.1} | {:.2} |",
            median(&mut our_times),
            median(&mut their_times),
            median(&mut ratios)
        );
    }
    Ok(())
}

/// Microseconds of the node, least of three runs.
fn time(session: &Session, x: &ArrayD<f32>) -> Result<f64, Box<dyn Error>> {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        let (_, nodes) = session.run_timed([("x", x.clone())])?;
        let node = nodes.iter().find(|node| node.op.ends_with("Softmax"));
        let node = node.ok_or("no softmax in the plan")?;
        least = least.min(node.time.as_secs_f64() * 1e6);
    }
    Ok(least)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// An ONNX file: `y = Softmax(x)`.
fn model(shape: &[usize], axis: usize) -> Vec<u8> {
    use pb::tensor_shape_proto::{Dimension, dimension};
    use pb::type_proto::{Tensor, Value};
    let dim = |size: &usize| Dimension {
        value: Some(dimension::Value::DimValue(*size as i64)),
        ..Default::default()
    };
    let value = |name: &str| pb::ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(pb::TypeProto {
            value: Some(Value::TensorType(Tensor {
                elem_type: pb::tensor_proto::DataType::Float as i32,
                shape: Some(pb::TensorShapeProto {
                    dim: shape.iter().map(dim).collect(),
                }),
            })),
            ..Default::default()
        }),
        ..Default::default()
    };
    let axis = pb::AttributeProto {
        name: "axis".to_owned(),
        r#type: pb::attribute_proto::AttributeType::Int as i32,
        i: axis as i64,
        ..Default::default()
    };
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(pb::GraphProto {
            name: "softmax".to_owned(),
            node: vec![pb::NodeProto {
                input: vec!["x".to_owned()],
                output: vec!["y".to_owned()],
                op_type: "Softmax".to_owned(),
                attribute: vec![axis],
                ..Default::default()
            }],
            input: vec![value("x")],
            output: vec![value("y")],
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}
