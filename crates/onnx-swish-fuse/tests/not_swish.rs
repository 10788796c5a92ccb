//! Gates that are no Swish, as networks have them, each with the one reason that is true of it.
//! Given: graphs and functions of the file, in which a gate multiplies something.
//! Promises: none is fused, each has its reason, and no text has a gap where a name should be.

mod common;

use common::{Net, explained, fuse};
use onnx_swish_fuse::Emit;

/// What the rows may read besides x: tensors of its shape, weights, and numbers.
const INPUTS: &str =
    "float[2,8,4,4] x; float[2,8,4,4] u; bool[2,8,4,4] mask; float[2,8,1,1] pooled";
const NUMBERS: &str = "float small = 0.044715; float root = 0.7978846; float root2 = 1.5957691; float sqrt2 = 1.4142135; \
    float tenth = 0.1; float four = 4; float k = -0.0713; float o = -1.5957; float[8,8,1,1] w1 = 0.1; float[8,8,1,1] w2 = 0.2; \
    float[1,2,3,3] w3 = 0.1; float[8,1,1] slopes = 0.25; int64[1] zeroth = 0; int64[1] fourth = 4; int64[1] eighth = 8; int64[1] axis = 1";

/// A name, the graph, and the reasons.
type Row = (&'static str, &'static str, &'static [&'static str]);

const GELUS: &[Row] = &[
    (
        "GELU",
        "d = Div(x, sqrt2); e = Erf(d); a = Add(e, one); m = Mul(x, a); y = Mul(m, half)",
        &["gelu"],
    ),
    (
        "GELU, half first",
        "d = Div(x, sqrt2); e = Erf(d); a = Add(e, one); h = Mul(x, half); y = Mul(h, a)",
        &["gelu"],
    ),
    (
        "GELU, half in the gate",
        "d = Div(x, sqrt2); e = Erf(d); a = Add(e, one); h = Mul(a, half); y = Mul(x, h)",
        &["gelu"],
    ),
    (
        "GELU by tanh",
        "p = Pow(x, three); c = Mul(p, small); i = Add(x, c); z = Mul(i, root); t = Tanh(z); a = Add(t, one); h = Mul(x, half); y = Mul(h, a)",
        &["gelu"],
    ),
    (
        "GELU by a sigmoid of a cubic",
        "q = Mul(x, x); c = Mul(q, x); k3 = Mul(c, small); i = Add(x, k3); z = Mul(i, root2); s = Sigmoid(z); y = Mul(x, s)",
        &["gelu"],
    ),
    (
        "GELU by Exp",
        "q = Mul(x, x); a = Mul(q, k); b = Add(a, o); c = Mul(x, b); e = Exp(c); f = Add(e, one); y = Div(x, f)",
        &["gelu"],
    ),
    (
        "GEGLU",
        "d = Div(x, sqrt2); e = Erf(d); a = Add(e, one); m = Mul(x, a); g = Mul(m, half); y = Mul(g, u)",
        &["gelu"],
    ),
    (
        "GELU of another tensor's Erf",
        "d = Div(u, sqrt2); e = Erf(d); a = Add(e, one); y = Mul(x, a)",
        &["another_tensor"],
    ),
    (
        "Serf",
        "p = Softplus(x); e = Erf(p); y = Mul(x, e)",
        &["not_linear"],
    ),
    (
        "ErfAct",
        "p = Exp(x); e = Erf(p); y = Mul(x, e)",
        &["not_linear"],
    ),
];

const OTHER_ACTIVATIONS: &[Row] = &[
    (
        "Mish",
        "p = Softplus(x); t = Tanh(p); y = Mul(x, t)",
        &["mish"],
    ),
    (
        "Mish by Log",
        "e = Exp(x); a = Add(e, one); l = Log(a); t = Tanh(l); y = Mul(x, t)",
        &["mish"],
    ),
    (
        "Mish's gate of another tensor",
        "p = Softplus(u); t = Tanh(p); y = Mul(x, t)",
        &["tanh"],
    ),
    (
        "TanhExp",
        "e = Exp(x); t = Tanh(e); y = Mul(x, t)",
        &["tanh"],
    ),
    (
        "Logish",
        "s = Sigmoid(x); a = Add(s, one); l = Log(a); y = Mul(x, l)",
        &["changed_gate"],
    ),
    (
        "Smish",
        "s = Sigmoid(x); a = Add(s, one); l = Log(a); t = Tanh(l); y = Mul(x, t)",
        &["tanh"],
    ),
    ("LiSHT", "t = Tanh(x); y = Mul(x, t)", &["tanh"]),
    (
        "residual attention",
        "s = Sigmoid(x); a = Add(s, one); y = Mul(x, a)",
        &["gate_offset"],
    ),
    (
        "residual attention of a tanh",
        "t = Tanh(x); s = Sigmoid(t); a = Add(s, one); y = Mul(x, a)",
        &["gate_offset"],
    ),
    (
        "a sigmoid of a tanh",
        "t = Tanh(x); s = Sigmoid(t); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of Softsign",
        "t = Softsign(x); s = Sigmoid(t); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of PRelu",
        "t = PRelu(x, slopes); s = Sigmoid(t); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of a square",
        "t = Mul(x, x); s = Sigmoid(t); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of a cube",
        "q = Mul(x, x); c = Mul(q, x); s = Sigmoid(c); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of a shifted square",
        "q = Mul(x, x); a = Add(q, one); c = Mul(x, a); t = Sin(c); s = Sigmoid(t); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "SiLU of SiLU's gate",
        "s = Sigmoid(x); t = Mul(s, s); y = Mul(x, t)",
        &["gate_power", "gate_power"],
    ),
    (
        "a derivative of a sigmoid",
        "s = Sigmoid(x); m = Sub(one, s); t = Mul(s, m); y = Mul(x, t)",
        &["gate_power", "gate_power"],
    ),
    (
        "a sigmoid of ReLU",
        "r = Relu(x); s = Sigmoid(r); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of a leaky ReLU",
        "r = LeakyRelu(x); s = Sigmoid(r); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a sigmoid of a modulus",
        "r = Abs(x); s = Sigmoid(r); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "two gates added",
        "s = Sigmoid(x); r = Sigmoid(u); a = Add(s, r); y = Mul(x, a)",
        &["changed_gate"],
    ),
    (
        "the larger of two gates",
        "s = Sigmoid(x); r = Sigmoid(u); a = Max(s, r); y = Mul(x, a)",
        &["changed_gate"],
    ),
    (
        "a rounded gate",
        "s = Sigmoid(x); r = Round(s); y = Mul(x, r)",
        &["changed_gate"],
    ),
    (
        "a logarithm of a gate",
        "s = Sigmoid(x); l = Log(s); y = Mul(x, l)",
        &["changed_gate"],
    ),
    (
        "a gate around zero",
        "s = Sigmoid(x); l = Sub(s, half); y = Mul(x, l)",
        &["gate_offset"],
    ),
    (
        "a softmax of a gate",
        "s = Sigmoid(x); a = Softmax(s); y = Mul(x, a)",
        &["changed_gate"],
    ),
    (
        "an overflowing sigmoid",
        "e = Exp(x); a = Add(e, one); d = Div(e, a); y = Mul(x, d)",
        &["overflow"],
    ),
    (
        "a clamp of Atan",
        "s = Atan(x); a = Add(s, two); h = Mul(a, half); t = Clip(h, zero, one); y = Mul(x, t)",
        &["not_linear"],
    ),
    (
        "a gate of another tensor",
        "s = HardSigmoid(u); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "Swish with an offset",
        "a = Add(x, one); s = Sigmoid(a); y = Mul(x, s)",
        &["offset"],
    ),
    (
        "a shifted Swish by Exp",
        "n = Neg(x); e = Exp(n); a = Add(e, two); y = Div(x, a)",
        &["offset"],
    ),
    (
        "a clamp of both signs",
        "c = Clip(x, mone, one); y = Mul(x, c)",
        &["bounds"],
    ),
    ("squared ReLU", "r = Relu(x); y = Mul(x, r)", &["half_open"]),
    (
        "a divided gate",
        "s = Sigmoid(x); y = Div(x, s)",
        &["gate_divisor"],
    ),
    (
        "a flat gate",
        "s = HardSigmoid[alpha=0.0](x); y = Mul(x, s)",
        &["degenerate_gate"],
    ),
    (
        "a sigmoid by Where",
        "ab = Abs(x); na = Neg(ab); e = Exp(na); a = Add(e, one); p = Div(e, a); r = Div(one, a); l = Less(x, zero); g = Where(l, p, r); y = Mul(x, g)",
        &["where"],
    ),
    (
        "a gate where x is positive",
        "s = Sigmoid(x); z = Sub(u, u); c = Greater(x, z); g = Where(c, s, z); y = Mul(x, g)",
        &["where"],
    ),
    (
        "masked gates",
        "s = Sigmoid(x); g = Where(mask, s, zero); y = Mul(x, g)",
        &["where"],
    ),
];

const ATTENTION: &[Row] = &[
    (
        "squeeze-and-excitation",
        "p = GlobalAveragePool(x); c = Conv(p, w1); r = Relu(c); d = Conv(r, w2); s = Sigmoid(d); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "with a hard sigmoid",
        "p = ReduceMean[axes=2:3](x); c = Conv(p, w1); r = Relu(c); d = Conv(r, w2); s = HardSigmoid(d); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "with AveragePool",
        "p = AveragePool[kernel_shape=4:4](x); c = Conv(p, w1); s = Sigmoid(c); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "with MaxPool",
        "p = MaxPool[kernel_shape=4:4](x); c = Conv(p, w1); s = Sigmoid(c); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "with a norm",
        "p = ReduceL2[axes=2:3](x); s = Sigmoid(p); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "with a small window",
        "p = AveragePool[kernel_shape=3:3,pads=1:1:1:1](x); c = Conv(p, w1); s = Sigmoid(c); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "with no layer",
        "p = GlobalAveragePool(x); s = Sigmoid(p); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "of a mean and a maximum (CBAM)",
        "p = GlobalAveragePool(x); c = Conv(p, w1); q = GlobalMaxPool(x); d = Conv(q, w1); a = Add(c, d); s = Sigmoid(a); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "effective squeeze",
        "p = GlobalAveragePool(x); c = Conv(p, w1); s = HardSigmoid(c); y = Mul(x, s)",
        &["squeeze_gate"],
    ),
    (
        "SimAM",
        "p = ReduceMean[axes=2:3](x); d = Sub(x, p); q = Mul(d, d); n = ReduceSum(q); m = Add(n, tenth); f = Mul(m, four); v = Div(q, f); a = Add(v, half); s = Sigmoid(a); y = Mul(x, s)",
        &["reduced_gate"],
    ),
    (
        "x minus its mean",
        "p = ReduceMean[axes=1:](x); d = Sub(x, p); s = Sigmoid(d); y = Mul(x, s)",
        &["reduced_gate"],
    ),
    (
        "spatial attention",
        "p = ReduceMean[axes=1:](x); q = ReduceMax[axes=1:](x); c = Concat[axis=1](p, q); d = Conv[pads=1:1:1:1](c, w3); s = Sigmoid(d); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "an attention gate",
        "c = Conv(x, w1); d = Conv(u, w2); a = Add(c, d); r = Relu(a); e = Conv(r, w1); s = Sigmoid(e); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "a gate of a layer",
        "c = Conv(x, w1); s = Sigmoid(c); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "a gate of a sum",
        "a = Add(x, u); s = Sigmoid(a); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "channels of another tensor beside it",
        "p = GlobalAveragePool(u); a = Add(p, u); s = Sigmoid(a); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "x plus its mean",
        "p = GlobalAveragePool(x); a = Add(p, x); s = Sigmoid(a); y = Mul(x, s)",
        &["reduced_gate"],
    ),
    (
        "local and global attention",
        "p = GlobalAveragePool(x); c = Conv(p, w1); d = Conv(x, w2); a = Add(c, d); s = Sigmoid(a); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "twice a squeeze gate",
        "p = GlobalAveragePool(x); c = Conv(p, w1); s = Sigmoid(c); k2 = Mul(s, two); m = Sub(k2, one); y = Mul(x, m)",
        &["squeeze_gate"],
    ),
    (
        "a tanh of pooled values",
        "p = GlobalAveragePool(x); c = Conv(p, w1); t = Tanh(c); y = Mul(x, t)",
        &["squeeze_gate"],
    ),
    (
        "a gate of a normalised layer",
        "c = Conv(x, w1); n = InstanceNormalization(c, slopes, slopes); s = Sigmoid(n); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "a gate of x normalised",
        "n = LayerNormalization(x, one); s = Sigmoid(n); y = Mul(x, s)",
        &["not_linear"],
    ),
    (
        "a given gate",
        "s = Sigmoid(pooled); y = Mul(x, s)",
        &["another_tensor"],
    ),
    (
        "a beta of another layer",
        "c = Conv(u, w1); t = Mul(x, c); s = Sigmoid(t); y = Mul(x, s)",
        &["full_rank_beta"],
    ),
];

const UNITS: &[Row] = &[
    (
        "GLU by slices",
        "a = Slice(x, zeroth, fourth, axis); b = Slice(x, fourth, eighth, axis); s = Sigmoid(b); y = Mul(a, s)",
        &["glu"],
    ),
    (
        "GLU, sigmoid first",
        "s = Sigmoid(x); a = Slice(x, zeroth, fourth, axis); b = Slice(s, fourth, eighth, axis); y = Mul(a, b)",
        &["glu"],
    ),
    (
        "GLU by Split",
        "a, b = Split[axis=1](x); s = Sigmoid(b); y = Mul(a, s)",
        &["glu"],
    ),
    (
        "GLU by two layers",
        "a = Conv(x, w1); b = Conv(x, w2); s = Sigmoid(b); y = Mul(a, s)",
        &["another_tensor"],
    ),
    (
        "a slice of both",
        "s = Sigmoid(x); a = Slice(s, zeroth, fourth, axis); b = Slice(x, zeroth, fourth, axis); y = Mul(b, a)",
        &["moved_gate"],
    ),
    (
        "a half of both",
        "s = Sigmoid(x); a, c = Split[axis=1](s); b, d = Split[axis=1](x); y = Mul(b, a)",
        &["moved_gate"],
    ),
    (
        "how likely an object, times which",
        "a, b = Split[axis=1](x); s = Sigmoid(a); t = Sigmoid(b); y = Mul(s, t)",
        &["gate_power"],
    ),
    (
        "the same, sigmoid first",
        "q = Sigmoid(x); a, b = Split[axis=1](q); y = Mul(a, b)",
        &["gate_power"],
    ),
    (
        "tanh and sigmoid of one",
        "t = Tanh(x); s = Sigmoid(x); y = Mul(t, s)",
        &["recurrent_gate"],
    ),
    (
        "LSTM's output gate",
        "c = Conv(x, w1); s = Sigmoid(c); t = Tanh(u); y = Mul(s, t)",
        &["recurrent_gate"],
    ),
    (
        "WaveNet's unit",
        "c = Conv(x, w1); t = Tanh(c); d = Conv(x, w2); s = Sigmoid(d); y = Mul(t, s)",
        &["recurrent_gate"],
    ),
    (
        "GRU's update",
        "c = Conv(x, w1); s = Sigmoid(c); m = Sub(one, s); y = Mul(m, u)",
        &["another_tensor"],
    ),
    (
        "highway, the layer's part",
        "c = Conv(x, w1); s = Sigmoid(c); d = Conv(x, w2); r = Relu(d); y = Mul(r, s)",
        &["another_tensor"],
    ),
    (
        "highway, the carried part",
        "c = Conv(x, w1); s = Sigmoid(c); m = Sub(one, s); y = Mul(x, m)",
        &["another_tensor"],
    ),
];

#[track_caller]
fn holds(rows: &[Row]) {
    for &(name, body, reasons) in rows {
        let net = Net::new(body).inputs(INPUTS).and(NUMBERS).opset(17);
        let net = net.outputs("float y");
        let found = fuse(&net.model(), Emit::Custom);
        assert_eq!(found.reasons(), reasons, "{name}");
        explained(&net, reasons);
    }
}

#[test]
fn gelu_by_any_means() {
    holds(GELUS);
}

#[test]
fn other_activations() {
    holds(OTHER_ACTIVATIONS);
}

#[test]
fn attention() {
    holds(ATTENTION);
}

#[test]
fn gated_units() {
    holds(UNITS);
}

/// Gates of which functions of the file compute a part.
mod functions {
    use super::*;

    /// Name, inputs and body.
    const FUNCTIONS: &[(&str, &[&str], &str)] = &[
        ("Id", &["X"], "Y = Identity(X)"),
        (
            "Scaled",
            &["X"],
            "K = Constant[value_float=1.7](); Y = Mul(X, K)",
        ),
        ("Gated", &["X", "Z"], "S = Sigmoid(Z); Y = Mul(X, S)"),
        ("Open", &["X"], "Y = HardSigmoid(X)"),
        (
            "Squeeze",
            &["X", "W"],
            "P = GlobalAveragePool(X); C = Conv(P, W); Y = Sigmoid(C)",
        ),
    ];

    /// A graph with the functions that it calls.
    fn net(body: &str) -> Net {
        let net = Net::new(body).inputs(INPUTS).and(NUMBERS);
        let called = FUNCTIONS.iter().filter(|(name, ..)| body.contains(name));
        called.fold(net, |net, (name, inputs, body)| {
            net.function("my", name, inputs, &["Y"], body)
        })
    }

    #[track_caller]
    fn says(body: &str, reason: &str, text: &str) {
        let fused = explained(&net(body), &[reason]);
        let message = &fused.report.near_misses[0].message;
        assert!(message.contains(text), "{message}");
    }

    #[test]
    fn between_gate_and_product() {
        says(
            "s = Sigmoid(x); t = my::Id(s); y = Mul(x, t)",
            "function",
            "`my::Id`",
        );
    }

    #[test]
    fn before_the_gate() {
        says(
            "t = my::Scaled(x); s = Sigmoid(t); y = Mul(x, s)",
            "function",
            "`my::Scaled`",
        );
        says(
            "t = my::Scaled(u); s = Sigmoid(t); y = Mul(x, s)",
            "another_tensor",
            "than `x`",
        );
    }

    #[test]
    fn with_one_value_for_gate_and_partner() {
        says(
            "y = my::Gated(x, x)",
            "function",
            "where `my::Gated` is called to make `y`",
        );
        says("y = my::Gated(x, u)", "another_tensor", "than `X`");
        says(
            "a = my::Gated(x, u); y = my::Gated(a, a)",
            "function",
            "to make `y`",
        );
    }

    #[test]
    fn squeeze_and_excitation_is_that_inside_too() {
        for body in [
            "p = GlobalAveragePool(x); c = Conv(p, w1); g = my::Open(c); y = Mul(x, g)",
            "g = my::Squeeze(x, w1); y = Mul(x, g)",
            "p = GlobalAveragePool(x); c = Conv(p, w1); y = my::Gated(x, c)",
            "p = GlobalAveragePool(x); c = Conv(p, w1); t = my::Id(c); s = Sigmoid(t); y = Mul(x, s)",
        ] {
            says(body, "squeeze_gate", "pooled");
        }
    }

    #[test]
    fn a_unit_is_a_unit() {
        says(
            "a, b = Split[axis=1](x); g = my::Open(b); y = Mul(a, g)",
            "glu",
            "gated linear unit",
        );
    }

    #[test]
    fn quantised_by_calls() {
        let net = Net::new("d = my::Fake(x, s, z); g = Sigmoid(d); h = my::Fake(g, t, o); m = Mul(d, h); y = my::Fake(m, v, o)")
            .and("float s = 0.05; uint8 z = 128; float t = 0.025; uint8 o = 0; float v = 0.1")
            .function("my", "Fake", &["X", "S", "Z"], &["Y"], "Q = QuantizeLinear(X, S, Z); Y = DequantizeLinear(Q, S, Z)");
        let fused = explained(&net, &["function"]);
        assert!(fused.report.near_misses[0].message.contains("`my::Fake`"));
    }

    #[test]
    fn with_numbers_of_its_callers() {
        let net = Net::new("y = my::Hard(x, three, six)").function(
            "my",
            "Hard",
            &["X", "T", "S"],
            &["Y"],
            "A = Add(X, T); Z = Sub(T, T); C = Clip(A, Z, S); M = Mul(X, C); Y = Div(M, S)",
        );
        let fused = explained(&net, &["caller"]);
        assert!(fused.report.near_misses[0].message.contains("makes `C`"));
    }

    #[test]
    fn called_with_integers_and_with_floats() {
        let body = "K = Constant[value_float=3.0](); T = CastLike(K, X); L = Constant[value_float=6.0](); S = CastLike(L, X); \
            O = Constant[value_float=0.0](); Z = CastLike(O, X); A = Add(X, T); C = Clip(A, Z, S); M = Mul(X, C); Y = Div(M, S)";
        for (calls, reasons) in [
            (
                "y = my::Hard(x); z = my::Hard(i)",
                "different element types",
            ),
            ("y = my::Hard(i)", "integers"),
        ] {
            let net = Net::new(calls)
                .inputs("float[2,8] x; int64[2,8] i")
                .outputs("float y");
            let net = net.function("my", "Hard", &["X"], &["Y"], body);
            let fused = fuse(&net.model(), Emit::Custom);
            let said = format!("{:?}", fused.report.near_misses);
            assert!(said.contains(reasons), "{} {said}", fused.counts());
        }
    }
}
