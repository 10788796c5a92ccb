//! Validation: what runtimes would trip over is named, and what they take is let through.

mod common;

use common::*;
use onnx_swish_model::schema::attribute_proto::AttributeType;
use onnx_swish_model::schema::tensor_shape_proto::{Dimension, dimension};
use onnx_swish_model::schema::{
    AttributeProto, GraphProto, ModelProto, SparseTensorProto, TensorProto, TensorShapeProto,
    TypeProto, type_proto,
};
use onnx_swish_model::{DataType, Model, Problem, validate};

fn problems(model: &ModelProto) -> Vec<Problem> {
    match validate(&open(model)) {
        Ok(()) => Vec::new(),
        Err(invalid) => invalid
            .defects
            .into_iter()
            .map(|defect| defect.problem)
            .collect(),
    }
}

fn in_graph(nodes: Vec<onnx_swish_model::schema::NodeProto>) -> Vec<Problem> {
    problems(&model(graph(nodes, &["x"], &["y"])))
}

#[test]
fn seeds_are_valid() {
    for name in SEEDS {
        let model = Model::from_bytes(seed(name)).expect("a model");
        validate(&model).unwrap_or_else(|invalid| panic!("{name}: {invalid}"));
    }
}

#[test]
fn an_output_that_nothing_makes() {
    let found = problems(&model(graph(swish(), &["x"], &["z"])));
    assert!(matches!(&found[..], [Problem::UndefinedOutput { value }] if value == "z"));
}

#[test]
fn an_input_that_nothing_makes() {
    let found = in_graph(vec![node("Neg", &["z"], &["y"])]);
    assert!(matches!(&found[..], [Problem::Undefined { value, .. }] if value == "z"));
}

#[test]
fn a_value_made_twice() {
    let twice = vec![node("Neg", &["x"], &["y"]), node("Abs", &["x"], &["y"])];
    assert!(matches!(&in_graph(twice)[..], [Problem::Redefined { value }] if value == "y"));
    let over_input = vec![node("Neg", &["x"], &["x"]), node("Abs", &["x"], &["y"])];
    assert!(in_graph(over_input).contains(&Problem::Redefined { value: "x".into() }));
}

#[test]
fn circles() {
    let two = vec![
        node("Add", &["x", "y"], &["a"]),
        node("Neg", &["a"], &["y"]),
    ];
    assert!(matches!(&in_graph(two)[..], [Problem::Cycle { .. }]));
    let itself = vec![node("Add", &["x", "y"], &["y"])];
    assert!(matches!(&in_graph(itself)[..], [Problem::Cycle { .. }]));
    // Through a nested graph: the If needs `y`, which needs the If.
    let mut branch = node("If", &["x"], &["a"]);
    branch.attribute.push(subgraph(
        "then_branch",
        graph(vec![node("Neg", &["y"], &["b"])], &[], &["b"]),
    ));
    let found = in_graph(vec![branch, node("Neg", &["a"], &["y"])]);
    assert!(matches!(&found[..], [Problem::Cycle { .. }]), "{found:?}");
}

#[test]
fn nodes_in_any_order_that_can_be_sorted() {
    let mut nodes = swish();
    nodes.reverse();
    assert_eq!(in_graph(nodes), []);
    let chain: Vec<_> = (0..1000)
        .rev()
        .map(|i| node("Neg", &[&format!("v{i}")], &[&format!("v{}", i + 1)]))
        .collect();
    assert_eq!(problems(&model(graph(chain, &["v0"], &["v1000"]))), []);
}

#[test]
fn nested_graphs_see_what_is_outside_and_may_hide_it() {
    let mut branch = node("If", &["c"], &["y"]);
    let hiding = graph(
        vec![node("Neg", &["x"], &["c"]), node("Abs", &["c"], &["b"])],
        &[],
        &["b"],
    );
    branch.attribute.push(subgraph("then_branch", hiding));
    branch
        .attribute
        .push(subgraph("else_branch", graph(vec![], &[], &["x"])));
    assert_eq!(
        problems(&model(graph(vec![branch], &["c", "x"], &["y"]))),
        []
    );
    let mut branch = node("If", &["x"], &["y"]);
    branch.attribute.push(subgraph(
        "then_branch",
        graph(vec![node("Neg", &["nowhere"], &["b"])], &[], &["b"]),
    ));
    let found = in_graph(vec![branch]);
    assert!(matches!(&found[..], [Problem::Undefined { value, .. }] if value == "nowhere"));
}

#[test]
fn functions_see_only_their_own() {
    let body = vec![node("Add", &["a", "x"], &["b"])];
    let all = with_functions(
        graph(vec![call("F", &["x"], &["y"])], &["x"], &["y"]),
        vec![function("F", &["a"], &["b"], body)],
    );
    assert!(matches!(&problems(&all)[..], [Problem::Undefined { value, .. }] if value == "x"));
}

#[test]
fn functions_that_call_themselves() {
    let f = |name: &str, callee: &str| {
        function(name, &["a"], &["b"], vec![call(callee, &["a"], &["b"])])
    };
    let main = || graph(vec![call("F", &["x"], &["y"])], &["x"], &["y"]);
    let itself = with_functions(main(), vec![f("F", "F")]);
    assert!(
        problems(&itself)
            .iter()
            .any(|p| matches!(p, Problem::RecursiveFunction { .. }))
    );
    let around = with_functions(main(), vec![f("F", "G"), f("G", "H"), f("H", "F")]);
    assert!(
        problems(&around)
            .iter()
            .any(|p| matches!(p, Problem::RecursiveFunction { .. }))
    );
    let twice = with_functions(
        main(),
        vec![
            f("F", "G"),
            function("G", &["a"], &["a"], vec![]),
            f("F", "G"),
        ],
    );
    assert!(
        problems(&twice)
            .iter()
            .any(|p| matches!(p, Problem::DuplicateFunction { .. }))
    );
}

#[test]
fn calls_with_more_values_than_the_function_has() {
    let f = || function("F", &["a"], &["b"], vec![node("Neg", &["a"], &["b"])]);
    for calling in [
        call("F", &["x", "x"], &["y"]),
        call("F", &["x"], &["y", "z"]),
    ] {
        let all = with_functions(graph(vec![calling], &["x"], &["y"]), vec![f()]);
        assert!(matches!(&problems(&all)[..], [Problem::Call { .. }]));
    }
}

#[test]
fn operators_of_a_domain_without_version() {
    let foreign = vec![call("Op", &["x"], &["y"])];
    assert!(
        matches!(&in_graph(foreign)[..], [Problem::NotImported { domain, .. }] if domain == "f")
    );
    let mut aliased = model(graph(swish(), &["x"], &["y"]));
    aliased.opset_import = vec![import("ai.onnx", 17)];
    assert_eq!(problems(&aliased), []);
    aliased.opset_import.push(import("", 13));
    assert!(matches!(&problems(&aliased)[..], [Problem::Opset { .. }]));
    aliased.opset_import = vec![import("", 0)];
    assert!(matches!(&problems(&aliased)[..], [Problem::Opset { .. }]));
}

fn with_attribute(attribute: AttributeProto) -> Vec<Problem> {
    let mut clip = node("Clip", &["x"], &["y"]);
    clip.attribute.push(attribute);
    in_graph(vec![clip])
}

#[test]
fn attributes_that_lie() {
    assert_eq!(with_attribute(float_attribute("min", f32::NAN)), []);
    let lie = |attribute: AttributeProto| {
        let found = with_attribute(attribute);
        assert!(
            matches!(&found[..], [Problem::Attribute { .. }]),
            "{found:?}"
        );
    };
    let typed = |kind: i32| AttributeProto {
        r#type: Some(kind),
        ..float_attribute("min", 0.0)
    };
    lie(typed(AttributeType::Int as i32));
    lie(typed(AttributeType::Graph as i32));
    lie(typed(77));
    lie(float_attribute("", 0.0));
    lie(reference("min", "outer"));
    lie(AttributeProto {
        i: Some(1),
        ..typed(0)
    });
    let mut clip = node("Clip", &["x"], &["y"]);
    clip.attribute = vec![float_attribute("min", 0.0), float_attribute("min", 1.0)];
    assert!(matches!(
        &in_graph(vec![clip])[..],
        [Problem::Attribute { .. }]
    ));
}

fn with_tensor(tensor: TensorProto) -> Vec<Problem> {
    let mut g = graph(swish(), &["x"], &["y"]);
    g.initializer.push(tensor);
    problems(&model(g))
}

#[test]
fn tensors_whose_data_fills_their_shape() {
    let sound = [
        TensorProto {
            float_data: vec![1.0, 2.0],
            ..tensor("t", DataType::Float, &[2])
        },
        TensorProto {
            raw_data: Some(vec![0; 3].into()),
            ..tensor("t", DataType::Int4, &[5])
        },
        TensorProto {
            int32_data: vec![0; 3],
            ..tensor("t", DataType::Int4, &[5])
        },
        TensorProto {
            float_data: vec![1.0, 0.0],
            ..tensor("t", DataType::Complex64, &[1])
        },
        TensorProto {
            string_data: vec!["".into(), "a".into()],
            ..tensor("t", DataType::String, &[2])
        },
        TensorProto {
            int64_data: vec![-1, 300],
            ..tensor("t", DataType::Int64, &[2])
        },
        tensor("t", DataType::Float, &[0]),
        external("t", "w.bin", &[]),
    ];
    for tensor in sound {
        assert_eq!(with_tensor(tensor.clone()), [], "{tensor:?}");
    }
}

#[test]
fn tensors_that_contradict_themselves() {
    let full = || TensorProto {
        float_data: vec![1.0],
        ..tensor("t", DataType::Float, &[1])
    };
    let broken = [
        TensorProto {
            data_type: Some(0),
            ..full()
        },
        TensorProto {
            data_type: Some(1000),
            ..full()
        },
        TensorProto {
            dims: vec![2],
            ..full()
        },
        TensorProto {
            dims: vec![-1],
            ..full()
        },
        TensorProto {
            dims: vec![i64::MAX; 3],
            ..full()
        },
        TensorProto {
            raw_data: Some(vec![0; 4].into()),
            ..full()
        },
        TensorProto {
            segment: Some(Default::default()),
            ..full()
        },
        TensorProto {
            float_data: vec![1.0],
            ..external("t", "w.bin", &[])
        },
        external("t", "", &[]),
    ];
    for tensor in broken {
        assert!(
            matches!(&with_tensor(tensor.clone())[..], [Problem::Tensor { .. }]),
            "{tensor:?}"
        );
    }
    assert!(
        with_tensor(TensorProto {
            name: None,
            ..full()
        })
        .contains(&Problem::Unnamed("a stored tensor"))
    );
}

#[test]
fn sparse_bombs() {
    let sparse = |dims: &[i64], index: i64| {
        let mut g = graph(swish(), &["x"], &["y"]);
        g.sparse_initializer.push(SparseTensorProto {
            values: Some(TensorProto {
                float_data: vec![1.0],
                ..tensor("t", DataType::Float, &[1])
            }),
            indices: Some(TensorProto {
                int64_data: vec![index],
                ..tensor("", DataType::Int64, &[1])
            }),
            dims: dims.to_vec(),
        });
        problems(&model(g))
    };
    assert_eq!(sparse(&[1000, 1000], 5), []);
    assert!(matches!(
        &sparse(&[1 << 40], 5)[..],
        [Problem::Tensor { .. }]
    ));
    assert!(matches!(
        &sparse(&[i64::MAX, i64::MAX], 5)[..],
        [Problem::Tensor { .. }]
    ));
    assert!(matches!(&sparse(&[10], 10)[..], [Problem::Tensor { .. }]));
    assert!(matches!(&sparse(&[10], -1)[..], [Problem::Tensor { .. }]));
}

fn sized(name: &str, dims: &[i64]) -> onnx_swish_model::schema::ValueInfoProto {
    let dim = dims.iter().map(|&n| Dimension {
        value: Some(dimension::Value::DimValue(n)),
        ..Default::default()
    });
    onnx_swish_model::schema::ValueInfoProto {
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: Some(1),
                shape: Some(TensorShapeProto { dim: dim.collect() }),
            })),
            ..Default::default()
        }),
        ..value(name)
    }
}

#[test]
fn shape_bombs() {
    let mut g = graph(swish(), &["x"], &["y"]);
    g.input = vec![sized("x", &[1 << 20, 1 << 20])];
    assert!(matches!(
        &problems(&model(g))[..],
        [Problem::ShapeTooLarge { .. }]
    ));
    let mut g = graph(
        vec![node("ConstantOfShape", &["shape"], &["y"])],
        &[],
        &["y"],
    );
    g.initializer.push(TensorProto {
        int64_data: vec![1 << 20, 1 << 20],
        ..tensor("shape", DataType::Int64, &[2])
    });
    assert!(matches!(
        &problems(&model(g))[..],
        [Problem::TooLarge { .. }]
    ));
    let mut constant = node("Constant", &[], &["shape"]);
    constant.attribute.push(AttributeProto {
        name: text("value_ints"),
        r#type: Some(AttributeType::Ints as i32),
        ints: vec![1 << 40],
        ..Default::default()
    });
    let g = graph(
        vec![constant, node("Expand", &["x", "shape"], &["y"])],
        &["x"],
        &["y"],
    );
    assert!(matches!(
        &problems(&model(g))[..],
        [Problem::TooLarge { .. }]
    ));
}

#[test]
fn many_problems_are_counted_not_listed() {
    let nodes: Vec<_> = (0..1000)
        .map(|i| node("Neg", &["nowhere"], &[&format!("v{i}")]))
        .collect();
    let invalid =
        validate(&open(&model(graph(nodes, &["x"], &["v1"])))).expect_err("1000 times undefined");
    assert_eq!(invalid.defects.len() + invalid.more, 1000);
    assert!(invalid.defects.len() < 100);
    assert!(
        invalid.to_string().ends_with("(and 999 more problems)"),
        "{invalid}"
    );
}

#[test]
fn an_empty_graph_and_a_missing_version() {
    let mut empty = model(GraphProto::default());
    assert_eq!(problems(&empty), []);
    empty.ir_version = None;
    assert_eq!(problems(&empty), [Problem::IrVersion]);
}
