//! Codes, zero points and scales whose types do not go together: each refused by name, and those that do loaded.
//!
//! Given small models of each operator on codes; promises that what ONNX Runtime refuses for its types (1.32) is refused in words, in the
//! model's own names, and that other mixtures of u8 and i8 run.

mod models;

use models::{constant, model, node};
use ndarray::ArrayD;
use onnx_swish_tract::{Operators, Session, silence_contained_panics};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

const F32: i32 = 1;
const U8: i32 = 2;
const I8: i32 = 3;
const I32: i32 = 6;
const BOOL: i32 = 9;
const F64: i32 = 11;
const CONTRIB: [&str; 10] = [
    "QGemm",
    "QLinearAdd",
    "QLinearAveragePool",
    "QLinearConcat",
    "QLinearGlobalAveragePool",
    "QLinearLeakyRelu",
    "QLinearMul",
    "QLinearSigmoid",
    "QLinearSoftmax",
    "QLinearWhere",
];

/// A constant of ones.
fn ones(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    match data_type {
        F32 => constant(name, dims, &vec![1.0; count]),
        F64 => TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type,
            double_data: vec![1.0; count],
            ..TensorProto::default()
        },
        _ => TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type,
            int32_data: vec![1; count],
            ..TensorProto::default()
        },
    }
}

/// A node `codes` of x quantised to codes of this type (`q`; a second time `p`), and constants by name: `w`, `b` and `c` are tensors, `s` a scale,
/// and else the name ends with `u` or `i` for a zero point.
struct Case {
    operator: &'static str,
    inputs: &'static str,
    codes: i32,
    weights: i32,
    scale: i32,
    bias: i32,
}

const USUAL: Case = Case {
    operator: "",
    inputs: "",
    codes: U8,
    weights: I8,
    scale: F32,
    bias: I32,
};

impl Case {
    fn of(operator: &'static str, inputs: &'static str) -> Case {
        Case {
            operator,
            inputs,
            ..USUAL
        }
    }

    fn said(&self) -> Option<String> {
        let image = self.operator.contains("Conv") || self.operator.contains("Pool");
        let (shape, weights): (&[usize], &[i64]) = match image {
            true => (&[1, 2, 4, 4], &[2, 2, 1, 1]),
            false => (&[2, 2], &[2, 2]),
        };
        let zero = if self.codes == U8 { "zu" } else { "zi" };
        let quantise = |name| node("QuantizeLinear", &["x", "one", zero], name, &[]);
        let inputs: Vec<&str> = self.inputs.split(' ').collect();
        let mut own = node(self.operator, &inputs, "y", &[]);
        own.name = "own".to_owned();
        if CONTRIB.contains(&self.operator) {
            own.domain = "com.microsoft".to_owned();
        }
        attributes(&mut own);
        let constants = vec![
            ones("one", F32, &[]),
            ones("s", self.scale, &[]),
            ones("zu", U8, &[]),
            ones("zi", I8, &[]),
            ones("zw", I32, &[]),
            ones("w", self.weights, weights),
            ones("b", self.bias, &[2]),
            ones("c", BOOL, &[2, 2]),
        ];
        let bytes = model(vec![quantise("q"), quantise("p"), own], shape, constants);
        silence_contained_panics();
        let run = |operators| {
            let session = Session::builder(bytes.clone()).operators(operators);
            let x = ArrayD::from_elem(shape, 1.0f32);
            session.build().and_then(|session| session.run([("x", x)]))
        };
        let [ours, reference] = [Operators::OnnxSwish, Operators::Reference].map(run);
        assert_eq!(ours.is_ok(), reference.is_ok(), "{}", self.operator);
        ours.err().map(|error| error.to_string())
    }
}

fn attributes(node: &mut NodeProto) {
    let ints = |name: &str, ints: Vec<i64>| AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints.into(),
        ints,
        ..AttributeProto::default()
    };
    if node.op_type == "QLinearAveragePool" {
        node.attribute.push(ints("kernel_shape", vec![2, 2]));
    }
    let named = match node.op_type.as_str() {
        "QLinearConcat" => ("axis", 0),
        "QLinearSoftmax" => ("opset", 13),
        _ => return,
    };
    node.attribute.push(AttributeProto {
        name: named.0.to_owned(),
        r#type: AttributeType::Int.into(),
        i: named.1,
        ..AttributeProto::default()
    });
}

#[test]
fn zero_points_of_another_type_than_their_codes_are_refused_by_name() {
    let cases = [
        ("DequantizeLinear", "q s zi", "q"),
        ("QLinearConv", "q s zi w s zi s zu", "q"),
        ("QLinearConv", "q s zu w s zu s zu", "w"),
        ("QLinearMatMul", "q s zi w s zi s zu", "q"),
        ("QLinearMatMul", "q s zu w s zu s zu", "w"),
        ("QGemm", "q s zi w s zi b s zu", "q"),
        ("QGemm", "q s zu w s zu b s zu", "w"),
        ("ConvInteger", "q w zi zi", "q"),
        ("ConvInteger", "q w zu zu", "w"),
        ("MatMulInteger", "q w zi zi", "q"),
        ("MatMulInteger", "q w zu zu", "w"),
        ("QLinearAdd", "q s zi p s zu s zu", "q"),
        ("QLinearAdd", "q s zu w s zi s zu", "q"),
        ("QLinearMul", "q s zu p s zu s zi", "q"),
        ("QLinearSigmoid", "q s zi s zi", "q"),
        ("QLinearSigmoid", "q s zu s zi", "q"),
        ("QLinearLeakyRelu", "q s zu s zi", "q"),
        ("QLinearSoftmax", "q s zi s zi", "q"),
        ("QLinearSoftmax", "q s zu s zi", "q"),
        ("QLinearWhere", "c q s zi p s zu s zu", "q"),
        ("QLinearWhere", "c q s zu p s zi s zu", "q"),
        ("QLinearWhere", "c q s zu p s zu s zi", "q"),
        ("QLinearGlobalAveragePool", "q s zu s zi", "q"),
        ("QLinearAveragePool", "q s zi s zu", "q"),
        ("QLinearConcat", "s zu q s zi", "zu"),
    ];
    for (operator, inputs, first) in cases {
        let said = Case::of(operator, inputs).said();
        let said = said.unwrap_or_else(|| panic!("{operator} {inputs} runs"));
        let named = format!("node `own` ({operator}) cannot be computed: `{first}` is of type ");
        assert!(said.contains(&named), "{said}");
        assert!(said.contains("and both must be of one"), "{said}");
    }
}

#[test]
fn scales_that_are_no_floats_and_other_codes_are_refused_by_name() {
    for (operator, inputs) in [
        ("QuantizeLinear", "x s zu"),
        ("DequantizeLinear", "q s zu"),
        ("QLinearConv", "q one zu w s zi one zu"),
        ("QLinearMatMul", "q one zu w one zi s zu"),
        ("QGemm", "q s zu w one zi b one zu"),
        ("QLinearSigmoid", "q one zu s zu"),
        ("QLinearSoftmax", "q one zu s zu"),
        ("QLinearWhere", "c q one zu p s zu one zu"),
        ("QLinearAdd", "q one zu p s zu one zu"),
        ("QLinearConcat", "one zu q s zu"),
    ] {
        for scale in [F64, I32] {
            let case = Case {
                scale,
                ..Case::of(operator, inputs)
            };
            let said = case.said().unwrap_or_else(|| panic!("{operator} runs"));
            let rule = "and a scale must be float32, float16 or bfloat16";
            assert!(said.contains("`own`") && said.contains(rule), "{said}");
        }
    }
    let said = Case::of("QLinearConv", "q s zu w s zi s zw")
        .said()
        .unwrap();
    assert!(
        said.contains("`zw` is of type int32, and codes must be uint8 or int8"),
        "{said}"
    );
    let bias = Case {
        bias: U8,
        ..Case::of("QLinearConv", "q s zu w s zi s zu b")
    };
    let said = bias.said().unwrap();
    assert!(
        said.contains("`b` is of type uint8, and a bias must be int32"),
        "{said}"
    );
}

#[test]
fn codes_that_are_signed_on_one_side_only_load() {
    for (operator, inputs) in [
        ("DequantizeLinear", "q s zu"),
        ("DequantizeLinear", "q s"),
        ("QLinearConv", "q s zu w s zi s zu b"),
        ("QLinearConv", "q s zu w s zi s zi"),
        ("QLinearMatMul", "q s zu w s zi s zi"),
        ("QGemm", "q s zu w s zi b s zi"),
        ("QGemm", "q s zu w s zi"),
        ("ConvInteger", "q w zu zi"),
        ("ConvInteger", "q w"),
        ("MatMulInteger", "q w zu"),
        ("QLinearAdd", "q s zu p s zu s zu"),
        ("QLinearAdd", "q s  p s  s"),
        ("QLinearSigmoid", "q s zu s zu"),
        ("QLinearSigmoid", "q s  s"),
        ("QLinearSoftmax", "q s zu s zu"),
        ("QLinearSoftmax", "q s  s"),
        ("QLinearWhere", "c q s zu p s zu s zu"),
        ("QLinearConcat", "s zu q s zu p s zu"),
    ] {
        let said = Case::of(operator, inputs).said();
        assert_eq!(said, None, "{operator} {inputs}");
    }
    let signed = Case {
        codes: I8,
        ..Case::of("QLinearMatMul", "q s zi w s zi s zu")
    };
    assert_eq!(signed.said(), None);
}

#[test]
fn what_stands_in_front_of_operators_on_codes_is_no_operator_of_a_file() {
    let mut own = node("codes:QLinearSigmoid", &["x"], "y", &[]);
    own.domain = "onnx_swish.codes".to_owned();
    let session = Session::builder(model(vec![own], &[2], vec![])).build();
    let said = session.err().unwrap().to_string();
    assert!(
        said.contains("onnx_swish.codes::codes:QLinearSigmoid"),
        "{said}"
    );
}
