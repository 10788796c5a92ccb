//! Widening of tensors, attributes and branches, beside a reading of the bits.
//! Given small protos; promises that what is not a 16-bit float is left alone.

use tract_onnx::pb::{StringStringEntryProto, TensorProto, tensor_proto};

use super::*;

const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const BFLOAT16: i32 = 16;

/// 1, -2 and infinity.
const F16_BITS: [u16; 3] = [0x3c00, 0xc000, 0x7c00];
const BF16_BITS: [u16; 3] = [0x3f80, 0xc000, 0x7f80];

fn tensor(data_type: i32, bits: [u16; 3]) -> TensorProto {
    TensorProto {
        name: "w".to_owned(),
        dims: vec![3],
        data_type,
        raw_data: bits.iter().flat_map(|bits| bits.to_le_bytes()).collect(),
        ..TensorProto::default()
    }
}

fn values(tensor: &TensorProto) -> Vec<f32> {
    let (words, _) = tensor.raw_data.as_chunks();
    words.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

fn node(op_type: &str, attribute: &str, code: i32) -> NodeProto {
    NodeProto {
        op_type: op_type.to_owned(),
        input: vec!["x".to_owned(), "w".to_owned()],
        output: vec!["y".to_owned()],
        attribute: vec![AttributeProto {
            name: attribute.to_owned(),
            i: code.into(),
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    }
}

fn model(initializer: TensorProto, node: NodeProto) -> ModelProto {
    ModelProto {
        graph: Some(GraphProto {
            initializer: vec![initializer],
            node: vec![node],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

#[test]
fn weights_of_either_kind_are_widened_exactly_wherever_their_data_is() {
    for (code, bits) in [(FLOAT16, F16_BITS), (BFLOAT16, BF16_BITS)] {
        let raw = tensor(code, bits);
        let fields = TensorProto {
            raw_data: Vec::new(),
            int32_data: bits.map(i32::from).to_vec(),
            ..raw.clone()
        };
        let dir =
            std::env::temp_dir().join(format!("onnx-swish-widen-{}-{code}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("data"), [&[0; 8], &raw.raw_data[..]].concat()).unwrap();
        let entry = |key: &str, value: &str| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let external = TensorProto {
            raw_data: Vec::new(),
            data_location: Some(tensor_proto::DataLocation::External.into()),
            external_data: vec![entry("location", "data"), entry("offset", "8")],
            ..raw.clone()
        };
        for tensor in [raw, fields, external] {
            let mut model = model(tensor, NodeProto::default());
            Widening::All.apply(&mut model, Some(&dir)).unwrap();
            let found = &model.graph.unwrap().initializer[0];
            assert_eq!(found.data_type, FLOAT);
            assert_eq!(values(found), [1.0, -2.0, f32::INFINITY]);
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn data_outside_of_the_models_folder_is_not_read() {
    for location in ["../data", "/etc/hostname"] {
        let mut tensor = tensor(FLOAT16, F16_BITS);
        tensor.raw_data.clear();
        tensor.data_location = Some(tensor_proto::DataLocation::External.into());
        tensor.external_data = vec![StringStringEntryProto {
            key: "location".to_owned(),
            value: location.to_owned(),
        }];
        let mut model = model(tensor, NodeProto::default());
        let dir = std::env::temp_dir();
        let error = Widening::All
            .apply(&mut model, Some(&dir))
            .unwrap_err()
            .to_string();
        assert!(error.contains("leaves the model's folder"), "{error}");
    }
}

#[test]
fn a_shape_that_the_data_does_not_fill_is_an_error_with_the_tensors_name() {
    for dims in [vec![4], vec![-3], vec![i64::MAX, i64::MAX]] {
        let mut tensor = tensor(BFLOAT16, BF16_BITS);
        tensor.dims = dims;
        let mut model = model(tensor, NodeProto::default());
        let error = Widening::All
            .apply(&mut model, None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("`w`"), "{error}");
    }
}

#[test]
fn casts_to_16_bits_still_round_and_other_casts_stay() {
    let cast = |op_type: &str, code: i32| {
        let mut model = model(tensor(BFLOAT16, BF16_BITS), node(op_type, "to", code));
        Widening::All.apply(&mut model, None).unwrap();
        model.graph.unwrap().node.remove(0)
    };
    assert_eq!(cast("Cast", FLOAT16).op_type, "widened::Float16");
    assert_eq!(cast("Cast", BFLOAT16).op_type, "widened::Bfloat16");
    assert_eq!(cast("Cast", FLOAT).op_type, "Cast");
    let like = cast("CastLike", 0);
    assert_eq!(
        (like.op_type.as_str(), like.input.len()),
        ("widened::Bfloat16", 1)
    );
}

#[test]
fn attributes_and_nested_graphs_are_widened_too() {
    let mut inner = node("EyeLike", "dtype", FLOAT16);
    inner.attribute[0].t = Some(tensor(FLOAT16, F16_BITS));
    let mut outer = NodeProto::default();
    outer.attribute.push(AttributeProto {
        g: model(tensor(FLOAT16, F16_BITS), inner).graph,
        ..AttributeProto::default()
    });
    let mut model = model(tensor(FLOAT, [0; 3]), outer);
    Widening::All.apply(&mut model, None).unwrap();
    let graph = model
        .graph
        .unwrap()
        .node
        .remove(0)
        .attribute
        .remove(0)
        .g
        .unwrap();
    assert_eq!(graph.initializer[0].data_type, FLOAT);
    let attribute = &graph.node[0].attribute[0];
    assert_eq!(attribute.i, i64::from(FLOAT));
    assert_eq!(attribute.t.as_ref().unwrap().data_type, FLOAT);
}

#[test]
fn native_float16_leaves_float16_alone() {
    let mut model = model(tensor(FLOAT16, F16_BITS), node("Cast", "to", FLOAT16));
    let before = model.clone();
    Widening::Bfloat16.apply(&mut model, None).unwrap();
    assert_eq!(model, before);
}
