//! Verification finds what it must find, and a benchmark measures what it says.

use std::path::{Path, PathBuf};

use onnx_swish::{
    BenchOptions, Error, FuseOptions, HeapMeter, Model, NamedTensors, OffFrom, OpTime, Progress,
    Reference, Session, Tensor, VerifyOptions, bench, fuse, read_test_data, verify,
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
        inputs: vec![vec![("x".to_owned(), Tensor::from(x))]],
        ..VerifyOptions::default()
    };
    let report = verify(&model, None, &options, |_| ()).unwrap();
    assert!(report.equal);
    assert_eq!((report.seed, report.input_scales.len()), (None, 0));
}

/// The inputs and outputs that are stored for a fixture.
fn stored(name: &str) -> (NamedTensors, NamedTensors) {
    let row = onnx_swish_tests::table()
        .into_iter()
        .find(|row| row.model == name);
    let stored = row.unwrap().stored();
    (stored.inputs, stored.outputs)
}

#[test]
fn known_outputs_are_a_reference() {
    let name = "exporters/silu.op13.onnx";
    let (inputs, mut outputs) = stored(name);
    let options = |outputs: &NamedTensors| VerifyOptions {
        reference: Reference::Expected(vec![outputs.clone()]),
        inputs: vec![inputs.clone()],
        ..VerifyOptions::default()
    };
    let report = verify(&open(name), None, &options(&outputs), |_| ()).unwrap();
    assert!(report.equal, "{report:#?}");
    assert_eq!(report.reference, "file");
    let shape = outputs[0].1.shape().to_vec();
    outputs[0].1 = Tensor::zeros(onnx_swish::ElementType::F32, &shape).unwrap();
    assert!(
        !verify(&open(name), None, &options(&outputs), |_| ())
            .unwrap()
            .equal
    );
}

#[test]
fn known_outputs_that_hold_none_of_the_models_are_an_error() {
    let name = "exporters/silu.op13.onnx";
    let (inputs, _) = stored(name);
    let options = VerifyOptions {
        reference: Reference::Expected(vec![NamedTensors::new()]),
        inputs: vec![inputs],
        ..VerifyOptions::default()
    };
    let error = verify(&open(name), None, &options, |_| ()).unwrap_err();
    assert!(error.to_string().contains("none of the model's"), "{error}");
}

#[test]
fn known_outputs_that_hold_some_say_which_were_not_compared() {
    let name = "handmade/shared_gate.onnx";
    let (inputs, mut outputs) = stored(name);
    let left = outputs.pop().unwrap().0;
    assert!(!outputs.is_empty());
    let options = VerifyOptions {
        reference: Reference::Expected(vec![outputs]),
        inputs: vec![inputs],
        ..VerifyOptions::default()
    };
    let report = verify(&open(name), None, &options, |_| ()).unwrap();
    let said = |it: &String| it.contains("not compared") && it.contains(&format!("`{left}`"));
    assert!(report.warnings.iter().any(said), "{:#?}", report.warnings);
}

#[test]
fn known_outputs_need_the_inputs_they_belong_to() {
    let name = "exporters/silu.op13.onnx";
    let options = VerifyOptions {
        reference: Reference::Expected(vec![stored(name).1]),
        ..VerifyOptions::default()
    };
    let error = verify(&open(name), None, &options, |_| ())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("1 set of expected outputs for 0 sets"),
        "{error}"
    );
}

/// A tensor as protobuf has it: sizes (field 1), FLOAT (2), name (8), bytes (9).
fn tensor_file(name: &str, tensor: &Tensor) -> Vec<u8> {
    let varint = |out: &mut Vec<u8>, mut value: usize| {
        while value > 127 {
            out.push(value as u8 | 128);
            value >>= 7;
        }
        out.push(value as u8);
    };
    let mut out = Vec::new();
    for &size in tensor.shape() {
        out.push(1 << 3);
        varint(&mut out, size);
    }
    out.extend([2 << 3, 1]);
    let values = tensor.to_array::<f32>().unwrap();
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    for (field, payload) in [(8, name.as_bytes()), (9, &bytes)] {
        out.push(field << 3 | 2);
        varint(&mut out, payload.len());
        out.extend(payload);
    }
    out
}

#[test]
fn onnx_test_data_is_read_by_name_or_by_number() {
    let name = "exporters/silu.op13.onnx";
    let (inputs, outputs) = stored(name);
    let folder = tempfile::tempdir().unwrap();
    for (set, input) in [(0, "x"), (10, ""), (2, "of another model")] {
        let set = folder.path().join(format!("test_data_set_{set}"));
        std::fs::create_dir(&set).unwrap();
        std::fs::write(set.join("input_0.pb"), tensor_file(input, &inputs[0].1)).unwrap();
        std::fs::write(set.join("output_0.pb"), tensor_file("", &outputs[0].1)).unwrap();
    }
    let model = open(name);
    let sets = read_test_data(folder.path(), &model).unwrap();
    assert_eq!(sets.len(), 3);
    let (inputs, outputs) = sets
        .into_iter()
        .map(|set| (set.inputs, set.outputs))
        .unzip();
    let options = VerifyOptions {
        reference: Reference::Expected(outputs),
        inputs,
        ..VerifyOptions::default()
    };
    let report = verify(&model, None, &options, |_| ()).unwrap();
    assert!(report.equal, "{report:#?}");
    assert_eq!(report.outputs[0].elements, 3 * 256);

    let surplus = folder.path().join("test_data_set_0/input_1.pb");
    std::fs::write(
        &surplus,
        tensor_file("", &Tensor::from(ndarray::arr1(&[1.0f32]))),
    )
    .unwrap();
    let error = read_test_data(folder.path(), &model)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("input_1.pb") && error.contains("only 1"),
        "{error}"
    );
    std::fs::write(&surplus, [0xff; 7]).unwrap();
    let error = read_test_data(folder.path(), &model)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no tensor"), "{error}");
    assert!(read_test_data(&folder.path().join("nowhere"), &model).is_err());
}

#[test]
fn each_activation_goes_by_the_files_name_and_agrees_with_the_reference() {
    let options = VerifyOptions {
        each: true,
        ..classifier_options()
    };
    let model = open(CLASSIFIER);
    let report = verify(&model, None, &options, |_| ()).unwrap();
    assert!(report.equal && report.first_off.is_none(), "{report:#?}");
    let fusions = fuse(&model, &FuseOptions::default())
        .unwrap()
        .report
        .fusions;
    for one in &report.coverage {
        let output = one.output.as_ref().unwrap();
        assert!(
            fusions.iter().any(|fusion| fusion.output == *output),
            "{output}"
        );
        assert!(one.exact && one.max_ulp > 0.0, "{one:#?}");
        let value = one.against_reference.as_ref().unwrap();
        assert!(value.equal && value.elements == one.elements, "{value:#?}");
    }
}

#[test]
fn the_first_activation_that_was_given_other_values_is_named() {
    // Networks of one exporter name their values alike; these have other weights.
    let options = VerifyOptions {
        each: true,
        ..VerifyOptions::default()
    };
    let (one, other) = (
        open("exporters/silu.op13.onnx"),
        open("exporters/hardswish.op13.onnx"),
    );
    let report = verify(
        &one,
        Some(
            &fuse(&other, &FuseOptions::default())
                .unwrap()
                .into_model()
                .unwrap(),
        ),
        &options,
        |_| (),
    );
    let report = report.unwrap();
    let first = report.first_off.expect("other weights make other values");
    assert_eq!(first.from, OffFrom::Reference);
    assert_eq!(first.inputs_equal, Some(false));
    assert_eq!(first.output, report.coverage[0].output);
    assert!(!report.equal && report.coverage[0].exact);
}

#[test]
fn another_beta_is_told_from_other_values() {
    let options = VerifyOptions {
        each: true,
        ..VerifyOptions::default()
    };
    let (original, other) = (
        open("exporters/quick_gelu.op13.onnx"),
        fuse(
            &open("exporters/quick_gelu.op13.onnx"),
            &FuseOptions::default(),
        ),
    );
    let mut bytes = other.unwrap().into_model().unwrap().bytes().to_vec();
    let (beta, changed) = (1.702f32.to_le_bytes(), 1.8f32.to_le_bytes());
    let at = bytes.windows(4).position(|it| it == beta).unwrap();
    bytes[at..at + 4].copy_from_slice(&changed);
    let other = Model::from_bytes(bytes).unwrap();
    let report = verify(&original, Some(&other), &options, |_| ()).unwrap();
    let first = report.first_off.expect("another beta makes other values");
    assert_eq!(
        (first.from, first.inputs_equal),
        (OffFrom::Reference, Some(true))
    );
}

#[test]
fn an_onnx_runtime_that_is_none_is_said_in_words() {
    let file = fixture("table.json");
    let missing = fixture("libonnxruntime.so");
    for (library, said) in [(file, "cannot be loaded"), (missing, "cannot be loaded")] {
        let options = VerifyOptions {
            reference: Reference::OnnxRuntime {
                library: Some(library.clone()),
            },
            ..VerifyOptions::default()
        };
        let error = verify(&open("exporters/silu.op13.onnx"), None, &options, |_| ()).unwrap_err();
        assert!(matches!(error, Error::OnnxRuntime(_)), "{error:?}");
        let error = error.to_string();
        let name = library.file_name().unwrap().to_str().unwrap();
        assert!(error.contains(said) && error.contains(name), "{error}");
    }
}

#[test]
fn an_index_out_of_range_is_the_inputs_fault() {
    let model = open("handmade/int_input.onnx");
    let ids = Tensor::from(ndarray::arr2(&[[0i64, 1, 999_999, 2, 3]]));
    let session = Session::builder().load(&model).unwrap();
    let from_run = session.run([("ids", &ids)]).unwrap_err();
    let options = VerifyOptions {
        inputs: vec![vec![("ids".to_owned(), ids)]],
        ..VerifyOptions::default()
    };
    let from_verify = verify(&model, None, &options, |_| ()).unwrap_err();
    for error in [from_run, from_verify] {
        assert!(
            matches!(&error, Error::Run(onnx_swish_tract::Error::Operand(refused)) if refused.value == "999999"),
            "{error:?}"
        );
        assert!(
            error.to_string().contains("input `ids` holds 999999"),
            "{error}"
        );
    }
}

#[test]
fn a_quantised_model_says_what_ran_on_codes_and_how_many_moved() {
    let of = |tables| {
        let options = VerifyOptions {
            tables,
            ..VerifyOptions::default()
        };
        let model = open("quantised/silu.QDQ.QInt8.onnx");
        verify(&model, None, &options, |_| ()).unwrap()
    };
    let report = of(true);
    assert!(report.equal && report.warnings.is_empty(), "{report:#?}");
    assert_eq!(
        (report.on_codes.activations, report.on_codes.convolutions),
        (1, 2)
    );
    let codes = report.outputs[0].codes.expect("behind DequantizeLinear");
    assert!(codes.whole && codes.elements == report.outputs[0].elements);
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["on_codes"]["activations"], 1);
    assert_eq!(json["outputs"][0]["codes"]["whole"], true);
    // HardSwish whose Clip is the saturation of its codes, and with a Clip.
    let hard = [
        "addclip.QDQ.QUInt8",
        "addclip.QOperator.QInt8",
        "hard02.symmetric.QInt8",
    ];
    for spelling in hard {
        let model = open(&format!("quantised/{spelling}.onnx"));
        let report = verify(&model, None, &VerifyOptions::default(), |_| ()).unwrap();
        assert_eq!(report.on_codes.activations, 1, "{spelling}");
        assert!(report.warnings.is_empty(), "{spelling}: {report:#?}");
    }
    // Node by node no table ran, and nothing fused did.
    let report = of(false);
    assert_eq!(report.on_codes.activations, 0);
    assert!(
        report
            .warnings
            .iter()
            .any(|it| it.contains("no fused activation"))
    );
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
    assert_eq!(json["reference"], "tract");
    assert!(json["first_off"].is_null());
    assert_eq!(json["outputs"][0]["judged_by"], "tolerance");
    assert_eq!(json["coverage"][0]["exact"], true);
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
            Progress::Loading(name) => loaded.push(name),
            Progress::Timed { done: now, of: all } => (done, of) = (now, all),
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
        convolutions: onnx_swish::Convolutions::Tract,
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

#[test]
fn a_model_that_tract_alone_does_not_load_is_timed_without_its_rows() {
    let model = open("repairs/pools_of_codes_in_onnxruntimes_arithmetic.onnx");
    let options = BenchOptions {
        runs: 2,
        profile: true,
        ..BenchOptions::default()
    };
    let report = bench(&model, &options, |_| ()).unwrap();
    let names: Vec<&str> = report.variants.iter().map(|it| it.name).collect();
    assert_eq!(names, ["onnx-swish-no-convolutions", "onnx-swish"]);
    assert!(report.variants[0].over_previous.is_none());
    assert!(report.profile.is_some() && report.tract_profile.is_none());
    let said = report.warnings.iter().filter(|it| it.contains("QLinear"));
    assert_eq!(said.count(), 1, "{:?}", report.warnings);
}
