//! Activations behind every operator of ONNX and ONNX Runtime, and gates in front of it, in every version: none is silent.
//!
//! The operators come from `schemas/schemas.tsv`. Each stands between a model's inputs, which have a type and no shape, and
//! an activation, with nothing in the file that says what comes out of it.

mod common;

use common::gates::{gated, silent};
use common::text;
use onnx_swish_fuse::{Emit, Report};
use onnx_swish_model::schema;
use proptest::prelude::*;

/// Latest opset of the rows that are planted; later ones have no released runtime.
const OPSET: i64 = 24;

/// An operator in one version.
#[derive(Debug, Clone)]
struct Operator {
    domain: String,
    name: String,
    opset: i64,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

fn operators() -> Vec<Operator> {
    let list = include_str!("schemas/schemas.tsv");
    let rows = list.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let (inputs, outputs) = fields[3].split_once("->").expect("an arrow");
        let terms = |list: &str| {
            let terms = list.split(',').filter(|term| !term.is_empty());
            terms
                .map(|term| term.trim_end_matches('*').to_owned())
                .collect()
        };
        let since: i64 = fields[2].parse().expect("a version");
        Operator {
            domain: fields[0].to_owned(),
            name: fields[1].to_owned(),
            // Before opset 7, operands broadcast by other rules.
            opset: if fields[0].is_empty() {
                since.max(7)
            } else {
                17
            },
            inputs: terms(inputs),
            outputs: terms(outputs),
        }
    })
    // One number, however many times: an activation of it is another.
    .filter(|operator| operator.opset <= OPSET && operator.name != "ConstantOfShape")
    .collect()
}

/// What stands behind the operator: `z` is its output and `T` the element type.
const ACTIVATIONS: &[(&str, &str)] = &[
    ("s = Sigmoid(z); y = Mul(z, s)", ""),
    ("s = Sigmoid(z); y = Mul(s, z)", ""),
    ("t = Mul(b, z); s = Sigmoid(t); y = Mul(z, s)", "T b = 1.5"),
    ("s = HardSigmoid[alpha=0.16666667](z); y = Mul(z, s)", ""),
    (
        "a = Add(z, three); c = Clip(a, zero, six); m = Mul(z, c); y = Div(m, six)",
        "T three = 3; T zero = 0; T six = 6",
    ),
    (
        "n = Neg(z); e = Exp(n); d = Add(e, one); y = Div(z, d)",
        "T one = 1",
    ),
    ("s = Sigmoid(z); m = Mul(z, s); y = Mul(m, u)", ""),
];

/// The same with constants of one element, which may raise the rank, and with a gate that is read twice.
const BLOCKED: &[(&str, &str)] = &[
    (
        "t = Mul(b, z); s = Sigmoid(t); y = Mul(z, s)",
        "T[1] b = 1.5",
    ),
    (
        "t = Mul(z, v); s = Sigmoid(t); y = Mul(z, s)",
        "T[1,8,1,1] v = 2",
    ),
    (
        "s = Sigmoid(z); m = Mul(z, s); r = Relu(s); y = Add(m, r)",
        "",
    ),
    ("s = Sigmoid(u); y = Mul(z, s)", ""),
];

/// Whether an output of this term is a float when everything that may be one is `float`.
fn may_be_float(term: &str) -> bool {
    ["float", "float16", "bfloat16", "double", "?"].contains(&term)
        || term.len() == 1 && term != "!"
}

/// A model with an activation behind an operator's output.
fn plant(
    operator: &Operator,
    position: usize,
    element: &str,
    (body, constants): (&str, &str),
    typed: bool,
) -> schema::ModelProto {
    let term = &operator.outputs[position];
    let own = if term.len() == 1 { element } else { term };
    let (mut inputs, mut arguments) = (vec![format!("{own}? u")], Vec::new());
    for (i, term) in operator.inputs.iter().enumerate() {
        let kind = match &term[..] {
            // A scale is no index.
            "_" if operator.name == "DequantizeLinear" => element,
            "_" => "int64",
            "other" => element,
            "string" | "float8e4m3fn" => "bool",
            term if term.len() == 1 => element,
            "uint32" | "uint64" | "int16" | "uint16" => "int32",
            term => term,
        };
        if typed {
            inputs.push(format!("{kind}? x{i}"));
        }
        arguments.push(format!("x{i}"));
    }
    let mut outputs: Vec<String> = (0..operator.outputs.len())
        .map(|i| format!("o{i}"))
        .collect();
    outputs[position] = "z".into();
    let name = match &operator.domain[..] {
        "" => operator.name.clone(),
        domain => format!("{domain}::{}", operator.name),
    };
    let call = format!("{} = {name}({})", outputs.join(", "), arguments.join(", "));
    let constants = constants.replace('T', own);
    let body = if operator.opset < 11 {
        body.replace("Clip(a, zero, six)", "Clip[min=0.0,max=6.0](a)")
    } else {
        body.to_owned()
    };
    schema::ModelProto {
        ir_version: Some(10),
        opset_import: vec![
            text::opset("", operator.opset),
            text::opset(&operator.domain, 1),
        ]
        .into_iter()
        .take(if operator.domain.is_empty() { 1 } else { 2 })
        .collect(),
        graph: Some(schema::GraphProto {
            name: Some(text::bytes("g")),
            input: text::values(&inputs.join("; ")),
            output: vec![schema::ValueInfoProto {
                name: Some(text::bytes("y")),
                ..Default::default()
            }],
            initializer: text::constants(&constants),
            node: text::nodes(&format!("{call}; {body}")),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Gates that stand in front of an operator: `s` is what it reads.
const GATES: &[&str] = &[
    "s = Sigmoid(u)",
    "s = HardSigmoid(u)",
    "n = Neg(u); e = Exp(n); d = Add(e, one); s = Div(one, d)",
    "t = Tanh(u); s = Add(t, one)",
    "s = Tanh(u)",
    "t = Tanh(u); s = Add(t, half)",
    "a = Add(u, three); r = Relu(a); s = Min(r, six)",
    "a = Add(u, three); r = Max(a, zero); m = Min(six, r); s = Div(m, six)",
    "a = Min(u, three); s = Max(a, half)",
    "a = Min(u, one); s = Relu(a)",
];

/// What the gates are made with.
const NUMBERS: &str = "T one = 1; T half = 0.5; T zero = 0; T three = 3; T six = 6";

/// A gate, the operator that reads it as its input number `at`, and a product with the operator's first output.
fn plant_in_front(operator: &Operator, at: usize, gate: &str, partner: &str) -> schema::ModelProto {
    let product = format!("y = Mul(z, {partner})");
    let mut model = plant(operator, 0, "float", (&product, NUMBERS), true);
    let graph = model.graph.as_mut().expect("a graph");
    graph.node[0].input[at] = text::bytes("s");
    let mut nodes = text::nodes(gate);
    nodes.append(&mut graph.node);
    graph.node = nodes;
    graph.input.extend(text::values("float? w"));
    model
}

#[test]
fn a_gate_in_front_of_any_operator_is_explained() {
    let (mut planted, mut scaled, mut names) = (0, 0, std::collections::BTreeSet::new());
    for operator in operators() {
        let of_floats = operator
            .outputs
            .first()
            .is_some_and(|term| may_be_float(term));
        for at in 0..operator.inputs.len() {
            if !of_floats || !may_be_float(&operator.inputs[at]) {
                continue;
            }
            for gate in GATES {
                for partner in ["u", "w"] {
                    let model = plant_in_front(&operator, at, gate, partner);
                    let fused = common::fuse_unchecked(&common::model(&model), Emit::Custom);
                    let again = common::fuse_unchecked(&common::model(&fused.proto), Emit::Custom);
                    let left = silent(&common::model(&fused.proto), &again.report);
                    assert!(left.is_empty(), "silent: {left:?} in {model:?}");
                    planted += 1;
                    if gated(&common::model(&model))
                        .iter()
                        .any(|(name, _)| name == "y")
                    {
                        scaled += 1;
                        names.insert(operator.name.clone());
                    }
                }
            }
        }
    }
    // Layers, and what makes no floats of them, let no gate through.
    assert!(planted > 3000 && scaled > 1000, "{scaled} of {planted}");
    assert!(names.len() > 80, "{names:?}");
}

/// The report, after checking that nothing is silent before fusing and after.
fn examine(model: &schema::ModelProto) -> Report {
    let fused = common::fuse_unchecked(&common::model(model), Emit::Custom);
    let again = common::fuse_unchecked(&common::model(&fused.proto), Emit::Custom);
    let left = silent(&common::model(&fused.proto), &again.report);
    assert!(left.is_empty(), "silent: {left:?} in {model:?}");
    let Report {
        fusions,
        near_misses,
        ..
    } = &fused.report;
    assert!(
        !fusions.is_empty() || !near_misses.is_empty(),
        "not a word: {model:?}"
    );
    fused.report
}

#[test]
fn an_activation_behind_any_float_is_fused() {
    let mut planted = 0;
    for operator in operators() {
        for (position, term) in operator.outputs.iter().enumerate() {
            // Sigmoid proves a float where nothing else does; HardSwish in pieces needs somebody who knows.
            if !may_be_float(term) {
                continue;
            }
            for (which, activation) in ACTIVATIONS.iter().enumerate() {
                let model = plant(&operator, position, "float", *activation, true);
                let report = examine(&model);
                let (found, misses) = (report.fusions.len(), &report.near_misses);
                // bfloat16 has a HardSwish from opset 22 on.
                assert!(
                    found == 1
                        || term == "bfloat16" && misses.iter().all(|miss| miss.reason == "opset"),
                    "{operator:?} output {position}, activation {which}: {misses:?}"
                );
                planted += 1;
            }
        }
    }
    assert!(planted > 2000, "{planted} planted");
}

#[test]
fn an_activation_behind_integers_is_never_fused() {
    for operator in operators() {
        for (position, term) in operator.outputs.iter().enumerate() {
            if ["int64", "int32", "bool"].contains(&&term[..]) {
                let model = plant(&operator, position, "float", ACTIVATIONS[4], true);
                let fused = common::fuse_unchecked(&common::model(&model), Emit::Custom);
                let fusions = &fused.report.fusions;
                assert!(
                    fusions.is_empty(),
                    "{operator:?} output {position}: {fusions:?}"
                );
            }
        }
    }
}

#[test]
fn an_activation_behind_an_operator_that_nobody_knows() {
    let mystery = Operator {
        domain: "acme".into(),
        name: "Mystery".into(),
        opset: 17,
        inputs: vec!["_".into()],
        outputs: vec!["?".into()],
    };
    for activation in ACTIVATIONS {
        let report = examine(&plant(&mystery, 0, "float", *activation, true));
        assert_eq!(
            report.fusions.len(),
            1,
            "{activation:?}: {:?}",
            report.near_misses
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_activation_is_silent(
        pick in any::<prop::sample::Index>(),
        output in any::<prop::sample::Index>(),
        element in prop::sample::select(vec!["float", "float16", "double", "bfloat16"]),
        activation in 0..ACTIVATIONS.len() + BLOCKED.len(),
        typed in any::<bool>(),
    ) {
        let operators = operators();
        let operator = pick.get(&operators);
        let floats: Vec<usize> = (0..operator.outputs.len())
            .filter(|&position| may_be_float(&operator.outputs[position]))
            .collect();
        prop_assume!(!floats.is_empty());
        let activation = *ACTIVATIONS.iter().chain(BLOCKED).nth(activation).expect("one of them");
        examine(&plant(operator, *output.get(&floats), element, activation, typed));
    }
}

/// Gates that are none by their numbers, or by the rules of their version, are still explained.
#[test]
fn a_gate_that_is_always_closed_is_explained() {
    for (body, opset) in [
        ("s = HardSigmoid[alpha=0.0](x); y = Mul(x, s)", 17),
        ("s = HardSigmoid[alpha=0.0,beta=0.0](x); y = Mul(x, s)", 17),
        ("s = Sigmoid(x); y = Mul[axis=1,broadcast=1](x, s)", 6),
        ("s = Sigmoid(x); y = Mul[broadcast=1](x, s)", 6),
        (
            "n = Neg(x); s = Sigmoid(n); y = Mul[axis=1,broadcast=1](s, x)",
            6,
        ),
    ] {
        let net = common::Net::new(body).opset(opset);
        examine(&net.proto());
    }
}
