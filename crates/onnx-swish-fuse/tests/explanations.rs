//! What a gate that stays is called: by what it is, before fusing and after, quantised or not.

mod common;

use common::{Fused, Net, check, fuse, text};
use onnx_swish_fuse::{Emit, Options, OwnFunctions, analyze};
use onnx_swish_model::{Model, schema};

#[track_caller]
fn explained(net: &Net, reasons: &[&str]) -> Fused {
    let fused = fuse(&net.model(), Emit::Custom);
    assert_eq!(fused.counts(), "", "{:?}", fused.report.fusions);
    assert_eq!(fused.reasons(), reasons, "{:?}", fused.report.near_misses);
    fused
}

mod squeeze_gates {
    use super::*;

    const WEIGHTS: &str = "float[2,8,1,1] w1 = 0.1; float[8,2,1,1] w2 = 0.1";

    #[test]
    fn behind_quantisers() {
        let pair = |from: &str, to: &str, s: &str, z: &str| {
            format!(
                "{to}_q = QuantizeLinear({from}, {s}, {z}); {to} = DequantizeLinear({to}_q, {s}, {z})"
            )
        };
        let body = [
            pair("x", "d", "sx", "zx"),
            "pool = GlobalAveragePool(d)".into(),
            pair("pool", "a", "sx", "zx"),
            "c1 = Conv(a, w1)".into(),
            pair("c1", "b", "sx", "zx"),
            "r = Relu(b); c2 = Conv(r, w2)".into(),
            pair("c2", "c", "sx", "zx"),
            "s = Sigmoid(c)".into(),
            pair("s", "g", "sg", "zg"),
            "y = Mul(d, g)".into(),
        ];
        let net = Net::new(&body.join("; "))
            .and("float sx = 0.05; uint8 zx = 128; float sg = 0.00390625; uint8 zg = 0")
            .and(WEIGHTS);
        explained(&net, &["squeeze_gate"]);
    }

    #[test]
    fn on_codes() {
        let body = "q = QuantizeLinear(x, sx, zx); \
            pool = com.microsoft::QLinearGlobalAveragePool(q, sx, zx, sx, zx); \
            c = QLinearConv(pool, sx, zx, w, sx, zx, sx, zx); \
            p = com.microsoft::QLinearSigmoid(c, sx, zx, sg, zg); \
            r = com.microsoft::QLinearMul(q, sx, zx, p, sg, zg, sx, zx); y = DequantizeLinear(r, sx, zx)";
        let mut net = Net::new(body).and("float sx = 0.05; uint8 zx = 128; float sg = 0.00390625; uint8 zg = 0; uint8[8,8,1,1] w = 3");
        net.imports.push(("com.microsoft".into(), 1));
        explained(&net, &["squeeze_gate"]);
    }

    #[test]
    fn before_and_after_fusing() {
        let net = Net::new("pool = GlobalAveragePool(x); c1 = Conv(pool, w1); s1 = Sigmoid(c1); a = Mul(c1, s1); c2 = Conv(a, w2); s = Sigmoid(c2); y = Mul(x, s)")
            .and(WEIGHTS);
        let fused = fuse(&net.model(), Emit::Custom);
        assert_eq!(
            (&fused.counts()[..], &fused.reasons()[..]),
            ("silu 1", &["squeeze_gate"][..])
        );
        let again = Model::from_bytes(fused.bytes).expect("a file");
        let report = analyze(&again, &Options::default()).report();
        assert_eq!(report.near_misses.len(), 1);
        assert_eq!(report.near_misses[0].reason, "squeeze_gate");
    }
}

mod other_functions {
    use super::*;

    #[test]
    fn gates_of_an_unrolled_lstm() {
        let net = Net::new("i, o, f, c = Split[axis=1](x); si = Sigmoid(i); tc = Tanh(c); a = Mul(si, tc); sf = Sigmoid(f); b = Mul(sf, state); n = Add(a, b); tn = Tanh(n); so = Sigmoid(o); y = Mul(so, tn)")
            .inputs("float[2,32] x; float[2,8] state")
            .outputs("float[2,8] y")
            .opset(13);
        explained(
            &net,
            &["another_tensor", "recurrent_gate", "recurrent_gate"],
        );
    }

    #[test]
    fn a_glu_is_a_glu() {
        let net = Net::new("a, b = Split[axis=1](x); s = Sigmoid(b); y = Mul(a, s)")
            .inputs("float[2,16] x")
            .outputs("float[2,8] y")
            .opset(13);
        explained(&net, &["glu"]);
    }

    #[test]
    fn gelu_by_tanh_in_every_bracketing() {
        for cube in [
            "xx = Mul(x, x); c = Mul(x, xx); k = Mul(c, small); i = Add(x, k)",
            "xx = Mul(x, x); k = Mul(xx, small); o = Add(k, one); i = Mul(x, o)",
            "k = Mul(x, small); kk = Mul(x, k); o = Add(kk, one); i = Mul(o, x)",
            "c = Pow(x, three); k = Mul(c, small); i = Add(x, k)",
        ] {
            let net = Net::new(&format!("{cube}; z = Mul(i, root); t = Tanh(z); a = Add(t, one); h = Mul(x, half); y = Mul(h, a)"))
                .and("float small = 0.044715; float root = 0.7978846");
            explained(&net, &["gelu"]);
        }
    }

    #[test]
    fn powers_of_a_gate() {
        explained(
            &Net::new("s = Sigmoid(x); t = Mul(s, s); y = Mul(x, t)"),
            &["another_tensor", "gate_power"],
        );
        explained(
            &Net::new("s = Sigmoid(x); t = Pow(s, two); y = Mul(x, t)"),
            &["gate_power"],
        );
    }

    #[test]
    fn a_gate_that_where_picks() {
        let body = "a = Div(x, six); b = Add(a, half); lo = Less(x, m3); hi = Greater(x, three); c = Where(hi, one, b); g = Where(lo, zero, c); y = Mul(x, g)";
        explained(&Net::new(body).and("float m3 = -3"), &["where"]);
        // A mask is no gate.
        explained(
            &Net::new("m = Where(b, one, zero); y = Mul(x, m)")
                .inputs("float[2,8,4,4] x; bool[2,8,4,4] b"),
            &[],
        );
    }

    #[test]
    fn a_power_in_the_place_of_an_exponential() {
        let net = |base: &str| {
            Net::new("n = Neg(x); e = Pow(base, n); a = Add(e, one); y = Div(x, a)")
                .and(&format!("float base = {base}"))
        };
        assert_eq!(check(&net("2.7182817"), Emit::Custom).counts(), "silu 1");
        assert_eq!(check(&net("2"), Emit::Custom).counts(), "swish 1");
        explained(&net("-2"), &[]);
    }

    #[test]
    fn a_sigmoid_inside_a_function() {
        let net = Net::new("s = my::Gate(x); y = Mul(x, s)").function(
            "my",
            "Gate",
            &["X"],
            &["Y"],
            "Y = Sigmoid(X)",
        );
        explained(&net, &["function"]);
    }

    #[test]
    fn an_index_upstream_is_no_constant_of_the_gate() {
        let net =
            Net::new("z = Slice(x, starts, ends); n = Softsign(z); s = Sigmoid(n); y = Mul(z, s)")
                .and("int64[1] starts = 0; int64[1] ends = 9223372036854775807");
        explained(&net, &["not_linear"]);
    }
}

mod betas {
    use super::*;

    #[test]
    fn zero() {
        for scaled in ["t = Mul(x, zero)", "t = Mul(zero, x)", "t = Div(x, inf)"] {
            let net = Net::new(&format!("{scaled}; s = Sigmoid(t); y = Mul(x, s)"))
                .and("float inf = inf");
            let fused = check(&net, Emit::Custom);
            assert_eq!(fused.counts(), "swish 1", "{:?}", fused.report.near_misses);
            assert_eq!(
                fused.report.fusions[0].beta,
                Some(onnx_swish_fuse::BetaValue::Number(0.0))
            );
        }
        // Of another tensor it is a half of x, and no Swish.
        let net = Net::new("t = Mul(u, zero); s = Sigmoid(t); y = Mul(x, s)")
            .inputs("float[2,8,4,4] x; float[2,8,4,4] u");
        explained(&net, &["another_tensor"]);
    }

    #[test]
    fn infinite_or_not_a_number() {
        for (beta, word) in [
            ("inf", "infinite"),
            ("-inf", "infinite"),
            ("nan", "not a number"),
        ] {
            let net = Net::new("t = Mul(x, beta); s = Sigmoid(t); y = Mul(x, s)")
                .and(&format!("float beta = {beta}"));
            let fused = explained(&net, &["beta"]);
            assert!(fused.report.near_misses[0].message.contains(word));
        }
        explained(
            &Net::new("t = Div(x, zero); s = Sigmoid(t); y = Mul(x, s)"),
            &["beta"],
        );
    }
}

mod our_functions {
    use super::*;

    /// A fused file with one SiLU and one Swish.
    fn written() -> schema::ModelProto {
        let net = Net::new("s = Sigmoid(x); m = Mul(x, s); t = Mul(m, b); u = Sigmoid(t); n = Mul(m, u); h = HardSigmoid(n); y = Mul(n, h)").and("float b = 1.5");
        let fused = fuse(&net.model(), Emit::Custom);
        assert_eq!(fused.counts(), "silu 1, swish 1, hard_swish 1");
        fused.proto
    }

    fn function<'p>(
        proto: &'p mut schema::ModelProto,
        name: &str,
    ) -> &'p mut schema::FunctionProto {
        let mut functions = proto.functions.iter_mut();
        functions
            .find(|function| function.name() == name.as_bytes())
            .expect("a function")
    }

    fn own(proto: &schema::ModelProto, name: &str) -> bool {
        OwnFunctions::of(&common::model(proto)).contains(b"onnx_swish", name.as_bytes())
    }

    #[track_caller]
    fn still_ours(change: impl FnOnce(&mut schema::FunctionProto), name: &str) {
        let mut proto = written();
        change(function(&mut proto, name));
        assert!(own(&proto, name));
        let report = fuse(&common::model(&proto), Emit::Custom).report;
        assert!(report.near_misses.is_empty(), "{:?}", report.near_misses);
        assert_eq!(report.already_fused.len(), 3);
    }

    #[track_caller]
    fn somebody_elses(change: impl FnOnce(&mut schema::FunctionProto), name: &str) {
        let mut proto = written();
        change(function(&mut proto, name));
        assert!(!own(&proto, name));
        let report = analyze(&common::model(&proto), &Options::default()).report();
        let reasons: Vec<&str> = report
            .near_misses
            .iter()
            .map(|miss| &miss.reason[..])
            .collect();
        assert!(reasons.contains(&"edited_function"), "{reasons:?}");
        assert_eq!(report.already_fused.len(), 2);
    }

    #[test]
    fn names_comments_and_the_order_of_attributes_mean_nothing() {
        still_ours(|f| f.doc_string = Some(text::bytes("ours")), "FusedSilu");
        still_ours(
            |f| f.node[0].doc_string = Some(text::bytes("gate")),
            "FusedSilu",
        );
        still_ours(|f| f.node[0].name = Some(text::bytes("n")), "FusedSilu");
        still_ours(
            |f| f.node[0].domain = Some(text::bytes("ai.onnx")),
            "FusedSilu",
        );
        still_ours(|f| f.node[0].attribute.reverse(), "FusedSlopedHardSwish");
        still_ours(|f| f.attribute.reverse(), "FusedSlopedHardSwish");
        still_ours(
            |f| {
                f.input[0] = text::bytes("input");
                f.node[0].input[0] = text::bytes("input");
                f.node[1].input[0] = text::bytes("input");
                f.node[0].output[0] = text::bytes("s");
                f.node[1].input[1] = text::bytes("s");
            },
            "FusedSilu",
        );
    }

    #[test]
    fn another_body_is_another_function() {
        somebody_elses(
            |f| f.node[0].op_type = Some(text::bytes("Tanh")),
            "FusedSilu",
        );
        somebody_elses(
            |f| f.node[0].domain = Some(text::bytes("acme")),
            "FusedSilu",
        );
        somebody_elses(
            |f| f.node[1].input[1] = f.node[1].input[0].clone(),
            "FusedSilu",
        );
        somebody_elses(|f| f.input.reverse(), "FusedSwish");
        somebody_elses(|f| f.node[0].attribute.clear(), "FusedSlopedHardSwish");
        somebody_elses(
            |f| f.node[0].attribute[0].f = Some(0.3),
            "FusedSlopedHardSwish",
        );
        somebody_elses(
            |f| {
                let extra = f.node[0].clone();
                f.node.insert(1, extra);
            },
            "FusedSilu",
        );
    }
}
