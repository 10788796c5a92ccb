//! The model-local functions that give our operators a meaning in every runtime that knows functions.
//! Given: which operator, and the version of ONNX's operators that the model uses.
//! Promises: bodies of plain operators that are valid in that version, recognised again when met.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use onnx_swish_model::{Function, Model, schema};
use schema::attribute_proto::AttributeType;

use crate::ops::{OUR_DOMAIN, OUR_VERSION, Op, is_default_domain};

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

/// Whether a function of the file is one that we write, or would have written: every version that wrote functions wrote
/// these bodies. What the names of values inside are, in which order attributes stand, and what is documented changes no
/// meaning.
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
    let attributes: BTreeSet<&[u8]> = model
        .function_attributes(function)
        .iter()
        .map(|&name| model.text(name))
        .collect();
    let wanted: BTreeSet<&[u8]> = expected.attribute.iter().map(|name| &name[..]).collect();
    if attributes != wanted || scope.nodes().len() != expected.node.len() {
        return false;
    }
    // Inputs by position; a node can read what stands before it only.
    let mut names = Names::default();
    let inputs = scope.inputs().iter().map(|input| model.text(input.name()));
    if !names.bind(inputs, &expected.input) {
        return false;
    }
    let mut nodes = scope.nodes().iter().zip(&expected.node);
    let same = nodes.all(|(node, expected)| {
        let decoded = model.node_ref(node).decode();
        decoded.is_ok_and(|found| names.same_node(&found, expected))
    });
    let outputs = scope
        .outputs()
        .iter()
        .map(|output| model.text(output.name()));
    same && names.are(outputs, &expected.output)
}

/// What the names of a file's function are in ours.
#[derive(Default)]
struct Names(HashMap<Vec<u8>, Bytes>);

impl Names {
    /// New names, each with its counterpart; whether there are as many, and none twice.
    fn bind<'a>(&mut self, found: impl Iterator<Item = &'a [u8]>, ours: &[Bytes]) -> bool {
        let found: Vec<&[u8]> = found.collect();
        found.len() == ours.len()
            && found
                .iter()
                .zip(ours)
                .all(|(name, ours)| self.0.insert(name.to_vec(), ours.clone()).is_none())
    }

    /// Whether known names have these counterparts.
    fn are<'a>(&self, found: impl Iterator<Item = &'a [u8]>, ours: &[Bytes]) -> bool {
        found.map(|name| self.0.get(name)).eq(ours.iter().map(Some))
    }

    fn same_node(&mut self, found: &schema::NodeProto, ours: &schema::NodeProto) -> bool {
        is_default_domain(found.domain())
            && found.overload().is_empty()
            && found.op_type() == ours.op_type()
            && self.are(found.input.iter().map(|name| &name[..]), &ours.input)
            && same_attributes(&found.attribute, &ours.attribute)
            && self.bind(found.output.iter().map(|name| &name[..]), &ours.output)
    }
}

/// Whether two lists hold the same attributes, in any order.
fn same_attributes(found: &[schema::AttributeProto], ours: &[schema::AttributeProto]) -> bool {
    found.len() == ours.len()
        && ours.iter().all(|ours| {
            found.iter().any(|found| {
                let plain = schema::AttributeProto {
                    doc_string: None,
                    ..found.clone()
                };
                plain == *ours
            })
        })
}

/// The operators that functions of the file define anew, and ours where the file means another version of our domain:
/// their names do not mean what they say.
pub(crate) fn redefined(model: &Model) -> HashSet<Op> {
    let version = model.opset_of(OUR_DOMAIN.as_bytes());
    let other_version = version.is_some_and(|version| version != OUR_VERSION);
    let ours = Op::OURS.into_iter().filter(|_| other_version);
    model
        .functions()
        .iter()
        .filter(|function| !is_ours(model, function))
        .map(|function| Op::parse(model.text(function.domain()), model.text(function.name())))
        .filter(|&op| op != Op::Unknown)
        .chain(ours)
        .collect()
}

/// The functions of a model that are ours and mean what we mean: those that a runtime with our operators need not look
/// into.
#[derive(Debug, Clone)]
pub struct OwnFunctions(HashSet<Op>);

impl OwnFunctions {
    /// Compares the bodies in the file with those that we write.
    pub fn of(model: &Model) -> Self {
        let redefined = redefined(model);
        let ours = Op::OURS.into_iter();
        Self(ours.filter(|op| !redefined.contains(op)).collect())
    }

    /// Whether domain and name are those of such a function. A function of that name with another body is somebody
    /// else's, and must be inlined or refused, never run by its name.
    pub fn contains(&self, domain: &[u8], name: &[u8]) -> bool {
        self.0.contains(&Op::parse(domain, name))
    }
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
