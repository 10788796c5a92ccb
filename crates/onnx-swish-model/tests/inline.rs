//! Inlining against an interpreter that knows functions: the same numbers come out, whatever the functions do.

mod common;

use std::collections::HashMap;

use common::*;
use onnx_swish_model::schema::{AttributeProto, FunctionProto, ModelProto, NodeProto};
use onnx_swish_model::{Error, Model, inline_functions, validate};
use proptest::prelude::*;
use prost::Message as _;
use prost::bytes::Bytes;

/// A value; `None` for an optional one that is missing.
type Values = HashMap<Bytes, f64>;

/// Runs nodes on numbers: Add, Sub, Mul, Neg, Identity, Scale (by its attribute `by`, 1 without), If, and calls.
fn run(
    nodes: &[NodeProto],
    values: &mut Values,
    attributes: &HashMap<Bytes, AttributeProto>,
    functions: &[FunctionProto],
) {
    for node in nodes {
        let op = node.op_type.clone().expect("an operator");
        let resolved: Vec<AttributeProto> = node
            .attribute
            .iter()
            .filter_map(|a| match &a.ref_attr_name {
                Some(from) => attributes.get(from).map(|value| AttributeProto {
                    name: a.name.clone(),
                    ..value.clone()
                }),
                None => Some(a.clone()),
            })
            .collect();
        let attribute = |name: &str| {
            resolved
                .iter()
                .find(|a| a.name.as_deref() == Some(name.as_bytes()))
        };
        let input = |i: usize| node.input.get(i).and_then(|name| values.get(name)).copied();
        let called = functions
            .iter()
            .find(|f| f.name == node.op_type && node.domain.as_deref() == Some(b"f"));
        let results = match (called, &op[..]) {
            (Some(f), _) => {
                let mut inner = Values::new();
                for (i, formal) in f.input.iter().enumerate() {
                    inner.extend(input(i).map(|value| (formal.clone(), value)));
                }
                let given = f.attribute_proto.iter().chain(&resolved);
                let given = given
                    .map(|a| (a.name.clone().unwrap_or_default(), a.clone()))
                    .collect();
                run(&f.node, &mut inner, &given, functions);
                f.output.iter().map(|formal| inner[formal]).collect()
            }
            (None, b"Add") => vec![input(0).unwrap_or(0.0) + input(1).unwrap_or(0.0)],
            (None, b"Sub") => vec![input(0).unwrap_or(0.0) - input(1).unwrap_or(0.0)],
            (None, b"Mul") => vec![input(0).unwrap_or(1.0) * input(1).unwrap_or(1.0)],
            (None, b"Neg") => vec![-input(0).unwrap_or(0.0)],
            (None, b"Identity") => vec![input(0).unwrap_or(0.0)],
            (None, b"Scale") => {
                vec![input(0).unwrap_or(0.0) * attribute("by").map_or(1.0, |a| f64::from(a.f()))]
            }
            (None, b"If") => {
                let name = if input(0).unwrap_or(0.0) > 0.0 {
                    "then_branch"
                } else {
                    "else_branch"
                };
                let graph = attribute(name)
                    .and_then(|a| a.g.as_ref())
                    .expect("both branches");
                let mut inner = values.clone();
                run(&graph.node, &mut inner, attributes, functions);
                graph
                    .output
                    .iter()
                    .map(|value| inner[value.name.as_ref().expect("named")])
                    .collect()
            }
            (None, other) => panic!("unknown operator {other:?}"),
        };
        for (name, value) in node.output.iter().zip(results) {
            if !name.is_empty() {
                values.insert(name.clone(), value);
            }
        }
    }
}

fn outputs(model: &ModelProto, x: f64, z: f64) -> Vec<f64> {
    let graph = model.graph.as_ref().expect("there is one");
    let mut values = Values::from([(Bytes::from("x"), x), (Bytes::from("z"), z)]);
    run(&graph.node, &mut values, &HashMap::new(), &model.functions);
    graph
        .output
        .iter()
        .map(|value| values[value.name.as_ref().expect("named")])
        .collect()
}

fn flat(model: &ModelProto) -> ModelProto {
    let spliced = inline_functions(&open(model), |_, _| false).expect("no circle, no explosion");
    let flat = Model::from_bytes(spliced.to_bytes()).expect("a model");
    if let Err(invalid) = validate(&flat) {
        panic!("{invalid}");
    }
    ModelProto::decode(spliced.to_bytes()).expect("readable")
}

fn assert_same(model: &ModelProto) -> ModelProto {
    let flat = flat(model);
    assert!(flat.functions.is_empty());
    for (x, z) in [(1.5, -2.0), (-3.0, 0.25)] {
        assert_eq!(outputs(&flat, x, z), outputs(model, x, z));
    }
    flat
}

fn main_with(nodes: Vec<NodeProto>, functions: Vec<FunctionProto>) -> ModelProto {
    with_functions(graph(nodes, &["x", "z"], &["y"]), functions)
}

#[test]
fn names_inside_and_outside_do_not_meet() {
    // The body's `x`, `z` and `y` are not the caller's.
    let f = function(
        "F",
        &["z", "x"],
        &["y"],
        vec![
            node("Sub", &["z", "x"], &["t"]),
            node("Neg", &["t"], &["y"]),
        ],
    );
    let nodes = vec![
        call("F", &["x", "z"], &["t"]),
        call("F", &["t", "x"], &["y"]),
    ];
    let flat = assert_same(&main_with(nodes, vec![f]));
    assert_eq!(flat.graph.expect("there is one").node.len(), 4);
}

#[test]
fn a_model_that_uses_our_prefix_already() {
    let f = function(
        "F",
        &["a"],
        &["b"],
        vec![node("Neg", &["a"], &["t"]), node("Neg", &["t"], &["b"])],
    );
    let nodes = vec![
        node("Neg", &["x"], &["inlined_0/t"]),
        call("F", &["inlined_0/t"], &["inlined_1/t"]),
        call("F", &["inlined_1/t"], &["y"]),
    ];
    assert_same(&main_with(nodes, vec![f]));
}

#[test]
fn attributes_come_from_the_call_or_the_default_or_not_at_all() {
    let mut scale = node("Scale", &["a"], &["b"]);
    scale.attribute.push(reference("by", "factor"));
    let mut outer = call("F", &["a"], &["b"]);
    outer.attribute.push(reference("factor", "outer"));
    let mut f = function("F", &["a"], &["b"], vec![scale]);
    f.attribute_proto.push(float_attribute("factor", 3.0));
    let g = function("G", &["a"], &["b"], vec![outer]);
    let mut given = call("G", &["t"], &["y"]);
    given.attribute.push(float_attribute("outer", 5.0));
    let nodes = vec![
        call("G", &["x"], &["s"]),
        node("Add", &["s", "z"], &["t"]),
        given,
    ];
    let model = main_with(nodes, vec![f, g]);
    assert_same(&model);
    assert_eq!(outputs(&model, 1.0, 0.0), [15.0]);
    // Without a default, the attribute is left out.
    let mut without = model;
    without.functions[0].attribute_proto.clear();
    let flat = assert_same(&without);
    assert!(
        flat.graph
            .expect("there is one")
            .node
            .iter()
            .any(|n| n.attribute.is_empty())
    );
}

#[test]
fn results_that_are_parameters_or_come_twice() {
    let f = function(
        "F",
        &["a"],
        &["a", "b", "b"],
        vec![node("Neg", &["a"], &["b"])],
    );
    let nodes = vec![
        call("F", &["x"], &["p", "q", "r"]),
        node("Add", &["p", "q"], &["s"]),
        node("Add", &["s", "r"], &["y"]),
    ];
    assert_same(&main_with(nodes, vec![f.clone()]));
    let unwanted = vec![call("F", &["x"], &["", "", "y"])];
    assert_same(&main_with(unwanted, vec![f]));
}

#[test]
fn missing_parameters_stay_missing() {
    let f = function(
        "F",
        &["a", "b", "c"],
        &["d"],
        vec![
            node("Mul", &["a", "b"], &["m"]),
            node("Add", &["m", "c"], &["d"]),
        ],
    );
    let nodes = vec![
        call("F", &["x", "", "z"], &["t"]),
        call("F", &["t"], &["y"]),
    ];
    assert_same(&main_with(nodes, vec![f]));
}

fn branch(
    condition: &str,
    then: Vec<NodeProto>,
    otherwise: Vec<NodeProto>,
    result: &str,
) -> NodeProto {
    let mut branch = node("If", &[condition], &[result]);
    branch
        .attribute
        .push(subgraph("then_branch", graph(then, &[], &["r"])));
    branch
        .attribute
        .push(subgraph("else_branch", graph(otherwise, &[], &["r"])));
    branch
}

#[test]
fn nested_graphs_in_bodies_and_calls_in_nested_graphs() {
    // `a` is a parameter; the second branch makes an `a` of its own, which hides it.
    let hiding = vec![node("Neg", &["t"], &["a"]), call("G", &["a"], &["r"])];
    let f = function(
        "F",
        &["a"],
        &["b"],
        vec![
            node("Neg", &["a"], &["t"]),
            branch("a", vec![call("G", &["a"], &["r"])], hiding, "b"),
        ],
    );
    let g = function("G", &["a"], &["b"], vec![node("Add", &["a", "a"], &["b"])]);
    let inner = vec![
        call("F", &["z"], &["i"]),
        branch(
            "i",
            vec![call("F", &["x"], &["r"])],
            vec![call("G", &["i"], &["r"])],
            "j",
        ),
        node("Neg", &["j"], &["r"]),
    ];
    let nodes = vec![
        call("F", &["x"], &["t"]),
        branch("t", inner, vec![call("F", &["t"], &["r"])], "y"),
    ];
    assert_same(&main_with(nodes, vec![f, g]));
}

#[test]
fn a_graph_as_an_attribute_of_a_call() {
    // The graph reads names of the caller, inside a body that has the same names.
    let mut choose = node("If", &["x"], &["b"]);
    choose.attribute.push(AttributeProto {
        ref_attr_name: text("body"),
        g: None,
        ..subgraph("then_branch", graph(vec![], &[], &[]))
    });
    choose.attribute.push(subgraph(
        "else_branch",
        graph(vec![node("Neg", &["x"], &["r"])], &[], &["r"]),
    ));
    let f = function("F", &["x"], &["b"], vec![choose]);
    let g = function("G", &["a"], &["b"], vec![node("Add", &["a", "a"], &["b"])]);
    let mut calling = call("F", &["z"], &["y"]);
    calling.attribute.push(subgraph(
        "body",
        graph(vec![call("G", &["x"], &["r"])], &[], &["r"]),
    ));
    let flat = flat(&main_with(vec![calling], vec![f, g]));
    // z > 0: twice x, of the caller.
    assert_eq!(outputs(&flat, 3.0, 1.0), [6.0]);
    assert_eq!(outputs(&flat, 3.0, -1.0), [1.0]);
}

#[test]
fn kept_functions_stay_with_those_they_call() {
    let body = |callee: &str| vec![call(callee, &["a"], &["b"])];
    let functions = vec![
        function("Kept", &["a"], &["b"], body("Inner")),
        function("Inner", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]),
        function("Other", &["a"], &["b"], body("Kept")),
    ];
    let model = main_with(vec![call("Other", &["x"], &["y"])], functions);
    let spliced = inline_functions(&open(&model), |_, name| name == b"Kept").expect("no circle");
    let result = ModelProto::decode(spliced.to_bytes()).expect("readable");
    let names: Vec<_> = result
        .functions
        .iter()
        .filter_map(|f| f.name.clone())
        .collect();
    assert_eq!(names, ["Kept", "Inner"]);
    assert_eq!(
        result.graph.as_ref().expect("there is one").node[0]
            .op_type
            .as_deref(),
        Some(&b"Kept"[..])
    );
    assert_eq!(outputs(&result, 2.0, 0.0), outputs(&model, 2.0, 0.0));
}

#[test]
fn a_model_without_functions_stays_byte_for_byte() {
    let bytes = seed("strange");
    let spliced = inline_functions(
        &Model::from_bytes(bytes.clone()).expect("a model"),
        |_, _| false,
    );
    assert_eq!(spliced.expect("nothing to do").to_bytes(), bytes);
}

#[test]
fn functions_that_double_at_every_step_are_refused_at_once() {
    let depth = 100;
    let functions = (0..depth)
        .map(|i| {
            let callee = format!("F{}", i + 1);
            function(
                &format!("F{i}"),
                &["a"],
                &["b"],
                vec![call(&callee, &["a"], &["t"]), call(&callee, &["t"], &["b"])],
            )
        })
        .chain([function(
            &format!("F{depth}"),
            &["a"],
            &["b"],
            vec![node("Neg", &["a"], &["b"])],
        )])
        .collect();
    let model = open(&main_with(vec![call("F0", &["x"], &["y"])], functions));
    assert!(matches!(
        inline_functions(&model, |_, _| false),
        Err(Error::InlineTooLarge)
    ));
}

#[test]
fn a_long_chain_of_functions_is_no_deep_stack() {
    let depth = 20_000;
    let functions = (0..depth)
        .map(|i| {
            function(
                &format!("F{i}"),
                &["a"],
                &["b"],
                vec![call(&format!("F{}", i + 1), &["a"], &["b"])],
            )
        })
        .chain([function(
            &format!("F{depth}"),
            &["a"],
            &["b"],
            vec![node("Neg", &["a"], &["b"])],
        )])
        .collect();
    let model = open(&main_with(vec![call("F0", &["x"], &["y"])], functions));
    let result = inline_functions(&model, |_, _| false).expect("one node in the end");
    assert_eq!(
        result.into_model().expect("a model").scopes()[0]
            .nodes()
            .len(),
        1
    );
}

#[test]
fn functions_that_call_themselves_are_refused() {
    let f = function("F", &["a"], &["b"], vec![call("F", &["a"], &["b"])]);
    let model = open(&main_with(vec![call("F", &["x"], &["y"])], vec![f]));
    assert!(matches!(
        inline_functions(&model, |_, _| false),
        Err(Error::RecursiveFunction { .. })
    ));
}

#[test]
fn functions_for_another_version_of_their_operators_are_refused() {
    let mut f = function("F", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
    f.opset_import = vec![import("", 13)];
    let mut all = main_with(vec![call("F", &["x"], &["y"])], vec![f]);
    let inlined =
        |all: &ModelProto| inline_functions(&open(all), |_, _| false).map(|s| s.to_bytes());
    assert!(matches!(
        inlined(&all),
        Err(Error::InlineOpset {
            function: 13,
            model: 17,
            ..
        })
    ));
    // A version that no node of the body uses does not matter; one that the model lacks is added.
    all.functions[0].opset_import = vec![
        import("ai.onnx", 17),
        import("unused", 1),
        import("used", 3),
    ];
    all.functions[0].node[0].domain = text("used");
    let result = ModelProto::decode(inlined(&all).expect("no clash")).expect("readable");
    assert_eq!(
        result.opset_import,
        [import("", 17), import("f", 1), import("used", 3)]
    );
}

/// Bodies that call earlier functions only, with names from a small set, so that they clash.
fn arbitrary_functions() -> impl Strategy<Value = ModelProto> {
    let pick = any::<prop::sample::Index>;
    let step = (0..6u8, pick(), pick(), pick(), any::<bool>());
    let body = prop::collection::vec(step, 1..5);
    (prop::collection::vec(body.clone(), 1..4), body).prop_map(|(bodies, main)| {
        let mut functions = Vec::new();
        for (f, steps) in bodies.iter().enumerate() {
            let (nodes, result) = write_body(steps, &["x", "z"], f);
            functions.push(function(&format!("F{f}"), &["x", "z"], &[&result], nodes));
        }
        let (mut nodes, result) = write_body(&main, &["x", "z"], bodies.len());
        nodes.push(node("Identity", &[&result], &["y"]));
        main_with(nodes, functions)
    })
}

type Step = (
    u8,
    prop::sample::Index,
    prop::sample::Index,
    prop::sample::Index,
    bool,
);

/// Nodes that read what is there and make `v0`, `v1`, ...; the last of them is the result.
fn write_body(steps: &[Step], inputs: &[&str], callable: usize) -> (Vec<NodeProto>, String) {
    let mut names: Vec<String> = inputs.iter().map(|s| s.to_string()).collect();
    let mut nodes = Vec::new();
    for (i, (op, a, b, which, nested)) in steps.iter().enumerate() {
        let (a, b) = (a.get(&names).clone(), b.get(&names).clone());
        let result = format!("v{i}");
        let callee = (callable > 0).then(|| format!("F{}", which.index(callable)));
        let make = |result: &str| match (op, &callee) {
            (0, _) => node("Add", &[&a, &b], &[result]),
            (1, _) => node("Sub", &[&a, &b], &[result]),
            (2, _) => node("Neg", &[&a], &[result]),
            (_, Some(callee)) => call(callee, &[&a, &b], &[result]),
            (_, None) => node("Identity", &[&a], &[result]),
        };
        nodes.push(if *nested {
            // The first branch hides a value outside, or a parameter, where it does not read it.
            let hidden = if a == "x" || b == "x" { "h" } else { "x" };
            let mut choice = branch(
                &a,
                vec![make(hidden), node("Neg", &[hidden], &["r"])],
                vec![make("r")],
                &result,
            );
            choice.name = text("choose");
            choice
        } else {
            make(&result)
        });
        names.push(result);
    }
    (nodes, names.last().expect("inputs at least").clone())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_functions_do(model in arbitrary_functions()) {
        let flat = flat(&model);
        for (x, z) in [(1.5, -2.0), (-3.0, 0.25), (0.5, 7.0)] {
            prop_assert_eq!(outputs(&flat, x, z), outputs(&model, x, z));
        }
    }
}
