//! Hostile bytes: a clean error or a valid result, in linear time, whatever comes.

mod common;

use common::*;
use onnx_swish_model::limits::{MAX_DEPTH, MAX_GROUP_DEPTH};
use onnx_swish_model::schema::ModelProto;
use onnx_swish_model::{Error, Model, NodeId, WireDefect, inline_functions, validate};
use proptest::prelude::*;
use prost::Message as _;

/// Everything this crate does with a file, short of saving it.
fn exercise(bytes: Vec<u8>) {
    let original = bytes.clone();
    let Ok(model) = Model::from_bytes(bytes) else {
        return;
    };
    assert_eq!(
        model.edit().finish().expect("nothing to do").to_bytes(),
        original
    );
    let mut edit = model.edit();
    for (s, scope) in model.scopes().iter().enumerate() {
        model.describe_scope(s);
        for value in [scope.inputs(), scope.outputs(), scope.value_info()]
            .into_iter()
            .flatten()
        {
            model.value_type(value);
        }
        for tensor in scope.initializers() {
            let _ = model.tensor_f64(tensor, 16);
        }
        for sparse in scope.sparse_initializers() {
            let _ = model.sparse_f64(sparse, 16);
        }
        for n in 0..scope.nodes().len() {
            let id = NodeId {
                scope: s as u32,
                node: n as u32,
            };
            let node = model.node(id).expect("it is there");
            node.describe();
            for attribute in node.attributes() {
                let _ = (
                    attribute.float(),
                    attribute.int(),
                    attribute.floats(4),
                    attribute.ints(4),
                );
                let _ = attribute.tensor().map(|t| model.tensor_f64(&t, 16));
            }
            if node.node().has_subgraphs() {
                edit.insert_node_after(id, &common::node("New", &["a"], &["b"]))
                    .expect("it is there");
            } else {
                let _ = edit.remove_node(id);
                edit.insert_node_after(id, &common::node("New", &["a"], &["b"]))
                    .expect("it is there");
            }
        }
    }
    let edited = edit
        .finish()
        .expect("the changes do not overlap")
        .into_model()
        .expect("valid in, valid out");
    assert_eq!(edited.scopes().len(), model.scopes().len());
    let _ = model.external_locations();
    if validate(&model).is_ok()
        && let Ok(flat) = inline_functions(&model, |_, _| false)
    {
        let flat = flat.into_model().expect("valid in, valid out");
        validate(&flat).expect("valid in, valid out");
    }
}

#[test]
fn every_truncation() {
    for name in SEEDS {
        let bytes = seed(name);
        for len in 0..bytes.len() {
            exercise(bytes[..len].to_vec());
        }
    }
}

#[test]
fn every_one_byte_edit() {
    for name in SEEDS {
        let bytes = seed(name);
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                exercise(damaged);
            }
        }
    }
}

#[test]
fn every_byte_taken_out_or_doubled() {
    for name in SEEDS {
        let bytes = seed(name);
        for at in 0..bytes.len() {
            let mut shorter = bytes.clone();
            shorter.remove(at);
            exercise(shorter);
            let mut longer = bytes.clone();
            longer.insert(at, bytes[at]);
            exercise(longer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(bytes);
    }

    #[test]
    fn one_seed_inside_another(
        (a, b) in (prop::sample::select(&SEEDS[..]), prop::sample::select(&SEEDS[..])),
        (cut, from, len) in any::<(prop::sample::Index, prop::sample::Index, u8)>(),
    ) {
        let (mut bytes, other) = (seed(a), seed(b));
        let (cut, from) = (cut.index(bytes.len()), from.index(other.len()));
        let piece = &other[from..(from + usize::from(len)).min(other.len())];
        bytes.splice(cut..cut, piece.iter().copied());
        exercise(bytes);
    }
}

fn refused(bytes: Vec<u8>) -> Error {
    Model::from_bytes(bytes).expect_err("not a model")
}

#[test]
fn files_of_another_kind() {
    assert!(matches!(refused(vec![]), Error::Empty));
    assert!(matches!(
        refused(b"version https://git-lfs.github.com/spec/v1\noid".to_vec()),
        Error::LfsPointer
    ));
    assert!(matches!(refused(b"PK\x03\x04".to_vec()), Error::Foreign(_)));
    assert!(matches!(
        refused(b"not a model at all".to_vec()),
        Error::Wire { .. }
    ));
    assert!(matches!(refused(b"\x08\x08".to_vec()), Error::NoGraph));
    assert!(Model::open("no such file").is_err());
    assert!(matches!(
        Model::open(env!("CARGO_MANIFEST_DIR")),
        Err(Error::NotAFile { .. })
    ));
}

#[test]
fn lengths_that_overflow() {
    for len in [u64::MAX, 1 << 63, u64::from(u32::MAX), 1 << 31, 2] {
        let mut bytes = vec![7 << 3 | 2];
        put_wide_varint(&mut bytes, len, 1);
        bytes.push(0);
        let error = refused(bytes);
        let overrun =
            matches!(error, Error::Wire { defect: WireDefect::LengthOverrun(l), .. } if l == len);
        assert!(overrun, "{error}");
    }
}

#[test]
fn numbers_longer_than_64_bits() {
    for bytes in [
        [0x80; 11].to_vec(),
        [&[0x08][..], &[0xff; 9], &[0x02]].concat(),
        [0xff; 20].to_vec(),
    ] {
        let error = refused(bytes);
        assert!(
            matches!(
                error,
                Error::Wire {
                    defect: WireDefect::LongVarint,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn field_numbers_and_wire_types_that_do_not_exist() {
    assert!(matches!(
        refused(vec![0x00, 0x00]),
        Error::Wire {
            defect: WireDefect::FieldNumber,
            ..
        }
    ));
    let mut large = Vec::new();
    put_wide_varint(&mut large, 1 << 32, 1);
    assert!(matches!(
        refused(large),
        Error::Wire {
            defect: WireDefect::FieldNumber,
            ..
        }
    ));
    for wire_type in [6, 7] {
        let error = refused(vec![1 << 3 | wire_type]);
        assert!(
            matches!(error, Error::Wire { defect: WireDefect::WireType(t), .. } if t == wire_type)
        );
    }
}

#[test]
fn groups() {
    let valid = model(graph(swish(), &["x"], &["y"])).encode_to_vec();
    let group = |depth: usize| {
        [
            [100 << 3 & 0x7f | 0x83, 6].repeat(depth),
            [100 << 3 & 0x7f | 0x84, 6].repeat(depth),
        ]
        .concat()
    };
    Model::from_bytes([group(MAX_GROUP_DEPTH), valid.clone()].concat())
        .expect("unknown fields are allowed");
    let error = refused([group(MAX_GROUP_DEPTH + 1), valid.clone()].concat());
    assert!(
        matches!(
            error,
            Error::Wire {
                defect: WireDefect::GroupDepth,
                ..
            }
        ),
        "{error}"
    );
    assert!(matches!(
        refused([valid.clone(), vec![0x0c]].concat()),
        Error::Wire {
            defect: WireDefect::Group,
            ..
        }
    ));
    assert!(matches!(
        refused([valid, vec![0x0b]].concat()),
        Error::Wire {
            defect: WireDefect::Truncated,
            ..
        }
    ));
    // A million opening brackets: no stack, no memory.
    assert!(matches!(
        refused(vec![0x0b; 1 << 20]),
        Error::Wire {
            defect: WireDefect::GroupDepth,
            ..
        }
    ));
}

/// Graphs inside each other, built from the inside since no encoder goes this deep.
fn nested(depth: u32) -> Vec<u8> {
    let mut inner = graph(swish(), &["x"], &["y"]).encode_to_vec();
    for _ in 0..depth {
        let attribute = field(5, &[field(1, b"body"), field(6, &inner)].concat());
        inner = field(1, &[field(2, b"y"), field(4, b"If"), attribute].concat());
    }
    let head = model(Default::default());
    let head = ModelProto {
        graph: None,
        ..head
    }
    .encode_to_vec();
    [head, field(7, &inner)].concat()
}

#[test]
fn deep_nesting_is_handled_up_to_the_limit_and_refused_beyond() {
    // Deeper than prost and protobuf go.
    assert!(ModelProto::decode(nested(40).as_slice()).is_err());
    let model = Model::from_bytes(nested(MAX_DEPTH)).expect("within the limit");
    let mut edit = model.edit();
    edit.insert_node_after(
        NodeId {
            scope: MAX_DEPTH,
            node: 1,
        },
        &node("Neg", &["y"], &["z"]),
    )
    .expect("it is there");
    let edited = edit
        .finish()
        .expect("no overlap")
        .into_model()
        .expect("every length is right");
    assert_eq!(edited.scopes()[MAX_DEPTH as usize].nodes().len(), 3);
    assert!(matches!(refused(nested(MAX_DEPTH + 1)), Error::TooDeep));
    assert!(matches!(refused(nested(5_000)), Error::TooDeep));
}

#[test]
fn fields_that_stand_twice_are_refused_by_name() {
    let valid = model(graph(swish(), &["x"], &["y"])).encode_to_vec();
    let twice = |message: &str, field: &str, bytes: Vec<u8>| match refused(bytes) {
        Error::Duplicate {
            message: m,
            field: f,
            ..
        } => assert_eq!((m, f), (message, field)),
        other => panic!("{message}.{field}: {other}"),
    };
    twice(
        "ModelProto",
        "graph",
        [valid.clone(), field(7, b"")].concat(),
    );
    twice(
        "ModelProto",
        "ir_version",
        [valid.clone(), vec![0x08, 0x09]].concat(),
    );
    let in_graph = |bytes: &[u8]| [vec![0x08, 0x08], field(7, bytes)].concat();
    twice(
        "GraphProto",
        "name",
        in_graph(&[field(2, b"a"), field(2, b"b")].concat()),
    );
    let in_node = |bytes: &[u8]| in_graph(&field(1, &[&field(4, b"If")[..], bytes].concat()));
    twice("NodeProto", "op_type", in_node(&field(4, b"Mul")));
    twice(
        "NodeProto",
        "name",
        in_node(&[field(3, b"a"), field(3, b"a")].concat()),
    );
    let in_attribute = |bytes: &[u8]| in_node(&field(5, bytes));
    twice(
        "AttributeProto",
        "g",
        in_attribute(&[field(6, b""), field(6, b"")].concat()),
    );
    twice(
        "AttributeProto",
        "t",
        in_attribute(&[field(5, b""), field(5, b"")].concat()),
    );
    twice(
        "ValueInfoProto",
        "type",
        in_graph(&field(11, &[field(2, b""), field(2, b"")].concat())),
    );
    twice(
        "TensorProto",
        "raw_data",
        in_graph(&field(5, &[field(9, b""), field(9, b"")].concat())),
    );
    twice(
        "SparseTensorProto",
        "values",
        in_graph(&field(15, &[field(1, b""), field(1, b"")].concat())),
    );
}

#[test]
fn a_node_without_an_operator_is_refused() {
    let error = refused(field(7, &field(1, b"")));
    assert!(
        matches!(
            error,
            Error::Missing {
                field: "op_type",
                ..
            }
        ),
        "{error}"
    );
}

/// A million nodes, long names, many names: linear work, no recursion.
#[test]
fn a_lot_of_everything() {
    let mut g = graph(vec![], &["v0"], &["v300000"]);
    g.node = (0..300_000)
        .map(|i| node("Neg", &[&format!("v{i}")], &[&format!("v{}", i + 1)]))
        .collect();
    let chain = open(&model(g));
    validate(&chain).expect("a chain");
    let giant = "n".repeat(10 << 20);
    let mut g = graph(vec![node("Neg", &["x"], &[&giant])], &["x"], &[&giant]);
    g.node[0].input = vec!["x".into(); 1 << 20];
    validate(&open(&model(g))).expect("long, and right");
}

#[test]
fn a_circle_of_a_hundred_thousand_nodes() {
    let n = 100_000;
    let nodes = (0..n)
        .map(|i| node("Neg", &[&format!("v{i}")], &[&format!("v{}", (i + 1) % n)]))
        .collect();
    validate(&open(&model(graph(nodes, &[], &["v0"])))).expect_err("a circle");
}

#[test]
fn names_that_no_terminal_should_see() {
    let nodes = vec![node("Neg", &["a\u{1b}[31m\0\n"], &["y"])];
    let mut all = model(graph(nodes, &[], &["y"]));
    if let Some(graph) = &mut all.graph {
        graph.node[0]
            .input
            .push(prost::bytes::Bytes::from_static(b"\xff\xfe"));
    }
    let shown = validate(&open(&all)).expect_err("undefined").defects;
    let shown: String = shown.iter().map(|d| d.problem.to_string()).collect();
    assert!(!shown.contains(['\u{1b}', '\0', '\n']), "{shown:?}");
    assert!(shown.contains("\\xff\\xfe"), "{shown}");
}

/// What people give in place of a model is named, with what to do.
#[test]
fn files_of_other_formats_are_named() {
    let given: [(&[u8], &str); 12] = [
        (
            b"PK\x03\x04\x14\0\0\0archive/data.pkl",
            "torch.onnx.export()",
        ),
        (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", "pickle"),
        (b"\x1c\0\0\0TFL3\x14\0 \0", "TensorFlow Lite"),
        (b"\x18\0\0\0ORTM\0\0\0\0", ".ort"),
        (b"\x89HDF\r\n\x1a\n\0\0\0", "Keras"),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f4'", "--input"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "gunzip"),
        (b"\x28\xb5\x2f\xfd\x04\0", "zstd -d"),
        (b"<!DOCTYPE html>\n<html lang=en>", "a web page"),
        (b"<html><head>", "a web page"),
        (b"<?xml version=\"1.0\"?>\n<net name=\"m\"", "OpenVINO"),
        (b"\x40\0\0\0\0\0\0\0{\"__metadata__\":{}", "safetensors"),
    ];
    for (bytes, wanted) in given {
        let error = Model::from_bytes(bytes.to_vec()).unwrap_err().to_string();
        assert!(
            error.starts_with("not an ONNX model: it is ") && error.contains(wanted),
            "{error}"
        );
    }
}
