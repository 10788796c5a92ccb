//! Real exporters' files and hand-made ones come to what `fixtures/table.json` says, for every target, and back again.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::decode;
use onnx_swish_fuse::{ActivationKind, BetaValue, Emit, Options, Report, analyze, apply, expand};
use onnx_swish_model::Model;
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Lines of the table, each with its model.
fn table() -> Vec<(Value, Model)> {
    let text = std::fs::read_to_string(folder().join("table.json")).expect("the table of fixtures");
    let lines: Vec<Value> = serde_json::from_str(&text).expect("JSON");
    let open = |line: &Value| {
        let path = line["model"].as_str().expect("a path");
        Model::open(folder().join(path)).expect("a fixture that opens")
    };
    lines
        .into_iter()
        .map(|line| {
            let model = open(&line);
            (line, model)
        })
        .collect()
}

fn counted<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name.to_owned()).or_default() += 1);
    counts
}

/// A field of the table such as `{"shared": 1}`.
fn stated(line: &Value, field: &str) -> BTreeMap<String, u64> {
    let entries = line
        .get(field)
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    entries
        .map(|(name, count)| (name.clone(), count.as_u64().expect("a count")))
        .collect()
}

fn kind(kind: ActivationKind) -> &'static str {
    match kind {
        ActivationKind::Silu => "silu",
        ActivationKind::Swish => "swish",
        ActivationKind::HardSwish => "hard_swish",
    }
}

fn agrees(line: &Value, report: &Report) {
    let model = &line["model"];
    let found = counted(report.fusions.iter().map(|fusion| kind(fusion.activation)));
    for activation in ["silu", "swish", "hard_swish"] {
        let wanted = line.get(activation).and_then(Value::as_u64).unwrap_or(0);
        assert_eq!(
            found.get(activation).copied().unwrap_or(0),
            wanted,
            "{activation} in {model}"
        );
    }
    assert_eq!(
        counted(
            report
                .quantised
                .iter()
                .map(|region| kind(region.activation))
        ),
        stated(line, "quantised"),
        "{model}"
    );
    assert_eq!(
        counted(report.already_fused.iter().map(|a| &a.op[..])),
        stated(line, "already_fused"),
        "{model}"
    );
    assert_eq!(
        counted(report.near_misses.iter().map(|m| &m.reason[..])),
        stated(line, "near_misses"),
        "{model}"
    );
    if let Some(beta) = line.get("beta") {
        for fusion in report
            .fusions
            .iter()
            .filter(|f| f.activation == ActivationKind::Swish)
        {
            match (&fusion.beta, beta.as_f64()) {
                (Some(BetaValue::Number(found)), Some(wanted)) => {
                    assert_eq!(*found, wanted, "beta of {model}")
                }
                (Some(BetaValue::Tensor(_)), None) => {}
                other => panic!("beta of {model}: {other:?}"),
            }
        }
    }
    if let Some(alpha) = line.get("alpha").and_then(Value::as_f64) {
        for fusion in report
            .fusions
            .iter()
            .filter(|f| f.activation == ActivationKind::HardSwish)
        {
            assert_eq!(fusion.alpha, Some(alpha), "alpha of {model}");
        }
    }
}

#[test]
fn every_fixture_comes_to_what_the_table_says() {
    for (line, model) in table() {
        agrees(&line, &analyze(&model, &Options::default()).report());
    }
}

#[test]
fn fusing_twice_is_fusing_once_for_every_target() {
    for (line, model) in table() {
        for emit in [Emit::Custom, Emit::Contrib, Emit::Standard] {
            let options = Options::emit(emit);
            let fused = apply(&model, &analyze(&model, &options))
                .expect("a plan applies")
                .to_bytes();
            let again = Model::from_bytes(fused.clone()).expect("what we write opens");
            let twice = apply(&again, &analyze(&again, &options))
                .expect("a plan applies")
                .to_bytes();
            assert!(fused == twice, "{emit:?} {}", line["model"]);
        }
    }
}

#[test]
fn expanding_leaves_plain_operators_and_nothing_of_ours() {
    for (line, model) in table() {
        let fused = apply(&model, &analyze(&model, &Options::default()))
            .expect("a plan applies")
            .to_bytes();
        let fused = Model::from_bytes(fused).expect("what we write opens");
        let expansion = expand(&fused).expect("a model expands");
        assert!(
            expansion.kept.is_empty(),
            "{}: {:?}",
            line["model"],
            expansion.kept
        );
        let proto = decode(&expansion.model.to_bytes());
        assert!(
            proto
                .functions
                .iter()
                .all(|function| function.domain() != b"onnx_swish")
        );
        assert!(
            proto
                .opset_import
                .iter()
                .all(|import| import.domain() != b"onnx_swish")
        );
        let plain = Model::from_bytes(expansion.model.to_bytes()).expect("what we write opens");
        let report = analyze(&plain, &Options::default()).report();
        assert!(
            report.already_fused.is_empty(),
            "{}: {:?}",
            line["model"],
            report.already_fused
        );
        let before = analyze(&model, &Options::default()).report();
        let all = before.fusions.len() + before.already_fused.len() + before.quantised.len();
        // Between codes that are no table, too.
        let misses = report.near_misses.len() - before.near_misses.len();
        assert_eq!(
            report.fusions.len() + report.quantised.len() + misses,
            all,
            "{}: what was expanded is recognised again",
            line["model"]
        );
    }
}
