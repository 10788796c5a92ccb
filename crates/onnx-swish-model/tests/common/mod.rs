//! Small models for tests, built from the schema's types.

#![allow(dead_code)]

use std::path::PathBuf;

use onnx_swish_model::schema::attribute_proto::AttributeType;
use onnx_swish_model::schema::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
    StringStringEntryProto, TensorProto, ValueInfoProto,
};
use onnx_swish_model::{DataType, Model};
use prost::Message as _;
use prost::bytes::Bytes;

/// The ten small models of `tests/seeds`.
pub const SEEDS: [&str; 10] = [
    "silu",
    "constants_as_inputs",
    "branches",
    "loop_body",
    "functions",
    "storage",
    "external",
    "training",
    "strange",
    "fused",
];

pub fn seed(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/seeds");
    std::fs::read(folder.join(name).with_extension("onnx")).expect("the seed is checked in")
}

pub fn text(s: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(s.as_bytes()))
}

pub fn names(list: &[&str]) -> Vec<Bytes> {
    list.iter()
        .map(|s| Bytes::copy_from_slice(s.as_bytes()))
        .collect()
}

pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: text(op),
        input: names(inputs),
        output: names(outputs),
        ..NodeProto::default()
    }
}

/// A call of a function of domain `f`.
pub fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        domain: text("f"),
        ..node(name, inputs, outputs)
    }
}

pub fn value(name: &str) -> ValueInfoProto {
    ValueInfoProto {
        name: text(name),
        ..ValueInfoProto::default()
    }
}

pub fn graph(nodes: Vec<NodeProto>, inputs: &[&str], outputs: &[&str]) -> GraphProto {
    GraphProto {
        node: nodes,
        name: text("g"),
        input: inputs.iter().map(|s| value(s)).collect(),
        output: outputs.iter().map(|s| value(s)).collect(),
        ..GraphProto::default()
    }
}

pub fn import(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto {
        domain: text(domain),
        version: Some(version),
    }
}

pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![import("", 17)],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

pub fn function(
    name: &str,
    inputs: &[&str],
    outputs: &[&str],
    nodes: Vec<NodeProto>,
) -> FunctionProto {
    FunctionProto {
        name: text(name),
        domain: text("f"),
        input: names(inputs),
        output: names(outputs),
        node: nodes,
        opset_import: vec![import("", 17), import("f", 1)],
        ..FunctionProto::default()
    }
}

pub fn with_functions(graph: GraphProto, functions: Vec<FunctionProto>) -> ModelProto {
    ModelProto {
        opset_import: vec![import("", 17), import("f", 1)],
        functions,
        ..model(graph)
    }
}

pub fn subgraph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto {
        name: text(name),
        r#type: Some(AttributeType::Graph as i32),
        g: Some(graph),
        ..AttributeProto::default()
    }
}

pub fn float_attribute(name: &str, f: f32) -> AttributeProto {
    AttributeProto {
        name: text(name),
        r#type: Some(AttributeType::Float as i32),
        f: Some(f),
        ..AttributeProto::default()
    }
}

/// An attribute in a function body whose value comes from the call.
pub fn reference(name: &str, from: &str) -> AttributeProto {
    AttributeProto {
        name: text(name),
        r#type: Some(AttributeType::Float as i32),
        ref_attr_name: text(from),
        ..AttributeProto::default()
    }
}

pub fn tensor(name: &str, data_type: DataType, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: text(name),
        data_type: Some(data_type as i32),
        dims: dims.to_vec(),
        ..TensorProto::default()
    }
}

pub fn external(name: &str, location: &str, entries: &[(&str, &str)]) -> TensorProto {
    let pairs = std::iter::once(("location", location)).chain(entries.iter().copied());
    TensorProto {
        data_location: Some(1),
        external_data: pairs
            .map(|(key, value)| StringStringEntryProto {
                key: text(key),
                value: text(value),
            })
            .collect(),
        ..tensor(name, DataType::Float, &[1])
    }
}

pub fn open(model: &ModelProto) -> Model {
    Model::from_bytes(model.encode_to_vec()).expect("the model is sound")
}

/// `y = swish(x)` in two nodes.
pub fn swish() -> Vec<NodeProto> {
    vec![
        node("Sigmoid", &["x"], &["s"]),
        node("Mul", &["x", "s"], &["y"]),
    ]
}

/// A varint in at least `width` bytes.
pub fn put_wide_varint(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut written = 1;
    while value >= 0x80 || written < width {
        out.push(value as u8 | 0x80);
        value >>= 7;
        written += 1;
    }
    out.push(value as u8);
}

/// A length-delimited field.
pub fn field(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_wide_varint(&mut out, u64::from(number) << 3 | 2, 1);
    put_wide_varint(&mut out, payload.len() as u64, 1);
    out.extend_from_slice(payload);
    out
}
