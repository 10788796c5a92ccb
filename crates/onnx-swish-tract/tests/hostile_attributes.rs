//! Every operator with every attribute out of bounds: it runs, or is refused in words.
//!
//! Given a small model of each operator; plants each of its attributes with values that no exporter writes, and promises that nothing
//! panics, prints a data structure or blames what is not to blame, within a time and a memory that a small model needs.

mod models;

use std::time::Duration;

use models::{constant, model, node, value};
use ndarray::ArrayD;
use onnx_swish_tract::{Error, Session, Tensor, silence_contained_panics};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{
    AttributeProto, ModelProto, NodeProto, TensorProto, tensor_shape_proto, type_proto,
};

const IMAGE: &[usize] = &[1, 4, 6, 6];

/// An operator, the shape of `x`, its constants, its attributes as they should be, and how many outputs it has.
struct Case {
    operator: &'static str,
    shape: &'static [usize],
    constants: Vec<TensorProto>,
    attributes: Vec<(&'static str, Vec<i64>)>,
    outputs: usize,
}

fn case(
    operator: &'static str,
    shape: &'static [usize],
    constants: Vec<TensorProto>,
    attributes: &[(&'static str, &[i64])],
) -> Case {
    Case {
        operator,
        shape,
        constants,
        attributes: attributes
            .iter()
            .map(|(name, ints)| (*name, ints.to_vec()))
            .collect(),
        outputs: 1,
    }
}

fn integers(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: 7,
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    constant(name, dims, &vec![0.5; count])
}

fn cases() -> Vec<Case> {
    let pool: &[(&str, &[i64])] = &[
        ("kernel_shape", &[2, 2]),
        ("strides", &[1, 1]),
        ("dilations", &[1, 1]),
        ("pads", &[0, 0, 0, 0]),
        ("ceil_mode", &[0]),
    ];
    let conv: &[(&str, &[i64])] = &[
        ("kernel_shape", &[3, 3]),
        ("strides", &[1, 1]),
        ("dilations", &[1, 1]),
        ("pads", &[0, 0, 0, 0]),
        ("group", &[1]),
    ];
    let transposed: Vec<(&str, &[i64])> = conv
        .iter()
        .copied()
        .chain([
            ("output_padding", &[0i64, 0][..]),
            ("output_shape", &[8, 8]),
        ])
        .collect();
    let weights = || vec![floats("w", &[4, 4, 3, 3])];
    let mut all = vec![
        case("MaxPool", IMAGE, vec![], pool),
        case("AveragePool", IMAGE, vec![], pool),
        case("Conv", IMAGE, weights(), conv),
        case("ConvTranspose", IMAGE, weights(), &transposed),
        case("LRN", IMAGE, vec![], &[("size", &[3])]),
        case("DepthToSpace", IMAGE, vec![], &[("blocksize", &[2])]),
        case("SpaceToDepth", IMAGE, vec![], &[("blocksize", &[2])]),
        case(
            "GroupNormalization",
            IMAGE,
            vec![floats("s", &[4]), floats("b", &[4])],
            &[("num_groups", &[2])],
        ),
        case("GlobalLpPool", IMAGE, vec![], &[("p", &[2])]),
        case(
            "MeanVarianceNormalization",
            IMAGE,
            vec![],
            &[("axes", &[0, 2, 3])],
        ),
        case("Transpose", &[3, 4], vec![], &[("perm", &[1, 0])]),
        case("Flatten", &[3, 4], vec![], &[("axis", &[1])]),
        case(
            "Gather",
            &[3, 4],
            vec![integers("i", &[1], &[0])],
            &[("axis", &[0])],
        ),
        case(
            "GatherElements",
            &[3, 4],
            vec![integers("i", &[1, 4], &[0, 1, 2, 0])],
            &[("axis", &[0])],
        ),
        case(
            "GatherND",
            &[3, 4],
            vec![integers("i", &[1, 1], &[1])],
            &[("batch_dims", &[0])],
        ),
        case(
            "ScatterElements",
            &[3, 4],
            vec![integers("i", &[1, 4], &[0, 1, 2, 0]), floats("u", &[1, 4])],
            &[("axis", &[0])],
        ),
        case(
            "Concat",
            &[3, 4],
            vec![floats("w", &[3, 4])],
            &[("axis", &[1])],
        ),
        case("Trilu", &[3, 4], vec![], &[("upper", &[1])]),
        case(
            "LayerNormalization",
            &[3, 4],
            vec![floats("s", &[4])],
            &[("axis", &[1])],
        ),
        case(
            "RMSNormalization",
            &[3, 4],
            vec![floats("s", &[4])],
            &[("axis", &[1])],
        ),
        case(
            "LpNormalization",
            &[3, 4],
            vec![],
            &[("axis", &[1]), ("p", &[2])],
        ),
        case(
            "CumSum",
            &[3, 4],
            vec![integers("a", &[], &[1])],
            &[("reverse", &[0])],
        ),
        case(
            "Gemm",
            &[3, 4],
            vec![floats("w", &[4, 5])],
            &[("transA", &[0]), ("transB", &[0])],
        ),
        case("Shape", &[3, 4], vec![], &[("start", &[0]), ("end", &[2])]),
        case("Cast", &[3, 4], vec![], &[("to", &[1])]),
        case("EyeLike", &[3, 4], vec![], &[("k", &[0]), ("dtype", &[1])]),
        case("IsInf", &[3, 4], vec![], &[("detect_negative", &[1])]),
        case("Compress", &[3, 4], vec![], &[("axis", &[1])]),
        case(
            "OneHot",
            &[3],
            vec![integers("d", &[], &[4]), constant("v", &[2], &[0.0, 1.0])],
            &[("axis", &[-1])],
        ),
        case(
            "Reshape",
            &[3, 4],
            vec![integers("s", &[2], &[4, 3])],
            &[("allowzero", &[0])],
        ),
        case("Mod", &[3, 4], vec![floats("w", &[4])], &[("fmod", &[1])]),
        case(
            "DFT",
            &[1, 4, 1],
            vec![],
            &[("onesided", &[0]), ("inverse", &[0])],
        ),
        case(
            "LSTM",
            &[2, 1, 4],
            vec![floats("w", &[1, 12, 4]), floats("r", &[1, 12, 3])],
            &[
                ("hidden_size", &[3]),
                ("layout", &[0]),
                ("input_forget", &[0]),
            ],
        ),
        case(
            "GRU",
            &[2, 1, 4],
            vec![floats("w", &[1, 9, 4]), floats("r", &[1, 9, 3])],
            &[("hidden_size", &[3]), ("linear_before_reset", &[0])],
        ),
        case(
            "RNN",
            &[2, 1, 4],
            vec![floats("w", &[1, 3, 4]), floats("r", &[1, 3, 3])],
            &[("hidden_size", &[3])],
        ),
        case(
            "Resize",
            IMAGE,
            vec![
                floats("", &[0]),
                constant("scales", &[4], &[1.0, 1.0, 2.0, 2.0]),
            ],
            &[
                ("axes", &[0, 1, 2, 3]),
                ("antialias", &[0]),
                ("exclude_outside", &[0]),
            ],
        ),
        case(
            "QuantizeLinear",
            &[3, 4],
            vec![floats("s", &[])],
            &[("axis", &[1]), ("block_size", &[0])],
        ),
        case("Squeeze", &[1, 3, 1], vec![integers("a", &[1], &[0])], &[]),
        case("RandomUniformLike", &[3, 4], vec![], &[("dtype", &[1])]),
        case(
            "GridSample",
            IMAGE,
            vec![floats("g", &[1, 2, 2, 2])],
            &[("align_corners", &[0])],
        ),
    ];
    for reduce in [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceL2",
        "ReduceLogSumExp",
    ] {
        let keep: &[(&str, &[i64])] = &[("keepdims", &[1]), ("noop_with_empty_axes", &[0])];
        all.push(case(reduce, &[3, 4], vec![integers("a", &[1], &[1])], keep));
    }
    for by_axis in ["Softmax", "LogSoftmax", "Hardmax"] {
        all.push(case(by_axis, &[3, 4], vec![], &[("axis", &[1])]));
    }
    for arg in ["ArgMax", "ArgMin"] {
        all.push(case(
            arg,
            &[3, 4],
            vec![],
            &[("axis", &[1]), ("keepdims", &[1])],
        ));
    }
    let two = |case: Case| Case { outputs: 2, ..case };
    all.push(two(case(
        "Split",
        &[4, 4],
        vec![],
        &[("axis", &[1]), ("num_outputs", &[2])],
    )));
    all.push(two(case(
        "TopK",
        &[3, 4],
        vec![integers("k", &[1], &[2])],
        &[("axis", &[1]), ("largest", &[1]), ("sorted", &[1])],
    )));
    all
}

impl Case {
    fn node(&self) -> NodeProto {
        let names: Vec<&str> = self
            .constants
            .iter()
            .map(|tensor| tensor.name.as_str())
            .collect();
        let inputs: Vec<&str> = std::iter::once("x").chain(names).collect();
        let mut node = node(self.operator, &inputs, "y", &[]);
        node.output
            .extend((1..self.outputs).map(|at| format!("y{at}")));
        node.attribute = self
            .attributes
            .iter()
            .filter(|(name, _)| *name != "output_shape")
            .map(|(name, ints)| attribute(name, ints))
            .collect();
        node
    }

    /// What becomes of the model with this node: the error's text, if there is one.
    fn outcome(&self, node: NodeProto) -> Option<String> {
        let constants = self
            .constants
            .iter()
            .filter(|tensor| !tensor.name.is_empty());
        let bytes = model(vec![node], self.shape, constants.cloned().collect());
        let x = ArrayD::from_elem(self.shape, 1.0f32);
        let session = Session::builder(bytes)
            .max_build_time(Duration::from_secs(5))
            .build();
        let run = session.and_then(|session| session.run([("x", x)]));
        run.err().map(|error| error.to_string())
    }
}

/// One number by itself is an INT, several are INTS, as the standard's attributes are.
fn attribute(name: &str, ints: &[i64]) -> AttributeProto {
    const LISTS: [&str; 8] = [
        "axes",
        "dilations",
        "kernel_shape",
        "output_padding",
        "output_shape",
        "pads",
        "perm",
        "strides",
    ];
    let list = LISTS.contains(&name);
    AttributeProto {
        name: name.to_owned(),
        r#type: if list {
            AttributeType::Ints
        } else {
            AttributeType::Int
        }
        .into(),
        i: if list {
            0
        } else {
            ints.first().copied().unwrap_or(0)
        },
        ints: if list { ints.to_vec() } else { Vec::new() },
        ..Default::default()
    }
}

/// What of this text no person should read.
fn unreadable(text: &str) -> Option<&'static str> {
    const MARKS: [&str; 16] = [
        "panicked",
        "unwrap",
        "ModelPatch",
        "Rules",
        "Some(",
        "None",
        "Val(",
        "Fact",
        "{",
        "}",
        "TDim",
        "Condition",
        "does not handle what stands there",
        "overflow",
        "index out of bounds",
        "took longer",
    ];
    MARKS.into_iter().find(|mark| text.contains(mark))
}

/// Of attributes that are asked for memory in earnest, numbers that a machine may have it for are left out.
fn hostile(name: &str, usual: &[i64]) -> Vec<Vec<i64>> {
    let numbers = [0, -1, 9, 1 << 31, i64::MAX, i64::MIN];
    let numbers = numbers.into_iter().filter(|number| {
        !(["pads", "output_padding", "output_shape"].contains(&name) && *number == 1 << 31)
    });
    let mut all: Vec<Vec<i64>> = Vec::new();
    for number in numbers {
        all.push(vec![number; usual.len()]);
        if usual.len() > 1 {
            let mut last = usual.to_vec();
            last[usual.len() - 1] = number;
            all.push(last);
        }
    }
    if usual.len() > 1 {
        all.push(vec![]);
        all.push(vec![usual[0]]);
        all.push(vec![usual[0]; usual.len() + 1]);
    }
    all
}

#[test]
fn an_attribute_out_of_bounds_is_refused_in_words() {
    silence_contained_panics();
    let mut wrong = Vec::new();
    for case in cases() {
        let usual = case.outcome(case.node());
        if let Some(error) = usual {
            // Compress has no condition here, and is there for its axis.
            if let Some(mark) = unreadable(&error) {
                wrong.push(format!(
                    "{} as it should be [{mark}]: {error}",
                    case.operator
                ));
            }
        }
        for (name, usual) in &case.attributes {
            for ints in hostile(name, usual) {
                let mut node = case.node();
                node.attribute.retain(|attribute| attribute.name != *name);
                node.attribute.push(attribute(name, &ints));
                let Some(error) = case.outcome(node) else {
                    continue;
                };
                if let Some(mark) = unreadable(&error) {
                    wrong.push(format!(
                        "{} {name} {ints:?} [{mark}]: {error}",
                        case.operator
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The model with another input, of 64-bit integers.
fn with_integers(bytes: Vec<u8>, name: &str, shape: &[usize]) -> Vec<u8> {
    let mut model = ModelProto::decode(bytes.as_slice()).unwrap();
    let mut input = value(name, shape);
    if let Some(type_proto::Value::TensorType(tensor)) =
        input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
    {
        tensor.elem_type = 7;
    }
    model.graph.as_mut().unwrap().input.push(input);
    model.encode_to_vec()
}

#[test]
fn an_operand_out_of_bounds_is_the_inputs_fault() {
    silence_contained_panics();
    let by = |operator: &str, inputs: &[&str]| vec![node(operator, inputs, "y", &[])];
    let updates = |dims: &[i64]| vec![floats("u", dims)];
    let to_integers = || {
        let mut cast = node("Cast", &["x"], "n", &[]);
        cast.attribute.push(attribute("to", &[7]));
        cast
    };
    let divided = |operator| vec![to_integers(), node(operator, &["n", "i"], "y", &[])];
    type Told<'a> = (
        Vec<NodeProto>,
        Vec<TensorProto>,
        &'a [usize],
        &'a [i64],
        &'a [&'a str],
    );
    let cases: Vec<Told<'_>> = vec![
        (
            by("Gather", &["x", "i"]),
            vec![],
            &[2],
            &[1, 9],
            &["input `i` holds 9", "from -3 to 2"],
        ),
        (
            by("Gather", &["x", "i"]),
            vec![],
            &[1],
            &[-4],
            &["input `i` holds -4", "rows of `x`"],
        ),
        (
            by("GatherElements", &["x", "i"]),
            vec![],
            &[1, 2],
            &[0, 3],
            &["input `i` holds 3"],
        ),
        (
            by("GatherND", &["x", "i"]),
            vec![],
            &[1, 2],
            &[2, 4],
            &["input `i` holds 4", "axis 1"],
        ),
        (
            by("ScatterND", &["x", "i", "u"]),
            updates(&[1, 4]),
            &[1, 1],
            &[3],
            &["input `i` holds 3"],
        ),
        (
            by("ScatterElements", &["x", "i", "u"]),
            updates(&[1, 2]),
            &[1, 2],
            &[0, -4],
            &["input `i` holds -4"],
        ),
        (
            divided("Div"),
            vec![],
            &[4],
            &[1, 2, 0, 3],
            &["input `i` holds 0", "divisors other than 0"],
        ),
        (divided("Mod"), vec![], &[1], &[0], &["input `i` holds 0"]),
        (
            by("Tile", &["x", "i"]),
            vec![],
            &[2],
            &[-2, 1],
            &["input `i` holds -2", "how often to repeat"],
        ),
        (
            by("Tile", &["x", "i"]),
            vec![],
            &[2],
            &[1 << 40, 1 << 30],
            &["input `i` holds 1099511627776"],
        ),
        (
            by("ConstantOfShape", &["i"]),
            vec![],
            &[3],
            &[1 << 30, 1 << 30, 64],
            &["no memory"],
        ),
        (
            by("Reshape", &["x", "i"]),
            vec![],
            &[2],
            &[5, -1],
            &["`i` = [5, -1]", "12 elements"],
        ),
    ];
    for (nodes, constants, shape, ints, said) in cases {
        let what = nodes.last().unwrap().op_type.clone();
        let bytes = with_integers(model(nodes, &[3, 4], constants), "i", shape);
        let x: Tensor = ArrayD::from_elem(vec![3, 4], 1.0f32).into();
        let i: Tensor = ArrayD::from_shape_vec(shape, ints.to_vec()).unwrap().into();
        let session = Session::builder(bytes).build();
        let error = session
            .and_then(|session| session.run([("x", x), ("i", i)]))
            .unwrap_err();
        let error = error.to_string();
        assert!(
            said.iter().all(|part| error.contains(part)),
            "{what} {ints:?}: {error}"
        );
        assert!(unreadable(&error).is_none(), "{what} {ints:?}: {error}");
    }
}

#[test]
fn more_elements_than_there_are_cannot_be_taken() {
    let mut top = node("TopK", &["x", "i"], "y", &[]);
    top.output.push("at".to_owned());
    let bytes = with_integers(model(vec![top], &[3, 4], vec![]), "i", &[1]);
    let session = Session::builder(bytes).build().unwrap();
    let run = |k: i64| {
        let x: Tensor = ArrayD::from_elem(vec![3, 4], 1.0f32).into();
        let k: Tensor = ndarray::arr1(&[k]).into_dyn().into();
        session.run([("x", x), ("i", k)])
    };
    assert_eq!(run(4).unwrap()[0].shape(), [3, 4]);
    for k in [5, -1] {
        let error = run(k).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`i` holds {k}")) && error.contains("from 0 to 4"),
            "{error}"
        );
    }
}

#[test]
fn one_dimension_of_two_sizes_and_a_value_that_is_stored_are_named() {
    let bytes = model(vec![node("Add", &["x", "z"], "y", &[])], &[3], vec![]);
    let mut two = ModelProto::decode(bytes.as_slice()).unwrap();
    let graph = two.graph.as_mut().unwrap();
    graph.input.push(value("z", &[3]));
    for input in &mut graph.input {
        if let Some(type_proto::Value::TensorType(tensor)) =
            input.r#type.as_mut().and_then(|kind| kind.value.as_mut())
        {
            let dim = &mut tensor.shape.as_mut().unwrap().dim[0];
            dim.value = Some(tensor_shape_proto::dimension::Value::DimParam(
                "n".to_owned(),
            ));
        }
    }
    let session = Session::builder(two.encode_to_vec()).build().unwrap();
    let ones = |size: usize| Tensor::from(ArrayD::from_elem(vec![size], 1.0f32));
    let error = session.run([("x", ones(3)), ("z", ones(4))]).unwrap_err();
    assert!(matches!(error, Error::FreeDimension { .. }), "{error}");

    let bytes = model(
        vec![node("Mul", &["x", "b"], "y", &[])],
        &[3],
        vec![floats("b", &[3])],
    );
    let mut stored = ModelProto::decode(bytes.as_slice()).unwrap();
    stored.graph.as_mut().unwrap().input.push(value("b", &[3]));
    let session = Session::builder(stored.encode_to_vec()).build().unwrap();
    let error = session.run([("x", ones(3)), ("b", ones(3))]).unwrap_err();
    assert!(matches!(error, Error::StoredInput(_)), "{error}");
}

#[test]
fn what_is_not_implemented_is_told_from_what_breaks_a_rule() {
    let refused = |node: NodeProto, shape: &[usize], constants: Vec<TensorProto>| {
        let session = Session::builder(model(vec![node], shape, constants)).build();
        session.unwrap_err()
    };
    let text = |name: &str, value: &str| AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String.into(),
        s: value.as_bytes().to_vec(),
        ..Default::default()
    };
    let mut split = node("Split", &["x", "parts"], "y", &[]);
    split.output.push("z".to_owned());
    split.attribute.push(attribute("axis", &[2]));
    let error = refused(split, IMAGE, vec![integers("parts", &[2], &[1, 1])]);
    let told = error.to_string();
    assert!(
        matches!(error, Error::Mismatch { .. })
            && told.contains("[1, 1]")
            && told.contains("6 elements along axis 2"),
        "{told}"
    );
    let mut einsum = node("Einsum", &["x"], "y", &[]);
    einsum.attribute.push(text("equation", "i->j"));
    let error = refused(einsum, &[3], vec![]);
    assert!(
        matches!(error, Error::Mismatch { .. }) && error.to_string().contains("`j`"),
        "{error}"
    );
    let mut blocks = node("SpaceToDepth", &["x"], "y", &[]);
    blocks.attribute = vec![attribute("blocksize", &[2]), text("mode", "CRD")];
    let error = refused(blocks, IMAGE, vec![]);
    let told = error.to_string();
    assert!(
        matches!(error, Error::Unimplemented { .. })
            && told.contains("SpaceToDepth_y")
            && told.contains("CRD")
            && told.contains("another runtime"),
        "{told}"
    );
}
