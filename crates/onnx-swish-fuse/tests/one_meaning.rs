//! What is one thing is one, however a file writes it: nodes that stand twice, permutations there and back, bounds and
//! quotients in several operators.

mod common;

use common::codes::{PARAMETERS, inspected, no_table, pair, region};
use common::{Net, check, explained, fuse};
use onnx_swish_fuse::{Emit, Options, analyze};

#[track_caller]
fn silu(net: &Net) {
    let fused = check(net, Emit::Custom);
    assert_eq!(fused.counts(), "silu 1", "{:?}", fused.report.near_misses);
    assert_eq!(fused.reasons(), [""; 0], "{:?}", fused.report.near_misses);
}

mod nodes_that_stand_twice {
    use super::*;

    #[test]
    fn two_dequantizers_of_one_code() {
        let body = "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); e = DequantizeLinear(q, sx2, zx2); s = Sigmoid(d); y = Mul(e, s)";
        silu(
            &Net::new(body)
                .and(PARAMETERS)
                .and("float sx2 = 0.05; uint8 zx2 = 128"),
        );
        let other = Net::new(body)
            .and(PARAMETERS)
            .and("float sx2 = 0.06; uint8 zx2 = 128");
        assert_eq!(fuse(&other.model(), Emit::Custom).counts(), "");
    }

    #[test]
    fn one_after_the_other() {
        silu(&Net::new(
            "a = Relu(x); b = Relu(x); c = Sqrt(a); d = Sqrt(b); s = Sigmoid(c); y = Mul(d, s)",
        ));
        silu(
            &Net::new("a = Mul(x, u); b = Mul(x, u); s = Sigmoid(a); y = Mul(b, s)")
                .inputs("float[2,8,4,4] x; float[2,8,4,4] u"),
        );
    }

    #[test]
    fn twice_the_same_product_is_fused_twice() {
        let net = Net::new(
            "s = Sigmoid(x); r = Sigmoid(x); a = Mul(x, s); b = Mul(x, r); t = Sigmoid(a); y = Mul(b, t)",
        );
        let fused = check(&net, Emit::Custom);
        assert_eq!(fused.counts(), "silu 3");
    }

    #[test]
    fn with_other_attributes_they_are_two() {
        let net = Net::new(
            "a = LeakyRelu[alpha=0.1](x); b = LeakyRelu[alpha=0.2](x); s = Sigmoid(a); y = Mul(b, s)",
        );
        explained(&net, &["another_tensor"]);
        let net = Net::new(
            "a = Dropout(x, half, mode); b = Dropout(x, half, mode); s = Sigmoid(a); y = Mul(b, s)",
        )
        .and("bool mode = 1");
        explained(&net, &["not_linear"]);
    }

    /// Each is compared with a few of the others only, also in a file that stands in no order.
    #[test]
    fn a_hundred_thousand_times() {
        let mut nodes: Vec<String> = (0..100_000).map(|i| format!("a{i} = Abs(x)")).collect();
        nodes.push("s = Sigmoid(a7)".into());
        nodes.push("y = Mul(a99999, s)".into());
        let fusions = |nodes: &[String]| {
            let net = Net::new(&nodes.join("; "));
            analyze(&net.model(), &Options::default())
                .report()
                .fusions
                .len()
        };
        assert_eq!(fusions(&nodes), 1);
        nodes.reverse();
        assert_eq!(fusions(&nodes), 0);
    }
}

mod permutations {
    use super::*;

    #[test]
    fn there_and_back() {
        for gate in [
            "s = Sigmoid(t)",
            "n = Neg(t); e = Exp(n); a = Add(e, one); s = Reciprocal(a)",
            "h = Mul(t, half); p = Tanh(h); a = Add(p, one); s = Mul(a, half)",
        ] {
            silu(&Net::new(&format!(
                "t = Transpose[perm=0:2:3:1](x); {gate}; u = Transpose[perm=0:3:1:2](s); y = Mul(x, u)"
            )));
        }
        let hard = Net::new(
            "t = Transpose[perm=0:2:3:1](x); a = Add(t, three); c = Clip(a, zero, six); u = Transpose[perm=0:3:1:2](c); m = Mul(x, u); y = Div(m, six)",
        );
        assert_eq!(check(&hard, Emit::Custom).counts(), "hard_swish 1");
    }

    #[test]
    fn in_three_steps() {
        silu(&Net::new(
            "t = Transpose[perm=0:2:3:1](x); s = Sigmoid(t); u = Transpose[perm=0:2:3:1](s); v = Transpose[perm=0:2:3:1](u); y = Mul(x, v)",
        ));
    }

    /// What Transpose does when nothing is written.
    #[test]
    fn of_all_dimensions() {
        let net = Net::new("t = Transpose(x); s = Sigmoid(t); u = Transpose(s); y = Mul(x, u)");
        assert_eq!(fuse(&net.model(), Emit::Custom).counts(), "silu 1");
        let net = Net::new(
            "t = Transpose(x); s = Sigmoid(t); u = Transpose[perm=3:2:1:0](s); y = Mul(x, u)",
        );
        assert_eq!(fuse(&net.model(), Emit::Custom).counts(), "silu 1");
    }

    #[test]
    fn there_and_elsewhere() {
        let net = Net::new("t = Transpose[perm=0:1:3:2](x); s = Sigmoid(t); u = Transpose[perm=1:0:2:3](s); y = Mul(x, u)")
            .inputs("float[4,4,4,4] x")
            .outputs("float[4,4,4,4] y");
        explained(&net, &["not_linear"]);
    }

    /// The axes of a reshaped value are others: twice `[1, 0]` with a reshape in between is no way back.
    #[test]
    fn with_a_reshape_in_between() {
        let net = Net::new("r = Reshape(x, wide); t = Transpose[perm=1:0](r); b = Reshape(t, wide); c = Transpose[perm=1:0](b); g = Reshape(c, full); s = Sigmoid(g); y = Mul(x, s)")
            .and("int64[2] wide = 16, 64; int64[4] full = 2, 8, 4, 4");
        let fused = fuse(&net.model(), Emit::Custom);
        assert_eq!((&fused.counts()[..], fused.reasons().len()), ("", 1));
    }

    #[test]
    fn of_what_was_reshaped() {
        silu(
            &Net::new("r = Reshape(x, three_d); t = Transpose[perm=0:2:1](r); s = Sigmoid(t); m = Mul(t, s); u = Transpose[perm=0:2:1](m); y = Reshape(u, full)")
                .and("int64[3] three_d = 2, 8, 16; int64[4] full = 2, 8, 4, 4"),
        );
    }

    #[test]
    fn a_beta_for_each_channel_is_not_permuted() {
        let net = Net::new("t = Transpose[perm=0:2:3:1](x); b = Mul(t, beta); s = Sigmoid(b); u = Transpose[perm=0:3:1:2](s); y = Mul(x, u)")
            .and("float[8] beta = 1, 2, 3, 4, 5, 6, 7, 8");
        let fused = check(&net, Emit::Custom);
        assert_eq!((&fused.counts()[..], fused.reasons().len()), ("", 1));
    }
}

mod bounds {
    use super::*;

    #[test]
    fn of_a_clamp_that_is_shifted_back() {
        let net =
            Net::new("a = Add(x, three); c = Clip(a, zero, six); b = Sub(c, three); y = Mul(x, b)");
        let fused = explained(&net, &["bounds"]);
        assert!(fused.report.near_misses[0].message.contains("[-3, 3]"));
        // A number that swallows x is no offset to be taken back.
        let net =
            Net::new("a = Add(x, huge); c = Clip(a, zero, more); b = Sub(c, huge); y = Mul(x, b)")
                .and("float huge = 1e8; float more = 1e9");
        assert_eq!(fuse(&net.model(), Emit::Custom).counts(), "");
    }

    #[test]
    fn that_close_in_two_operators() {
        for clamp in [
            "r = Max(a, six); c = Min(r, zero)",
            "r = Min(a, zero); c = Max(r, six)",
            "r = Clip(a, six); c = Min(r, three)",
            "r = Relu(a); c = Min(r, mone)",
            "r = Max(a, six); c = Min(six, r)",
        ] {
            let net = Net::new(&format!("a = Add(x, three); {clamp}; y = Mul(x, c)"));
            explained(&net, &["degenerate_gate"]);
        }
    }

    #[test]
    fn that_callers_give_a_function() {
        for clamp in [
            "C = Clip(A, lo, hi)",
            "R = Max(A, lo); C = Min(R, hi)",
            "R = Min(A, hi); C = Max(lo, R)",
            "R = Relu(A); C = Min(R, hi)",
            "R = Relu(A); C = Clip(R, , hi)",
            "R = Clip(A, lo); C = Clip(R, , hi)",
        ] {
            let net = Net::new("d = my::Gate(x, three, zero, six); y = Mul(x, d)").function(
                "my",
                "Gate",
                &["X", "shift", "lo", "hi"],
                &["Y"],
                &format!("A = Add(X, shift); {clamp}; Y = Div(C, hi)"),
            );
            explained(&net, &["function"]);
        }
        let half_open = Net::new("d = my::Gate(x, zero); y = Mul(x, d)").function(
            "my",
            "Gate",
            &["X", "lo"],
            &["Y"],
            "Y = Max(X, lo)",
        );
        explained(&half_open, &[]);
    }
}

mod quotients {
    use super::*;

    #[test]
    fn by_a_reciprocal_are_products() {
        for reciprocal in ["r = Reciprocal(x)", "r = Div(one, x)", "r = Pow(x, mone)"] {
            silu(&Net::new(&format!(
                "s = Sigmoid(x); {reciprocal}; y = Div(s, r)"
            )));
        }
        let another = Net::new("s = Sigmoid(x); r = Reciprocal(u); y = Div(s, r)")
            .inputs("float[2,8,4,4] x; float[2,8,4,4] u");
        explained(&another, &["another_tensor"]);
    }

    #[test]
    fn by_a_gate_that_is_a_reciprocal_are_quotients() {
        let net =
            Net::new("n = Neg(x); e = Exp(n); a = Add(e, one); g = Reciprocal(a); y = Div(x, g)");
        explained(&net, &["gate_divisor"]);
    }
}

#[test]
fn a_beta_with_an_element_that_is_no_number() {
    for (argument, beta) in [
        ("t = Mul(x, k)", "1, 2, 3, inf, 5, 6, 7, 8"),
        ("t = Mul(k, x)", "1, 2, 3, 4, 5, 6, 7, nan"),
        ("t = Div(x, k)", "1, 2, 0, 4, 5, 6, 7, 8"),
        ("t = Div(x, k)", "1, 2, nan, 4, 5, 6, 7, 8"),
    ] {
        let net = Net::new(&format!("{argument}; s = Sigmoid(t); y = Mul(x, s)"))
            .and(&format!("float[8,1,1] k = {beta}"));
        let fused = explained(&net, &["beta"]);
        let message = &fused.report.near_misses[0].message;
        let name = if argument.contains("Div") {
            "1/`k`"
        } else {
            "`k`"
        };
        let named = format!("whose beta {name} has an element that is");
        assert!(message.contains(&named), "{message}");
    }
    // Zero is a beta, and so is what is left of a number that infinity divides.
    for (argument, beta) in [
        ("t = Mul(x, k)", "1, 2, 3, 0, 5, 6, 7, 8"),
        ("t = Div(x, k)", "1, 2, 3, inf, 5, 6, 7, 8"),
    ] {
        let net = Net::new(&format!("{argument}; s = Sigmoid(t); y = Mul(x, s)"))
            .and(&format!("float[8,1,1] k = {beta}"));
        let counts = fuse(&net.model(), Emit::Custom).counts();
        assert_eq!(counts, "swish 1");
    }
}

#[test]
fn mish_by_a_logarithm() {
    explained(
        &Net::new("e = Exp(x); a = Add(e, one); l = Log(a); t = Tanh(l); y = Mul(x, t)"),
        &["mish"],
    );
}

#[test]
fn one_value_quantised_in_two_ways() {
    for gate in [
        "s = Sigmoid(e)",
        "s = HardSigmoid[alpha=0.16666667](e)",
        "a = Add(e, three); c = Clip(a, zero, six); s = Div(c, six)",
    ] {
        let body = format!("{}; {gate}; m = Mul(d, s)", pair("x", "e", "sy", "zx"));
        no_table(&region(&body), "two_quantisers");
    }
}

/// In floats, between codes: a Relu bounds it on one side, and what leaves is quantised.
#[test]
fn a_gate_with_one_bound_is_no_quantised_gate() {
    let net = region("a = Add(d, three); c = Relu(a); t = Mul(d, c); m = Div(t, six)");
    assert!(inspected(&net).report.quantised.is_empty());
    no_table(&net, "half_open");
}

/// A beta is called what it is: what divides x is no beta, but one over it is.
#[test]
fn the_name_of_a_beta() {
    for (argument, name) in [
        ("t = Mul(x, u)", "beta `u` is computed"),
        ("t = Div(x, u)", "beta 1/`u` is computed"),
        ("v = Mul(x, two); t = Div(v, u)", "beta 2/`u` is computed"),
    ] {
        let net = Net::new(&format!("{argument}; s = Sigmoid(t); y = Mul(x, s)"))
            .inputs("float[2,8,4,4] x; float[2,8,4,4] u");
        let fused = explained(&net, &["full_rank_beta"]);
        let message = &fused.report.near_misses[0].message;
        assert!(message.contains(name), "{message}");
    }
}
