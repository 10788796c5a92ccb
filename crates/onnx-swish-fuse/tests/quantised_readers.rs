//! Activations between 8-bit codes where somebody else reads along.
//!
//! Given: one number for two activations, one activation for two quantisers, steps beside it, and graphs and functions around it.
//! Promises: nothing between two codes is fused, for engines round there as the file says; unless floats are read.

mod common;

use common::codes::{PARAMETERS, inspected};
use common::{Net, text};
use onnx_swish_model::schema;

const CONSTANTS: &str = "float zero = 0; float top = 6; float sz = 0.07";

/// A HardSwish of `from` in pieces, `{to}v`; its codes are `to`.
fn hard(from: &str, to: &str, scale: &str) -> String {
    format!(
        "{to}a = Add({from}, three); {to}c = Clip({to}a, zero, top); {to}m = Mul({from}, {to}c); {to}v = Div({to}m, six); {to} = QuantizeLinear({to}v, {scale}, zy)"
    )
}

fn net(body: &str) -> Net {
    Net::new(&format!("q = QuantizeLinear(x, sx, zx); {body}"))
        .and(PARAMETERS)
        .and(&CONSTANTS.replace("float zero = 0; ", ""))
}

const D: &str = "d = DequantizeLinear(q, sx, zx)";
const Y: &str = "y = DequantizeLinear(k, sy, zy)";
const BOTH: &str = "y = DequantizeLinear(k, sy, zy); z = DequantizeLinear(l, sz, zy)";

/// Nothing is fused; these codes are tables, and these are the reasons for the rest.
#[track_caller]
fn left(net: &Net, tables: &[&str], reasons: &[&str]) {
    let found = inspected(net);
    let all = found.report.quantised.iter();
    let outputs: Vec<&str> = all.map(|region| &*region.output).collect();
    assert_eq!(outputs, tables);
    assert_eq!(found.reasons(), reasons);
    assert_eq!(found.counts(), "");
}

#[test]
fn two_activations_of_one_number() {
    let (a, b) = (hard("d", "k", "sy"), hard("d", "l", "sz"));
    left(&net(&format!("{D}; {a}; {b}; {BOTH}")), &["k", "l"], &[]);
    let b = hard("d", "l", "sy");
    left(&net(&format!("{D}; {a}; {b}; {BOTH}")), &["k", "l"], &[]);
}

#[test]
fn two_equal_numbers_of_one_code() {
    let (a, b) = (hard("d", "k", "sy"), hard("e", "l", "sz"));
    let body = format!("{D}; e = DequantizeLinear(q, sx, zx); {a}; {b}; {BOTH}");
    left(&net(&body), &["k", "l"], &[]);
}

#[test]
fn very_many_activations_of_one_number() {
    let all: Vec<String> = (10..70)
        .map(|i| hard("d", &format!("k{i}"), "sy"))
        .collect();
    let body = format!("{D}; {}; y = DequantizeLinear(k10, sy, zy)", all.join("; "));
    let found = inspected(&net(&body));
    assert_eq!(found.counts(), "");
    assert_eq!(found.report.quantised.len(), 60);
}

#[test]
fn one_activation_quantised_twice() {
    let a = hard("d", "k", "sy");
    let body = format!("{D}; {a}; l = QuantizeLinear(kv, sz, zy); {BOTH}");
    left(&net(&body), &["k", "l"], &[]);
    // The same code once more, and one of 16 bits.
    let body = format!("{D}; {a}; l = QuantizeLinear(kv, sy, zy); {Y}");
    left(&net(&body), &["k"], &[]);
    let body = format!("{D}; {a}; l = QuantizeLinear(kv, sz, zw); {Y}");
    let wide = net(&body).and("uint16 zw = 0").opset(21).ir(10);
    left(&wide, &["k"], &[]);
}

#[test]
fn codes_before_and_behind() {
    let a = hard("e", "k", "sy");
    let body = format!(
        "{D}; p = QuantizeLinear(d, sz, zy); e = DequantizeLinear(p, sz, zy); {a}; l = DequantizeLinear(k, sy, zy); m = QuantizeLinear(l, sz, zy); y = DequantizeLinear(m, sz, zy)"
    );
    left(&net(&body), &["k"], &[]);
}

/// What else is computed from the code belongs to the table that an engine makes.
#[test]
fn steps_beside_the_activation() {
    let behind = |step: &str| {
        let a = hard("d", "k", "sy").replace("Linear(kv", "Linear(kt");
        net(&format!(
            "{D}; {}; {Y}",
            a.replace("k = ", &format!("kt = {step}; k = "))
        ))
    };
    left(&behind("Relu(kv)"), &[], &["quantized"]);
    left(&behind("Add(kv, d)"), &[], &["quantized"]);
    left(&behind("Flatten(kv)"), &[], &["quantized"]);
    left(&behind("Transpose[perm=0:2:1:3](kv)"), &[], &["transposed"]);
    let before = format!("{D}; e = Add(d, six); {}; {Y}", hard("e", "k", "sy"));
    left(&net(&before), &[], &["code_offset"]);
}

#[test]
fn whoever_reads_floats_gets_them_fused() {
    let a = hard("d", "k", "sy");
    let z = "z = DequantizeLinear(k, sy, zy); y = Add(l, z)";
    for reader in ["Relu(kv)", "Add(kv, x)"] {
        let found = inspected(&net(&format!("{D}; {a}; l = {reader}; {z}")));
        assert_eq!(found.counts(), "hard_swish 1", "{reader}");
    }
    // The number behind the code is not the activation.
    left(&net(&format!("{D}; {a}; l = Relu(d); {z}")), &["k"], &[]);
    // Floats flow in before there is a code again.
    let a = a
        .replace("Linear(kv", "Linear(kt")
        .replace("k = ", "kt = Add(kv, x); k = ");
    let found = inspected(&net(&format!("{D}; {a}; {Y}")));
    assert_eq!(found.counts(), "hard_swish 1");
}

/// Codes of another tensor: `w` in floats.
const OTHER: &str = "u = QuantizeLinear(x, sz, zy); w = DequantizeLinear(u, sz, zy)";

/// What is computed from nothing but codes and constants is the file's own arithmetic.
#[test]
fn codes_of_several_tensors() {
    let a = hard("d", "k", "sy")
        .replace("Linear(kv", "Linear(kt")
        .replace("k = ", &format!("{OTHER}; kt = Add(kv, w); k = "));
    left(&net(&format!("{D}; {a}; {Y}")), &[], &["quantized"]);
    let sum = |sum: &str| {
        net(&format!(
            "{D}; {OTHER}; {sum}; {}; {Y}",
            hard("e", "k", "sy")
        ))
    };
    left(&sum("e = Add(d, w)"), &[], &["quantized"]);
    left(&sum("f = Mul(d, w); e = Max(f, six)"), &[], &["quantized"]);
    let moved = "f = Transpose[perm=0:2:1:3](w); e = Add(d, f)";
    left(&sum(moved), &[], &["quantized"]);
    let chosen = "b = Greater(d, w); e = Where(b, d, w)";
    left(&sum(chosen), &[], &["quantized"]);
}

#[test]
fn a_constant_for_each_channel() {
    let scaled = |other: &str| {
        let a = hard("e", "k", "sy");
        let net = net(&format!(
            "{D}; {OTHER}; f = Mul(d, {other}); e = Add(f, w); {a}; {Y}"
        ));
        net.and("float[3,1,1] channels = 1, 2, 3")
    };
    left(&scaled("channels"), &[], &["quantized"]);
}

/// Real floats have no codes that could move: an activation of them is one operator, as before.
#[test]
fn floats_that_flow_into_codes() {
    for sum in [
        "Add(d, x)",
        "Conv(d, weights)",
        "ReduceMean(d)",
        "AveragePool[kernel_shape=1:1](d)",
    ] {
        let a = hard("e", "k", "sy");
        let net = net(&format!("{D}; e = {sum}; {a}; {Y}"));
        let found =
            inspected(&net.and("float[4,3,1,1] weights = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12"));
        assert_eq!(found.counts(), "hard_swish 1", "{sum}");
    }
    // And so is one that somebody wants in floats.
    let a = hard("e", "k", "sy");
    let found = inspected(&net(&format!(
        "{D}; {OTHER}; e = Add(d, w); {a}; l = DequantizeLinear(k, sy, zy); y = Add(l, kv)"
    )));
    assert_eq!(found.counts(), "hard_swish 1");
}

#[test]
fn in_a_function() {
    let a = hard("d", "k", "sy");
    let constants = "sx = Constant[value_float=0.05](); sy = Constant[value_float=0.03](); zx = Constant[value_int=128](); three = Constant[value_float=3.0](); six = Constant[value_float=6.0](); top = Constant[value_float=6.0](); zero = Constant[value_float=0.0]()";
    let body = format!(
        "{constants}; zb = Cast[to=2](zx); zy = Cast[to=2](zx); q = QuantizeLinear(x, sx, zb); d = DequantizeLinear(q, sx, zb); {a}; l = QuantizeLinear(kv, sx, zb); u = DequantizeLinear(k, sy, zy); v = DequantizeLinear(l, sx, zb); y = Add(u, v)"
    );
    let net = Net::new("y = my::Block(x)").function("my", "Block", &["x"], &["y"], &body);
    left(&net, &["k", "l"], &[]);
}

/// A net whose second or last node is an If of `b`, of which each branch gives out the last value that it makes.
fn branches(body: &str, [yes, no]: [String; 2]) -> schema::ModelProto {
    let mut proto = net(body).proto();
    let graph = proto.graph.as_mut().expect("a graph");
    graph.input.extend(text::values("bool b"));
    let last = graph.node.last().expect("a node").output.clone();
    let last = String::from_utf8(last[0].to_vec()).expect("a name");
    graph.output = text::values(&format!("float? {last}"));
    let branch = |name: &str, body: &str| {
        let node = text::nodes(body);
        let output = node.last().expect("a node").output[0].clone();
        let output = String::from_utf8(output.to_vec()).expect("a name");
        schema::AttributeProto {
            name: Some(text::bytes(name)),
            r#type: Some(schema::attribute_proto::AttributeType::Graph as i32),
            g: Some(schema::GraphProto {
                name: Some(text::bytes(name)),
                node,
                output: text::values(&format!("float? {output}")),
                ..Default::default()
            }),
            ..Default::default()
        }
    };
    let mut nodes = graph.node.iter_mut();
    let holder = nodes.find(|node| node.op_type.as_deref() == Some(b"If"));
    let holder = holder.expect("an If");
    holder.attribute = vec![branch("then_branch", &yes), branch("else_branch", &no)];
    proto
}

/// The number comes from the graph outside, or the code.
#[test]
fn in_a_branch() {
    for (outside, inside) in [
        (D.to_owned(), hard("d", "k", "sy")),
        (
            "w = Identity(q)".to_owned(),
            format!("{D}; {}", hard("d", "k", "sy")),
        ),
        (
            D.to_owned(),
            format!(
                "{}; {}",
                hard("d", "k", "sy"),
                "l = QuantizeLinear(kv, sz, zy)"
            ),
        ),
    ] {
        let branch = |name: &str| format!("{inside}; {name}y = DequantizeLinear(k, sy, zy)");
        let proto = branches(
            &format!("{outside}; c = If(b)"),
            [branch("then"), branch("else")],
        );
        let found = common::fuse(&common::model(&proto), onnx_swish_fuse::Emit::Custom);
        assert_eq!(found.counts(), "", "{outside} {inside}");
        let kept = found.report.quantised.len() + found.report.near_misses.len();
        assert!(kept >= 2, "{:?}", found.report);
    }
}

/// What `step` makes of the activation's result becomes codes, and nothing else does.
fn moved(before: &str, step: &str) -> Net {
    let a = hard("e", "k", "sy").replace("Linear(kv", "Linear(kt");
    net(&format!(
        "{D}; e = {before}; {}; {Y}",
        a.replace("k = ", &format!("kt = {step}; k = "))
    ))
}

#[test]
fn through_a_pool_of_maxima() {
    for pool in [
        "MaxPool[kernel_shape=2:2](kv)",
        "GlobalMaxPool(kv)",
        "ReduceMax[axes=1](kv)",
    ] {
        left(&moved("Identity(d)", pool), &[], &["quantized"]);
    }
    left(
        &moved("MaxPool[kernel_shape=2:2](d)", "Relu(kv)"),
        &[],
        &["quantized"],
    );
    // A mean is computed from many codes.
    let mean = inspected(&moved("Identity(d)", "GlobalAveragePool(kv)"));
    assert_eq!(mean.counts(), "hard_swish 1");
}

#[test]
fn through_concatenations() {
    left(
        &moved("Identity(d)", "Concat[axis=0](kv, kv)"),
        &[],
        &["quantized"],
    );
    let u = "u = QuantizeLinear(x, sz, zy); w = DequantizeLinear(u, sz, zy)";
    for joined in ["Concat[axis=1](kv, w)", "Max(kv, w)", "Where(b, kv, w)"] {
        let mut two = moved("Identity(d)", joined);
        two.body = format!("{u}; {}", two.body);
        two.inputs = format!("{}; bool b", two.inputs);
        left(&two, &[], &["quantized"]);
    }
    // Floats stand among what becomes codes.
    let floats = inspected(&moved("Identity(d)", "Concat[axis=1](kv, x)"));
    assert_eq!(floats.counts(), "hard_swish 1");
}

#[test]
fn through_what_moves_values() {
    for step in [
        "Transpose[perm=0:2:3:1](kv)",
        "Gather[axis=1](kv, places)",
        "Pad(kv, pads)",
        "Resize(kv, , sizes)",
        "Slice(kv, places, ends)",
        "Split[axis=1](kv)",
    ] {
        let net = moved("Identity(d)", step)
            .and("int64[1] places = 0; int64[1] ends = 1; int64[8] pads = 0, 0, 1, 1, 0, 0, 1, 1; float[4] sizes = 1, 1, 2, 2");
        let found = inspected(&net);
        assert_eq!(found.counts(), "", "{step}");
    }
}

/// Resize takes the nearest element unless it says that it mixes a few.
#[test]
fn through_a_resize_that_mixes_nothing() {
    for (mode, fused) in [("nearest", ""), ("linear", "hard_swish 1")] {
        let net = moved("Identity(d)", "Resize(kv, , sizes)").and("float[4] sizes = 1, 1, 2, 2");
        let mut proto = net.proto();
        let mut nodes = proto.graph.as_mut().expect("a graph").node.iter_mut();
        let resize = nodes.find(|node| node.op_type.as_deref() == Some(b"Resize"));
        resize.expect("a Resize").attribute = vec![schema::AttributeProto {
            name: Some(text::bytes("mode")),
            r#type: Some(schema::attribute_proto::AttributeType::String as i32),
            s: Some(text::bytes(mode)),
            ..Default::default()
        }];
        let found = common::fuse(&common::model(&proto), onnx_swish_fuse::Emit::Custom);
        assert_eq!(found.counts(), fused, "{mode}");
    }
}

#[test]
fn through_casts_to_float64_and_back() {
    let there_and_back = moved("Cast[to=11](d)", "Identity(kv)");
    let mut net = there_and_back;
    net.body = net.body.replace(
        "e = Cast[to=11](d)",
        "f = Cast[to=11](d); e = Cast[to=1](f)",
    );
    left(&net, &[], &["quantized"]);
}

#[test]
fn through_casts_to_float16_and_back() {
    let halves = moved("Cast[to=10](d)", "Cast[to=1](kv)").constants(&format!(
        "{PARAMETERS}; float16 zero = 0; float16 three = 3; float16 six = 6; float16 top = 6"
    ));
    left(&halves, &[], &["quantized"]);
}

#[test]
fn out_of_a_branch() {
    let a = hard("d", "k", "sy");
    let inside = a.split("; k = ").next().expect("an activation").to_owned();
    let behind = "k = QuantizeLinear(c, sy, zy); y = DequantizeLinear(k, sy, zy)";
    let body = format!("{D}; c = If(b); {behind}");
    let proto = branches(&body, [inside.clone(), "other = Identity(d)".into()]);
    let fused = |proto| common::fuse(&common::model(proto), onnx_swish_fuse::Emit::Custom);
    let found = fused(&proto);
    assert_eq!(
        (found.counts(), found.reasons()),
        (String::new(), vec!["quantized"])
    );
    // The other branch gives floats, which become codes as well.
    let proto = branches(&body, [inside.clone(), "other = Relu(x)".into()]);
    assert_eq!(fused(&proto).counts(), "hard_swish 1");
    // Somebody reads floats.
    let body = format!("{D}; c = If(b); {behind}; z = Relu(c)");
    let mut proto = branches(&body, [inside, "other = Identity(d)".into()]);
    let outputs = &mut proto.graph.as_mut().expect("a graph").output;
    outputs.extend(text::values("float? y"));
    assert_eq!(fused(&proto).counts(), "hard_swish 1");
}

/// What a Loop carries comes from codes if it does before the first turn and after each.
#[test]
fn carried_by_a_loop() {
    let a = hard("e", "k", "sy");
    let inside = a.split("; k = ").next().expect("an activation").to_owned();
    let behind = "k = QuantizeLinear(c, sy, zy); y = DequantizeLinear(k, sy, zy)";
    for (carried, result, fused) in [
        ("d", "kv", ""),
        ("x", "kv", "hard_swish 1"),
        ("d", "t", "hard_swish 1"),
    ] {
        let net = net(&format!("{D}; c = Loop(n, , {carried}); {behind}")).and("int64 n = 3");
        let mut proto = net.proto();
        let mut nodes = proto.graph.as_mut().expect("a graph").node.iter_mut();
        let holder = nodes.find(|node| node.op_type.as_deref() == Some(b"Loop"));
        let body = format!("{inside}; t = Add(kv, x); on = Identity(go)");
        holder.expect("a Loop").attribute = vec![schema::AttributeProto {
            name: Some(text::bytes("body")),
            r#type: Some(schema::attribute_proto::AttributeType::Graph as i32),
            g: Some(schema::GraphProto {
                name: Some(text::bytes("body")),
                node: text::nodes(&body),
                input: text::values("int64 i; bool go; float? e"),
                output: text::values(&format!("bool on; float? {result}")),
                ..Default::default()
            }),
            ..Default::default()
        }];
        let found = common::fuse(&common::model(&proto), onnx_swish_fuse::Emit::Custom);
        assert_eq!(found.counts(), fused, "{carried} {result}");
    }
}

#[test]
fn between_quantisers_in_functions() {
    let a = hard("d", "k", "sy").replace("QuantizeLinear", "my::Q");
    let body = format!("d = my::D(q, sx, zx); {a}; {Y}");
    let functions = |net: Net| {
        net.function(
            "my",
            "D",
            &["c", "s", "z"],
            &["f"],
            "f = DequantizeLinear(c, s, z)",
        )
        .function(
            "my",
            "Q",
            &["f", "s", "z"],
            &["c"],
            "c = QuantizeLinear(f, s, z)",
        )
        .function("my", "R", &["f"], &["r"], "r = Relu(f)")
    };
    left(&functions(net(&body)), &[], &["quantized"]);
    // Called for other codes as well, and with other scales.
    let other = "u = QuantizeLinear(x, sz, zy); w = my::D(u, sz, zy); z = my::Q(w, sy, zy)";
    left(
        &functions(net(&format!("{other}; {body}"))),
        &[],
        &["quantized"],
    );
    let between = body.replace("my::Q(kv", "my::Q(kt");
    let between = between.replace("k = ", "kt = my::R(kv); k = ");
    left(&functions(net(&between)), &[], &["quantized"]);
    // With a scale that one caller computes nobody makes a table.
    let computed = format!("v = Abs(t); z = my::Q(x, v, zy); {body}");
    let mut computed = functions(net(&computed));
    computed.inputs = format!("{}; float t", computed.inputs);
    assert_eq!(inspected(&computed).counts(), "hard_swish 1");
    // What reads floats is within the function.
    let read = format!("{body}; z = my::R(kv)");
    let mut read = functions(net(&read));
    read.outputs = format!("{}; float[2,8,4,4] z", read.outputs);
    assert_eq!(inspected(&read).counts(), "hard_swish 1");
}
