//! Activations from one 8-bit code to another: every spelling of a quantiser, what is no table, and random regions against
//! what they compute.

mod common;

use std::collections::HashMap;

use common::codes::{PARAMETERS, SILU, inspected, no_table, region, table};
use common::evaluate::{self, Tensor};
use common::{Net, text};
use onnx_swish_fuse::ActivationKind;
use proptest::prelude::*;

mod spellings {
    use super::*;

    #[track_caller]
    fn silu(net: &Net) {
        let found = table(net);
        assert_eq!(found.activation, ActivationKind::Silu);
        assert_eq!((found.beta, found.factor), (Some(1.0), None));
    }

    #[track_caller]
    fn hard_swish(net: &Net) {
        let found = table(net);
        assert_eq!(found.activation, ActivationKind::HardSwish);
        let numbers = (found.alpha, found.offset, found.factor);
        assert_eq!(numbers, (Some(1.0 / 6.0), Some(0.5), None));
    }

    #[test]
    fn the_gate_quantised_or_not() {
        silu(&region(SILU));
        silu(&region("s = Sigmoid(d); m = Mul(s, d)"));
    }

    #[test]
    fn where_a_region_begins_and_ends() {
        let found = table(&region(SILU));
        assert_eq!((&found.input[..], &found.output[..]), ("q", "r"));
        assert_eq!(found.nodes.len(), 6);
        assert_eq!(found.graph, "main");
    }

    #[test]
    fn one_operator() {
        hard_swish(&region("m = HardSwish(d)"));
        silu(&region("m = Swish(d)").opset(24).ir(11));
    }

    #[test]
    fn a_hard_sigmoid() {
        let body = "h = HardSigmoid[alpha=0.16666667, beta=0.5](d); p = QuantizeLinear(h, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(d, g)";
        hard_swish(&region(body));
    }

    /// As ONNX Runtime's quantiser leaves it: x + 3 saturates at 0 and 6, and the product is quantised before the division.
    const NO_CLIP: &str = "c = DequantizeLinear(three8, s3, zg); a = Add(d, c); p = QuantizeLinear(a, s6, zg); g = DequantizeLinear(p, s6, zg); t = Mul(d, g); u = QuantizeLinear(t, sm, zm); v = DequantizeLinear(u, sm, zm); m = Div(v, six)";
    const NO_CLIP_CONSTANTS: &str = "uint8 three8 = 255; float s3 = 0.011764706; float s6 = 0.023529412; float sm = 0.18; uint8 zm = 13";

    #[test]
    fn a_quantiser_in_the_place_of_a_clip() {
        hard_swish(&region(NO_CLIP).and(NO_CLIP_CONSTANTS));
    }

    #[test]
    fn a_quantiser_that_never_saw_the_upper_bound() {
        // x reaches 1.5, so that x + 3 was seen up to 4.5.
        let net = region(NO_CLIP).and(NO_CLIP_CONSTANTS);
        let replaced = |text: &str| {
            text.replace("s6 = 0.023529412", "s6 = 0.01764706")
                .replace("zx = 128", "zx = 225")
        };
        hard_swish(&net.clone().constants(&replaced(&net.constants)));
    }

    #[test]
    fn a_beta_behind_a_quantiser() {
        let body = "k = DequantizeLinear(beta8, sb, zg); b = Mul(d, k); p = QuantizeLinear(b, sz, zx); z = DequantizeLinear(p, sz, zx); s = Sigmoid(z); m = Mul(d, s)";
        let found = table(
            &region(body).and("uint8 beta8 = 255; float sb = 0.006674510; float sz = 0.0851"),
        );
        assert_eq!(found.activation, ActivationKind::Swish);
        assert!((found.beta.expect("a number") - 1.702).abs() < 1e-5);
    }

    #[test]
    fn a_constant_that_is_quantised_at_run_time() {
        let body = "o = QuantizeLinear(one, sg1, zg); k = DequantizeLinear(o, sg1, zg); b = Mul(d, k); s = Sigmoid(b); m = Mul(d, s)";
        silu(&region(body).and("float sg1 = 0.003921569"));
    }

    #[test]
    fn two_quantisers_of_one_value() {
        let net = Net::new("q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); w = QuantizeLinear(x, sx, zx); e = DequantizeLinear(w, sx, zx); s = Sigmoid(e); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(d, g); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS);
        silu(&net);
    }

    #[test]
    fn casts_that_change_nothing_and_identity() {
        let net = Net::new("q0 = QuantizeLinear(x, sx, zx); q1 = Cast[to=2](q0); q = Identity(q1); d = DequantizeLinear(q, sx, zx); s = Sigmoid(d); m = Mul(d, s); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS);
        silu(&net);
    }

    #[test]
    fn com_microsofts_quantisers() {
        let mut net = region(SILU);
        net.body = net
            .body
            .replace("QuantizeLinear(", "com.microsoft::QuantizeLinear(")
            .replace(
                "Decom.microsoft::QuantizeLinear(",
                "com.microsoft::DequantizeLinear(",
            );
        net.body = net
            .body
            .replace("com.microsoft::com.microsoft::", "com.microsoft::");
        net.imports.push(("com.microsoft".into(), 1));
        net.body = net.body.replace("= Decom.", "= com.");
        silu(&net);
    }

    #[test]
    fn arithmetic_on_codes() {
        let mut net = Net::new("q = QuantizeLinear(x, sx, zx); p = com.microsoft::QLinearSigmoid(q, sx, zx, sg, zg); r = com.microsoft::QLinearMul(q, sx, zx, p, sg, zg, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS);
        net.imports.push(("com.microsoft".into(), 1));
        silu(&net);
        let mut net = Net::new("q = QuantizeLinear(x, sx, zx); p = com.microsoft::QLinearAdd(q, sx, zx, three8, s3, zg, s6, zg); u = com.microsoft::QLinearMul(q, sx, zx, p, s6, zg, sm, zm); v = DequantizeLinear(u, sm, zm); m = Div(v, six); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS)
            .and(NO_CLIP_CONSTANTS);
        net.imports.push(("com.microsoft".into(), 1));
        hard_swish(&net);
    }

    #[test]
    fn one_type_in_and_another_out() {
        let net = region(SILU);
        silu(
            &net.clone()
                .constants(&net.constants.replace("uint8 zy = 10", "int8 zy = -118")),
        );
    }

    #[test]
    fn a_factor_is_told() {
        let found = table(&region("s = Sigmoid(d); t = Mul(d, s); m = Mul(t, half)"));
        assert_eq!(found.factor, Some(0.5));
    }

    #[test]
    fn in_float_for_another_reader() {
        let net =
            region("s = Sigmoid(d); m = Mul(d, s)").outputs("float[2,8,4,4] y; float[2,8,4,4] m");
        let fused = inspected(&net);
        assert_eq!(fused.counts(), "silu 1");
        assert!(fused.report.quantised.is_empty());
    }
}

mod no_tables {
    use super::*;

    /// The region with other numbers for some names.
    fn with(replacements: &[(&str, &str)]) -> Net {
        let net = region(SILU);
        let mut constants = net.constants.clone();
        for (from, to) in replacements {
            assert!(constants.contains(from));
            constants = constants.replace(from, to);
        }
        net.constants(&constants)
    }

    #[test]
    fn a_scale_for_each_channel() {
        let scales = "float[8] sx = 0.05,0.06,0.05,0.05,0.05,0.05,0.05,0.05";
        no_table(&with(&[("float sx = 0.05", scales)]), "per_channel_scale");
    }

    #[test]
    fn wide_codes_and_float_codes() {
        for (wide, zero) in [("uint16", "128"), ("int16", "0")] {
            let to = format!("{wide} zx = {zero}");
            no_table(&with(&[("uint8 zx = 128", &to)]), "code_type");
            let to = format!("{wide} zg = {zero}");
            no_table(&with(&[("uint8 zg = 0", &to)]), "code_type");
        }
        no_table(&with(&[("uint8 zx = 128", "float8 zx = 0")]), "code_type");
    }

    #[test]
    fn scales_that_mean_nothing() {
        for scale in ["0", "-0.05", "inf", "nan", "1e-40"] {
            let to = format!("float sx = {scale}");
            no_table(&with(&[("float sx = 0.05", &to)]), "scale");
        }
        no_table(&with(&[("float sy = 0.03", "float sy = 1e-9")]), "scale");
        no_table(
            &with(&[("float sg = 0.00390625", "float sg = 1e-10")]),
            "scale",
        );
    }

    #[test]
    fn a_scale_that_is_computed() {
        let mut net = region(SILU);
        net.inputs = format!("{}; float w", net.inputs);
        net.body = format!("sv = Abs(w); {}", net.body.replace("sg", "sv"));
        no_table(&net, "scale");
    }

    #[test]
    fn a_gate_quantised_and_x_not() {
        let net = Net::new("s = Sigmoid(x); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(x, g); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS);
        no_table(&net, "quantized");
    }

    #[test]
    fn a_gate_from_before_x_was_quantised() {
        let net = Net::new("q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); b = Mul(x, half); s = Sigmoid(b); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(d, g); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .and(PARAMETERS);
        no_table(&net, "unquantized_gate");
        let float = Net::new("q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); s = Sigmoid(x); y = Mul(d, s)").and(PARAMETERS);
        no_table(&float, "unquantized_gate");
    }

    #[test]
    fn a_result_in_floats() {
        let net = Net::new(&format!(
            "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); {SILU}; y = Neg(m)"
        ))
        .and(PARAMETERS);
        no_table(&net, "quantized");
    }

    #[test]
    fn a_beta_for_each_channel() {
        let body = "b = Mul(d, beta); s = Sigmoid(b); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(d, g)";
        let net = region(body).and("float[8,1,1] beta = 1,2,1,1,1,1,1,1");
        no_table(&net, "quantized_beta");
    }

    #[test]
    fn a_quantiser_that_cuts_the_gate_off() {
        let narrow = with(&[("float sg = 0.00390625", "float sg = 0.002")]);
        no_table(&narrow, "saturates");
    }

    #[test]
    fn a_quantiser_that_cuts_the_argument_off() {
        let body = "b = Mul(d, half); c = QuantizeLinear(b, sz, zx); z = DequantizeLinear(c, sz, zx); s = Sigmoid(z); m = Mul(d, s)";
        no_table(&region(body).and("float sz = 0.005"), "saturates");
        assert_eq!(table(&region(body).and("float sz = 0.025")).beta, Some(0.5));
    }

    #[test]
    fn a_quantiser_that_rounds_the_exponential_away() {
        let body = "n = Neg(d); e = Exp(n); p = QuantizeLinear(e, se, zg); f = DequantizeLinear(p, se, zg); a = Add(f, one); m = Div(d, a)";
        no_table(&region(body).and("float se = 3.0"), "coarse");
    }

    #[test]
    fn a_gate_of_another_tensor() {
        let net = Net::new("q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); v = QuantizeLinear(u, sx, zx); w = DequantizeLinear(v, sx, zx); s = Sigmoid(w); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(d, g); r = QuantizeLinear(m, sy, zy); y = DequantizeLinear(r, sy, zy)")
            .inputs("float[2,8,4,4] x; float[2,8,4,4] u")
            .and(PARAMETERS);
        no_table(&net, "another_tensor");
    }

    /// `x·(x + 1)` for x above zero: what bounds it is the quantiser's range and nothing else.
    #[test]
    fn a_product_of_two_lines() {
        let body = "a = Add(d, one); p = QuantizeLinear(a, sa, zg); g = DequantizeLinear(p, sa, zg); m = Mul(d, g)";
        let net = region(body).and("float sa = 0.06");
        let fused = inspected(
            &net.clone()
                .constants(&net.constants.replace("zx = 128", "zx = 0")),
        );
        assert!(
            fused.report.quantised.is_empty(),
            "{:?}",
            fused.report.quantised
        );
        assert!(fused.report.near_misses.is_empty());
    }
}

/// What one region of a random net is made of.
#[derive(Debug, Clone)]
struct Chain {
    spelling: usize,
    signed: [bool; 3],
    /// Ends of the numbers that x can be.
    lo: f64,
    hi: f64,
    beta: f64,
    gate_quantised: bool,
    on_codes: bool,
    /// A factor on the gate's scale: 1 and above only coarsen, below cut off.
    coarse: f64,
}

fn chains() -> impl Strategy<Value = Chain> {
    let flags = prop::array::uniform5(any::<bool>());
    let numbers = (
        -9.0..-0.5f64,
        0.7..9.0f64,
        0.3..2.5f64,
        prop_oneof![3 => Just(1.0), 1 => 1.0..1.6f64, 1 => 0.2..0.8f64],
    );
    (0..5usize, flags, numbers).prop_map(
        |(spelling, [a, b, c, gate_quantised, on_codes], (lo, hi, beta, coarse))| Chain {
            spelling,
            signed: [a, b, c],
            lo,
            hi,
            beta,
            gate_quantised,
            on_codes,
            coarse,
        },
    )
}

/// Scale and zero point for numbers from `lo` to `hi`, zero among them.
fn quantiser(name: &str, lo: f64, hi: f64, signed: bool, coarse: f64) -> String {
    let (lo, hi) = (lo.min(0.0), hi.max(0.0));
    let scale = ((hi - lo) / 255.0 * coarse) as f32;
    let zero = (-lo / f64::from(scale)).round().clamp(0.0, 255.0);
    let (kind, zero) = if signed {
        ("int8", zero - 128.0)
    } else {
        ("uint8", zero)
    };
    format!("float s{name} = {scale:e}; {kind} z{name} = {zero}")
}

fn activation(chain: &Chain, x: f64) -> f64 {
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    match chain.spelling {
        0 => x * sigmoid(x),
        1 => x * sigmoid(chain.beta * x),
        _ => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
    }
}

/// The net, and whether the gate's quantiser cuts something off that the result's does not.
fn planted(chain: &Chain) -> Net {
    let steps = 512;
    let samples: Vec<f64> = (0..=steps)
        .map(|i| chain.lo + (chain.hi - chain.lo) * f64::from(i) / f64::from(steps))
        .collect();
    let ends = |f: &dyn Fn(f64) -> f64| {
        let values = samples.iter().map(|&x| f(x));
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
            (lo.min(v), hi.max(v))
        })
    };
    let [sx, sg, sy] = chain.signed;
    let (ylo, yhi) = ends(&|x| activation(chain, x));
    let gate_end = if chain.spelling == 4 {
        ends(&|x| (x + 3.0).clamp(0.0, 6.0)).1
    } else {
        1.0
    };
    let parameters = [
        quantiser("x", chain.lo, chain.hi, sx, 1.0),
        quantiser("g", 0.0, gate_end, sg, chain.coarse),
        quantiser("y", ylo, yhi, sy, 1.0),
        quantiser("m", 6.0 * ylo, 6.0 * yhi, sy, 1.0),
        quantiser("b", chain.beta * chain.lo, chain.beta * chain.hi, sx, 1.0),
        format!(
            "uint8 zk = 0; float sk = {:e}; uint8 k = 255; float s3 = {:e}",
            (chain.beta / 255.0) as f32,
            3.0f32 / 255.0
        ),
    ];
    let quantised = |value: &str| {
        if chain.gate_quantised || chain.spelling == 4 {
            format!("p = QuantizeLinear({value}, sg, zg); g = DequantizeLinear(p, sg, zg)")
        } else {
            format!("g = Identity({value})")
        }
    };
    let whole = |body: String| {
        format!(
            "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); {body}; r = QuantizeLinear(o, sy, zy); y = DequantizeLinear(r, sy, zy)"
        )
    };
    let body = match (chain.spelling, chain.on_codes) {
        (0, true) => "q = QuantizeLinear(x, sx, zx); p = com.microsoft::QLinearSigmoid(q, sx, zx, sg, zg); r = com.microsoft::QLinearMul(p, sg, zg, q, sx, zx, sy, zy); y = DequantizeLinear(r, sy, zy)".to_owned(),
        (0, false) => whole(format!("s = Sigmoid(d); {}; o = Mul(d, g)", quantised("s"))),
        (1, _) => whole(format!("e = DequantizeLinear(k, sk, zk); t = Mul(e, d); c = QuantizeLinear(t, sb, zb); b = DequantizeLinear(c, sb, zb); s = Sigmoid(b); {}; o = Mul(g, d)", quantised("s"))),
        (2, _) => whole(format!("s = HardSigmoid[alpha=0.16666667](d); {}; o = Mul(d, g)", quantised("s"))),
        (3, _) => whole(format!("a = Add(d, three); s = Clip(a, zero, six); f = Div(s, six); {}; o = Mul(d, g)", quantised("f"))),
        _ => whole(format!("e = DequantizeLinear(k, s3, zk); a = Add(d, e); {}; m = Mul(d, g); w = QuantizeLinear(m, sm, zm); v = DequantizeLinear(w, sm, zm); o = Div(v, six)", quantised("a"))),
    };
    let mut net = Net::new(&body)
        .inputs("float[256] x")
        .outputs("float[256] y")
        .and(&parameters.join("; "));
    net.imports.push(("com.microsoft".into(), 1));
    net
}

/// Every code of `q`, as the input x that makes it.
fn every_code(net: &Net) -> HashMap<Vec<u8>, Tensor> {
    let constant = |name: &str| {
        let all = text::constants(&net.constants);
        let found = all
            .iter()
            .find(|tensor| tensor.name() == name.as_bytes())
            .expect("a constant")
            .clone();
        (
            found
                .float_data
                .first()
                .map_or_else(|| f64::from(found.int32_data[0]), |&x| f64::from(x)),
            found.data_type(),
        )
    };
    let ((scale, _), (zero, kind)) = (constant("sx"), constant("zx"));
    let lowest = if kind == 3 { -128.0 } else { 0.0 };
    let data = (0..256)
        .map(|code| (lowest + f64::from(code) - zero) * scale)
        .collect();
    HashMap::from([(
        b"x".to_vec(),
        Tensor {
            dims: vec![256],
            data,
        },
    )])
}

fn config() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(400),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// A region's nodes compute its code from the other code alone, and it is the activation that was planted, unless a
    /// quantiser makes another function of it.
    #[test]
    fn a_region_is_a_function_of_its_code_and_the_one_that_is_named(chain in chains()) {
        let net = planted(&chain);
        let (proto, inputs) = (net.proto(), every_code(&net));
        let report = inspected(&net).report;
        let found = evaluate::value(&proto, &inputs, "r");
        let (meant, off) = distance(&net, &chain, &proto, &inputs);
        let Some(region) = report.quantised.first() else {
            // What is off by many steps must not be called an activation, what is exact but for rounding must.
            prop_assert!(off > 0.9, "{off} steps: {chain:?} {:?}", report.near_misses);
            prop_assert_eq!(report.near_misses.len(), 1, "{:?}", net);
            return Ok(());
        };
        let swish = |kind| (kind, region.beta.map(|beta| (beta * 1e4).round() / 1e4));
        match chain.spelling {
            0 => prop_assert_eq!(swish(region.activation), (ActivationKind::Silu, Some(1.0))),
            1 => prop_assert!(region.beta.is_some_and(|beta| (beta / chain.beta - 1.0).abs() < 1e-4)),
            _ => prop_assert_eq!(region.activation, ActivationKind::HardSwish),
        }
        if region.factor.is_none() && (chain.spelling < 2 || region.alpha == Some(1.0 / 6.0)) {
            prop_assert!(off < 1.6, "{off} steps: {chain:?} {meant:?}");
        }
        let mut cut = proto.clone();
        let graph = cut.graph.as_mut().expect("a graph");
        let stored: Vec<_> = graph.initializer.iter().map(|tensor| tensor.name().to_vec()).collect();
        let is_constant = |node: &onnx_swish_model::schema::NodeProto| node.input.iter().all(|name| stored.contains(&name.to_vec()));
        graph.node.retain(|node| is_constant(node) || region.nodes.iter().any(|name| name.as_bytes() == node.name()));
        let q = evaluate::value(&proto, &inputs, "q");
        let inside = HashMap::from([(region.input.as_bytes().to_vec(), q)]);
        let table = evaluate::value(&cut, &inside, &region.output);
        prop_assert_eq!(table.data, found.data, "{:?}", net);
    }
}

/// What is said of a region, at a number that its code stands for.
fn claimed(region: &onnx_swish_fuse::QuantisedEntry, x: f64) -> f64 {
    let gate = match (region.beta, region.alpha, region.offset) {
        (Some(beta), None, None) => 1.0 / (1.0 + (-beta * x).exp()),
        (None, Some(alpha), Some(offset)) => (alpha * x + offset).clamp(0.0, 1.0),
        numbers => panic!("{numbers:?}"),
    };
    region.factor.unwrap_or(1.0) * x * gate
}

proptest! {
    #![proptest_config(config())]

    /// A line between the code that enters and the activation: what is said of the code is true of the code.
    #[test]
    fn what_is_said_is_said_of_the_code_that_enters(
        slope in prop_oneof![Just(-1.0), Just(1.0), -3.0..-0.3, 0.3..3.0],
        offset in prop_oneof![Just(0.0), -4.0..4.0],
        spelling in 0..4usize,
    ) {
        let activation = [
            "s = Sigmoid(w); p = QuantizeLinear(s, sg, zg); g = DequantizeLinear(p, sg, zg); m = Mul(w, g)",
            "b = Mul(w, k); s = Sigmoid(b); m = Mul(s, w)",
            "m = HardSwish(w)",
            "a = Add(w, three); c = Clip(a, zero, six); t = Mul(c, w); m = Div(t, six)",
        ];
        let add = if offset == 0.0 { "w = Identity(u)" } else { "w = Add(u, by)" };
        let body = format!("u = Mul(d, times); {add}; {}", activation[spelling]);
        let net = region(&body)
            .inputs("float[256] x")
            .outputs("float[256] y")
            .and(&format!("float times = {slope:e}; float by = {offset:e}; float k = 1.702"));
        let net = net.clone().constants(&net.constants.replace("sy = 0.03; uint8 zy = 10", "sy = 0.2; uint8 zy = 100"));
        let report = inspected(&net).report;
        let Some(region) = report.quantised.first() else {
            // A product of lines of d that are no multiples of each other.
            prop_assert!(offset != 0.0, "{report:?}");
            prop_assert_eq!(report.near_misses.len() + report.fusions.len() + report.already_fused.len(), 1, "{:?}", report);
            return Ok(());
        };
        let (proto, inputs) = (net.proto(), every_code(&net));
        let numbers = evaluate::value(&proto, &inputs, "d").data;
        let found = evaluate::value(&proto, &inputs, "y").data;
        for (x, found) in numbers.into_iter().zip(found) {
            let meant = claimed(region, x).clamp(-20.0, 31.0);
            let (step, gate) = (0.2, slope * x + offset);
            let off = (meant - found).abs();
            prop_assert!(off <= step + gate.abs() / 128.0, "{off} at {x}: {region:?}");
        }
    }
}

/// How many steps of all the quantisers together the result is off at most, and where.
fn distance(
    net: &Net,
    chain: &Chain,
    proto: &onnx_swish_model::schema::ModelProto,
    inputs: &HashMap<Vec<u8>, Tensor>,
) -> ((f64, f64), f64) {
    let scale = |name: &str| {
        let all = text::constants(&net.constants);
        f64::from(
            all.iter()
                .find(|tensor| tensor.name() == name.as_bytes())
                .expect("a scale")
                .float_data[0],
        )
    };
    let (x, y) = (&inputs[&b"x"[..]], evaluate::value(proto, inputs, "y"));
    let codes = evaluate::value(proto, inputs, "r");
    let (lowest, highest) = if chain.signed[2] {
        (-128.0, 127.0)
    } else {
        (0.0, 255.0)
    };
    let gate = if chain.spelling == 4 { 1.0 / 6.0 } else { 1.0 };
    let argument = if chain.spelling == 1 {
        scale("sb") / 4.0
    } else {
        0.0
    };
    let mut worst = ((0.0, 0.0), 0.0);
    for ((&x, &y), &code) in x.data.iter().zip(&y.data).zip(&codes.data) {
        let meant = activation(chain, x);
        // Behind its last quantiser the result may be cut off.
        let beyond = code == lowest && meant < y || code == highest && meant > y;
        let inner = if chain.spelling == 4 {
            scale("sm") / 6.0
        } else {
            0.0
        };
        let step = scale("sy") + inner + x.abs() * (scale("sg") * gate + argument);
        let off = (meant - y).abs() / step;
        if !beyond && off > worst.1 {
            worst = ((x, y), off);
        }
    }
    worst
}
