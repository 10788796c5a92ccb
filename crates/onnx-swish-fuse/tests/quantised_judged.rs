//! Quantised regions that only their numbers tell apart from an activation, spellings that quantisers make, and gates behind
//! quantisers that are something else.

mod common;

use common::codes::{PARAMETERS, inspected, no_table, region, table};
use common::{Net, fuse, model, text};
use onnx_swish_fuse::{ActivationKind, Emit};
use onnx_swish_model::schema::AttributeProto;
use onnx_swish_model::schema::attribute_proto::AttributeType;

/// `to = DequantizeLinear(QuantizeLinear(from))`, with scale `s` and zero point `z`.
fn pair(from: &str, to: &str, s: &str, z: &str) -> String {
    format!("{to}q = QuantizeLinear({from}, {s}, {z}); {to} = DequantizeLinear({to}q, {s}, {z})")
}

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

/// The one near miss.
#[track_caller]
fn message(net: &Net) -> String {
    let report = inspected(net).report;
    let [miss] = &report.near_misses[..] else {
        panic!("{:?}", report.near_misses);
    };
    miss.message.clone()
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

    /// Nothing is rounded in between, so that it may be fused as it stands, or is one operator already.
    #[test]
    fn with_an_offset_in_floats_is_no_table() {
        let fused = inspected(&region("w = Add(d, three); s = Sigmoid(w); m = Mul(w, s)"));
        assert!(fused.report.quantised.is_empty());
        assert_eq!(fused.counts(), "silu 1");
        let fused = inspected(&region("w = Add(d, three); m = HardSwish(w)"));
        assert!(fused.report.quantised.is_empty());
        assert_eq!(fused.report.already_fused.len(), 1);
    }
}

mod transposes {
    use super::*;

    /// As tf2onnx writes channels-last networks and the quantiser quantises them: both sides are transposed, each is
    /// quantised again, and the result is transposed back.
    #[test]
    fn there_and_back() {
        let body = [
            "s = Sigmoid(d)".to_owned(),
            pair("s", "g", "sg", "zg"),
            "gt = Transpose[perm=0:2:3:1](g); dt = Transpose[perm=0:2:3:1](d)".to_owned(),
            pair("dt", "p", "sx", "zx"),
            "t = Mul(p, gt); m = Transpose[perm=0:3:1:2](t)".to_owned(),
        ];
        let found = table(&region(&body.join("; ")));
        assert_eq!(found.activation, ActivationKind::Silu);
        assert_eq!((&found.input[..], &found.output[..]), ("q", "r"));
    }

    #[test]
    fn there_and_not_back() {
        let body = format!(
            "s = Sigmoid(d); {}; gt = Transpose[perm=0:2:3:1](g); dt = Transpose[perm=0:2:3:1](d); m = Mul(dt, gt)",
            pair("s", "g", "sg", "zg")
        );
        let net = region(&body).outputs("float[2,4,4,8] y");
        no_table(&net, "transposed");
    }

    #[test]
    fn of_one_side_only() {
        let body = "s = Sigmoid(d); gt = Transpose[perm=0:1:3:2](s); m = Mul(d, gt)";
        let report = inspected(&region(body)).report;
        assert!(report.quantised.is_empty());
        assert_eq!(report.near_misses.len(), 1, "{:?}", report.near_misses);
    }

    #[test]
    fn of_codes() {
        let net = Net::new("q0 = QuantizeLinear(x, sx, zx); q = Transpose[perm=0:2:3:1](q0); d = DequantizeLinear(q, sx, zx); s = Sigmoid(d); m = Mul(d, s); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS)
            .outputs("float[2,4,4,8] y");
        assert_eq!(table(&net).input, "q");
    }
}

/// What is no table, and what once went without a word.
mod every_gate_gets_a_word {
    use super::*;

    /// HardMish, whose Clip the quantiser took out, behind x/2.
    const HARD_MISH: &str = "h = Mul(d, half); hq = QuantizeLinear(h, sx, zx); hd = DequantizeLinear(hq, sx, zx); \
        a = Add(d, two); aq = QuantizeLinear(a, s2, z2); g = DequantizeLinear(aq, s2, z2); m = Mul(hd, g)";

    #[test]
    fn without_its_clip_in_wide_codes() {
        let net = region(HARD_MISH).and("float s2 = 0.00003; uint16 z2 = 0");
        no_table(&net, "code_type");
    }

    #[test]
    fn without_its_clip_and_not_quantised_again() {
        let body = "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); a = Add(d, three); \
            aq = QuantizeLinear(a, s6, zg); g = DequantizeLinear(aq, s6, zg); y = Mul(d, g)";
        let net = Net::new(body).and(PARAMETERS).and("float s6 = 0.023529412");
        no_table(&net, "quantized");
        assert!(
            message(&net).contains("`y` multiplies `d` by the gate `g`"),
            "{}",
            message(&net)
        );
    }

    #[test]
    fn without_its_clip_of_a_float() {
        let body = "a = Add(x, three); aq = QuantizeLinear(a, s6, zg); g = DequantizeLinear(aq, s6, zg); t = Mul(x, g); y = Div(t, six)";
        let net = Net::new(body).and(PARAMETERS).and("float s6 = 0.023529412");
        no_table(&net, "quantized");
    }

    #[test]
    fn with_an_operator_between_codes() {
        let body = "q = QuantizeLinear(x, sx, zx); s = com.microsoft::QLinearSigmoid(q, sx, zx, sg, zg); \
            f = DequantizeLinear(s, sg, zg); v = Max(f, half); vq = QuantizeLinear(v, sg, zg); \
            m = com.microsoft::QLinearMul(q, sx, zx, vq, sg, zg, sy, zy); y = DequantizeLinear(m, sy, zy)";
        let mut net = Net::new(body).and(PARAMETERS);
        net.imports.push(("com.microsoft".into(), 1));
        no_table(&net, "changed_gate");
    }

    /// Codes of a layer, transposed before anything has said what their scale is.
    #[test]
    fn between_transposes_of_codes() {
        let body = "c = QuantizeLinear(x, sx, zx); q0 = QLinearConv(c, sx, zx, w, sx, zx, sx, zx); \
            q = Transpose[perm=0:2:3:1](q0); s = com.microsoft::QLinearSigmoid(q, sx, zx, sg, zg); \
            r = com.microsoft::QLinearMul(q, sx, zx, s, sg, zg, sy, zy); t = Transpose[perm=0:3:1:2](r); y = DequantizeLinear(t, sy, zy)";
        let mut net = Net::new(body).and(PARAMETERS).and("uint8[8,8,1,1] w = 129");
        net.imports.push(("com.microsoft".into(), 1));
        let found = table(&net);
        assert_eq!((&found.input[..], &found.output[..]), ("q", "r"));
    }

    #[test]
    fn whose_exponential_saturates_nowhere() {
        let body = [
            "n = Neg(d); e = Exp(n)".to_owned(),
            pair("e", "f", "se", "zg"),
            "a = Add(f, one); m = Div(d, a)".to_owned(),
        ];
        no_table(&region(&body.join("; ")).and("float se = 10"), "coarse");
    }
}

mod gates_of_something_else {
    use super::*;

    /// As an LSTM writes its state: each side quantised.
    #[test]
    fn a_recurrent_gate() {
        let body = [
            "i = Sigmoid(d)".to_owned(),
            pair("i", "g", "sg", "zg"),
            "u = Tanh(v)".to_owned(),
            pair("u", "t", "st", "zx"),
            "m = Mul(g, t)".to_owned(),
        ];
        let net = region(&body.join("; "))
            .and("float st = 0.0079")
            .inputs("float[2,8,4,4] x; float[2,8,4,4] v");
        no_table(&net, "recurrent_gate");
    }

    const WEIGHTS: &str = "float[2,8,1,1] w1 = 0.1; float[8,2,1,1] w2 = 0.1";

    fn squeeze(gate: &str) -> Net {
        let body = [
            "pool = GlobalAveragePool(d)".into(),
            pair("pool", "a", "sx", "zx"),
            "c1 = Conv(a, w1)".into(),
            pair("c1", "b", "sx", "zx"),
            "c2 = Conv(b, w2)".into(),
            pair("c2", "c", "sx", "zx"),
            gate.to_owned(),
            "m = Mul(d, g)".into(),
        ];
        region(&body.join("; ")).and(WEIGHTS)
    }

    /// Its Clip was taken out by the quantiser, which never saw 6.
    #[test]
    fn a_squeeze_gate_without_its_clip() {
        let gate = [
            "u = Add(c, three)".to_owned(),
            pair("u", "v", "sa", "zg"),
            "s = Div(v, six)".to_owned(),
            pair("s", "g", "sg", "zg"),
        ];
        let net = squeeze(&gate.join("; ")).and("float sa = 0.021989128");
        no_table(&net, "squeeze_gate");
    }

    /// As ONNX Runtime's optimiser writes it, between two permutations of codes or of numbers.
    #[test]
    fn a_squeeze_gate_behind_transposes() {
        let gate = "ct = Transpose[perm=0:2:3:1](c); s = Sigmoid(ct); gq = QuantizeLinear(s, sg, zg); \
            gt = Transpose[perm=0:3:1:2](gq); g = DequantizeLinear(gt, sg, zg)";
        no_table(&squeeze(gate), "squeeze_gate");
        let numbers = format!(
            "ct = Transpose[perm=0:2:3:1](c); s = Sigmoid(ct); {}; ht = Transpose[perm=0:3:1:2](h); {}",
            pair("s", "h", "sg", "zg"),
            pair("ht", "g", "sg", "zg")
        );
        no_table(&squeeze(&numbers), "squeeze_gate");
    }

    /// Two layers of ONNX Runtime's own between the pooling and the gate.
    #[test]
    fn a_squeeze_gate_over_layers_whose_channels_come_last() {
        let body = "q = QuantizeLinear(x, sx, zx); \
            pool = com.microsoft::QLinearGlobalAveragePool(q, sx, zx, sx, zx); pt = Transpose[perm=0:2:3:1](pool); \
            c1 = com.microsoft::QLinearConv[channels_last=1](pt, sx, zx, w, sx, zx, sx, zx); \
            c2 = com.microsoft::QLinearConv[channels_last=1](c1, sx, zx, w, sx, zx, sx, zx); \
            ct = Transpose[perm=0:3:1:2](c2); c = DequantizeLinear(ct, sx, zx); h = HardSigmoid(c); \
            p = QuantizeLinear(h, sg, zg); \
            r = com.microsoft::QLinearMul(q, sx, zx, p, sg, zg, sx, zx); y = DequantizeLinear(r, sx, zx)";
        let mut net = Net::new(body).and(PARAMETERS).and("uint8[8,8,1,1] w = 3");
        net.imports.push(("com.microsoft".into(), 1));
        no_table(&net, "squeeze_gate");
    }

    #[test]
    fn gelu_by_erf() {
        let body = [
            "t = Div(d, root); e = Erf(t)".to_owned(),
            pair("e", "f", "se", "zx"),
            "w = Add(f, one)".to_owned(),
            pair("w", "g", "se", "zg"),
            "v = Mul(d, g); m = Mul(v, half)".to_owned(),
        ];
        let net = region(&body.join("; ")).and("float root = 1.4142135; float se = 0.007843138");
        no_table(&net, "gelu");
    }

    #[test]
    fn mish() {
        let body = format!(
            "u = Softplus(d); s = Tanh(u); {}; m = Mul(d, g)",
            pair("s", "g", "sg", "zg")
        );
        no_table(&region(&body), "mish");
    }

    #[test]
    fn the_square_of_a_gate() {
        let body = [
            "s = Sigmoid(d)".to_owned(),
            pair("s", "h", "sg", "zg"),
            "t = Mul(h, h)".to_owned(),
            pair("t", "g", "sg", "zg"),
            "m = Mul(d, g)".to_owned(),
        ];
        let report = inspected(&region(&body.join("; "))).report;
        let misses = report
            .near_misses
            .iter()
            .map(|miss| (&miss.output[..], &miss.reason[..]));
        let misses: Vec<_> = misses.collect();
        assert_eq!(misses, [("t", "another_tensor"), ("m", "gate_power")]);
    }

    #[test]
    fn a_gate_reshaped_as_codes() {
        let body = "s = Sigmoid(d); p = QuantizeLinear(s, sg, zg); pr = Reshape(p, shape); g = DequantizeLinear(pr, sg, zg); m = Mul(d, g)";
        let net = region(body).and("int64[4] shape = 2,8,4,4");
        no_table(&net, "not_linear");
        assert!(message(&net).contains("Reshape"), "{}", message(&net));
    }

    /// `x·(x + c)` with a c that nothing says, as in a function whose scales and constants are arguments, or in 8-bit floats.
    #[test]
    fn a_line_with_an_unknown_constant_and_codes_of_another_type() {
        let body = format!(
            "c = DequantizeLinear(k, sk, zf); a = Add(d, c); {}; t = Mul(d, g); m = Div(t, six)",
            pair("a", "g", "sa", "zf")
        );
        let net = region(&body).and("float8 k = 3; float sk = 0; float sa = 0.0235; float8 zf = 0");
        no_table(&net, "code_type");
    }

    /// Meta-ACON: beta is computed from pooled values by layers whose biases are int32 codes.
    #[test]
    fn a_beta_from_layers_with_wide_biases() {
        let body = [
            "pool = GlobalAveragePool(d); bias = DequantizeLinear(b32, sx); c = Conv(pool, w, bias); n = Sigmoid(c)".to_owned(),
            pair("n", "beta", "sg", "zg"),
            "t = Mul(beta, d)".to_owned(),
            pair("t", "z", "sx", "zx"),
            "s = Sigmoid(z)".to_owned(),
            pair("s", "g", "sg", "zg"),
            "m = Mul(d, g)".to_owned(),
        ];
        let net = region(&body.join("; ")).and("float[8,8,1,1] w = 0.1; int32[8] b32 = 1");
        let report = inspected(&net).report;
        let misses = report
            .near_misses
            .iter()
            .map(|miss| (&miss.output[..], &miss.reason[..]));
        let misses: Vec<_> = misses.collect();
        assert_eq!(misses, [("t", "squeeze_gate"), ("m", "quantized_beta")]);
    }
}

/// A layer of ONNX Runtime's that has taken in a HardSwish is one operator already; one with a gate is not.
#[test]
fn an_activation_inside_a_layer() {
    let net = |activation: &str| {
        let mut net = Net::new("y = com.microsoft.nchwc::Conv(x, w)").and("float[8,8,1,1] w = 0.1");
        net.imports.push(("com.microsoft.nchwc".into(), 1));
        let mut proto = net.proto();
        let nodes = &mut proto.graph.as_mut().expect("a graph").node;
        nodes[0].attribute.push(AttributeProto {
            name: Some(text::bytes("activation")),
            r#type: Some(AttributeType::String as i32),
            s: Some(text::bytes(activation)),
            ..Default::default()
        });
        fuse(&model(&proto), Emit::Custom).report.already_fused
    };
    assert!(
        matches!(&net("HardSwish")[..], [one] if one.op == "Conv+HardSwish" && one.output == "y")
    );
    for other in ["HardSigmoid", "Sigmoid", "Relu"] {
        assert!(net(other).is_empty());
    }
}
