//! What a gate that stays is called: by what it is, before fusing and after, quantised or not.

mod common;

use common::codes::pair;
use common::{Net, check, explained, fuse, text};
use onnx_swish_fuse::{Emit, Options, OwnFunctions, analyze};
use onnx_swish_model::{Model, schema};

mod squeeze_gates {
    use super::*;

    const WEIGHTS: &str = "float[2,8,1,1] w1 = 0.1; float[8,2,1,1] w2 = 0.1";

    #[test]
    fn behind_quantisers() {
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
            &["gate_power", "gate_power"],
        );
        explained(
            &Net::new("s = Sigmoid(x); t = Pow(s, two); y = Mul(x, t)"),
            &["gate_power"],
        );
        explained(
            &Net::new("n = Neg(x); e = Exp(n); d = Add(e, one); t = Pow(d, p); y = Mul(x, t)")
                .and("float p = -0.5"),
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

/// Gates that something moves or changes before they multiply anything.
mod on_the_way {
    use super::*;

    const IN: &str = "float[2,8,4,4] x; float[2,8,4,4] u; bool[2,8,4,4] b";

    #[track_caller]
    fn behind(operators: &str, of_x: &str, of_another: &str) {
        for (gated, reason) in [("x", of_x), ("u", of_another)] {
            let net = Net::new(&format!("s = Sigmoid(x); {operators}; y = Mul({gated}, g)"))
                .inputs(IN)
                .and("int64[1] zeroth = 0; int64[1] half_of_8 = 4; int64[1] axis = 1; int64[4] ones = 1");
            let fused = explained(&net, &[reason]);
            assert_eq!(fused.report.near_misses[0].gate, "s", "{operators}");
        }
    }

    #[test]
    fn moved() {
        for operators in [
            "g = Slice(s, zeroth, half_of_8, axis)",
            "g = Gather[axis=1](s, zeroth)",
            "g = Tile(s, ones)",
            "g = MaxPool[kernel_shape=1:1](s)",
            "g = DepthToSpace[blocksize=2](s)",
            "c, d = Split[axis=1](s); g = Concat[axis=1](c, d)",
            "c, d = Split[axis=1](s); g = Transpose[perm=0:1:3:2](d)",
        ] {
            behind(operators, "moved_gate", "another_tensor");
        }
        behind("g = Where(b, s, u)", "where", "another_tensor");
    }

    #[test]
    fn changed() {
        for operators in [
            "g = Abs(s)",
            "g = Exp(s)",
            "g = Max(s, half)",
            "g = Softmax[axis=1](s)",
            "g = ReduceMean[axes=1:](s)",
            "g = Reciprocal(s)",
            "h = Tile(s, ones); g = Abs(h)",
        ] {
            behind(operators, "changed_gate", "another_tensor");
        }
        explained(
            &Net::new("s = Sigmoid(x); g = Sqrt(s); y = Mul(x, g)"),
            &["gate_power"],
        );
        let net = Net::new("s = Sigmoid(x); g = Add(s, half); y = Mul(x, g)");
        explained(&net, &["gate_offset"]);
    }

    /// Every value on a way of 30,000 operators multiplies something. If each product looked back to its gate this would
    /// take minutes.
    #[test]
    fn a_long_way() {
        let mut body = String::from("s = Sigmoid(x); g0 = Abs(s)");
        for i in 0..10_000 {
            let next = i + 1;
            body += &format!(
                "; r{i} = Transpose[perm=0:1:3:2](g{i}); g{next} = Reshape(r{i}, full); y{i} = Mul(u, g{i})"
            );
        }
        let net = Net::new(&body)
            .inputs(IN)
            .outputs("float[2,8,4,4] y0")
            .and("int64[4] full = 2, 8, 4, 4");
        let report = analyze(&net.model(), &Options::default()).report();
        assert_eq!(report.near_misses.len(), 10_000);
        assert!(report.near_misses.iter().all(|miss| miss.gate == "s"));
    }

    #[test]
    fn cast_there_and_back() {
        behind(
            "h = Cast[to=10](s); g = Cast[to=1](h)",
            "cast",
            "another_tensor",
        );
    }

    #[test]
    fn a_divisor() {
        explained(
            &Net::new("s = Sigmoid(x); y = Div(x, s)"),
            &["gate_divisor"],
        );
    }

    #[test]
    fn two_gates() {
        let net = Net::new("s = Sigmoid(x); c, d = Split[axis=1](s); y = Mul(c, d)");
        explained(&net, &["gate_power"]);
    }

    #[test]
    fn a_silu_of_a_gate_is_no_gate() {
        let net = Net::new("s = Sigmoid(x); t = Sigmoid(s); m = Mul(s, t); y = Mul(m, u)");
        let fused = fuse(&net.inputs(IN).model(), Emit::Custom);
        assert_eq!((&fused.counts()[..], fused.reasons()), ("silu 1", vec![]));
    }

    #[test]
    fn a_residual_is_no_gate_but_of_x() {
        let net = Net::new("s = Sigmoid(x); r = Relu(s); h = Neg(r); a = Add(h, u); y = Mul(a, x)");
        explained(&net.inputs(IN), &["changed_gate"]);
        // Of what was added, or of anything else, it is no gate.
        for other in ["u", "v"] {
            let net = Net::new(&format!(
                "s = Sigmoid(x); a = Add(s, u); y = Mul(a, {other})"
            ));
            explained(&net.inputs(&format!("{IN}; float[2,8,4,4] v")), &[]);
        }
    }

    #[test]
    fn squeeze_and_excitation_as_torch_writes_it() {
        for back in [
            "g = Reshape(s, four)",
            "g = Unsqueeze(s, axes)",
            "r = Reshape(s, four); g = Expand(r, full)",
        ] {
            let net = Net::new(&format!("p = GlobalAveragePool(x); f = Flatten(p); h = Gemm(f, w); e = Relu(h); k = Gemm(e, w); s = Sigmoid(k); {back}; y = Mul(x, g)"))
                .and("float[8,8] w = 0.1; int64[4] four = 2, 8, 1, 1; int64[2] axes = 2, 3; int64[4] full = 2, 8, 4, 4");
            explained(&net, &["squeeze_gate"]);
        }
        let net = Net::new("p = GlobalAveragePool(x); k = Conv(p, w); s = Sigmoid(k); g = Add(s, one); y = Mul(x, g)")
            .and("float[8,8,1,1] w = 0.1");
        explained(&net, &["squeeze_gate"]);
    }

    #[test]
    fn in_another_shape_than_x() {
        // [2] by [2, 1]: the product is a table of all pairs.
        let net = Net::new("s = Sigmoid(x); g = Reshape(s, two_by_one); y = Mul(x, g)")
            .inputs("float[2] x")
            .outputs("float[2,2] y")
            .and("int64[2] two_by_one = 2, 1");
        explained(&net, &["shape"]);
        // The gate of a column meets x along a row, as large as the product is.
        let net =
            Net::new("r = Reshape(x, row); s = Sigmoid(r); w = Expand(x, full); y = Mul(w, s)")
                .inputs("float[2,1] x")
                .outputs("float[2,2] y")
                .and("int64[2] row = 1, 2; int64[2] full = 2, 2");
        explained(&net, &["shape"]);
    }

    #[test]
    fn a_beta_meets_x_in_its_own_shape() {
        let net = Net::new("r = Reshape(x, turned); t = Mul(r, v); s = Sigmoid(t); g = Reshape(s, back); y = Mul(x, g)")
            .inputs("float[2,3] x")
            .outputs("float[2,3] y")
            .and("int64[2] turned = 3, 2; int64[2] back = 2, 3; float[2] v = 1, 2");
        explained(&net, &["shape"]);
    }

    #[test]
    fn a_further_factor_meets_x_in_its_own_shape() {
        let net = Net::new("s = Sigmoid(x); m = Mul(s, u); r = Reshape(m, turned); y = Mul(x, r)")
            .inputs("float[4] x; float[4] u")
            .outputs("float[4,4] y")
            .and("int64[2] turned = 4, 1");
        let fused = fuse(&net.model(), Emit::Custom);
        assert_eq!(fused.counts(), "");
    }
}

mod through_functions {
    use super::*;

    #[test]
    fn in_every_form() {
        for body in [
            "N = Neg(X); E = Exp(N); O = Constant[value_float=1.0](); D = Add(E, O); Y = Reciprocal(D)",
            "T = Constant[value_float=3.0](); A = Add(X, T); Z = Constant[value_float=0.0](); S = Constant[value_float=6.0](); C = Clip(A, Z, S); Y = Div(C, S)",
            "S = Sigmoid(X); Y = Abs(S)",
        ] {
            let net = Net::new("s = my::Gate(x); y = Mul(x, s)");
            explained(
                &net.function("my", "Gate", &["X"], &["Y"], body),
                &["function"],
            );
        }
    }

    #[test]
    fn the_product_inside() {
        let net = Net::new("s = Sigmoid(x); y = my::Times(x, s)");
        let times = "I = Identity(B); Y = Mul(A, I)";
        explained(
            &net.function("my", "Times", &["A", "B"], &["Y"], times),
            &["function"],
        );
        // Of a function that adds it is an argument like any other.
        let net = Net::new("s = Sigmoid(x); y = my::Plus(x, s)");
        explained(
            &net.function("my", "Plus", &["A", "B"], &["Y"], "Y = Add(A, B)"),
            &[],
        );
    }

    #[test]
    fn a_call_in_a_call() {
        // Inlined, the gate of another tensor would still be one.
        for (gated, reason) in [("x", "function"), ("u", "another_tensor")] {
            let net = Net::new(&format!("s = my::Outer(x); y = Mul({gated}, s)"))
                .inputs("float[2,8,4,4] x; float[2,8,4,4] u")
                .function(
                    "my",
                    "Outer",
                    &["X"],
                    &["Y"],
                    "Z = my::Inner(X); Y = Abs(Z)",
                )
                .function("my", "Inner", &["X"], &["Y"], "Y = Sigmoid(X)");
            explained(&net, &[reason]);
        }
    }

    #[test]
    fn a_silu_inside_is_fused_there() {
        let net = Net::new("s = Sigmoid(x); y = my::Silu(s)").function(
            "my",
            "Silu",
            &["X"],
            &["Y"],
            "S = Sigmoid(X); Y = Mul(X, S)",
        );
        let fused = fuse(&net.model(), Emit::Custom);
        assert_eq!((&fused.counts()[..], fused.reasons()), ("silu 1", vec![]));
    }
}

mod numbers_that_make_no_gate {
    use super::*;

    #[test]
    fn of_a_clamp() {
        for body in [
            "s = HardSigmoid[alpha=0.0](x); y = Mul(x, s)",
            "s = HardSigmoid[alpha=inf](x); y = Mul(x, s)",
            "s = HardSigmoid[alpha=nan](x); y = Mul(x, s)",
            "s = HardSigmoid[beta=inf](x); y = Mul(x, s)",
            "a = Add(x, three); s = Clip(a, six, zero); y = Mul(x, s)",
            "a = Add(x, three); s = Clip(a, three, three); y = Mul(x, s)",
            "a = Add(x, three); s = Clip(a, zero, nan); y = Mul(x, s)",
            "t = Mul(x, zero); a = Add(t, three); s = Clip(a, zero, six); y = Mul(x, s)",
        ] {
            explained(&Net::new(body).and("float nan = nan"), &["degenerate_gate"]);
        }
    }

    #[test]
    fn gelu_by_a_sigmoid() {
        explained(
            &Net::new("q = Mul(x, x); c = Mul(q, x); k = Mul(c, small); i = Add(x, k); z = Mul(i, root); s = Sigmoid(z); y = Mul(x, s)")
                .and("float small = 0.044715; float root = 1.5957691"),
            &["gelu"],
        );
        // A sigmoid of a square is none.
        explained(
            &Net::new("q = Mul(x, x); i = Add(x, q); s = Sigmoid(i); y = Mul(x, s)"),
            &["not_linear"],
        );
    }

    #[test]
    fn pieces_of_another_tensor() {
        let body = "a = Div(x, six); b = Add(a, half); lo = Less(x, m3); hi = Greater(x, three); c = Where(hi, one, b); g = Where(lo, zero, c); y = Mul(u, g)";
        let net = Net::new(body).and("float m3 = -3");
        explained(
            &net.inputs("float[2,8,4,4] x; float[2,8,4,4] u"),
            &["where"],
        );
        // A ReLU in pieces is no gate.
        let body = "hi = Greater(x, zero); g = Where(hi, x, zero); y = Mul(u, g)";
        explained(
            &Net::new(body).inputs("float[2,8,4,4] x; float[2,8,4,4] u"),
            &[],
        );
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
