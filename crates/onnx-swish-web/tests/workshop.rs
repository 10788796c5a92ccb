//! The workshop natively: the same bytes as the library, and the command's sentences.
//! Given: fixtures.
//! Promises: that the pieces put together are the fused file, for each target.

use std::path::PathBuf;

use onnx_swish_fuse::{Options, analyze, apply};
use onnx_swish_model::Model;
use onnx_swish_web::{Answer, Workshop};

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name);
    std::fs::read(path).unwrap()
}

#[test]
fn the_pieces_are_the_file_that_the_library_makes() {
    let bytes = fixture("real/ch_ppocr_mobile_v2.0_cls_infer.onnx");
    let mut workshop = Workshop::default();
    assert!(matches!(
        workshop.open("cls.onnx", bytes.clone()),
        Answer::Opened { external } if external.is_empty()
    ));
    let (answer, new) = workshop.fuse("custom");
    let told = serde_json::to_value(&answer).unwrap();
    let mut file = Vec::new();
    for piece in told["fused"]["pieces"].as_array().unwrap() {
        let [start, len] = ["start", "len"].map(|key| piece[key].as_u64().unwrap() as usize);
        let from = if piece["original"].as_bool().unwrap() {
            &bytes
        } else {
            &new
        };
        file.extend_from_slice(&from[start..start + len]);
    }
    let model = Model::from_bytes(bytes).unwrap();
    let plan = analyze(&model, &Options::default());
    assert!(file == apply(&model, &plan).unwrap().to_bytes());
    assert_eq!(told["fused"]["document"]["summary"]["fusions"], 18);
    assert!(workshop.page().contains("cls.onnx"));
}

#[test]
fn a_file_that_is_no_model_is_told_so() {
    let mut workshop = Workshop::default();
    let Answer::Failed { message, because } =
        workshop.open("a.txt", b"hello, this is text".to_vec())
    else {
        panic!("a text is no model");
    };
    assert_eq!(message, "cannot read a.txt");
    assert!(because[0].contains("not"), "{because:?}");
    let (answer, new) = workshop.fuse("custom");
    assert!(matches!(answer, Answer::Failed { .. }) && new.is_empty());
}

#[test]
fn a_runtime_that_nobody_knows_is_an_answer() {
    let mut workshop = Workshop::default();
    workshop.open("a.onnx", fixture("handmade/swish_alpha.onnx"));
    let (answer, _) = workshop.fuse("no such runtime");
    assert!(matches!(answer, Answer::Failed { .. }));
    for target in ["custom", "contrib", "standard", "onnxruntime", "tract"] {
        assert!(
            matches!(workshop.fuse(target).0, Answer::Fused { .. }),
            "{target}"
        );
    }
}

#[test]
fn it_is_said_where_external_data_is() {
    let mut workshop = Workshop::default();
    let opened = workshop.open("a.onnx", fixture("handmade/external_data.onnx"));
    let told = serde_json::to_value(&opened).unwrap();
    assert_eq!(
        told["opened"]["external"],
        serde_json::json!(["external_data.onnx.data"])
    );
}

#[test]
fn what_a_runtime_does_not_load_is_taken_apart_or_refused() {
    let bytes = fixture("exporters/hardswish.op17.onnx");
    let mut workshop = Workshop::default();
    workshop.open("h.onnx", bytes.clone());
    let (answer, new) = workshop.fuse("tensorrt@8.4");
    assert!(matches!(answer, Answer::Fused { .. }));
    let runtime = onnx_swish_fuse::Runtime::find("tensorrt@8.4").unwrap();
    let model = Model::from_bytes(bytes).unwrap();
    let apart = onnx_swish_fuse::rewrite(&model, &Options::runtime(runtime)).unwrap();
    assert!(new == apart.file.to_bytes() && apart.report.expanded.len() == 1);
    workshop.open("s.onnx", fixture("handmade/swish_alpha.onnx"));
    let (Answer::Failed { message, because }, new) = workshop.fuse("onnxruntime@1.20") else {
        panic!("1.20 reads no opset 24");
    };
    assert!(message.contains("would not load") && because[0].contains("opset 21"));
    assert!(new.is_empty());
}
