//! What other rewriters lose. Each test is a defect of theirs that would be one of ours if it came back.

mod common;

use common::*;
use onnx_swish_model::schema::tensor_shape_proto::{Dimension, dimension};
use onnx_swish_model::schema::*;
use onnx_swish_model::{Error, Model, NodeId};
use prost::Message as _;

/// Replaces the model's first node by one of another operator, and decodes the result.
fn rewrite(model: &ModelProto) -> ModelProto {
    let index = open(model);
    let mut edit = index.edit();
    edit.replace_node(NodeId { scope: 0, node: 0 }, &[node("New", &["x"], &["s"])])
        .expect("replaceable");
    ModelProto::decode(edit.finish().expect("no overlap").to_bytes())
        .expect("the lengths are right")
}

/// Asserts that a model comes out as it went in, but for the one node.
fn assert_survives(model: ModelProto) {
    let mut expected = model.clone();
    expected.graph.as_mut().expect("there is one").node[0] = node("New", &["x"], &["s"]);
    assert_eq!(rewrite(&model), expected);
}

fn base() -> ModelProto {
    model(graph(swish(), &["x"], &["y"]))
}

fn with_graph(f: impl FnOnce(&mut GraphProto)) -> ModelProto {
    let mut model = base();
    f(model.graph.as_mut().expect("there is one"));
    model
}

fn pair() -> Vec<StringStringEntryProto> {
    vec![StringStringEntryProto {
        key: text("k"),
        value: text("v"),
    }]
}

#[test]
fn metadata_of_model_graph_node_value_and_tensor() {
    assert_survives(ModelProto {
        metadata_props: pair(),
        ..base()
    });
    assert_survives(with_graph(|g| {
        g.metadata_props = pair();
        g.node[1].metadata_props = pair();
        g.input[0].metadata_props = pair();
        g.initializer.push(TensorProto {
            metadata_props: pair(),
            ..tensor("t", onnx_swish_model::DataType::Float, &[0])
        });
    }));
}

#[test]
fn documentation_producer_and_versions() {
    assert_survives(ModelProto {
        doc_string: text("words"),
        producer_name: text("maker"),
        producer_version: text("1.2"),
        domain: text("org.example"),
        model_version: Some(7),
        ..base()
    });
    assert_survives(with_graph(|g| {
        g.doc_string = text("words");
        g.node[1].doc_string = text("words");
        g.output[0].doc_string = text("words");
    }));
}

#[test]
fn zeros_and_empty_texts_that_are_written_out() {
    let mut model = with_graph(|g| {
        g.node[1].domain = text("");
        g.node[1].name = text("");
        g.node[1].overload = text("");
        g.node[1].attribute.push(float_attribute("alpha", 0.0));
        g.name = text("");
    });
    model.model_version = Some(0);
    model.domain = text("");
    model.opset_import[0].domain = None;
    assert_survives(model);
}

#[test]
fn stored_tensors_that_nothing_reads() {
    assert_survives(with_graph(|g| {
        g.initializer
            .push(tensor("unused", onnx_swish_model::DataType::Float, &[0]));
        g.sparse_initializer.push(SparseTensorProto {
            values: Some(tensor("sparse", onnx_swish_model::DataType::Float, &[0])),
            indices: Some(tensor("", onnx_swish_model::DataType::Int64, &[0])),
            dims: vec![4],
        });
    }));
}

#[test]
fn functions_that_nothing_calls() {
    let mut unused = function("Unused", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
    unused.metadata_props = pair();
    unused.value_info = vec![value("a")];
    unused.overload = text("o");
    unused.attribute = names(&["k"]);
    assert_survives(with_functions(graph(swish(), &["x"], &["y"]), vec![unused]));
}

#[test]
fn training_quantization_and_devices() {
    let mut model = with_graph(|g| {
        g.quantization_annotation.push(TensorAnnotation {
            tensor_name: text("y"),
            quant_parameter_tensor_names: pair(),
        });
        g.node[1]
            .device_configurations
            .push(NodeDeviceConfigurationProto {
                configuration_id: text("d"),
                pipeline_stage: Some(0),
                sharding_spec: vec![ShardingSpecProto {
                    tensor_name: text("x"),
                    device: vec![0, 1],
                    ..ShardingSpecProto::default()
                }],
            });
    });
    model.training_info.push(TrainingInfoProto {
        algorithm: Some(graph(vec![node("Neg", &["x"], &["w"])], &[], &["w"])),
        update_binding: pair(),
        ..TrainingInfoProto::default()
    });
    model.configuration.push(DeviceConfigurationProto {
        name: text("d"),
        num_devices: Some(2),
        device: names(&["a", "b"]),
    });
    assert_survives(model);
}

#[test]
fn types_with_names_and_denotations() {
    let dims = [
        Some(dimension::Value::DimParam("N".into())),
        Some(dimension::Value::DimValue(0)),
        Some(dimension::Value::DimValue(-1)),
        None,
    ];
    assert_survives(with_graph(|g| {
        g.input[0].r#type = Some(TypeProto {
            denotation: text("IMAGE"),
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: Some(1),
                shape: Some(TensorShapeProto {
                    dim: dims
                        .into_iter()
                        .map(|value| Dimension {
                            value,
                            denotation: text("DATA_BATCH"),
                        })
                        .collect(),
                }),
            })),
        });
    }));
}

#[test]
fn names_that_are_not_utf8() {
    let bytes = seed("strange");
    let model = Model::from_bytes(bytes).expect("a model");
    let name: &[u8] = b"NA\xff\xfe_";
    assert_eq!(
        model
            .node(NodeId { scope: 0, node: 0 })
            .expect("there")
            .outputs()
            .next(),
        Some(name)
    );
    let mut edit = model.edit();
    let id = NodeId { scope: 0, node: 1 };
    edit.insert_node_after(id, &node("Neg", &["y"], &["z"]))
        .expect("it is there");
    let edited = edit.finish().expect("no overlap").to_bytes();
    assert_eq!(edited.windows(name.len()).filter(|w| *w == name).count(), 2);
}

#[test]
fn unknown_fields_stay_and_keep_their_node() {
    let bytes = seed("strange");
    let unknown = [
        0xfa, 0x3e, 0x02, 0xab, 0xcd, 0xf3, 0x3e, 0x08, 0x01, 0xf4, 0x3e,
    ];
    let model = Model::from_bytes(bytes).expect("a model");
    let mut edit = model.edit();
    let [first, second] = [0, 1].map(|node| NodeId { scope: 0, node });
    let refused = edit.remove_node(first);
    assert!(
        matches!(refused, Err(Error::WouldLose { what, .. }) if what.contains("does not know"))
    );
    let refused = edit.replace_node(second, &[]);
    assert!(matches!(refused, Err(Error::WouldLose { what, .. }) if what.contains("device")));
    edit.insert_node_before(first, &node("Neg", &["x"], &["z"]))
        .expect("it is there");
    let edited = edit.finish().expect("no overlap").to_bytes();
    assert!(edited.windows(unknown.len()).any(|w| w == unknown));
    // The length that was written in three bytes still is.
    assert!(edited.windows(4).any(|w| w == b"\x42\x84\x80\x00"));
}

#[test]
fn unknown_fields_in_an_attribute_keep_their_node() {
    let attribute = field(
        5,
        &[
            float_attribute("alpha", 1.0).encode_to_vec(),
            field(99, b"?"),
        ]
        .concat(),
    );
    let bytes = field(
        7,
        &field(
            1,
            &[node("Clip", &["x"], &["y"]).encode_to_vec(), attribute].concat(),
        ),
    );
    let model = Model::from_bytes(bytes).expect("a model");
    let refused = model.edit().remove_node(NodeId { scope: 0, node: 0 });
    assert!(matches!(refused, Err(Error::WouldLose { .. })));
}

#[test]
fn fields_in_another_order() {
    // The graph first, its nodes last and the version at the end, as some writers have it.
    let g = [
        field(12, &value("y").encode_to_vec()),
        field(1, &swish()[0].encode_to_vec()),
        field(11, &value("x").encode_to_vec()),
        field(1, &swish()[1].encode_to_vec()),
    ]
    .concat();
    let bytes = [
        field(7, &g),
        field(8, &import("", 17).encode_to_vec()),
        vec![0x08, 0x08],
    ]
    .concat();
    let index = Model::from_bytes(bytes.clone()).expect("a model");
    let mut edit = index.edit();
    edit.remove_node(NodeId { scope: 0, node: 0 })
        .expect("removable");
    let result = edit.finish().expect("no overlap").to_bytes();
    let mut expected = [
        field(12, &value("y").encode_to_vec()),
        field(11, &value("x").encode_to_vec()),
        field(1, &swish()[1].encode_to_vec()),
    ]
    .concat();
    expected = [field(7, &expected), bytes[bytes.len() - 8..].to_vec()].concat();
    assert_eq!(result, expected);
}

#[test]
fn weights_are_neither_decoded_nor_copied() {
    // A tensor of a megabyte: every segment of the result that holds it is a range of the original.
    let model = with_graph(|g| {
        g.initializer.push(TensorProto {
            raw_data: Some(vec![7; 1 << 20].into()),
            ..tensor("w", onnx_swish_model::DataType::Uint8, &[1 << 20])
        });
    });
    let index = open(&model);
    let mut edit = index.edit();
    edit.remove_node(NodeId { scope: 0, node: 0 })
        .expect("removable");
    let result = edit.finish().expect("no overlap");
    let new: usize = result
        .segments()
        .iter()
        .filter(|s| matches!(s, onnx_swish_model::Segment::New(_)))
        .map(|&s| result.bytes_of(s).len())
        .sum();
    assert!(new < 16, "{new} new bytes to take one node out");
}

/// Files from real exporters: no edit gives the same bytes, and the schema keeps everything that they write.
#[test]
fn real_files_come_out_as_they_went_in() {
    let root = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut folders = vec![root];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("fixtures are checked in") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "onnx") {
                let bytes = std::fs::read(&path).expect("readable");
                let model = Model::open(&path).expect("a model");
                let same = model.edit().finish().expect("nothing to do");
                assert!(same.is_unchanged() && same.to_bytes() == bytes, "{path:?}");
                let decoded = ModelProto::decode(bytes.as_slice()).expect("readable");
                assert!(
                    decoded.encode_to_vec() == bytes,
                    "{path:?}: the schema loses something"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen} files");
}
