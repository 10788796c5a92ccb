//! Graphs that look like an activation and are none, or must not be touched; each trap is a test with its name.
//!
//! Numbers in brackets are the order of the list in which they were collected, for finding one again.

mod common;

use common::{Fused, Net, check, fuse, text};
use onnx_swish_fuse::Emit;
use onnx_swish_model::schema;

/// Nothing is fused, for these reasons, and the numbers stay.
#[track_caller]
fn left(net: &Net, reasons: &[&str]) -> Fused {
    let fused = check(net, Emit::Custom);
    explained(fused, reasons)
}

/// As `left`, for models that the interpreter cannot run.
#[track_caller]
fn left_unrun(proto: &schema::ModelProto, reasons: &[&str]) -> Fused {
    explained(fuse(&common::model(proto), Emit::Custom), reasons)
}

#[track_caller]
fn explained(fused: Fused, reasons: &[&str]) -> Fused {
    assert_eq!(fused.counts(), "", "{:?}", fused.report.fusions);
    assert_eq!(fused.reasons(), reasons, "{:?}", fused.report.near_misses);
    for miss in &fused.report.near_misses {
        assert!(
            miss.message.contains(&format!("`{}`", miss.output)),
            "names the user's value: {}",
            miss.message
        );
        assert!(!miss.change.is_empty());
    }
    fused
}

#[track_caller]
fn found(net: &Net, counts: &str) -> Fused {
    let fused = check(net, Emit::Custom);
    assert_eq!(fused.counts(), counts, "{:?}", fused.report.near_misses);
    fused
}

const HARD: &str = "a = Add(x, three); c = Clip(a, zero, six); m = Mul(x, c); y = Div(m, six)";
const SILU: &str = "s = Sigmoid(x); y = Mul(x, s)";

mod constants {
    use super::*;

    #[test]
    fn hard_sigmoid_without_attributes_has_slope_one_fifth() {
        let fused = found(
            &Net::new("s = HardSigmoid(x); y = Mul(x, s)"),
            "hard_swish 1",
        );
        assert_eq!(fused.report.fusions[0].alpha, Some(0.2));
        assert_eq!(
            fused.report.fusions[0].op,
            "onnx_swish::FusedSlopedHardSwish"
        );
    }

    #[test]
    fn an_absent_beta_is_one_half() {
        let fused = found(
            &Net::new("s = HardSigmoid[alpha=0.16666667](x); y = Mul(x, s)"),
            "hard_swish 1",
        );
        assert_eq!(fused.report.fusions[0].op, "onnx_swish::FusedHardSwish");
    }

    #[test]
    fn an_attribute_of_the_caller_has_no_value_here() {
        let mut net = Net::new("y = acme::Act(x)").function(
            "acme",
            "Act",
            &["v"],
            &["w"],
            "s = HardSigmoid[alpha=@slope](v); w = Mul(v, s)",
        );
        net.functions[0].attribute = vec![text::bytes("slope")];
        let mut proto = net.proto();
        proto.graph.as_mut().unwrap().node[0].attribute =
            text::nodes("q = Q[slope=0.3](x)")[0].attribute.clone();
        left_unrun(&proto, &["caller"]);
    }

    #[test]
    fn bounds_that_are_missing_do_not_bound() {
        left(
            &Net::new("a = Add(x, three); c = Clip(a, zero); y = Mul(x, c)"),
            &["half_open"],
        );
        left(
            &Net::new("a = Add(x, three); c = Clip(a, , six); y = Mul(x, c)"),
            &["half_open"],
        );
    }

    #[test]
    fn bounds_of_both_signs_close_no_gate() {
        left(
            &Net::new("c = Clip(x, mone, one); y = Mul(x, c)"),
            &["bounds"],
        );
    }

    #[test]
    fn a_lower_bound_above_the_upper_one_is_left_to_the_runtime() {
        let fused = fuse(
            &Net::new("a = Add(x, three); c = Clip(a, six, zero); y = Mul(x, c)").model(),
            Emit::Custom,
        );
        assert_eq!(fused.counts(), "");
        assert_eq!(fused.report.near_misses.len(), 1);
    }

    #[test]
    fn sixths_are_compared_in_the_tensors_own_type() {
        let half = |slope: &str| {
            Net::new("a = Add(x, three); c = Clip(a, zero, six); g = Mul(c, slope); y = Mul(x, g)")
                .inputs("float16[2,8] x")
                .outputs("float16[2,8] y")
                .constants(&format!(
                    "float16 three = 3; float16 zero = 0; float16 six = 6; float16 slope = {slope}"
                ))
        };
        let op = |net: &Net| found(net, "hard_swish 1").report.fusions[0].clone();
        let sixth = op(&half("0.16666"));
        assert_eq!(
            (&sixth.op[..], sixth.factor),
            ("onnx_swish::FusedHardSwish", None),
            "f16(1/6)"
        );
        assert!(
            sixth.rounding.is_some(),
            "16 bits round elsewhere, and the report says so"
        );
        assert!(
            op(&half("0.167")).factor.is_some(),
            "f16(0.167) is 3 ulp from f16(1/6)"
        );
        let single =
            Net::new("a = Add(x, three); c = Clip(a, zero, six); g = Mul(c, slope); y = Mul(x, g)");
        assert!(
            op(&single.and("float slope = 0.16667")).factor.is_some(),
            "TensorFlow's slim gate"
        );
    }

    #[test]
    fn float64_loses_nothing_to_float32_attributes() {
        let double = |body: &str| {
            Net::new(body)
                .inputs("double[2,8] x")
                .outputs("double[2,8] y")
                .constants("double zero = 0; double three = 3; double six = 6; double b = 1.702")
        };
        left(&double(HARD), &["element_type"]);
        let fused = found(
            &double("t = Mul(x, b); s = Sigmoid(t); y = Mul(x, s)"),
            "swish 1",
        );
        assert_eq!(
            fused.proto.graph.unwrap().node[0].input[1],
            "b",
            "the constant itself, in float64"
        );
    }

    #[test]
    fn an_initializer_that_callers_override_is_no_constant() {
        let net = Net::new(HARD).inputs("float[2,8,4,4] x; float three");
        left_unrun(&net.proto(), &["overridable_constant"]);
        // As a beta it need not be one.
        let beta = Net::new("t = Mul(x, two); s = Sigmoid(t); y = Mul(x, s)")
            .inputs("float[2,8,4,4] x; float two");
        let fused = fuse(&beta.model(), Emit::Custom);
        assert_eq!(fused.counts(), "swish 1");
        assert_eq!(
            fused.report.fusions[0].beta,
            Some(onnx_swish_fuse::BetaValue::Tensor("two".into()))
        );
    }

    #[test]
    fn before_ir_4_every_initializer_is_an_input_and_a_constant() {
        let net = Net::new(
            "a = Add(x, three); c = Clip[min=0.0, max=6.0](a); m = Mul(x, c); y = Div(m, six)",
        )
        .inputs("float[2,8,4,4] x; float[1] three; float[1] six; float spare")
        .constants("float[1] three = 3; float[1] six = 6; float spare = 1")
        .opset(9)
        .ir(3);
        let fused = found(&net, "hard_swish 1");
        assert_eq!(fused.proto.ir_version(), 8);
        let [note] = fused.report.notes.as_slice() else {
            panic!("{:?}", fused.report.notes);
        };
        assert!(note.contains("`spare`"), "{note}");
        let inputs: Vec<_> = fused
            .proto
            .graph
            .unwrap()
            .input
            .iter()
            .map(|i| i.name().to_vec())
            .collect();
        assert_eq!(
            inputs,
            [b"x".to_vec()],
            "what stays an input would be overridable at the raised version"
        );
    }

    #[test]
    fn a_variable_of_training_is_no_constant() {
        let mut proto = Net::new(HARD).proto();
        proto.training_info = vec![schema::TrainingInfoProto {
            update_binding: vec![schema::StringStringEntryProto {
                key: Some(text::bytes("three")),
                value: Some(text::bytes("three_new")),
            }],
            ..Default::default()
        }];
        left_unrun(&proto, &["overridable_constant"]);
    }

    #[test]
    fn external_data_that_cannot_be_read_is_not_assumed() {
        let mut proto = Net::new(HARD).proto();
        for tensor in &mut proto.graph.as_mut().unwrap().initializer {
            if tensor.name() == b"three" {
                tensor.float_data.clear();
                tensor.data_location = Some(1);
                tensor.external_data = vec![schema::StringStringEntryProto {
                    key: Some(text::bytes("location")),
                    value: Some(text::bytes("missing.bin")),
                }];
            }
        }
        left_unrun(&proto, &["unreadable_constant"]);
    }

    #[test]
    fn constants_that_vanish_or_overflow_in_the_tensors_type_stay() {
        let half = |numbers: &str| {
            Net::new("t = Mul(x, a); u = Mul(t, a); s = Sigmoid(u); y = Mul(x, s)")
                .inputs("float16[2,8] x")
                .outputs("float16[2,8] y")
                .constants(numbers)
        };
        left_unrun(&half("float16 a = 0.0001").proto(), &["precision"]);
        left_unrun(&half("float16 a = 60000").proto(), &["precision"]);
        let zero =
            Net::new("n = Neg(x); e = Exp(n); a = Add(e, one); r = Div(zero, a); y = Mul(x, r)");
        assert_eq!(fuse(&zero.model(), Emit::Custom).counts(), "");
        let bound = Net::new("a = Add(x, three); c = Clip(a, zero, nan); y = Mul(x, c)")
            .and("float nan = nan");
        assert_eq!(fuse(&bound.model(), Emit::Custom).counts(), "");
    }

    #[test]
    fn huge_constants_that_cancel_are_not_nothing() {
        left(
            &Net::new("a = Add(x, big); c = Sub(a, big); s = Sigmoid(c); y = Mul(x, s)")
                .and("float big = 100000000"),
            &["not_linear"],
        );
    }

    #[test]
    fn a_dropout_in_training_is_no_identity() {
        let net = Net::new("s = Sigmoid(x); d = Dropout(s, half, yes); y = Mul(x, d)")
            .and("bool yes = 1");
        left_unrun(&net.proto(), &["dropout"]);
        let net =
            Net::new("s = Sigmoid(x); d = Dropout(s, half, no); y = Mul(x, d)").and("bool no = 0");
        found(&net, "silu 1");
    }
}

mod other_functions {
    use super::*;

    /// x·e^x/(1 + e^x) is no product of e^x and x·σ(-x) in numbers: σ(-x) is rounded to 0 where e^x is large.
    #[test]
    fn an_exponential_is_not_bracketed_out_of_its_gate() {
        for text in [
            "e = Exp(x); a = Add(e, one); d = Div(e, a); y = Mul(x, d)",
            "e = Exp(x); a = Add(e, one); r = Reciprocal(a); d = Mul(r, e); y = Mul(d, x)",
        ] {
            left(&Net::new(text), &["overflow"]);
        }
        let net = Net::new("e = Exp(x); a = Add(one, e); m = Mul(x, e); y = Div(m, a)");
        assert_eq!(check(&net, Emit::Custom).counts(), "");
    }

    const TWO: &str = "float[2,8,4,4] x; float[2,8,4,4] z";

    #[test]
    fn a_gate_of_another_tensor() {
        left(
            &Net::new("s = Sigmoid(z); y = Mul(x, s)").inputs(TWO),
            &["another_tensor"],
        );
    }

    #[test]
    fn glu_halves() {
        let net = Net::new("g, u = Split[axis=1](x); s = Sigmoid(g); y = Mul(u, s)")
            .inputs("float[2,8] x")
            .outputs("float[2,4] y");
        left(&net.opset(13), &["glu"]);
    }

    #[test]
    fn an_offset_inside_the_sigmoid() {
        left(
            &Net::new("a = Add(x, one); s = Sigmoid(a); y = Mul(x, s)"),
            &["offset"],
        );
    }

    #[test]
    fn an_exponential_with_another_constant_is_an_offset() {
        left(
            &Net::new("n = Neg(x); e = Exp(n); a = Add(e, two); y = Div(x, a)"),
            &["offset"],
        );
    }

    #[test]
    fn a_beta_as_large_as_x_is_another_tensor() {
        left(
            &Net::new("m = Mul(x, z); s = Sigmoid(m); y = Mul(x, s)").inputs(TWO),
            &["full_rank_beta"],
        );
        left(
            &Net::new("m = Mul(x, x); s = Sigmoid(m); y = Mul(x, s)"),
            &["not_linear"],
        );
    }

    #[test]
    fn sigmoid_times_sigmoid() {
        left(
            &Net::new("s = Sigmoid(x); r = Sigmoid(x); y = Mul(s, r)"),
            &["gate_power"],
        );
        left(&Net::new("s = Sigmoid(x); y = Mul(s, s)"), &["gate_power"]);
    }

    #[test]
    fn x_times_its_sigmoid_twice() {
        left(
            &Net::new("s = Sigmoid(x); m = Mul(x, s); y = Mul(m, s)"),
            &["gate_power", "shared"],
        );
    }

    #[test]
    fn a_sigmoid_times_its_own_sigmoid_is_silu() {
        let fused = found(
            &Net::new("r = Sigmoid(x); s = Sigmoid(r); y = Mul(r, s)"),
            "silu 1",
        );
        assert_eq!(fused.report.fusions[0].input, "r");
    }

    #[test]
    fn a_squeeze_gate_belongs_to_another_tensor() {
        let mut net =
            Net::new("p = GlobalAveragePool(x); r = Relu(p); s = HardSigmoid(r); y = Mul(x, s)");
        net.ir = 8;
        left_unrun(&net.proto(), &["squeeze_gate"]);
    }

    #[test]
    fn mish_and_gelu_are_named() {
        left(
            &Net::new("p = Softplus(x); t = Tanh(p); y = Mul(x, t)"),
            &["mish"],
        );
        let gelu = "p = Pow(x, three); q = Mul(p, k); r = Add(x, q); w = Mul(r, j); t = Tanh(w); a = Add(t, one); m = Mul(x, a); y = Mul(m, half)";
        left(
            &Net::new(gelu).and("float k = 0.044715; float j = 0.797"),
            &["gelu"],
        );
        let exact = Net::new(
            "d = Div(x, two); e = Erf(d); a = Add(e, one); m = Mul(x, a); y = Mul(m, half)",
        );
        left_unrun(&exact.proto(), &["gelu"]);
    }

    #[test]
    fn tanh_without_one() {
        left(&Net::new("t = Tanh(x); y = Mul(x, t)"), &["tanh"]);
    }

    #[test]
    fn integers_truncate() {
        let net = Net::new(HARD)
            .inputs("int32[2,8] x")
            .outputs("int32[2,8] y")
            .constants("int32 zero = 0; int32 three = 3; int32 six = 6");
        left_unrun(&net.proto(), &["integer"]);
    }

    #[test]
    fn a_permuted_gate_is_another_gate() {
        left(
            &Net::new("s = Sigmoid(x); t = Transpose[perm=0:1:3:2](s); y = Mul(x, t)"),
            &["not_linear"],
        );
    }

    #[test]
    fn operators_of_other_domains_are_other_operators() {
        let net = Net::new("s = acme::Sigmoid(x); y = Mul(x, s)").function(
            "acme",
            "Sigmoid",
            &["v"],
            &["w"],
            "w = Tanh(v)",
        );
        found(&net, "");
    }

    #[test]
    fn a_function_that_redefines_an_operator_is_believed() {
        let net = Net::new(SILU).function("", "Sigmoid", &["v"], &["w"], "w = Relu(v)");
        let mut proto = net.proto();
        proto.opset_import.truncate(1);
        assert_eq!(fuse(&common::model(&proto), Emit::Custom).counts(), "");
    }

    #[test]
    fn a_function_of_our_operators_name_is_not_ours() {
        let net = Net::new("s = Sigmoid(x); m = Mul(x, s); y = onnx_swish::FusedSilu(m)").function(
            "onnx_swish",
            "FusedSilu",
            &["X"],
            &["Y"],
            "Y = Relu(X)",
        );
        let fused = fuse(&net.model(), Emit::Custom);
        assert_eq!(fused.reasons(), ["edited_function", "name_taken"]);
        assert!(fused.report.already_fused.is_empty());
    }
}

mod casts_and_quantisation {
    use super::*;

    #[test]
    fn a_sigmoid_between_casts_rounds_elsewhere() {
        let net = Net::new("f = Cast[to=1](x); s = Sigmoid(f); h = Cast[to=10](s); y = Mul(x, h)")
            .inputs("float16[2,8] x")
            .outputs("float16[2,8] y");
        left(&net, &["cast"]);
    }

    #[test]
    fn a_whole_silu_between_casts_is_a_silu() {
        let net = Net::new("f = Cast[to=1](x); s = Sigmoid(f); h = Mul(f, s); y = Cast[to=10](h)")
            .inputs("float16[2,8] x")
            .outputs("float16[2,8] y");
        let fused = found(&net, "silu 1");
        assert_eq!(
            fused.report.fusions[0].element_type.as_deref(),
            Some("float32")
        );
    }

    #[test]
    fn quantisation_inside_changes_values() {
        let net = Net::new("s = Sigmoid(x); q = QuantizeLinear(s, scale, zp); d = DequantizeLinear(q, scale, zp); y = Mul(x, d)")
            .and("float scale = 0.00390625; uint8 zp = 0");
        left(&net, &["quantized"]);
    }

    #[test]
    fn quantisation_outside_makes_a_table_of_it() {
        let net = Net::new("q = QuantizeLinear(x, scale, zp); d = DequantizeLinear(q, scale, zp); s = Sigmoid(d); m = Mul(d, s); r = QuantizeLinear(m, scale, zp); y = DequantizeLinear(r, scale, zp)")
            .and("float scale = 0.5; uint8 zp = 128");
        let fused = left(&net, &[]);
        let [region] = &fused.report.quantised[..] else {
            panic!("{:?}", fused.report.quantised);
        };
        assert_eq!((&region.input[..], &region.output[..]), ("q", "r"));
    }

    #[test]
    fn bfloat16_has_a_hard_sigmoid_from_opset_22() {
        let net = |opset, ir| {
            Net::new(HARD)
                .inputs("bfloat16[2,8] x")
                .outputs("bfloat16[2,8] y")
                .constants("bfloat16 zero = 0; bfloat16 three = 3; bfloat16 six = 6")
                .opset(opset)
                .ir(ir)
        };
        left(&net(17, 8), &["opset"]);
        found(&net(22, 10), "hard_swish 1");
    }
}

mod readers {
    use super::*;

    const TWO_OUTPUTS: &str = "float[2,8,4,4] y; float[2,8,4,4] s";

    #[test]
    fn a_gate_that_is_an_output() {
        left(&Net::new(SILU).outputs(TWO_OUTPUTS), &["graph_output"]);
    }

    #[test]
    fn a_gate_that_something_else_reads() {
        let net = Net::new("s = Sigmoid(x); y = Mul(x, s); z = Relu(s)")
            .outputs("float[2,8,4,4] y; float[2,8,4,4] z");
        let fused = left(&net, &["shared"]);
        assert!(
            fused.report.near_misses[0].message.contains("`z`"),
            "{}",
            fused.report.near_misses[0].message
        );
    }

    #[test]
    fn a_gate_whose_shape_something_reads() {
        let net = Net::new("s = Sigmoid(x); y = Mul(x, s); n = Shape(s)")
            .outputs("float[2,8,4,4] y; int64[4] n");
        left(&net, &["shared"]);
    }

    #[test]
    fn a_gate_shared_with_a_product_that_stays() {
        let net = Net::new("s = Sigmoid(x); y = Mul(x, s); w = Mul(z, s)")
            .inputs("float[2,8,4,4] x; float[2,8,4,4] z")
            .outputs("float[2,8,4,4] y; float[2,8,4,4] w");
        left(&net, &["another_tensor", "shared"]);
    }

    #[test]
    fn a_gate_shared_by_products_that_all_go() {
        let net = Net::new("s = Sigmoid(x); a = Mul(x, s); b = Mul(s, x); y = Add(a, b)");
        let fused = found(&net, "silu 2");
        assert_eq!(fused.proto.graph.unwrap().node.len(), 3);
    }

    #[test]
    fn an_argument_that_something_else_reads() {
        let net = Net::new("t = Mul(x, two); s = Sigmoid(t); m = Mul(x, s); y = Add(m, t)");
        left(&net, &["shared"]);
    }

    #[test]
    fn constants_may_be_shared() {
        let body = "a = Add(x, three); c = Clip(a, zero, six); m = Mul(x, c); v = Div(m, six); p = Add(v, three); q = Clip(p, zero, six); r = Div(q, six); w = Mul(v, r); y = Add(w, six)";
        let fused = found(&Net::new(body), "hard_swish 2");
        assert!(
            fused
                .proto
                .graph
                .unwrap()
                .initializer
                .iter()
                .any(|t| t.name() == b"six"),
            "still read"
        );
    }

    #[test]
    fn constants_that_nobody_reads_any_more_go_and_others_stay() {
        let net = Net::new(&format!("{HARD}; unused = Constant[value_float=9.5]()"))
            .and("float spare = 1");
        let graph = found(&net, "hard_swish 1").proto.graph.unwrap();
        let names: Vec<&[u8]> = graph.initializer.iter().map(|t| t.name()).collect();
        assert!(
            names.contains(&&b"spare"[..]),
            "unused before: not ours to remove"
        );
        assert!(!names.contains(&&b"three"[..]) && !names.contains(&&b"six"[..]));
        assert_eq!(graph.node.len(), 2, "the unused Constant stays, too");
    }

    fn annotated(name: &str) -> schema::ModelProto {
        let mut proto = Net::new(SILU).proto();
        proto.graph.as_mut().unwrap().quantization_annotation = vec![schema::TensorAnnotation {
            tensor_name: Some(text::bytes(name)),
            ..Default::default()
        }];
        proto
    }

    #[test]
    fn a_value_with_a_quantisation_annotation() {
        left_unrun(&annotated("s"), &["quantization_annotation"]);
        assert_eq!(
            fuse(&common::model(&annotated("y")), Emit::Custom).counts(),
            "silu 1"
        );
    }

    #[test]
    fn a_value_that_training_names() {
        let mut proto = Net::new(SILU).proto();
        proto.training_info = vec![schema::TrainingInfoProto {
            initialization_binding: vec![schema::StringStringEntryProto {
                key: Some(text::bytes("s")),
                value: Some(text::bytes("s0")),
            }],
            ..Default::default()
        }];
        left_unrun(&proto, &["training_info"]);
    }

    #[test]
    fn a_node_spread_over_devices() {
        let mut proto = Net::new(SILU).proto();
        proto.graph.as_mut().unwrap().node[0].device_configurations =
            vec![schema::NodeDeviceConfigurationProto::default()];
        left_unrun(&proto, &["device_configurations"]);
    }

    #[test]
    fn a_node_with_fields_that_we_do_not_know() {
        use prost::Message;
        let mut proto = Net::new(SILU).proto();
        let node = proto.graph.as_mut().unwrap().node.remove(0);
        // Field 1000 of the node: tag, then a varint.
        let mut bytes = node.encode_to_vec();
        bytes.extend([0xC0, 0x3E, 0x01]);
        let mut graph = proto.graph.take().unwrap().encode_to_vec();
        graph.extend([0x0A, u8::try_from(bytes.len()).unwrap()]);
        graph.extend(bytes);
        let mut file = proto.encode_to_vec();
        file.push(0x3A);
        prost::encoding::encode_varint(graph.len() as u64, &mut file);
        file.extend(graph);
        let model = onnx_swish_model::Model::from_bytes(file).unwrap();
        let plan = onnx_swish_fuse::analyze(&model, &onnx_swish_fuse::Options::default());
        let report = plan.report();
        assert!(report.fusions.is_empty());
        assert_eq!(report.near_misses[0].reason, "unknown_fields");
    }

    fn branch(body: &str) -> schema::ModelProto {
        let mut proto = Net::new("s = Sigmoid(x); m = Mul(x, s); y = If(yes)")
            .and("bool yes = 1")
            .proto();
        let graph = |name: &str, body: &str| schema::AttributeProto {
            name: Some(text::bytes(name)),
            r#type: Some(schema::attribute_proto::AttributeType::Graph as i32),
            g: Some(schema::GraphProto {
                name: Some(text::bytes(name)),
                node: text::nodes(body),
                output: text::values("float[2,8,4,4] inner"),
                ..Default::default()
            }),
            ..Default::default()
        };
        proto.graph.as_mut().unwrap().node[2].attribute = vec![
            graph("then_branch", body),
            graph("else_branch", "inner = Identity(m)"),
        ];
        proto
    }

    #[test]
    fn a_gate_that_a_subgraph_reads() {
        left_unrun(&branch("inner = Relu(s)"), &["captured"]);
    }

    #[test]
    fn a_gate_outside_and_its_product_inside() {
        let fused = fuse(&common::model(&branch("inner = Mul(x, s)")), Emit::Custom);
        assert_eq!(fused.counts(), "");
        assert_eq!(fused.reasons(), ["captured", "captured"]);
    }

    #[test]
    fn an_activation_inside_a_subgraph_of_a_value_outside() {
        let fused = fuse(
            &common::model(&branch("t = Sigmoid(m); inner = Mul(t, m)")),
            Emit::Custom,
        );
        assert_eq!(fused.counts(), "silu 2");
        assert_eq!(fused.report.fusions[1].graph, "main/If_y.then_branch");
    }
}

mod shapes {
    use super::*;

    const BETA: &str = "t = Mul(x, c); s = Sigmoid(t); y = Mul(x, s)";

    #[track_caller]
    fn shaped(x: &str, y: &str, c: &str) -> Fused {
        let net = Net::new(BETA)
            .inputs(&format!("{x} x"))
            .outputs(&format!("{y} y"))
            .and(c);
        fuse(&net.model(), Emit::Custom)
    }

    #[test]
    fn one_element_makes_a_vector_of_a_scalar() {
        assert_eq!(
            shaped("float", "float[1]", "float[1] c = 2").reasons(),
            ["shape"]
        );
        assert_eq!(
            shaped("float[8]", "float[1,8]", "float[1,1] c = 2").reasons(),
            ["shape"]
        );
        assert_eq!(
            shaped("float[8]", "float[8]", "float[1] c = 2").counts(),
            "swish 1"
        );
        assert_eq!(
            shaped("float[N]", "float[N]", "float[1] c = 2").counts(),
            "swish 1"
        );
        assert_eq!(
            shaped("float?", "float?", "float[1] c = 2").reasons(),
            ["shape"]
        );
        assert_eq!(
            shaped("float?", "float?", "float c = 2").counts(),
            "swish 1"
        );
    }

    #[test]
    fn a_uniform_vector_may_stretch_x() {
        assert_eq!(
            shaped("float[N]", "float[3]", "float[3] c = 2").reasons(),
            ["shape"]
        );
        assert_eq!(
            shaped("float[1]", "float[3]", "float[3] c = 2").reasons(),
            ["shape"]
        );
    }

    #[test]
    fn channels_may_stretch_x() {
        assert_eq!(
            shaped("float[1,1,4,4]", "float[1,2,4,4]", "float[1,2,1,1] c = 1,2").reasons(),
            ["shape"]
        );
        assert_eq!(
            shaped("float[1,C,4,4]", "float[1,C,4,4]", "float[1,2,1,1] c = 1,2").reasons(),
            ["shape"]
        );
        assert_eq!(
            shaped("float[N,2,H,W]", "float[N,2,H,W]", "float[1,2,1,1] c = 1,2").counts(),
            "swish 1"
        );
    }

    #[test]
    fn equal_names_are_equal_sizes() {
        let run_time = |x: &str, beta: &str, y: &str| {
            let net = Net::new(BETA)
                .inputs(&format!("{x} x; {beta} c"))
                .outputs(&format!("{y} y"));
            fuse(&net.model(), Emit::Custom)
        };
        assert_eq!(
            run_time("float[N,C,H,W]", "float[N,C,1,1]", "float[N,C,H,W]").counts(),
            "swish 1"
        );
        assert_eq!(
            run_time("float[N,C,H,W]", "float[N,D,1,1]", "float[N,E,H,W]").reasons(),
            ["shape"]
        );
    }

    #[test]
    fn rank_and_channels_come_from_the_layers_before() {
        let body = "h = Conv(x, w); t = Mul(h, c); s = Sigmoid(t); y = Mul(h, s)";
        let net = Net::new(body)
            .inputs("float? x")
            .outputs("float? y")
            .constants("float[2,3,1,1] w = 1; float[1,2,1,1] c = 1,2");
        assert_eq!(fuse(&net.model(), Emit::Custom).counts(), "swish 1");
    }

    #[test]
    fn before_opset_7_broadcasting_was_another_thing() {
        let body = "t = Mul[broadcast=1, axis=1](x, c); s = Sigmoid(t); y = Mul(x, s)";
        let net = Net::new(body)
            .inputs("float[2,8,4,4] x")
            .constants("float[8] c = 1,2,3,4,5,6,7,8")
            .opset(6)
            .ir(4);
        left_unrun(&net.proto(), &["opset"]);
        let scalar = Net::new("t = Mul[broadcast=1](x, c); s = Sigmoid(t); y = Mul(x, s)")
            .constants("float[1] c = 2")
            .opset(6)
            .ir(4);
        found(&scalar, "swish 1");
    }
}

mod graphs {
    use super::*;

    #[test]
    fn nodes_in_no_order() {
        let fused = fuse(
            &Net::new("w = Relu(x); y = Mul(w, s); s = Sigmoid(w)").model(),
            Emit::Custom,
        );
        assert_eq!(fused.counts(), "silu 1");
    }

    #[test]
    fn names_that_repeat_or_are_missing() {
        let mut proto =
            Net::new("s = Sigmoid(x); m = Mul(x, s); t = Sigmoid(m); y = Mul(m, t)").proto();
        for (i, node) in proto.graph.as_mut().unwrap().node.iter_mut().enumerate() {
            node.name = if i % 2 == 0 {
                None
            } else {
                Some(text::bytes("same"))
            };
        }
        let fused = fuse(&common::model(&proto), Emit::Custom);
        assert_eq!(fused.counts(), "silu 2");
        assert_eq!(
            fused.report.fusions[0].nodes,
            ["s", "same"],
            "a node without a name goes by its output's"
        );
    }

    #[test]
    fn the_fused_node_stands_where_the_last_one_stood() {
        let mut proto =
            Net::new("s = Sigmoid(x); n = Neg(x); m = Mul(x, s); y = Add(m, n)").proto();
        let graph = proto.graph.as_mut().unwrap();
        let entry = |key: &str, value: &str| schema::StringStringEntryProto {
            key: Some(text::bytes(key)),
            value: Some(text::bytes(value)),
        };
        graph.node[0].metadata_props = vec![entry("scope", "sigmoid"), entry("only", "here")];
        graph.node[2].metadata_props = vec![entry("scope", "mul")];
        graph.node[2].doc_string = Some(text::bytes("the product"));
        graph.value_info = text::values("float[2,8,4,4] s; float[2,8,4,4] m; float[2,8,4,4] n");
        let graph = fuse(&common::model(&proto), Emit::Custom)
            .proto
            .graph
            .unwrap();
        let ops: Vec<&[u8]> = graph.node.iter().map(|node| node.op_type()).collect();
        assert_eq!(ops, [&b"Neg"[..], b"FusedSilu", b"Add"]);
        let node = &graph.node[1];
        assert_eq!(
            (node.name(), node.doc_string(), &node.output[0][..]),
            (&b"Mul_m"[..], &b"the product"[..], &b"m"[..])
        );
        assert_eq!(
            node.metadata_props,
            [entry("scope", "mul"), entry("only", "here")]
        );
        let infos: Vec<&[u8]> = graph.value_info.iter().map(|info| info.name()).collect();
        assert_eq!(infos, [b"m", b"n"]);
    }

    #[test]
    fn outputs_keep_their_names() {
        let graph = found(&Net::new(HARD), "hard_swish 1").proto.graph.unwrap();
        assert_eq!(graph.node[0].output[0], "y");
    }

    #[test]
    fn a_cycle_is_no_reason_to_hang() {
        let fused = fuse_anything("a = Add(b, x); b = Mul(a, x); s = Sigmoid(x); y = Mul(x, s)");
        assert_eq!(fused, 1);
    }

    #[test]
    fn two_producers_of_one_value_are_not_touched() {
        assert_eq!(
            fuse_anything("s = Sigmoid(x); s = Tanh(x); y = Mul(x, s)"),
            0
        );
    }

    /// For graphs that are not valid: how many fusions.
    fn fuse_anything(body: &str) -> usize {
        let model = Net::new(body).model();
        let plan = onnx_swish_fuse::analyze(&model, &onnx_swish_fuse::Options::default());
        onnx_swish_fuse::apply(&model, &plan).unwrap();
        plan.report().fusions.len()
    }

    #[test]
    fn opsets_from_1_to_28() {
        for opset in 1..=28 {
            let net = Net::new(SILU).opset(opset);
            assert_eq!(
                fuse(&net.model(), Emit::Custom).counts(),
                "silu 1",
                "opset {opset}"
            );
        }
        for ir in 3..=14 {
            assert_eq!(
                fuse(&Net::new(SILU).ir(ir).model(), Emit::Custom).counts(),
                "silu 1",
                "ir {ir}"
            );
        }
    }

    #[test]
    fn a_function_is_fused_in_its_body_and_imports_our_domain() {
        let net = Net::new("a = acme::Act(x); y = acme::Act(a)").function(
            "acme",
            "Act",
            &["v"],
            &["w"],
            "b = Constant[value_float=1.5](); t = Mul(b, v); s = Sigmoid(t); w = Mul(v, s)",
        );
        let fused = found(&net, "swish 1");
        assert_eq!(fused.report.fusions[0].graph, "function acme::Act");
        let first = &fused.proto.functions[0];
        assert_eq!(first.domain(), b"onnx_swish", "callees before callers");
    }

    /// The gate has the shape of x again behind the Reshape; what is written has none, so that beta must not bring more dimensions.
    #[test]
    fn a_beta_of_more_dimensions_than_x_is_written_as_a_scalar() {
        const SHAPES: [&str; 5] = ["", "[1]", "[1,1]", "[1,1,1]", "[1,1,1,1]"];
        const XS: [&str; 4] = ["float x", "float[2] x", "float[2,3] x", "float[2,3,2] x"];
        let gates = [
            "t = Mul(x, k); s = Sigmoid(t); h = Shape(x); g = Reshape(s, h); y = Mul(x, g)",
            "t = Mul(k, x); s = Sigmoid(t); h = Shape(x); g = Reshape(s, h); y = Mul(g, x)",
            "t = Div(x, k); s = Sigmoid(t); h = Shape(x); g = Reshape(s, h); y = Mul(x, g)",
            "s = Sigmoid(x); t = Mul(s, k); m = Mul(x, t); h = Shape(x); y = Reshape(m, h)",
            "t = Mul(x, k); s = Sigmoid(t); m = Mul(x, s); h = Shape(x); y = Reshape(m, h)",
        ];
        let mut fused = 0;
        for x in XS {
            for shape in SHAPES {
                for gate in gates {
                    let net = Net::new(gate)
                        .inputs(x)
                        .outputs(&x.replace(" x", " y"))
                        .constants(&format!("float{shape} k = 1.7"));
                    fused += check(&net, Emit::Custom).report.fusions.len();
                }
            }
        }
        assert!(fused > 50, "{fused}");
    }

    #[test]
    fn values_called_like_ours_get_no_company() {
        let net = Net::new(
            "onnx_swish.1 = Identity(x); t = Div(onnx_swish.1, three); s = Sigmoid(t); m = Mul(onnx_swish.1, s); y = Add(m, onnx_swish.1)",
        );
        found(&net, "swish 1");
    }
}
