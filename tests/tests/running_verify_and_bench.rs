//! Verification finds what it must find, and a benchmark measures what it says.

use std::path::{Path, PathBuf};

use onnx_swish::{
    BenchOptions, BenchProgress, FuseOptions, HeapMeter, Model, OpTime, Tensor, VerifyOptions,
    bench, fuse, verify,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name)
}

fn open(name: &str) -> Model {
    Model::open(fixture(name)).unwrap()
}

const CLASSIFIER: &str = "real/ch_ppocr_mobile_v2.0_cls_infer.onnx";

fn classifier_options() -> VerifyOptions {
    let shapes = [("x".to_owned(), vec![1, 3, 48, 192])].into();
    VerifyOptions {
        shapes,
        ..VerifyOptions::default()
    }
}

#[test]
fn a_trained_model_verifies_with_its_tails_visited() {
    let model = open(CLASSIFIER);
    let report = verify(&model, None, &classifier_options(), |_| ()).unwrap();
    assert!(report.equal, "{:#?}", report.outputs);
    assert_eq!(report.outputs[0].top1_agreement, Some(1.0));
    let fusions = fuse(&model, &FuseOptions::default())
        .unwrap()
        .report
        .fusions
        .len();
    assert_eq!(report.coverage.len(), fusions);
    let beyond_bend = |it: &&onnx_swish::Coverage| it.max > 3.0 || it.min < -3.0;
    assert!(
        report.coverage.iter().filter(beyond_bend).count() * 2 > fusions,
        "{:#?}",
        report.coverage
    );
}

#[test]
fn another_models_numbers_are_not_equal_and_the_worst_is_shown() {
    // Both have one convolution, one activation and one convolution, with the same random weights or others.
    let report = verify(
        &open("exporters/hardswish.op13.onnx"),
        Some(&open("exporters/silu.op13.onnx")),
        &VerifyOptions::default(),
        |_| (),
    );
    let Ok(report) = report else {
        panic!("{report:?}")
    };
    assert!(!report.equal);
    let output = &report.outputs[0];
    assert!(output.outside > 0 && output.max_ulp > 1000, "{output:#?}");
    let worst = output.worst.as_ref().unwrap();
    assert_eq!(worst.index.len(), output.shape.len());
    assert!((worst.original - worst.fused).abs() > 1e-3);
}

#[test]
fn a_tolerance_of_zero_finds_the_last_bit() {
    let options = VerifyOptions {
        rtol: Some(0.0),
        atol: Some(0.0),
        ..classifier_options()
    };
    let report = verify(&open(CLASSIFIER), None, &options, |_| ()).unwrap();
    assert!(
        !report.equal,
        "two different computations of 18 activations agree to the bit"
    );
}

#[test]
fn given_inputs_are_the_only_ones() {
    let model = open("exporters/silu.op13.onnx");
    let x = ndarray::Array4::<f32>::from_elem((1, 3, 8, 8), 0.25);
    let options = VerifyOptions {
        inputs: vec![("x".to_owned(), Tensor::from(x))],
        ..VerifyOptions::default()
    };
    let report = verify(&model, None, &options, |_| ()).unwrap();
    assert!(report.equal);
    assert_eq!((report.seed, report.input_scales.len()), (None, 0));
}

#[test]
fn the_report_is_json_of_the_documented_shape() {
    let report = verify(
        &open("exporters/silu.op13.onnx"),
        None,
        &VerifyOptions::default(),
        |_| (),
    )
    .unwrap();
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["equal"], true);
    for field in ["name", "max_abs", "max_rel", "max_ulp", "elements"] {
        assert!(!json["outputs"][0][field].is_null(), "{field}: {json:#}");
    }
}

#[test]
fn a_benchmark_runs_every_contender_equally_often() {
    let (mut done, mut of, mut loaded) = (0, 0, Vec::new());
    let options = BenchOptions {
        runs: 4,
        warmup: 1,
        profile: true,
        ..BenchOptions::default()
    };
    let report = bench(
        &open("exporters/hardswish.op13.onnx"),
        &options,
        |progress| match progress {
            BenchProgress::Loading(name) => loaded.push(name),
            BenchProgress::Run { done: now, of: all } => (done, of) = (now, all),
            _ => {}
        },
    )
    .unwrap();
    assert_eq!(
        loaded,
        [
            "tract",
            "tract+vzeroupper",
            "onnx-swish-no-convolutions",
            "onnx-swish"
        ]
    );
    assert_eq!(done, of);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["threads"], &json["runs"]), (&1.into(), &4.into()));
    for (variant, name) in json["variants"].as_array().unwrap().iter().zip(loaded) {
        assert_eq!(variant["name"], name);
        assert!(variant["median_ms"].as_f64().unwrap() >= variant["min_ms"].as_f64().unwrap());
    }
    let first = &json["variants"][0];
    assert!(first["over_previous"].is_null() && first["memory"].is_null());
    let profile = report.profile.unwrap();
    // From 3 channels to 8 by filters of 3x3, over 8x8 pixels.
    let macs = Some(8 * 8 * 8 * 3 * 9);
    assert!(
        profile
            .iter()
            .any(|op| op.op == "FusedConv" && op.count == 1 && op.macs == macs),
        "{profile:?}"
    );
    let nodes = report.profile_nodes.unwrap();
    assert_eq!(
        nodes.len(),
        profile.iter().map(|op| op.count).sum::<usize>()
    );
    assert!(
        nodes.iter().any(
            |node| node.info == "dense 3x3, stride 1x1, 3 to 8 channels, HardSwish"
                && node.macs == macs
        ),
        "{nodes:?}"
    );
    let tract = report.tract_profile.unwrap();
    assert!(tract.iter().all(|op| !op.op.starts_with("Fused")));
    let all = |profile: &[OpTime]| profile.iter().filter_map(|op| op.macs).sum::<u64>();
    assert_eq!(all(&tract), all(&profile));
}

#[test]
fn without_convolutions_nothing_of_ours_computes_one() {
    let options = BenchOptions {
        runs: 1,
        profile: true,
        convolutions: false,
        ..BenchOptions::default()
    };
    let report = bench(&open("exporters/hardswish.op13.onnx"), &options, |_| ()).unwrap();
    let names: Vec<_> = report.variants.iter().map(|variant| variant.name).collect();
    assert_eq!(names, ["tract", "tract+vzeroupper", "onnx-swish"]);
    let profile = report.profile.unwrap();
    assert!(
        profile.iter().all(|op| !op.op.starts_with("FusedConv"))
            && profile.iter().any(|op| op.op == "FusedHardSwish"),
        "{profile:?}"
    );
}

#[test]
fn memory_is_what_the_meter_says_while_it_is_asked() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    // Counts its own calls, so that each figure tells when it was taken.
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let meter = HeapMeter {
        reset: || {
            CALLS.fetch_add(1000, SeqCst);
        },
        peak: || CALLS.fetch_add(1, SeqCst),
    };
    let options = BenchOptions {
        runs: 1,
        warmup: 0,
        heap: Some(meter),
        ..BenchOptions::default()
    };
    let report = bench(&open("exporters/silu.op13.onnx"), &options, |_| ()).unwrap();
    let resets: Vec<_> = report
        .variants
        .iter()
        .map(|variant| variant.memory.unwrap().loading_bytes / 1000)
        .collect();
    // One before loading and one before running, of each in turn.
    assert_eq!(resets, [1, 3, 5, 7]);
    for variant in &report.variants {
        let memory = variant.memory.unwrap();
        assert!(memory.running_bytes > memory.held_bytes);
    }
}

#[test]
fn the_markdown_names_both_baselines() {
    let options = BenchOptions {
        runs: 2,
        warmup: 0,
        ..BenchOptions::default()
    };
    let report = bench(&open("exporters/silu.op13.onnx"), &options, |_| ()).unwrap();
    let markdown = report.to_markdown();
    for name in [
        "| tract |",
        "| tract+vzeroupper |",
        "| onnx-swish-no-convolutions |",
        "| onnx-swish |",
    ] {
        assert!(markdown.contains(name), "{markdown}");
    }
    assert!(
        report
            .warnings
            .iter()
            .any(|warning| warning.contains("runs")),
        "{:?}",
        report.warnings
    );
}
