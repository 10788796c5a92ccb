//! Nodes whose inputs do not fit each other, and values that no operator takes: each refused by what is at fault.
//!
//! Given small models; promises the sentence, and whether the caller is to blame or the model.

mod models;

use models::{constant, model, node, value};
use ndarray::ArrayD;
use onnx_swish_tract::{Error, Session, Tensor, silence_contained_panics};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{
    AttributeProto, ModelProto, NodeProto, TensorProto, tensor_shape_proto, type_proto,
};

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    constant(name, dims, &vec![0.5; count])
}

fn integers(name: &str, data_type: i32, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: vec![values.len() as i64],
        data_type,
        int64_data: if data_type == 7 {
            values.to_vec()
        } else {
            vec![]
        },
        int32_data: if data_type == 7 {
            vec![]
        } else {
            values.iter().map(|it| *it as i32).collect()
        },
        ..Default::default()
    }
}

fn with(mut node: NodeProto, name: &str, number: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int.into(),
        i: number,
        ..Default::default()
    });
    node
}

fn refused(bytes: Vec<u8>, inputs: Vec<(&str, Tensor)>) -> Error {
    silence_contained_panics();
    let session = Session::builder(bytes).build();
    session.and_then(|session| session.run(inputs)).unwrap_err()
}

fn x(shape: &[usize]) -> Tensor {
    ArrayD::from_elem(shape, 1.0f32).into()
}

#[test]
fn what_does_not_fit_is_named_on_both_sides() {
    let by = |operator: &str, inputs: &[&str]| node(operator, inputs, "y", &[]);
    let joined = || with(by("Concat", &["x", "w"]), "axis", 0);
    let normalized = || by("BatchNormalization", &["x", "w", "b", "w", "w"]);
    type Case<'a> = (NodeProto, &'a [usize], Vec<TensorProto>, &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        (
            joined(),
            &[2, 3],
            vec![floats("w", &[2, 4])],
            &["`x` has 3 elements along axis 1, and `w` has 4"],
        ),
        (
            joined(),
            &[2, 3],
            vec![floats("w", &[2, 3, 1])],
            &["`x` has 2 axes, and `w` has 3"],
        ),
        (
            by("Gemm", &["x", "w", "b"]),
            &[2, 3],
            vec![floats("w", &[3, 4]), floats("b", &[5])],
            &["`b` of shape [5]", "[2, 4]"],
        ),
        (
            by("GridSample", &["x", "w"]),
            &[1, 2, 3, 3],
            vec![floats("w", &[1, 3, 3])],
            &["`x` has 4 axes and `w` 3"],
        ),
        (
            by("GridSample", &["x", "w"]),
            &[1, 2, 3, 3],
            vec![floats("w", &[1, 3, 3, 3])],
            &["last axis of `w` has 3 elements, and 2 are needed"],
        ),
        (
            normalized(),
            &[1, 3, 4, 4],
            vec![floats("w", &[3]), floats("b", &[4])],
            &["`b` has 4 elements, and `x` has 3 channels"],
        ),
        (
            by("Tile", &["x", "w"]),
            &[2, 3],
            vec![integers("w", 7, &[1, 2, 1])],
            &["`w` has 3 numbers, and `x` has 2 axes"],
        ),
        (
            by("Expand", &["x", "w"]),
            &[2, 3],
            vec![integers("w", 7, &[-1, 3])],
            &["`w` asks for the shape [-1, 3]"],
        ),
        (
            by("Pad", &["x", "w"]),
            &[2, 3],
            vec![integers("w", 7, &[0, -2, 0, -2])],
            &["cuts 4 elements from an axis of 3"],
        ),
        (
            by("Attention", &["x", "x", "x"]),
            &[2, 4],
            vec![],
            &["`x` has 2 axes, and 3 or 4 are needed"],
        ),
        (
            by("Attention", &["x", "x", "x"]),
            &[1, 2, 4],
            vec![],
            &["q_num_heads, is not said"],
        ),
    ];
    for (node, shape, constants, said) in cases {
        let what = node.op_type.clone();
        let error = refused(model(vec![node], shape, constants), vec![("x", x(shape))]);
        assert!(matches!(error, Error::Mismatch { .. }), "{what}: {error:?}");
        let error = error.to_string();
        assert!(
            said.iter().all(|part| error.contains(part)),
            "{what}: {error}"
        );
    }
}

/// A recurrent network of a length for each of two sequences of six steps.
fn of_lengths(constants: Vec<TensorProto>) -> Vec<u8> {
    let gru = with(
        node("GRU", &["x", "w", "r", "", "l"], "y", &[]),
        "hidden_size",
        1,
    );
    let weights = [floats("w", &[1, 3, 4]), floats("r", &[1, 3, 1])];
    model(
        vec![gru],
        &[6, 2, 4],
        weights.into_iter().chain(constants).collect(),
    )
}

fn with_input(bytes: Vec<u8>, name: &str, data_type: i32, shape: &[usize]) -> Vec<u8> {
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    let mut input = value(name, shape);
    if let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    {
        tensor.elem_type = data_type;
    }
    model.graph.as_mut().unwrap().input.push(input);
    model.encode_to_vec()
}

#[test]
fn a_length_out_of_bounds_is_the_inputs_fault_or_the_models() {
    for wrong in [7, -1] {
        let given = with_input(of_lengths(vec![]), "l", 6, &[2]);
        let l: Tensor = ndarray::arr1(&[wrong as i32, 2]).into_dyn().into();
        let error = refused(given, vec![("x", x(&[6, 2, 4])), ("l", l)]);
        let said = error.to_string();
        assert!(
            said.contains(&format!("input `l` holds {wrong}")) && said.contains("from 0 to 6"),
            "{said}"
        );
        assert!(error.is_input_error());
        let stored = of_lengths(vec![integers("l", 6, &[wrong, 2])]);
        let error = refused(stored, vec![("x", x(&[6, 2, 4]))]);
        assert!(
            error.to_string().contains("breaks the rules of ONNX"),
            "{error}"
        );
        assert!(!error.is_input_error());
    }
    let error = refused(
        of_lengths(vec![integers("l", 6, &[1, 2, 3])]),
        vec![("x", x(&[6, 2, 4]))],
    );
    assert!(
        error
            .to_string()
            .contains("`l` has 3 lengths, and `x` has 2 sequences"),
        "{error}"
    );
}

#[test]
fn a_value_that_decides_a_shape_is_blamed_on_the_input_that_holds_it() {
    let by = |operator: &str, inputs: &[&str]| node(operator, inputs, "y", &[]);
    let bounds = || vec![integers("a", 7, &[0]), integers("b", 7, &[2])];
    type Case<'a> = (NodeProto, Vec<TensorProto>, &'a [i64], &'a str);
    let cases: Vec<Case<'_>> = vec![
        (
            by("Tile", &["x", "i"]),
            vec![],
            &[1, -1],
            "input `i` holds -1",
        ),
        (
            by("ConstantOfShape", &["i"]),
            vec![],
            &[-2, 3],
            "input `i` holds -2",
        ),
        (
            by("Slice", &["x", "a", "b", "a", "i"]),
            bounds(),
            &[0],
            "input `i` holds 0",
        ),
    ];
    for (node, constants, ints, said) in cases {
        let what = node.op_type.clone();
        let bytes = with_input(model(vec![node], &[2, 3], constants), "i", 7, &[ints.len()]);
        let i: Tensor = ndarray::arr1(ints).into_dyn().into();
        let error = refused(bytes, vec![("x", x(&[2, 3])), ("i", i)]);
        assert!(error.to_string().contains(said), "{what}: {error}");
        assert!(error.is_input_error(), "{what}");
    }
}

#[test]
fn a_table_that_is_too_short_for_the_input_is_no_broken_model() {
    let nodes = vec![
        node("Shape", &["x"], "s", &[]),
        node("Gather", &["s", "zero"], "long", &[]),
        node("Range", &["zero", "long", "one"], "positions", &[]),
        node("Gather", &["table", "positions"], "y", &[]),
    ];
    let scalar = |name: &str, value: i64| TensorProto {
        dims: vec![],
        ..integers(name, 7, &[value])
    };
    let constants = vec![
        scalar("zero", 0),
        scalar("one", 1),
        floats("table", &[6, 4]),
    ];
    let mut free = ModelProto::decode(model(nodes, &[1], constants).as_slice()).unwrap();
    let input = &mut free.graph.as_mut().unwrap().input[0];
    if let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    {
        let symbol = tensor_shape_proto::dimension::Value::DimParam("n".to_owned());
        tensor.shape.as_mut().unwrap().dim[0].value = Some(symbol);
    }
    let bytes = free.encode_to_vec();
    let session = Session::builder(bytes.clone()).build().unwrap();
    assert!(session.run([("x", x(&[6]))]).is_ok());
    let error = refused(bytes, vec![("x", x(&[10]))]);
    let said = error.to_string();
    assert!(
        said.contains("takes 6 as an index into 6 rows of `table`"),
        "{said}"
    );
    assert!(
        said.contains("computes from its inputs") && error.is_input_error(),
        "{said}"
    );
}

#[test]
fn random_numbers_have_the_shape_that_they_are_like() {
    for operator in ["RandomNormalLike", "RandomUniformLike"] {
        let bytes = model(vec![node(operator, &["x"], "y", &[])], &[4, 5], vec![]);
        let session = Session::builder(bytes).build().unwrap();
        let found = &session.run([("x", x(&[4, 5]))]).unwrap()[0];
        assert_eq!(found.shape(), [4, 5]);
        let numbers = found.to_f64().unwrap();
        assert!(numbers.iter().all(|it| it.is_finite()) && numbers[0] != numbers[1]);
    }
}

#[test]
fn what_an_operator_of_attention_does_not_honour_is_refused_by_name() {
    let of = |operator: &str, domain: &str, inputs: &[&str]| {
        let mut node = node(operator, inputs, "y", &[]);
        node.domain = domain.to_owned();
        node
    };
    let microsoft = |operator: &str, inputs: &[&str]| of(operator, "com.microsoft", inputs);
    let plain = ["x", "x", "x"];
    let heads = |node| with(with(node, "num_heads", 2), "kv_num_heads", 2);
    let grouped = |name: &str, number| {
        let inputs = ["x", "x", "x", "", "", "lengths", "total"];
        let node = heads(microsoft("GroupQueryAttention", &inputs));
        with(node, name, number)
    };
    let multi = |inputs: &[&str]| with(microsoft("MultiHeadAttention", inputs), "num_heads", 2);
    let skip = |operator: &str, output: usize| {
        let mut node = microsoft(operator, &["x", "x", "w"]);
        node.output.resize(output, String::new());
        node.output.push("more".to_owned());
        node
    };
    let windowed = with(of("Attention", "", &plain), "left_window_size", 1);
    let positions = ["x", "x", "x", "", "", "lengths", "total", "", "", "lengths"];
    let cases = [
        (windowed, "left_window_size"),
        (with(multi(&plain), "new_attribute", 1), "new_attribute"),
        (multi(&["x", "x", "x", "w"]), "input 4"),
        (multi(&["x", "x", "x", "", "lengths"]), "input 5"),
        (
            with(multi(&["x", "w", "w"]), "unidirectional", 1),
            "unidirectional",
        ),
        (grouped("local_window_size", 0), "local_window_size"),
        (grouped("kv_cache_bit_width", 8), "kv_cache_bit_width"),
        (
            heads(microsoft("GroupQueryAttention", &positions)),
            "input 10",
        ),
        (skip("SkipLayerNormalization", 1), "output 2"),
        (skip("SkipSimplifiedLayerNormalization", 2), "output 3"),
    ];
    for (node, said) in cases {
        let name = node.name.clone();
        let keys = floats("w", &[1, 3, 4]);
        let constants = vec![
            keys,
            integers("lengths", 6, &[1]),
            integers("total", 6, &[2]),
        ];
        let error = refused(model(vec![node], &[1, 2, 4], constants), vec![]);
        let told = error.to_string();
        assert!(
            matches!(error, Error::Unimplemented { .. })
                && told.contains(said)
                && told.contains(&name),
            "{told}"
        );
    }
}

#[test]
fn a_cache_with_more_room_than_for_its_new_keys_is_refused_when_it_is_run() {
    for (total, last, said) in [
        (3, 2, "total_sequence_length is 3"),
        (4, 4, "seqlens_k holds 4"),
        (4, -1, "seqlens_k holds -1"),
    ] {
        let inputs = ["x", "x", "x", "past", "past", "lengths", "total"];
        let mut node = node("GroupQueryAttention", &inputs, "y", &[]);
        node.domain = "com.microsoft".to_owned();
        node.output.extend(["k", "v"].map(str::to_owned));
        let node = with(with(node, "num_heads", 2), "kv_num_heads", 2);
        let constants = vec![
            floats("past", &[1, 2, 3, 2]),
            integers("lengths", 6, &[last]),
            integers("total", 6, &[total]),
        ];
        let bytes = model(vec![node], &[1, 1, 4], constants);
        let told = refused(bytes, vec![("x", x(&[1, 1, 4]))]).to_string();
        assert!(
            told.contains(said) && told.contains("GroupQueryAttention_y"),
            "{told}"
        );
    }
}
