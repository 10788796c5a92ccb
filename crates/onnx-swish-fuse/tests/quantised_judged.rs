//! Quantised regions that only their numbers tell apart from an activation: what every quantiser of one rounds and cuts off.

mod common;

use common::Net;
use common::codes::{inspected, message, no_table, pair, region, table};
use onnx_swish_fuse::ActivationKind;

/// A region whose code that leaves is made with `so` and `zo`, among constants of its own.
fn with_result(body: &str, constants: &str) -> Net {
    Net::new(&format!(
        "{}; {body}; {}",
        pair("x", "d", "sx", "zx"),
        pair("m", "y", "so", "zo")
    ))
    .and("float sx = 0.05; uint8 zx = 128; float sg = 0.00390625; uint8 zg = 0")
    .and(constants)
}

mod every_quantiser_is_judged {
    use super::*;

    fn add_clip(gate: &str, product: &str, result: &str) -> Net {
        let body = [
            "a = Add(d, three); c = Clip(a, zero, six)".to_owned(),
            pair("c", "g", "sa", "zg"),
            "t = Mul(d, g)".to_owned(),
            pair("t", "v", "sm", "zm"),
            "m = Div(v, six)".to_owned(),
        ];
        with_result(&body.join("; "), &format!("{gate}; {product}; {result}"))
    }

    const GATE: &str = "float sa = 0.023529412";
    const RESULT: &str = "float so = 0.029; uint8 zo = 13";

    #[test]
    fn before_the_division() {
        let wide = add_clip(GATE, "float sm = 0.174; uint8 zm = 13", RESULT);
        assert_eq!(table(&wide).factor, None);
        // 6·HardSwish reaches 38, and this ends at 9.2: what leaves ends at 1.5 instead of 7.
        let narrow = add_clip(GATE, "float sm = 0.0392; uint8 zm = 20", RESULT);
        no_table(&narrow, "saturates");
        assert!(
            message(&narrow).contains("the quantiser of `vq`"),
            "{}",
            message(&narrow)
        );
        assert!(message(&narrow).contains("9.212"), "{}", message(&narrow));
    }

    #[test]
    fn whose_steps_round_the_product_away() {
        let coarse = add_clip(GATE, "float sm = 2.0; uint8 zm = 128", RESULT);
        no_table(&coarse, "coarse");
        assert!(
            message(&coarse).contains("steps of 2 "),
            "{}",
            message(&coarse)
        );
    }

    #[test]
    fn that_ends_where_the_result_ends() {
        let both = add_clip(
            GATE,
            "float sm = 0.0392; uint8 zm = 20",
            "float so = 0.00653; uint8 zo = 20",
        );
        assert_eq!(table(&both).activation, ActivationKind::HardSwish);
    }

    /// Scales as random search found them: x reaches 1.99, and the codes are off by 65 steps.
    #[test]
    fn two_at_once() {
        let body = [
            "a = Add(d, three); c = Clip(a, zero, six)".to_owned(),
            pair("c", "g", "sa", "zg"),
            "t = Mul(d, g)".to_owned(),
            pair("t", "v", "sm", "zm"),
            "m = Div(v, six)".to_owned(),
        ];
        let net = with_result(
            &body.join("; "),
            "float sa = 0.01764706; float sm = 0.033627424; uint8 zm = 47; float so = 0.00800653; uint8 zo = 47",
        );
        let net = net
            .clone()
            .constants(&net.constants.replace("sx = 0.05", "sx = 0.015686275"));
        no_table(&net, "saturates");
    }
}

mod a_gate_that_its_codes_do_not_resolve {
    use super::*;

    fn silu(step: &str) -> Net {
        let body = format!(
            "s = Sigmoid(d); {}; m = Mul(d, g)",
            pair("s", "g", "sw", "zg")
        );
        region(&body).and(&format!("float sw = {step}"))
    }

    /// A step of 5 makes the constant zero, a step of 1 a ReLU, a step of 1/4 a staircase.
    #[test]
    fn is_none() {
        for step in ["5", "1", "0.25", "0.1"] {
            no_table(&silu(step), "coarse");
        }
        assert!(message(&silu("5")).contains("the quantiser of `gq`: its steps of 5"));
    }

    #[test]
    fn is_resolved_by_half_the_codes() {
        for step in ["0.00390625", "0.007874016"] {
            assert_eq!(table(&silu(step)).activation, ActivationKind::Silu);
        }
    }

    /// e^-x up to 2200 in 256 steps: 0, 8.7, 17.4.
    #[test]
    fn behind_an_exponential() {
        let body = [
            "n = Neg(d); e = Exp(n)".to_owned(),
            pair("e", "f", "se", "zg"),
            "a = Add(f, one)".to_owned(),
            pair("a", "b", "se", "zg"),
            "m = Div(d, b)".to_owned(),
        ];
        let body = body.join("; ");
        let reasons = inspected(&region(&body).and("float se = 8.684353"))
            .report
            .near_misses;
        assert!(
            matches!(&reasons[..], [miss] if miss.reason == "saturates" || miss.reason == "coarse"),
            "{reasons:?}"
        );
        let reciprocal = body.replace("m = Div(d, b)", "h = Reciprocal(b); m = Mul(d, h)");
        let net = region(&reciprocal).and("float se = 8.684353");
        assert!(inspected(&net).report.quantised.is_empty());
    }
}

mod a_quantiser_in_the_place_of_a_clip {
    use super::*;

    fn gate(zero_point: u8, step: &str) -> Net {
        let body = format!(
            "a = Add(d, three); {}; t = Mul(d, g); m = Div(t, six)",
            pair("a", "g", "sa", "za")
        );
        region(&body).and(&format!("float sa = {step}; uint8 za = {zero_point}"))
    }

    #[track_caller]
    fn standard(net: &Net) {
        let found = table(net);
        assert_eq!(
            (found.alpha, found.offset, found.factor),
            (Some(1.0 / 6.0), Some(0.5), None)
        );
    }

    #[test]
    fn may_miss_zero_by_a_step_or_two() {
        standard(&gate(0, "0.023529412"));
        standard(&gate(1, "0.023622047"));
        standard(&gate(2, "0.023715415"));
    }

    #[test]
    fn does_not_go_on_below_zero() {
        for zero_point in [20, 36] {
            no_table(&gate(zero_point, "0.027"), "bounds");
        }
        assert!(
            message(&gate(36, "0.027"))
                .contains("the quantiser of `gq` bounds, at -0.972: a HardSwish gate closes at 0")
        );
    }

    #[test]
    fn does_not_go_on_above_six() {
        let net = gate(0, "0.04");
        no_table(&net, "bounds");
        assert!(
            message(&net).contains("at 10.2: a gate that is 1/2 at zero ends at 6"),
            "{}",
            message(&net)
        );
    }

    /// x/6 + 1/2 where x was seen from -3 to 3 only, so that x/6 ends before the gate does.
    #[test]
    fn behind_a_quantiser_that_ends_before_it() {
        let body = [
            "a = Mul(d, sixth)".to_owned(),
            pair("a", "b", "sb", "zb"),
            "c = Add(b, half)".to_owned(),
            pair("c", "g", "sg", "zg"),
            "m = Mul(d, g)".to_owned(),
        ];
        let net = region(&body.join("; ")).and("float sb = 0.0041434788; uint8 zb = 119");
        let net = net.clone().constants(
            &net.constants
                .replace(
                    "sx = 0.05; uint8 zx = 128",
                    "sx = 0.024860872; uint8 zx = 119",
                )
                .replace("sg = 0.00390625", "sg = 0.003921569"),
        );
        standard(&net);
    }

    #[test]
    fn is_no_activation_of_a_relu() {
        // ONNX Runtime takes a Relu before a quantiser out, too: x·relu(x) is left as a product of two codes of x.
        let body = format!("{}; m = Mul(d, g)", pair("d", "g", "sr", "zg"));
        for step in ["0.0249", "0.02", "0.03"] {
            let report = inspected(&region(&body).and(&format!("float sr = {step}"))).report;
            assert!(report.quantised.is_empty(), "{:?}", report.quantised);
            assert!(report.near_misses.is_empty(), "{:?}", report.near_misses);
        }
    }

    /// `x/2 · clamp(x + 2, 0, 2)`: HardMish, which is a HardSwish of slope 1/2.
    #[test]
    fn of_another_slope() {
        let body = [
            "h = Mul(d, half)".to_owned(),
            pair("h", "p", "sh", "zx"),
            "a = Add(d, two)".to_owned(),
            pair("a", "g", "s2", "zg"),
            "m = Mul(p, g)".to_owned(),
        ];
        let found =
            table(&region(&body.join("; ")).and("float sh = 0.025; float s2 = 0.007843138"));
        assert_eq!(
            (found.alpha, found.offset, found.factor),
            (Some(0.5), Some(1.0), None)
        );
    }
}

mod partners_that_are_quantised_themselves {
    use super::*;

    #[test]
    fn x_divided_by_six_first() {
        let body = [
            "h = Mul(d, sixth)".to_owned(),
            pair("h", "p", "sh", "zx"),
            "a = Add(d, three)".to_owned(),
            pair("a", "g", "sa", "zg"),
            "m = Mul(p, g)".to_owned(),
        ];
        let found =
            table(&region(&body.join("; ")).and("float sh = 0.0083333; float sa = 0.023529412"));
        assert_eq!((found.alpha, found.factor), (Some(1.0 / 6.0), None));
        assert_eq!(found.input, "q");
    }

    #[test]
    fn half_of_x_times_one_plus_tanh() {
        let body = [
            "h = Mul(d, half)".to_owned(),
            pair("h", "p", "sh", "zx"),
            "n = Mul(d, half)".to_owned(),
            pair("n", "t", "sh", "zx"),
            "u = Tanh(t)".to_owned(),
            pair("u", "v", "st", "zx"),
            "w = Add(v, one)".to_owned(),
            pair("w", "g", "st", "zg"),
            "m = Mul(p, g)".to_owned(),
        ];
        let found =
            table(&region(&body.join("; ")).and("float sh = 0.025; float st = 0.007843138"));
        assert_eq!(
            (found.activation, found.factor),
            (ActivationKind::Silu, None)
        );
        assert_eq!(found.input, "q");
    }

    /// A symmetric quantiser stores 1 as 127 of 127.5 steps: 0.996.
    #[test]
    fn one_that_comes_back_as_less() {
        let body = [
            "n = Mul(d, half)".to_owned(),
            "u = Tanh(n)".to_owned(),
            pair("u", "v", "st", "zx"),
            "o = DequantizeLinear(k, st, zx); w = Add(v, o)".to_owned(),
            pair("w", "g", "sw", "zx"),
            "t = Mul(d, g); m = Mul(t, half)".to_owned(),
        ];
        let net = region(&body.join("; "))
            .and("float st = 0.007843138; float sw = 0.015686275; uint8 k = 255");
        let found = table(&net);
        assert_eq!(
            (found.activation, found.beta, found.factor),
            (ActivationKind::Silu, Some(1.0), None)
        );
    }
}

mod a_line_before_the_activation {
    use super::*;

    const SILU: &str = "s = Sigmoid(w); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(w, g)";

    #[test]
    fn goes_into_slope_and_factor() {
        let found = table(&region(&format!("w = Mul(d, two); {SILU}")));
        assert_eq!(
            (found.activation, found.beta, found.factor),
            (ActivationKind::Swish, Some(2.0), Some(2.0))
        );
        let found = table(&region(&format!("w = Neg(d); {SILU}")));
        assert_eq!((found.beta, found.factor), (Some(-1.0), Some(-1.0)));
        let found = table(&region("w = Mul(d, two); m = HardSwish(w)"));
        assert_eq!(
            (found.alpha, found.offset, found.factor),
            (Some(0.333_333_33), Some(0.5), Some(2.0))
        );
    }

    #[test]
    fn with_an_offset_is_told() {
        let net = region(&format!("w = Add(d, three); {SILU}"));
        no_table(&net, "code_offset");
        assert!(message(&net).contains("plus 3"), "{}", message(&net));
    }

    /// Nothing is rounded in between, but the codes are where they are: it stays, or is one operator already.
    #[test]
    fn with_an_offset_in_floats_is_no_table() {
        no_table(
            &region("w = Add(d, three); s = Sigmoid(w); m = Mul(w, s)"),
            "code_offset",
        );
        let fused = inspected(&region("w = Add(d, three); m = HardSwish(w)"));
        assert!(fused.report.quantised.is_empty());
        assert_eq!(fused.report.already_fused.len(), 1);
    }
}
