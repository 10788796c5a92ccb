//! Edits against an oracle: what prost makes of the result is what the same edit makes of the decoded model, and what
//! prost does not know is still there.

mod common;

use std::collections::HashSet;

use common::*;
use onnx_swish_model::schema::{GraphProto, ModelProto, NodeProto};
use onnx_swish_model::{Error, Model, NodeId, ScopeKind};
use proptest::prelude::*;
use prost::Message as _;

/// What a message is, for the fields of it that hold messages.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Leaf,
}

fn child(kind: Kind, number: u32) -> Option<Kind> {
    Some(match (kind, number) {
        (Kind::Model, 7) => Kind::Graph,
        (Kind::Model, 25) => Kind::Function,
        (Kind::Model, 8) | (Kind::Graph, 5 | 11 | 12 | 13) | (Kind::Function, 9) => Kind::Leaf,
        (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
        (Kind::Node, 5) => Kind::Attribute,
        (Kind::Attribute, 6 | 11) => Kind::Graph,
        _ => return None,
    })
}

const MARK: &[u8] = b"\xabUNKNOWN\xcd";

/// Rewrites a message as another writer might have: lengths in more bytes than they need, and, outside nodes, fields
/// and groups that no schema has.
fn roughen(bytes: &[u8], kind: Kind, dice: &mut impl FnMut() -> u32) -> Vec<u8> {
    let mut rest = bytes;
    let mut out = Vec::new();
    let unknown_allowed = !matches!(kind, Kind::Node | Kind::Attribute);
    while !rest.is_empty() {
        if unknown_allowed && dice().is_multiple_of(5) {
            match dice() % 3 {
                0 => out.extend(field(1000, MARK)),
                1 => {
                    put_wide_varint(&mut out, 1001 << 3, 1);
                    put_wide_varint(&mut out, u64::MAX, 1);
                }
                _ => {
                    put_wide_varint(&mut out, 1002 << 3 | 3, 1);
                    out.extend(field(1, MARK));
                    put_wide_varint(&mut out, 1002 << 3 | 4, 1);
                }
            }
        }
        let tag = prost::encoding::decode_varint(&mut rest).expect("valid input");
        let number = (tag >> 3) as u32;
        put_wide_varint(&mut out, tag, 1 + (dice() % 3) as usize);
        match tag & 7 {
            0 => {
                let value = prost::encoding::decode_varint(&mut rest).expect("valid input");
                put_wide_varint(&mut out, value, 1);
            }
            1 => out.extend(rest.split_off(..8).expect("valid input")),
            5 => out.extend(rest.split_off(..4).expect("valid input")),
            _ => {
                let len = prost::encoding::decode_varint(&mut rest).expect("valid input") as usize;
                let payload = rest.split_off(..len).expect("valid input");
                let payload = match child(kind, number) {
                    Some(kind) => roughen(payload, kind, dice),
                    None => payload.to_vec(),
                };
                put_wide_varint(&mut out, payload.len() as u64, 1 + (dice() % 4) as usize);
                out.extend(payload);
            }
        }
    }
    out
}

fn arbitrary_node(graphs: BoxedStrategy<Option<GraphProto>>) -> BoxedStrategy<NodeProto> {
    let name = || prop::sample::select(vec!["", "a", "b", "c", "a longer name than that"]);
    let list = move || prop::collection::vec(name(), 0..3);
    (
        name(),
        list(),
        list(),
        graphs.clone(),
        graphs,
        any::<bool>(),
    )
        .prop_map(|(name, inputs, outputs, first, second, explicit)| {
            let mut made = node("Op", &inputs, &outputs);
            // Presence: an empty name that is written and one that is not.
            made.name = (explicit || !name.is_empty()).then(|| name.to_string().into());
            made.attribute.push(float_attribute("alpha", 0.5));
            made.attribute
                .extend(first.map(|g| subgraph("then_branch", g)));
            made.attribute
                .extend(second.map(|g| subgraph("else_branch", g)));
            made
        })
        .boxed()
}

fn arbitrary_graph(depth: u32) -> BoxedStrategy<GraphProto> {
    let graphs = if depth == 0 {
        Just(None).boxed()
    } else {
        prop_oneof![3 => Just(None), 1 => arbitrary_graph(depth - 1).prop_map(Some)].boxed()
    };
    let nodes = prop::collection::vec(arbitrary_node(graphs), 0..4);
    (nodes, any::<bool>())
        .prop_map(|(nodes, described)| {
            let mut made = graph(nodes, &["x"], &["y"]);
            made.doc_string = described.then(|| "d".repeat(130).into());
            made.value_info = vec![value("a"), value("b")];
            made
        })
        .boxed()
}

fn arbitrary_model() -> impl Strategy<Value = ModelProto> {
    let functions = prop::collection::vec(arbitrary_graph(1), 0..3);
    (arbitrary_graph(3), functions).prop_map(|(main, bodies)| {
        let bodies = bodies
            .into_iter()
            .map(|body| function("F", &["x"], &["y"], body.node));
        with_functions(main, bodies.collect())
    })
}

/// What is done to one node.
#[derive(Clone, Copy, Debug)]
enum Change {
    Keep,
    Remove,
    Replace,
    After,
    Before,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Keep),
        1 => Just(Change::Remove),
        1 => Just(Change::Replace),
        1 => Just(Change::After),
        1 => Just(Change::Before),
    ]
}

fn new_node(scope: usize, node: usize) -> NodeProto {
    common::node("New", &["x"], &[&format!("{scope}.{node}")])
}

/// The graphs of a decoded model in the order of the index, as lists of nodes to change.
fn each_list(model: &mut ModelProto, index: &Model, mut f: impl FnMut(usize, &mut Vec<NodeProto>)) {
    // Innermost first, so that positions still hold on the way.
    for scope in (0..index.scopes().len()).rev() {
        let mut path = Vec::new();
        let mut here = scope;
        let root = loop {
            match index.scopes()[here].kind() {
                ScopeKind::Subgraph(at) => {
                    // Which of the graphs that hang at this node it is: they come in order.
                    let earlier = index.scopes()[..here].iter().filter(|s| match s.kind() {
                        ScopeKind::Subgraph(other) => {
                            (other.parent, other.node) == (at.parent, at.node)
                        }
                        _ => false,
                    });
                    path.push((at.node as usize, earlier.count()));
                    here = at.parent as usize;
                }
                kind => break kind,
            }
        };
        let mut list = match root {
            ScopeKind::Function(i) => &mut model.functions[i as usize].node,
            _ => &mut model.graph.as_mut().expect("there is one").node,
        };
        for &(node, which) in path.iter().rev() {
            let mut graphs = list[node].attribute.iter_mut().filter_map(|a| a.g.as_mut());
            list = &mut graphs.nth(which).expect("the index has it").node;
        }
        f(scope, list);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn edits_do_what_they_say_and_nothing_else(
        model in arbitrary_model(),
        seed in any::<u32>(),
        changes in prop::collection::vec(change(), 64),
        head in any::<bool>(),
    ) {
        let mut state = seed | 1;
        let mut dice = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        };
        let rough = roughen(&model.encode_to_vec(), Kind::Model, &mut dice);
        let index = Model::from_bytes(rough.clone()).expect("rough, and still the same model");
        prop_assert_eq!(&ModelProto::decode(rough.as_slice()).expect("rough, and still readable"), &model);
        prop_assert_eq!(index.edit().finish().expect("nothing to do").to_bytes(), rough.clone());

        let change_of = |scope: usize, node: usize| changes[(scope * 7 + node) % changes.len()];
        // Graphs inside a node that goes cannot be edited as well.
        let mut gone = HashSet::new();
        for (i, scope) in index.scopes().iter().enumerate() {
            if let ScopeKind::Subgraph(at) = scope.kind() {
                let lost = matches!(change_of(at.parent as usize, at.node as usize), Change::Remove | Change::Replace);
                if lost || gone.contains(&(at.parent as usize)) {
                    gone.insert(i);
                }
            }
        }
        let mut edit = index.edit();
        for (s, scope) in index.scopes().iter().enumerate().filter(|(s, _)| !gone.contains(s)) {
            for n in 0..scope.nodes().len() {
                let id = NodeId { scope: s as u32, node: n as u32 };
                match change_of(s, n) {
                    Change::Keep => {}
                    Change::Remove => edit.remove_node(id).expect("removable"),
                    Change::Replace => edit.replace_node(id, &[new_node(s, n), new_node(s, n)]).expect("removable"),
                    Change::After => edit.insert_node_after(id, &new_node(s, n)).expect("it is there"),
                    Change::Before => edit.insert_node_before(id, &new_node(s, n)).expect("it is there"),
                }
            }
        }
        let mut expected = model.clone();
        if head {
            edit.set_ir_version(1_000_000).expect("fits");
            edit.add_opset_import("new", 300).expect("fits");
            edit.add_function_first(&function("New", &[], &[], vec![])).expect("fits");
            edit.remove_value_info(0, 1).expect("it is there");
            edit.add_initializer(0, &tensor("t", onnx_swish_model::DataType::Float, &[0])).expect("fits");
            edit.add_graph_input(0, &value("another")).expect("fits");
            edit.add_graph_output(0, &value("more")).expect("fits");
            expected.ir_version = Some(1_000_000);
            expected.opset_import.push(import("new", 300));
            expected.functions.insert(0, function("New", &[], &[], vec![]));
            let graph = expected.graph.as_mut().expect("there is one");
            graph.value_info.remove(1);
            graph.initializer.push(tensor("t", onnx_swish_model::DataType::Float, &[0]));
            graph.input.push(value("another"));
            graph.output.push(value("more"));
        }
        let result = edit.finish().expect("no overlap");
        let bytes = result.to_bytes();
        prop_assert_eq!(bytes.len() as u64, result.len());
        let mut written = Vec::new();
        result.write_to(&mut written).expect("memory takes it");
        prop_assert_eq!(&written, &bytes);

        let shift = usize::from(head);
        let mut changed = expected;
        let functions = changed.functions.split_off(shift);
        let added = std::mem::replace(&mut changed.functions, functions);
        each_list(&mut changed, &index, |s, list| {
            if gone.contains(&s) {
                return;
            }
            let old = std::mem::take(list);
            for (n, node) in old.into_iter().enumerate() {
                match change_of(s, n) {
                    Change::Keep => list.push(node),
                    Change::Remove => {}
                    Change::Replace => list.extend([new_node(s, n), new_node(s, n)]),
                    Change::After => list.extend([node, new_node(s, n)]),
                    Change::Before => list.extend([new_node(s, n), node]),
                }
            }
        });
        changed.functions.splice(..0, added);
        prop_assert_eq!(ModelProto::decode(bytes.clone()).expect("the lengths are right"), changed);
        Model::from_bytes(bytes.clone()).expect("valid in, valid out");
        let marks = |bytes: &[u8]| bytes.windows(MARK.len()).filter(|w| *w == MARK).count();
        // The value type that `head` takes out may have had one.
        if gone.is_empty() && !head {
            prop_assert_eq!(marks(&bytes), marks(&rough));
        }
    }
}

#[test]
fn a_length_that_grows_by_a_byte_grows_every_length_around_it() {
    // Each graph is sized so that one more node pushes its length over 127, and with it the next one's.
    let mut inner = graph(swish(), &[], &["y"]);
    inner.doc_string = text(&"d".repeat(120 - inner.encoded_len()));
    let mut outer = graph(vec![node("If", &["c"], &["y"])], &["c"], &["y"]);
    outer.node[0].attribute.push(subgraph("then_branch", inner));
    let original = model(outer);
    let index = open(&original);
    let mut edit = index.edit();
    edit.insert_node_after(NodeId { scope: 1, node: 1 }, &node("Neg", &["y"], &["z"]))
        .expect("it is there");
    let bytes = edit.finish().expect("no overlap").to_bytes();
    let mut expected = original;
    let graph = expected.graph.as_mut().expect("there is one");
    let inner = graph.node[0].attribute[0].g.as_mut().expect("there is one");
    inner.node.push(node("Neg", &["y"], &["z"]));
    assert_eq!(
        ModelProto::decode(bytes).expect("the lengths are right"),
        expected
    );
}

#[test]
fn insertions_at_the_end_of_nested_graphs_stay_in_their_graph() {
    let outer = {
        let mut node = node("If", &["c"], &["y"]);
        // Nothing follows the nested graph's last node: three messages end at one byte.
        node.attribute
            .push(onnx_swish_model::schema::AttributeProto {
                g: Some(GraphProto {
                    node: swish(),
                    ..GraphProto::default()
                }),
                ..Default::default()
            });
        node
    };
    let original = model(GraphProto {
        node: vec![outer],
        ..GraphProto::default()
    });
    let index = open(&original);
    let mut edit = index.edit();
    edit.insert_node_after(NodeId { scope: 0, node: 0 }, &node("Out", &[], &[]))
        .expect("it is there");
    edit.insert_node_after(NodeId { scope: 1, node: 1 }, &node("In", &[], &[]))
        .expect("it is there");
    let result = ModelProto::decode(edit.finish().expect("no overlap").to_bytes())
        .expect("the lengths are right");
    let graph = result.graph.expect("there is one");
    let ops = |nodes: &[NodeProto]| -> Vec<_> {
        nodes.iter().filter_map(|n| n.op_type.clone()).collect()
    };
    assert_eq!(ops(&graph.node), ["If", "Out"]);
    let inner = graph.node[0].attribute[0].g.as_ref().expect("there is one");
    assert_eq!(ops(&inner.node), ["Sigmoid", "Mul", "In"]);
}

#[test]
fn edits_of_one_place_are_refused() {
    let index = open(&model(graph(swish(), &["x"], &["y"])));
    let mut edit = index.edit();
    let id = NodeId { scope: 0, node: 0 };
    edit.remove_node(id).expect("removable");
    edit.remove_node(id).expect("the clash shows in the end");
    assert!(matches!(edit.finish(), Err(Error::Conflict { .. })));
}

#[test]
fn edits_of_what_is_not_there_are_refused() {
    let index = open(&model(graph(swish(), &["x"], &["y"])));
    let mut edit = index.edit();
    for id in [NodeId { scope: 0, node: 2 }, NodeId { scope: 1, node: 0 }] {
        assert!(matches!(edit.remove_node(id), Err(Error::NoSuch { .. })));
    }
    assert!(edit.remove_value_info(0, 0).is_err());
    assert!(edit.remove_initializer(0, 0).is_err());
    assert!(edit.remove_function(0).is_err());
    assert!(edit.add_function_opset_import(0, "", 1).is_err());
    assert!(edit.is_empty());
}

#[test]
fn a_file_without_ir_version_can_be_given_one() {
    let mut original = model(graph(swish(), &["x"], &["y"]));
    original.ir_version = None;
    let index = open(&original);
    let mut edit = index.edit();
    edit.set_ir_version(8).expect("fits");
    let result = edit
        .finish()
        .expect("no overlap")
        .into_model()
        .expect("a model");
    assert_eq!(result.ir_version(), 8);
}
