//! Gates in quantised networks: behind permutations, without the Clip that a quantiser took out, of something else.

mod common;

use common::codes::{PARAMETERS, inspected, message, no_table, pair, region, table};
use common::{Net, fuse, model, text};
use onnx_swish_fuse::{ActivationKind, Emit};
use onnx_swish_model::schema::AttributeProto;
use onnx_swish_model::schema::attribute_proto::AttributeType;

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

    /// A parameter for each channel is a constant, also behind a DequantizeLinear.
    #[test]
    fn a_gate_times_a_quantised_parameter() {
        let body = [
            "s = Sigmoid(d)".to_owned(),
            pair("s", "h", "sg", "zg"),
            "w = DequantizeLinear(codes, sg, zg); t = Mul(h, w)".to_owned(),
            pair("t", "g", "sg", "zg"),
            "a = Abs(g); m = Mul(d, a)".to_owned(),
        ];
        let net = region(&body.join("; ")).and("uint8[8,1,1] codes = 1, 2, 3, 4, 5, 6, 7, 8");
        let report = inspected(&net).report;
        let last = report.near_misses.last().expect("a word");
        assert_eq!((&last.output[..], &last.reason[..]), ("m", "changed_gate"));
        // Also one that is quantised when the model runs.
        let parameter = "v = QuantizeLinear(numbers, sg, zg); w = DequantizeLinear(v, sg, zg)";
        let body = body.join("; ");
        let body = body.replace("w = DequantizeLinear(codes, sg, zg)", parameter);
        let net = region(&body).and("float[8,1,1] numbers = 1, 2, 3, 4, 5, 6, 7, 8");
        let report = inspected(&net).report;
        let last = report.near_misses.last().expect("a word");
        assert_eq!((&last.output[..], &last.reason[..]), ("m", "changed_gate"));
    }

    /// The 3 that makes a hard sigmoid of a Clip may stand before a quantiser: as it stands the Clip is a ReLU6.
    #[test]
    fn a_clip_behind_a_quantiser() {
        let body = [
            "a = Add(d, three)".to_owned(),
            pair("a", "b", "sx", "zg"),
            "c = Clip(b, zero, six)".to_owned(),
            pair("c", "g", "sx", "zg"),
            "h = Abs(g); m = Mul(d, h)".to_owned(),
        ];
        no_table(&region(&body.join("; ")), "changed_gate");
        let relu = [
            "c = Clip(d, zero, six)".to_owned(),
            pair("c", "g", "sx", "zg"),
            "h = Abs(g); m = Mul(d, h)".to_owned(),
        ];
        let report = inspected(&region(&relu.join("; "))).report;
        assert!(report.near_misses.is_empty(), "{:?}", report.near_misses);
    }

    /// Operators on codes carry gates as those on floats do.
    #[test]
    fn a_gate_through_operators_on_codes() {
        for between in [
            "o = com.microsoft::QLinearAdd(p, sg, zg, p, sg, zg, sg, zg)",
            "o = com.microsoft::QLinearMul(p, sg, zg, all, sg, zg, sg, zg)",
            "o = com.microsoft::QLinearAveragePool[kernel_shape=1:1](p, sg, zg, sg, zg)",
            "o = com.microsoft::QLinearLeakyRelu[alpha=0.1](p, sg, zg, sg, zg)",
            "o = com.microsoft::QLinearSoftmax[axis=1](p, sg, zg, sg, zg)",
            "o = com.microsoft::QLinearConcat[axis=1](sg, zg, p, sg, zg)",
        ] {
            let body = format!(
                "q = QuantizeLinear(x, sx, zx); p = com.microsoft::QLinearSigmoid(q, sx, zx, sg, zg); {between}; \
                e = DequantizeLinear(o, sg, zg); f = Exp(e); g = QuantizeLinear(f, sx, zg); \
                r = com.microsoft::QLinearMul(q, sx, zx, g, sx, zg, sy, zy); y = DequantizeLinear(r, sy, zy)"
            );
            let mut net = Net::new(&body).and(PARAMETERS).and("uint8 all = 255");
            net.imports.push(("com.microsoft".into(), 1));
            no_table(&net, "changed_gate");
        }
    }

    /// As onnxruntime's quantiser writes GELU by tanh where it may write operators on codes.
    #[test]
    fn gelu_by_tanh_on_codes() {
        let body = "xx = com.microsoft::QLinearMul(q, sx, zx, q, sx, zx, s2, zg); \
            c = com.microsoft::QLinearMul(q, sx, zx, xx, s2, zg, s3, zx); \
            k = com.microsoft::QLinearMul(c, s3, zx, small, s5, zg, sx, zx); \
            i = com.microsoft::QLinearAdd(q, sx, zx, k, sx, zx, sx, zx); \
            w = com.microsoft::QLinearMul(i, sx, zx, root, s6, zg, sx, zx); \
            f = DequantizeLinear(w, sx, zx); t = Tanh(f); tq = QuantizeLinear(t, s7, zx); \
            o = com.microsoft::QLinearAdd(tq, s7, zx, all, sg, zg, s7, zg); \
            p = com.microsoft::QLinearMul(q, sx, zx, o, s7, zg, sx, zx); \
            r = com.microsoft::QLinearMul(p, sx, zx, all, s8, zg, sx, zx)";
        let mut net = Net::new(&format!(
            "q = QuantizeLinear(x, sx, zx); {body}; y = DequantizeLinear(r, sx, zx)"
        ))
        .and(PARAMETERS)
        .and("float s2 = 0.16; float s3 = 2.1; float s5 = 0.000175; float s6 = 0.00313; float s7 = 0.0079; float s8 = 0.00196; uint8 small = 255; uint8 root = 255; uint8 all = 255");
        net.imports.push(("com.microsoft".into(), 1));
        no_table(&net, "gelu");
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
        assert_eq!(misses, [("t", "gate_power"), ("m", "gate_power")]);
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
