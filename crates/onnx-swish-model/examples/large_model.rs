//! Writes a large model for measuring: `large_model OUT NODES SWISH MEGABYTES`.
//!
//! NODES nodes in a row, of which the first 2·SWISH are Sigmoid and Mul in turn and the others convolutions of one by
//! one that share MEGABYTES of weights evenly.

use std::io::Write;

use onnx_swish_model::DataType;
use onnx_swish_model::schema::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use prost::Message as _;
use prost::bytes::Bytes;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [out, nodes, swish, megabytes] = args.as_slice() else {
        return Err("usage: large_model OUT NODES SWISH MEGABYTES".into());
    };
    let (nodes, swish, megabytes): (usize, usize, usize) =
        (nodes.parse()?, swish.parse()?, megabytes.parse()?);
    let bytes = model(nodes, swish, megabytes).encode_to_vec();
    std::fs::File::create(out)?.write_all(&bytes)?;
    writeln!(std::io::stderr(), "{out}: {} bytes", bytes.len())?;
    Ok(())
}

fn model(nodes: usize, swish: usize, megabytes: usize) -> ModelProto {
    let convolutions = nodes.saturating_sub(2 * swish);
    let floats = (megabytes << 20) / 4 / convolutions.max(1);
    // As many channels as the weights of one convolution give.
    let channels = (floats as f64).sqrt() as i64;
    let weights = Bytes::from(vec![0x3d; (channels * channels * 4) as usize]);
    let mut graph = GraphProto {
        name: text("large"),
        input: vec![value("v0", channels.max(1))],
        ..GraphProto::default()
    };
    let mut made = 0;
    for _ in 0..swish {
        let (x, y) = (format!("v{made}"), format!("v{}", made + 1));
        let gate = format!("gate{made}");
        graph.node.push(node("Sigmoid", &[&x], &gate));
        graph.node.push(node("Mul", &[&x, &gate], &y));
        made += 1;
    }
    for i in 0..convolutions {
        let (x, y) = (format!("v{made}"), format!("v{}", made + 1));
        let w = format!("weight{i}");
        graph.node.push(node("Conv", &[&x, &w], &y));
        graph.initializer.push(TensorProto {
            name: text(&w),
            data_type: Some(DataType::Float as i32),
            dims: vec![channels, channels, 1, 1],
            raw_data: Some(weights.clone()),
            ..TensorProto::default()
        });
        made += 1;
    }
    graph
        .output
        .push(value(&format!("v{made}"), channels.max(1)));
    ModelProto {
        ir_version: Some(8),
        opset_import: vec![OperatorSetIdProto {
            domain: text(""),
            version: Some(17),
        }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: text(op),
        name: text(&format!("{op}_{output}")),
        input: inputs
            .iter()
            .map(|s| Bytes::copy_from_slice(s.as_bytes()))
            .collect(),
        output: vec![Bytes::copy_from_slice(output.as_bytes())],
        ..NodeProto::default()
    }
}

fn value(name: &str, channels: i64) -> ValueInfoProto {
    let dim = [1, channels, 8, 8].map(|n| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(n)),
        ..Default::default()
    });
    ValueInfoProto {
        name: text(name),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: Some(DataType::Float as i32),
                shape: Some(TensorShapeProto { dim: dim.to_vec() }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn text(s: &str) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(s.as_bytes()))
}
