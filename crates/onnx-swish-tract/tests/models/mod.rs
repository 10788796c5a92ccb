//! Models of a few nodes, made in memory.
//!
//! Given nodes and constants; promises the bytes of an ONNX file whose only input is `x`, float32.
#![allow(dead_code, reason = "each test uses a part")]

use ndarray::ArrayD;
use onnx_swish_tract::{Operators, Session, Tensor};
use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_shape_proto, type_proto,
};

pub fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = shape.iter().map(|size| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(*size as i64)),
        ..Default::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..Default::default()
        }),
        ..Default::default()
    }
}

pub fn constant(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: 1,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

pub fn zero_point(data_type: i32, value: i32) -> TensorProto {
    TensorProto {
        name: "zero".to_owned(),
        data_type,
        int32_data: vec![value],
        ..Default::default()
    }
}

pub fn node(op_type: &str, inputs: &[&str], output: &str, floats: &[(&str, f32)]) -> NodeProto {
    let attributes = floats.iter().map(|(name, f)| AttributeProto {
        name: (*name).to_owned(),
        r#type: attribute_proto::AttributeType::Float.into(),
        f: *f,
        ..Default::default()
    });
    NodeProto {
        name: format!("{op_type}_{output}"),
        domain: match op_type {
            "QuickGelu" => "com.microsoft",
            _ if op_type.starts_with("Fused") => "onnx_swish",
            _ => "",
        }
        .to_owned(),
        op_type: op_type.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: attributes.collect(),
        ..Default::default()
    }
}

pub fn model(nodes: Vec<NodeProto>, shape: &[usize], constants: Vec<TensorProto>) -> Vec<u8> {
    let last = nodes.last().unwrap().output[0].clone();
    let output = ValueInfoProto {
        name: last,
        ..Default::default()
    };
    let opset = |domain: &str, version| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    ModelProto {
        ir_version: 10,
        opset_import: vec![
            opset("", 21),
            opset("onnx_swish", 1),
            opset("com.microsoft", 1),
        ],
        graph: Some(GraphProto {
            name: "special".to_owned(),
            node: nodes,
            initializer: constants,
            input: vec![value("x", shape)],
            output: vec![output],
            ..Default::default()
        }),
        ..Default::default()
    }
    .encode_to_vec()
}

pub fn run(bytes: Vec<u8>, operators: Operators, shape: &[usize], xs: &[f32]) -> Tensor {
    let session = Session::builder(bytes)
        .operators(operators)
        .build()
        .unwrap();
    let x = ArrayD::from_shape_vec(shape, xs.to_vec()).unwrap();
    session.run([("x", x)]).unwrap()[0].clone()
}
