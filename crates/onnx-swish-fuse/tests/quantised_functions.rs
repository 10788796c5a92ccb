//! Quantised activations as functions of the file: written, recognised, run by their bodies, and taken apart again.
//!
//! Given the fixtures of `quantised/` and small nets; promises the same codes, and nothing lost on the way there and back.

mod common;

use std::fs;
use std::path::Path;

use common::codes::{SILU, region};
use common::{Net, decode, evaluate, sound, text};
use onnx_swish_fuse::{Emit, Options, Report, Runtime, analyze, apply, expand};
use onnx_swish_model::{Model, schema};

fn options() -> Options {
    Options::default().quantized(true)
}

/// What is written, and what was said of it.
fn written(model: &Model) -> (Vec<u8>, Report) {
    let plan = analyze(model, &options());
    let file = apply(model, &plan).expect("a plan applies to its model");
    (file.to_bytes().to_vec(), plan.report())
}

/// The operators of quantised activations in a model, where they stand as one.
fn functions(report: &Report) -> Vec<&str> {
    let all = report.already_fused.iter().map(|one| &*one.op);
    all.filter(|op| op.contains("Quantized")).collect()
}

/// Written, looked at again, and taken apart: the two models in between.
#[track_caller]
fn there_and_back(model: &Model, regions: usize) -> (schema::ModelProto, schema::ModelProto) {
    let (bytes, report) = written(model);
    assert_eq!(report.quantised.len(), regions);
    assert!(report.quantised.iter().all(|one| one.op.is_some()));
    let again = Model::from_bytes(bytes.clone()).expect("what we write can be read");
    let (twice, after) = written(&again);
    assert!(twice == bytes, "written twice is another file");
    assert_eq!(functions(&after).len(), regions);
    assert!(after.quantised.is_empty());
    assert_eq!(after.near_misses.len(), report.near_misses.len());
    let expansion = expand(&again).expect("a model can be expanded");
    assert!(expansion.kept.is_empty(), "{:?}", expansion.kept);
    let back = decode(&expansion.model.to_bytes());
    assert!(back.functions.is_empty());
    let known = analyze(&common::model(&back), &Options::default()).report();
    let kinds = |report: &Report| -> Vec<_> {
        let all = report.quantised.iter();
        all.map(|one| (one.activation, one.output.clone()))
            .collect()
    };
    assert_eq!(kinds(&known), kinds(&report));
    (decode(&bytes), back)
}

/// Fixtures in which HardSwish or Swish of int8 codes is one operator.
const MOVE_WITH_FUNCTIONS: [&str; 1] = ["swish24.QDQ.QInt8.onnx"];

#[test]
fn every_region_of_the_fixtures_is_a_function_of_one_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quantised");
    let mut found = 0;
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry of it").path();
        if path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        let model = Model::open(&path).expect("a fixture");
        let regions = analyze(&model, &Options::default()).report().quantised;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if regions.is_empty() || MOVE_WITH_FUNCTIONS.contains(&&*name) {
            continue;
        }
        found += regions.len();
        let (proto, _) = there_and_back(&model, regions.len());
        for function in &proto.functions {
            assert_eq!(function.input, [text::bytes("X")], "{}", path.display());
        }
    }
    assert!(found > 15, "{found}");
}

#[test]
fn regions_that_the_first_function_of_a_file_would_move_stay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/quantised");
    for name in MOVE_WITH_FUNCTIONS {
        let model = Model::open(folder.join(name)).expect("a fixture");
        let (bytes, report) = written(&model);
        assert!(
            bytes == fs::read(folder.join(name)).expect("a fixture"),
            "{name}"
        );
        let [region] = &report.quantised[..] else {
            panic!("{name}: {:?}", report.quantised);
        };
        let why = region.stays.as_deref().unwrap_or_default();
        assert!(why.contains("ONNX Runtime"), "{name}: {why}");
    }
    let net = |ends: &str| {
        Net::new(&format!(
            "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); m = HardSwish(d); r = QuantizeLinear(m, sy, zy); \
             e = DequantizeLinear(r, sy, zy); {ends}"
        ))
        .and("float sx = 0.05; int8 zx = 3; float sy = 0.03; int8 zy = -1")
    };
    let (_, report) = written(&net("y = Sin(e)").model());
    assert!(report.quantised[0].stays.is_some());
    // Where a float activation becomes a function, the file has one anyway; and so it has the second time.
    there_and_back(&net("c = Sin(e); s = Sigmoid(c); y = Mul(c, s)").model(), 1);
    // One that is no region, for it is one of two steps, moves beside another that is.
    let beside = Net::new(
        "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); h = HardSwish(d); a = Add(h, d); r = QuantizeLinear(a, sy, zx); \
         v = DequantizeLinear(r, sy, zx); p = QuantizeLinear(x, sx, zu); e = DequantizeLinear(p, sx, zu); s = Sigmoid(e); m = Mul(e, s); \
         t = QuantizeLinear(m, sy, zu); w = DequantizeLinear(t, sy, zu); y = Add(v, w)",
    )
    .and("float sx = 0.05; int8 zx = 3; float sy = 0.03; uint8 zu = 128");
    let (_, report) = written(&beside.model());
    assert!(report.quantised.iter().all(|one| one.stays.is_some()) && !report.quantised.is_empty());
    // uint8 does not move.
    there_and_back(&region("m = HardSwish(d)").model(), 1);
}

/// A net of two regions.
fn two(second: &str) -> Net {
    let first = "as = Sigmoid(d); ap = QuantizeLinear(as, sg, zg); ag = DequantizeLinear(ap, sg, zg); am = Mul(d, ag); \
                 ar = QuantizeLinear(am, sx, zx)";
    Net::new(&format!(
        "q = QuantizeLinear(x, sx, zx); d = DequantizeLinear(q, sx, zx); {first}; {second}"
    ))
    .and(common::codes::PARAMETERS)
}

#[test]
fn the_codes_are_the_same() {
    let bodies = [
        SILU,
        "s = Sigmoid(d); m = Mul(s, d)",
        "m = HardSwish(d)",
        "b = Mul(d, k); s = Sigmoid(b); m = Mul(d, s)",
    ];
    for body in bodies {
        let net = region(body).and("float k = 1.5");
        let (there, back) = there_and_back(&net.model(), 1);
        sound(&there);
        sound(&back);
        let before = net.proto();
        for seed in 0..4 {
            let inputs = evaluate::inputs(&before, seed);
            assert_eq!(
                evaluate::run(&before, &inputs),
                evaluate::run(&back, &inputs)
            );
        }
    }
}

#[test]
fn regions_that_are_written_alike_share_a_function() {
    let net = two(
        "e = DequantizeLinear(ar, sx, zx); bs = Sigmoid(e); bp = QuantizeLinear(bs, sg, zg); bg = DequantizeLinear(bp, sg, zg); \
         bm = Mul(e, bg); br = QuantizeLinear(bm, sx, zx); y = DequantizeLinear(br, sx, zx)",
    );
    let (proto, _) = there_and_back(&net.model(), 2);
    let names: Vec<_> = proto.functions.iter().map(|one| one.name()).collect();
    assert_eq!(names, [b"QuantizedSilu1"]);
}

#[test]
fn what_others_read_stays() {
    // The number behind the code is added once more.
    let net = two("f = DequantizeLinear(ar, sx, zx); y = Add(f, d)");
    let (proto, _) = there_and_back(&net.model(), 1);
    let graph = proto.graph.unwrap_or_default();
    let ops: Vec<_> = graph.node.iter().map(|node| node.op_type()).collect();
    let stays: [&[u8]; 5] = [
        b"QuantizeLinear",
        b"DequantizeLinear",
        b"QuantizedSilu1",
        b"DequantizeLinear",
        b"Add",
    ];
    assert_eq!(ops, stays);
}

#[test]
fn what_is_named_elsewhere_stays() {
    let outputs_of = |name: &str| {
        let mut proto = region(SILU).proto();
        match name {
            "output" => {
                let graph = proto.graph.as_mut().expect("a graph");
                graph.output.extend(text::values("float? g"));
            }
            "annotation" => {
                let graph = proto.graph.as_mut().expect("a graph");
                graph
                    .quantization_annotation
                    .push(schema::TensorAnnotation {
                        tensor_name: Some(text::bytes("g")),
                        ..Default::default()
                    });
            }
            _ => {}
        }
        let (bytes, report) = written(&common::model(&proto));
        assert_eq!(report.changes(), 1, "{name}");
        let graph = decode(&bytes).graph.unwrap_or_default();
        graph
            .node
            .iter()
            .any(|node| node.output == [text::bytes("g")])
    };
    assert!(outputs_of("output"));
    assert!(outputs_of("annotation"));
    assert!(!outputs_of("nothing"));
}

#[test]
fn an_edited_body_is_somebody_elses() {
    let (bytes, _) = written(&region(SILU).model());
    let mut proto = decode(&bytes);
    for node in &mut proto.functions[0].node {
        if node.op_type() == b"Sigmoid" {
            node.op_type = Some(text::bytes("Tanh"));
        }
    }
    let report = analyze(&common::model(&proto), &options()).report();
    assert!(functions(&report).is_empty());
    assert!(report.quantised.is_empty());
}

#[test]
fn a_name_that_the_file_has_is_not_taken() {
    let (bytes, _) = written(&region(SILU).model());
    let other = region("s = Sigmoid(d); m = Mul(s, d)").model();
    let mut proto = decode(other.bytes());
    let mut function = decode(&bytes).functions.remove(0);
    function.node.iter_mut().for_each(|node| {
        if node.op_type() == b"Sigmoid" {
            node.op_type = Some(text::bytes("Softsign"));
        }
    });
    proto.ir_version = Some(8);
    proto.functions.push(function);
    let (bytes, report) = written(&common::model(&proto));
    assert_eq!(
        report.quantised[0].op.as_deref(),
        Some("onnx_swish::QuantizedSilu2")
    );
    let names: Vec<_> = decode(&bytes)
        .functions
        .iter()
        .map(|one| String::from_utf8_lossy(one.name()).into_owned())
        .collect();
    assert_eq!(names, ["QuantizedSilu2", "QuantizedSilu1"]);
}

#[test]
fn a_file_out_of_order() {
    let mut proto = region(SILU).proto();
    if let Some(graph) = &mut proto.graph {
        graph.node.reverse();
    }
    there_and_back(&common::model(&proto), 1);
}

#[test]
fn nothing_is_written_unless_functions_are() {
    let model = region(SILU).model();
    for options in [
        Options::default(),
        Options::emit(Emit::Standard).quantized(true),
        Options::emit(Emit::Contrib).quantized(true),
        Options::runtime(Runtime::find("openvino").expect("a known runtime")).quantized(true),
    ] {
        let plan = analyze(&model, &options);
        assert!(plan.is_empty());
        assert!(plan.report().quantised.iter().all(|one| one.op.is_none()));
    }
    let loads = Options::runtime(Runtime::find("onnxruntime").expect("a known runtime"));
    assert_eq!(
        analyze(&model, &loads.quantized(true)).report().changes(),
        1
    );
}
