//! What a session asks of the allocator while it is loaded, and what it keeps.
//! Given: a network whose weights are all of its size, in a file that is large enough to be mapped.
//! Promise: weights are in memory once, in the order of the kernels; while they get there there is little beside them; further shapes cost
//! no further weights.

use std::alloc::System;

use onnx_swish::{Convolutions, Session, Shapes};
use peakmem_alloc::{PeakMemAlloc, PeakMemAllocTrait};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, type_proto,
};

#[global_allocator]
static HEAP: PeakMemAlloc<System> = PeakMemAlloc::system();

/// The most bytes alive at once while `work` runs, beyond those before, and those alive behind it: in the end there is a block as large as
/// the most, which makes a most of its own.
fn counted<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    HEAP.reset_peak_memory();
    let made = work();
    let most = HEAP.get_peak_memory();
    let block = std::hint::black_box(Vec::<u8>::with_capacity(most));
    let alive = HEAP.get_peak_memory() - block.capacity();
    (made, most, alive)
}

fn value(name: &str, sizes: &[i64]) -> ValueInfoProto {
    // Free where no size is given.
    let dim = sizes.iter().map(|size| Dimension {
        value: Some(match size {
            0 => dimension::Value::DimParam("n".to_owned()),
            size => dimension::Value::DimValue(*size),
        }),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: 1,
        shape: Some(TensorShapeProto { dim: dim.collect() }),
    };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn weights(name: &str, dims: &[i64]) -> TensorProto {
    let count: i64 = dims.iter().product();
    // The loader makes one of equal ones.
    let first = name.len() as f32;
    let element = |at: i64| (at % 1009) as f32 / 1009.0 - 0.5 + first;
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: 1,
        raw_data: (0..count)
            .flat_map(|at| element(at).to_le_bytes())
            .collect(),
        ..TensorProto::default()
    }
}

fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op_type.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: attribute_proto::AttributeType::Ints.into(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    });
    node
}

fn with_int(mut node: NodeProto, name: &str, int: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: attribute_proto::AttributeType::Int.into(),
        i: int,
        ..AttributeProto::default()
    });
    node
}

/// The file of a network with a SiLU that is fused in memory, and how many bytes its weights are.
fn network(batch: i64) -> (tempfile::NamedTempFile, usize) {
    let depthwise = node("Conv", &["silu", "dw"], "depthwise");
    let nodes = vec![
        node("Conv", &["x", "first"], "dense"),
        node("Conv", &["dense", "wide"], "pointwise"),
        node("Sigmoid", &["pointwise"], "gate"),
        node("Mul", &["pointwise", "gate"], "silu"),
        with_int(with_ints(depthwise, "pads", &[1; 4]), "group", 1024),
        node("Conv", &["depthwise", "narrow"], "narrowed"),
        node("GlobalAveragePool", &["narrowed"], "pooled"),
        node("Flatten", &["pooled"], "flat"),
        with_int(node("Gemm", &["flat", "linear"], "y"), "transB", 1),
    ];
    let initializer = vec![
        weights("first", &[256, 64, 1, 1]),
        weights("wide", &[1024, 256, 1, 1]),
        weights("dw", &[1024, 1, 3, 3]),
        weights("narrow", &[512, 1024, 1, 1]),
        weights("linear", &[1000, 512]),
    ];
    let bytes = initializer.iter().map(|tensor| tensor.raw_data.len()).sum();
    let model = ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        graph: Some(GraphProto {
            node: nodes,
            input: vec![value("x", &[batch, 64, 8, 8])],
            output: vec![value("y", &[batch, 1000])],
            initializer,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), model.encode_to_vec()).unwrap();
    (file, bytes)
}

/// One test: a second one at the same time would be counted too.
#[test]
fn weights_are_in_memory_once() {
    let (file, weights) = network(1);
    let (session, most, alive) = counted(|| {
        let builder = Session::builder().convolutions(Convolutions::Ours);
        builder.open(file.path()).unwrap()
    });
    // In the graph or in the order of the kernels, and the largest of both and of neither while it is packed.
    assert!(most < weights * 2, "{most} bytes for {weights} of weights");
    assert!(alive < weights / 10 * 11, "{alive} bytes for {weights}");
    drop(session);

    // Of a linear layer one or two rows are images of one pixel, which have an order of their own.
    let (file, weights) = network(0);
    let (session, _, first) = counted(|| {
        let builder = Session::builder().convolutions(Convolutions::Ours);
        let session = builder.open(file.path()).unwrap();
        session.prepare(&shape(3)).unwrap();
        session
    });
    assert!(first < weights / 10 * 11, "{first} bytes for {weights}");
    let ((), _, others) = counted(|| {
        for images in 4..7 {
            session.prepare(&shape(images)).unwrap();
        }
    });
    assert!(others < weights / 10, "{others} bytes for three shapes");
}

fn shape(images: usize) -> Shapes {
    Shapes::from([("x".to_owned(), vec![images, 64, 8, 8])])
}
