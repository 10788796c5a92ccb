//! What the plans of one session have in common.

use prost::Message;
use tract_core::internal::TypedNode;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, type_proto,
};

use super::Session;
use crate::conv::weights_of;

const FLOAT: i32 = 1;
const U8: i32 = 2;
const I8: i32 = 3;

/// A value of a free first dimension, or one of which nothing is said.
fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    let free = Dimension {
        value: Some(dimension::Value::DimParam("n".to_owned())),
        ..Dimension::default()
    };
    let sizes = sizes.iter().map(|size| Dimension {
        value: Some(dimension::Value::DimValue(*size)),
        ..Dimension::default()
    });
    let shape = TensorShapeProto {
        dim: std::iter::once(free).chain(sizes).collect(),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: FLOAT,
                shape: Some(shape),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn floats(name: &str, dims: &[i64], seed: i64) -> TensorProto {
    let count: i64 = dims.iter().product();
    let element = |at: i64| ((at * 37 + seed) % 101) as f32 / 101.0 - 0.5;
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        float_data: (0..count).map(element).collect(),
        ..TensorProto::default()
    }
}

fn codes(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type,
        int32_data: (0..count).map(|at| (at * 29 % 113) as i32).collect(),
        ..TensorProto::default()
    }
}

fn node(op_type: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) -> NodeProto {
    let attributes = ints.iter().map(|(name, ints)| {
        let single = !["pads", "strides"].contains(name);
        let kind = match single {
            true => attribute_proto::AttributeType::Int,
            false => attribute_proto::AttributeType::Ints,
        };
        AttributeProto {
            name: (*name).to_owned(),
            r#type: kind.into(),
            i: ints[0],
            ints: if single { Vec::new() } else { ints.to_vec() },
            ..AttributeProto::default()
        }
    });
    NodeProto {
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes.collect(),
        ..NodeProto::default()
    }
}

fn session(nodes: Vec<NodeProto>, constants: Vec<TensorProto>) -> Session {
    let output = ValueInfoProto {
        name: nodes.last().unwrap().output[0].clone(),
        ..ValueInfoProto::default()
    };
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: nodes,
            input: vec![value("x", &[8, 24, 24])],
            output: vec![output],
            initializer: constants,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let convolutions = crate::Convolutions::Ours;
    let builder = Session::builder(model.encode_to_vec()).convolutions(convolutions);
    builder.build().unwrap()
}

/// Where the packed weights of a session's plan for so many images are, by operator.
fn packed(session: &Session, images: usize) -> Vec<(String, usize)> {
    let plan = session.plan_of(&[vec![images, 8, 24, 24]]).unwrap();
    let found = |node: &TypedNode| Some((node.op.name().into_owned(), weights_of(node)?));
    let mut all: Vec<_> = plan.model().nodes().iter().filter_map(found).collect();
    all.sort();
    all
}

#[track_caller]
fn assert_shared(session: &Session, operators: &[&str]) {
    // A linear layer has a packing of its own for one row and for two.
    let first = packed(session, 3);
    let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, operators);
    for images in [5, 8] {
        assert_eq!(packed(session, images), first);
    }
}

#[test]
fn plans_share_packed_floats() {
    let nodes = vec![
        node("Conv", &["x", "w3"], "winograd", &[("pads", &[1; 4])]),
        node("Conv", &["winograd", "w1"], "pointwise", &[]),
        node(
            "Conv",
            &["pointwise", "wd"],
            "depthwise",
            &[("group", &[32]), ("pads", &[1; 4])],
        ),
        node(
            "ConvTranspose",
            &["depthwise", "wt"],
            "transposed",
            &[("strides", &[2; 2])],
        ),
        node("GlobalAveragePool", &["transposed"], "pooled", &[]),
        node("Flatten", &["pooled"], "flat", &[]),
        node("Gemm", &["flat", "wg"], "y", &[("transB", &[1])]),
    ];
    let constants = vec![
        floats("w3", &[32, 8, 3, 3], 1),
        floats("w1", &[32, 32, 1, 1], 2),
        floats("wd", &[32, 1, 3, 3], 3),
        floats("wt", &[32, 16, 2, 2], 4),
        floats("wg", &[40, 16], 5),
    ];
    let session = session(nodes, constants);
    assert_shared(
        &session,
        &[
            "FusedConv",
            "FusedConvDepthwise",
            "FusedConvPointwise",
            "FusedConvTransposed",
            "FusedLinear",
        ],
    );
}

#[test]
fn plans_share_packed_codes() {
    let quantized = |nodes: &mut Vec<NodeProto>, from: &str, to: &str| {
        let codes = format!("{to}.codes");
        nodes.push(node("QuantizeLinear", &[from, "s", "z"], &codes, &[]));
        nodes.push(node("DequantizeLinear", &[&codes, "s", "z"], to, &[]));
    };
    let weights = |nodes: &mut Vec<NodeProto>, name: &str| {
        let floats = format!("{name}.floats");
        nodes.push(node("DequantizeLinear", &[name, "sw", "zw"], &floats, &[]));
    };
    let mut nodes = Vec::new();
    for name in ["w3", "w1", "wd"] {
        weights(&mut nodes, name);
    }
    quantized(&mut nodes, "x", "q0");
    let padded: (&str, &[i64]) = ("pads", &[1; 4]);
    nodes.push(node("Conv", &["q0", "w3.floats"], "c0", &[padded]));
    quantized(&mut nodes, "c0", "q1");
    nodes.push(node("Conv", &["q1", "w1.floats"], "c1", &[]));
    quantized(&mut nodes, "c1", "q2");
    let depthwise = [("group", &[32][..]), padded];
    nodes.push(node("Conv", &["q2", "wd.floats"], "c2", &depthwise));
    // Of integers, by a zero point that the model computes.
    nodes.push(NodeProto {
        output: ["codes", "scale", "zero"].map(str::to_owned).to_vec(),
        ..node("DynamicQuantizeLinear", &["c2"], "codes", &[])
    });
    nodes.push(node("ConvInteger", &["codes", "wi", "zero"], "sums", &[]));
    nodes.push(node("Cast", &["sums"], "y", &[("to", &[i64::from(FLOAT)])]));
    let scale = |name: &str, value: f32| TensorProto {
        float_data: vec![value],
        ..floats(name, &[], 0)
    };
    let zero = |name: &str, data_type, value| TensorProto {
        int32_data: vec![value],
        ..codes(name, data_type, &[])
    };
    let constants = vec![
        scale("s", 0.05),
        zero("z", U8, 128),
        scale("sw", 0.01),
        zero("zw", I8, 0),
        codes("w3", I8, &[32, 8, 3, 3]),
        codes("w1", I8, &[32, 32, 1, 1]),
        codes("wd", I8, &[32, 1, 3, 3]),
        codes("wi", U8, &[16, 32, 1, 1]),
    ];
    let session = session(nodes, constants);
    assert_shared(
        &session,
        &[
            "QConv",
            "QConvDepthwise",
            "QConvPointwise",
            "QConvPointwise",
        ],
    );
}
