//! Gates behind what once hid them: constants that are made anew for each shape, functions that clamp, quantised ReLUs, layers of
//! ONNX Runtime whose result is codes or floats. Each is fused or explained, and the counter of silent gates sees most of them itself.

mod common;

use common::gates::gated;
use common::{Fused, Net, check, explained, fuse};
use onnx_swish_fuse::Emit;

/// The activation found, after the numbers were compared.
#[track_caller]
fn fused(net: &Net, counts: &str) -> Fused {
    let fused = check(net, Emit::Custom);
    assert_eq!(fused.counts(), counts, "{:?}", fused.report.near_misses);
    assert!(
        is_counted(net),
        "the counter of silent gates does not see it"
    );
    fused
}

/// Whether the counter of silent gates would tell if nothing were said.
fn is_counted(net: &Net) -> bool {
    let gates = gated(&net.model());
    gates.iter().any(|(name, _)| name == "y" || name == "m")
}

/// `name` as a tensor of x's shape, full of `number`.
fn full_like(name: &str, number: &str) -> String {
    format!("{name}h = Shape(x); {name} = ConstantOfShape[value={number}]({name}h)")
}

#[test]
fn ones_of_a_computed_shape_are_one() {
    let one = full_like("o", "float[1] 1");
    let body = format!("{one}; n = Neg(x); e = Exp(n); a = Add(e, o); y = Div(x, a)");
    fused(&Net::new(&body), "silu 1");
    let body =
        format!("{one}; n = Neg(x); e = Exp(n); a = Add(o, e); r = Reciprocal(a); y = Mul(r, x)");
    fused(&Net::new(&body), "silu 1");
}

#[test]
fn zeros_and_sixes_of_a_computed_shape_bound() {
    let (zero, six) = (
        "zh = Shape(x); z = ConstantOfShape(zh)",
        full_like("k", "float[1] 6"),
    );
    let body = format!(
        "{zero}; {six}; a = Add(x, three); b = Max(a, z); g = Min(b, k); m = Mul(x, g); y = Div(m, six)"
    );
    fused(&Net::new(&body), "hard_swish 1");
}

#[test]
fn a_beta_of_a_computed_shape_is_written_as_a_scalar() {
    let body = format!(
        "{}; t = Mul(x, k); s = Sigmoid(t); y = Mul(x, s)",
        full_like("k", "float[1] 1.7")
    );
    let fused = fused(&Net::new(&body), "swish 1");
    let graph = fused.proto.graph.unwrap_or_default();
    let added: Vec<_> = graph
        .initializer
        .iter()
        .filter(|one| one.dims.is_empty())
        .collect();
    assert!(
        added
            .iter()
            .any(|one| one.name().starts_with(b"onnx_swish.")),
        "{added:?}"
    );
}

#[test]
fn a_function_that_clamps_what_was_shifted() {
    let bodies = [
        "z = Constant[value_float=0.0](); k = Constant[value_float=6.0](); w = Clip(v, z, k)",
        "k = Constant[value_float=6.0](); r = Relu(v); w = Min(r, k)",
        "z = Constant[value_float=0.0](); k = Constant[value_float=6.0](); r = Max(v, z); w = Min(k, r)",
    ];
    let uses = [
        "a = Add(x, three); r = acme::ReLU6(a); g = Div(r, six); y = Mul(x, g)",
        "a = Add(x, three); r = acme::ReLU6(a); m = Mul(x, r); y = Div(m, six)",
        "a = Add(three, x); r = acme::ReLU6(a); m = Mul(r, x); y = Mul(m, sixth)",
    ];
    for body in bodies {
        for used in uses {
            let net = Net::new(used).function("acme", "ReLU6", &["v"], &["w"], body);
            explained(&net, &["function"]);
            assert!(is_counted(&net), "{used}");
        }
        // By itself a ReLU6 is an activation, and gates nothing.
        let net = Net::new("r = acme::ReLU6(x); y = Mul(r, six)").function(
            "acme",
            "ReLU6",
            &["v"],
            &["w"],
            body,
        );
        explained(&net, &[]);
    }
}

#[test]
fn a_quantised_relu_of_x_is_half_open() {
    let net = common::codes::region(
        "c = Relu(d); p = QuantizeLinear(c, sh, zg); g = DequantizeLinear(p, sh, zg); m = Mul(d, g)",
    )
    .and("float sh = 0.025");
    explained(&net, &["half_open"]);
    // Its codes as they are gate nothing: a square, and said of nobody.
    let net = common::codes::region(
        "p = QuantizeLinear(d, sh, zg); g = DequantizeLinear(p, sh, zg); m = Mul(d, g)",
    )
    .and("float sh = 0.025");
    explained(&net, &[]);
}

#[test]
fn a_layer_of_codes_gives_floats_where_nothing_quantises_them() {
    let mut net =
        Net::new("l = com.microsoft::QGemm(u, sx, zx, b, sx, zb); s = Sigmoid(l); y = Mul(l, s)")
            .inputs("uint8[2,4] u")
            .outputs("float? y")
            .constants("float sx = 0.05; uint8 zx = 128; int8[4,3] b = 1; int8 zb = 0");
    net.imports.push(("com.microsoft".into(), 1));
    let found = fuse(&net.model(), Emit::Custom);
    assert_eq!(found.counts(), "silu 1", "{:?}", found.report.near_misses);
}
