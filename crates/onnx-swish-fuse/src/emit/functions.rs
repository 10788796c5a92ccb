//! The model-local functions that give our operators a meaning in every runtime that knows functions.
//! Given: which operator, and the version of ONNX's operators that the model uses.
//! Promises: bodies of plain operators that are valid in that version, recognised again when met.

use std::collections::HashSet;

use onnx_swish_model::{Function, Model, schema};
use schema::attribute_proto::AttributeType;

use crate::ops::{OUR_DOMAIN, OUR_VERSION, Op};

/// Our operators, in the order in which their functions are written.
pub(crate) const OURS: [Op; 4] = [
    Op::FusedSilu,
    Op::FusedSwish,
    Op::FusedHardSwish,
    Op::FusedSlopedHardSwish,
];

/// Slope of the standard HardSwish, as the standard itself stores it.
pub(crate) const SIXTH: f32 = 1.0 / 6.0;

struct Step {
    op: &'static str,
    inputs: &'static [&'static str],
    output: &'static str,
}

/// Steps of a body, its inputs and its attributes.
fn body(
    op: Op,
) -> Option<(
    &'static [Step],
    &'static [&'static str],
    &'static [&'static str],
)> {
    const SIGMOID: Step = Step {
        op: "Sigmoid",
        inputs: &["X"],
        output: "gate",
    };
    const HARD: Step = Step {
        op: "HardSigmoid",
        inputs: &["X"],
        output: "gate",
    };
    const GATED: Step = Step {
        op: "Mul",
        inputs: &["X", "gate"],
        output: "Y",
    };
    const SCALED: Step = Step {
        op: "Mul",
        inputs: &["X", "beta"],
        output: "scaled",
    };
    const SIGMOID_OF_SCALED: Step = Step {
        op: "Sigmoid",
        inputs: &["scaled"],
        output: "gate",
    };
    Some(match op {
        Op::FusedSilu => (&[SIGMOID, GATED], &["X"], &[]),
        Op::FusedSwish => (&[SCALED, SIGMOID_OF_SCALED, GATED], &["X", "beta"], &[]),
        Op::FusedHardSwish => (&[HARD, GATED], &["X"], &[]),
        Op::FusedSlopedHardSwish => (&[HARD, GATED], &["X"], &["alpha", "beta"]),
        _ => return None,
    })
}

/// The function of an operator, with a body in version `opset` of ONNX's operators.
pub(crate) fn proto(op: Op, opset: i64) -> Option<schema::FunctionProto> {
    let (steps, inputs, attributes) = body(op)?;
    let node = steps
        .iter()
        .map(|step| {
            let attribute = match (step.op, op) {
                ("HardSigmoid", Op::FusedHardSwish) => {
                    vec![float("alpha", SIXTH), float("beta", 0.5)]
                }
                ("HardSigmoid", _) => vec![reference("alpha"), reference("beta")],
                // Before opset 7 a smaller operand is broadcast only on request.
                ("Mul", Op::FusedSwish) if opset < 7 && step.inputs.contains(&"beta") => {
                    vec![int("broadcast", 1)]
                }
                _ => Vec::new(),
            };
            schema::NodeProto {
                input: names(step.inputs),
                output: names(&[step.output]),
                op_type: Some(text(step.op)),
                attribute,
                ..Default::default()
            }
        })
        .collect();
    Some(schema::FunctionProto {
        name: Some(text(op.name())),
        domain: Some(text(OUR_DOMAIN)),
        input: names(inputs),
        output: names(&["Y"]),
        attribute: names(attributes),
        node,
        opset_import: vec![schema::OperatorSetIdProto {
            domain: Some(text("")),
            version: Some(opset),
        }],
        ..Default::default()
    })
}

/// Whether a function of the file is one that we wrote.
pub(crate) fn is_ours(model: &Model, function: &Function) -> bool {
    let op = Op::parse(model.text(function.domain()), model.text(function.name()));
    let Some(opset) = model.function_opset_of(function, b"") else {
        return false;
    };
    let (true, Some(expected)) = (
        op.is_ours() && function.overload().is_empty(),
        proto(op, opset),
    ) else {
        return false;
    };
    let Some(scope) = model.scopes().get(function.scope()) else {
        return false;
    };
    let same_names = |found: &mut dyn Iterator<Item = &[u8]>, expected: &[bytes::Bytes]| {
        found.eq(expected.iter().map(|name| &name[..]))
    };
    let io = same_names(
        &mut scope.inputs().iter().map(|i| model.text(i.name())),
        &expected.input,
    ) && same_names(
        &mut scope.outputs().iter().map(|o| model.text(o.name())),
        &expected.output,
    ) && same_names(
        &mut model
            .function_attributes(function)
            .iter()
            .map(|&a| model.text(a)),
        &expected.attribute,
    );
    io && scope.nodes().len() == expected.node.len()
        && scope
            .nodes()
            .iter()
            .zip(&expected.node)
            .all(|(node, expected)| {
                model.node_ref(node).decode().is_ok_and(|found| {
                    found.op_type == expected.op_type
                        && found.input == expected.input
                        && found.output == expected.output
                        && found.attribute == expected.attribute
                })
            })
}

/// The operators that functions of the file define anew, and ours where the file means another version of our domain:
/// their names do not mean what they say.
pub(crate) fn redefined(model: &Model) -> HashSet<Op> {
    let version = model.opset_of(OUR_DOMAIN.as_bytes());
    let other_version = version.is_some_and(|version| version != OUR_VERSION);
    let ours = OURS.into_iter().filter(|_| other_version);
    model
        .functions()
        .iter()
        .filter(|function| !is_ours(model, function))
        .map(|function| Op::parse(model.text(function.domain()), model.text(function.name())))
        .filter(|&op| op != Op::Unknown)
        .chain(ours)
        .collect()
}

/// Text as the schema has it.
pub(crate) fn text(text: &str) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(text.as_bytes())
}

fn names(names: &[&str]) -> Vec<bytes::Bytes> {
    names.iter().map(|name| text(name)).collect()
}

/// A float attribute.
pub(crate) fn float(name: &str, value: f32) -> schema::AttributeProto {
    schema::AttributeProto {
        name: Some(text(name)),
        r#type: Some(AttributeType::Float as i32),
        f: Some(value),
        ..Default::default()
    }
}

/// An integer attribute.
pub(crate) fn int(name: &str, value: i64) -> schema::AttributeProto {
    schema::AttributeProto {
        name: Some(text(name)),
        r#type: Some(AttributeType::Int as i32),
        i: Some(value),
        ..Default::default()
    }
}

/// An attribute that has the value of the function's attribute of the same name.
fn reference(name: &str) -> schema::AttributeProto {
    schema::AttributeProto {
        name: Some(text(name)),
        ref_attr_name: Some(text(name)),
        r#type: Some(AttributeType::Float as i32),
        ..Default::default()
    }
}
