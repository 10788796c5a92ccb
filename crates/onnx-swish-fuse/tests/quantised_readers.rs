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
    // Another tensor flows in before there is a code again.
    let sum = "u = QuantizeLinear(x, sz, zy); w = DequantizeLinear(u, sz, zy); kt = Add(kv, w)";
    let a = a
        .replace("Linear(kv", "Linear(kt")
        .replace("k = ", &format!("{sum}; k = "));
    let found = inspected(&net(&format!("{D}; {a}; {Y}")));
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
        let mut proto = net(&format!("{outside}; c = If(b)")).proto();
        let graph = proto.graph.as_mut().expect("a graph");
        graph.input.extend(text::values("bool b"));
        graph.output = text::values("float? c");
        let branch = |name: &str| schema::AttributeProto {
            name: Some(text::bytes(name)),
            r#type: Some(schema::attribute_proto::AttributeType::Graph as i32),
            g: Some(schema::GraphProto {
                name: Some(text::bytes(name)),
                node: text::nodes(&format!("{inside}; {name}y = DequantizeLinear(k, sy, zy)")),
                output: text::values(&format!("float? {name}y")),
                ..Default::default()
            }),
            ..Default::default()
        };
        let last = graph.node.last_mut().expect("an If");
        last.attribute = vec![branch("then_branch"), branch("else_branch")];
        let found = common::fuse(&common::model(&proto), onnx_swish_fuse::Emit::Custom);
        assert_eq!(found.counts(), "", "{outside} {inside}");
        let kept = found.report.quantised.len() + found.report.near_misses.len();
        assert!(kept >= 2, "{:?}", found.report);
    }
}
