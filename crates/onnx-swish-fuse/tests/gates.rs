//! A gate is what it computes: the same word, whichever operators spell it.

mod common;

use common::{Net, check, explained, fuse, text};
use onnx_swish_fuse::Emit;
use onnx_swish_model::schema;

/// Operators that clamp `a` to `c`: the same gate each time.
const CLAMPS: [&str; 6] = [
    "c = Clip(a, zero, six)",
    "r = Relu(a); c = Min(r, six)",
    "r = Max(a, zero); c = Min(r, six)",
    "r = Min(a, six); c = Max(zero, r)",
    "r = Relu(a); c = Clip(r, , six)",
    "r = Clip(a, zero); c = Clip(r, , six)",
];

#[test]
fn a_clamp_is_a_gate_whatever_spells_it() {
    let gates = [
        (
            "p = GlobalAveragePool(x); e = Conv(p, w); a = Add(e, three)",
            "d = Div(c, six); y = Mul(x, d)",
            "squeeze_gate",
        ),
        (
            "t = Mul(v, two); a = Add(t, three)",
            "d = Div(c, six); y = Mul(x, d)",
            "another_tensor",
        ),
        (
            "t = Mul(x, x); a = Add(t, three)",
            "y = Mul(x, c)",
            "not_linear",
        ),
        ("a = Add(x, three)", "y = Div(x, c)", "gate_divisor"),
        (
            "a = Add(x, three)",
            "d = Sub(c, two); y = Mul(x, d)",
            "bounds",
        ),
        (
            "a = Add(x, three)",
            "d = MaxPool[kernel_shape=3:3,pads=1:1:1:1](c); y = Mul(x, d)",
            "moved_gate",
        ),
        (
            "a = Add(x, three)",
            "f = Cast[to=10](c); d = Cast[to=1](f); y = Mul(x, d)",
            "cast",
        ),
    ];
    for (before, behind, reason) in gates {
        for clamp in CLAMPS {
            let net = Net::new(&format!("{before}; {clamp}; {behind}"))
                .and("float[8,8,1,1] w = 0.1")
                .inputs("float[2,8,4,4] x; float[2,8,4,4] v");
            explained(&net, &[reason]);
        }
    }
}

#[test]
fn a_clamp_on_one_side_is_half_open_whatever_spells_it() {
    for clamp in [
        "c = Relu(a)",
        "c = Max(a, zero)",
        "c = Clip(a, zero)",
        "c = Min(a, six)",
    ] {
        let net = Net::new(&format!("a = Add(x, three); {clamp}; y = Mul(x, c)"));
        explained(&net, &["half_open"]);
    }
}

#[test]
fn a_tanh_on_its_way_is_explained() {
    for (between, reason) in [
        ("h = Transpose[perm=0:1:3:2](g)", "moved_gate"),
        ("f = Cast[to=10](g); h = Cast[to=1](f)", "cast"),
        ("h = Abs(g)", "changed_gate"),
    ] {
        for gate in ["g = Tanh(x)", "t = Tanh(x); g = Add(t, half)"] {
            let net = Net::new(&format!("{gate}; {between}; y = Mul(x, h)"));
            explained(&net, &[reason]);
        }
    }
}

#[test]
fn one_over_an_exponential_is_an_exponential() {
    for denominator in [
        "r = Reciprocal(e); d = Add(one, r)",
        "r = Div(one, e); d = Add(one, r)",
        "r = Pow(e, mone); d = Add(r, one)",
    ] {
        let net = Net::new(&format!("e = Exp(x); {denominator}; y = Div(x, d)"));
        assert_eq!(check(&net, Emit::Custom).counts(), "silu 1");
    }
}

#[test]
fn exponentials_that_overflow_early_are_explained() {
    for (body, reason) in [
        (
            "n = Neg(x); e = Exp(n); p = Mul(e, e); d = Add(p, one); y = Div(x, d)",
            "not_linear",
        ),
        (
            "n = Neg(x); e = Exp(n); p = Pow(e, half); d = Add(p, one); y = Div(x, d)",
            "not_linear",
        ),
        (
            "e = Exp(x); m = Mul(x, e); d = Add(e, one); y = Div(m, d)",
            "overflow",
        ),
    ] {
        explained(&Net::new(body), &[reason]);
    }
}

#[test]
fn a_value_minus_itself_is_a_beta_of_zero() {
    let net = Net::new("t = Sub(x, x); s = Sigmoid(t); y = Mul(x, s)");
    assert_eq!(check(&net, Emit::Custom).counts(), "swish 1");
}

#[test]
fn a_gate_out_of_a_branch_is_explained() {
    let mut proto = Net::new("s = If(yes); y = Mul(x, s)")
        .and("bool yes = 1")
        .proto();
    let branch = |name: &str, op: &str| schema::AttributeProto {
        name: Some(text::bytes(name)),
        r#type: Some(schema::attribute_proto::AttributeType::Graph as i32),
        g: Some(schema::GraphProto {
            name: Some(text::bytes(name)),
            node: text::nodes(&format!("inner = {op}(x)")),
            output: text::values("float[2,8,4,4] inner"),
            ..Default::default()
        }),
        ..Default::default()
    };
    let node = &mut proto.graph.as_mut().expect("a graph").node[0];
    node.attribute = vec![
        branch("then_branch", "Sigmoid"),
        branch("else_branch", "Identity"),
    ];
    let fused = fuse(&common::model(&proto), Emit::Custom);
    assert_eq!(fused.reasons(), ["captured"]);
}

#[test]
fn one_size_that_nobody_knows_leaves_the_others() {
    let body = "h = Shape(x); a = Gather(h, i0); d = Max(a, i1); c = Concat[axis=0](d, m1, k); r = Reshape(x, c); \
        t = Mul(r, b); s = Sigmoid(t); y = Mul(r, s)";
    let net = Net::new(body)
        .inputs("float[N,8,3,5] x")
        .outputs("float? y")
        .and("int64[1] i0 = 0; int64[1] i1 = 1; int64[1] m1 = -1; int64[1] k = 240; float[240] b = 1.5");
    assert_eq!(fuse(&net.model(), Emit::Custom).counts(), "swish 1");
}
