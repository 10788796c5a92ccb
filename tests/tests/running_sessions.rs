//! Sessions as applications use them: names, shapes, threads, and what they say when something is wrong.

use std::path::{Path, PathBuf};

use ndarray::{Array2, Array4, ArrayD};
use onnx_swish::{ElementType, Model, Session, Shapes, Tensor};
use onnx_swish_tract::{Operators, Session as Engine};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures")
        .join(name)
}

fn engine(name: &str) -> onnx_swish_tract::SessionBuilder {
    Engine::builder(std::fs::read(fixture(name)).unwrap())
}

fn image(value: f32) -> Array4<f32> {
    Array4::from_elem((1, 3, 8, 8), value)
}

/// Fixed input x of [1, 3, 8, 8].
const SMALL: &str = "exporters/hardswish.op13.onnx";
/// Input x with free batch, height and width.
const FREE: &str = "handmade/free_dims.onnx";

#[test]
fn arrays_views_and_tensors_are_all_inputs() {
    let session = Session::open(fixture(SMALL)).unwrap();
    let owned = session.run([("x", image(0.5))]).unwrap();
    let array = image(0.5);
    let viewed = session.run([("x", array.view())]).unwrap();
    let shared = session.run([("x", &Tensor::from(&array))]).unwrap();
    let name = session.outputs()[0].name.clone();
    for outputs in [&viewed, &shared] {
        assert_eq!(outputs[name.as_str()], owned[0]);
    }
}

#[test]
fn wrong_inputs_are_told_apart() {
    let session = Session::open(fixture(SMALL)).unwrap();
    let message = |inputs: Vec<(&str, Tensor)>| session.run(inputs).unwrap_err().to_string();

    let unknown = message(vec![("y", image(0.0).into())]);
    assert!(
        unknown.contains("no input `y`") && unknown.contains("`x`"),
        "{unknown}"
    );
    let missing = message(vec![]);
    assert!(
        missing.contains("`x`") && missing.contains("[1, 3, 8, 8]"),
        "{missing}"
    );
    let twice = message(vec![("x", image(0.0).into()), ("x", image(0.0).into())]);
    assert!(twice.contains("twice"), "{twice}");
    let kind = message(vec![("x", image(0.0).mapv(f64::from).into())]);
    assert!(
        kind.contains("float32") && kind.contains("float64"),
        "{kind}"
    );
    let shape = message(vec![("x", Array4::<f32>::zeros((1, 3, 9, 8)).into())]);
    assert!(
        shape.contains("[1, 3, 8, 8]") && shape.contains("[1, 3, 9, 8]"),
        "{shape}"
    );
    let rank = message(vec![("x", Array2::<f32>::zeros((8, 8)).into())]);
    assert!(
        rank.contains("[1, 3, 8, 8]") && rank.contains("[8, 8]"),
        "{rank}"
    );
}

#[test]
fn an_output_that_does_not_exist_is_told() {
    let session = Session::open(fixture(SMALL)).unwrap();
    let outputs = session.run([("x", image(0.0))]).unwrap();
    let error = outputs.get("nothing").unwrap_err().to_string();
    assert!(error.contains("no output `nothing`"), "{error}");
}

#[test]
fn free_dimensions_follow_each_call() {
    let session = Session::open(fixture(FREE)).unwrap();
    let shapes = [
        [1, 3, 4, 4],
        [2, 3, 7, 5],
        [1, 3, 4, 4],
        [3, 3, 1, 9],
        [2, 3, 2, 2],
        [1, 3, 6, 6],
        [2, 3, 7, 5],
    ];
    for shape in shapes {
        let outputs = session
            .run([("x", ArrayD::<f32>::ones(shape.to_vec()))])
            .unwrap();
        assert_eq!(outputs[0].shape()[0], shape[0], "{shape:?}");
    }
}

#[test]
fn a_shape_given_beforehand_is_the_only_one_taken() {
    let session = Session::builder()
        .input_shape("x", [1, 3, 4, 4])
        .open(fixture(FREE))
        .unwrap();
    assert_eq!(session.inputs()[0].fixed_shape(), Some(vec![1, 3, 4, 4]));
    session
        .run([("x", Array4::<f32>::zeros((1, 3, 4, 4)))])
        .unwrap();
    let error = session
        .run([("x", Array4::<f32>::zeros((2, 3, 4, 4)))])
        .unwrap_err()
        .to_string();
    assert!(error.contains("[1, 3, 4, 4]"), "{error}");
    // The empty name stands for the only input.
    Session::builder()
        .input_shape("", [1, 3, 4, 4])
        .open(fixture(FREE))
        .unwrap();
    let error = Session::builder()
        .input_shape("", [3, 8])
        .open(fixture("handmade/two_inputs.onnx"))
        .unwrap_err();
    assert!(error.to_string().contains("name the input"), "{error}");
}

#[test]
fn a_shape_that_contradicts_the_file_is_refused_at_once() {
    let wrong = |name: &str, shape: &[usize]| {
        Session::builder()
            .input_shape(name, shape)
            .open(fixture(FREE))
            .unwrap_err()
            .to_string()
    };
    let channels = wrong("x", &[1, 4, 8, 8]);
    assert!(
        channels.contains("`x`") && channels.contains("[1, 4, 8, 8]"),
        "{channels}"
    );
    let unknown = wrong("image", &[1, 3, 8, 8]);
    assert!(unknown.contains("no input `image`"), "{unknown}");
}

#[test]
fn random_inputs_need_the_free_sizes_and_say_how_to_give_them() {
    let session = Session::open(fixture(FREE)).unwrap();
    let error = session
        .random_inputs(0, &Shapes::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("give a shape, for example x="), "{error}");
    let shapes = Shapes::from([("x".to_owned(), vec![1, 3, 4, 4])]);
    let inputs = session.random_inputs(0, &shapes).unwrap();
    session.run(inputs).unwrap();
}

#[test]
fn sessions_and_tensors_cross_threads() {
    fn crosses<T: Send + Sync + Clone + 'static>() {}
    crosses::<Session>();
    crosses::<Engine>();
    crosses::<Tensor>();
}

#[test]
fn one_session_serves_many_threads() {
    let session = Session::open(fixture(FREE)).unwrap();
    let expected: Vec<Tensor> = (0..8)
        .map(|index| session.run([("x", input_of(index))]).unwrap()[0].clone())
        .collect();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (session, expected) = (session.clone(), &expected);
            scope.spawn(move || {
                for round in 0..24 {
                    let index = (round + worker) % expected.len();
                    assert_eq!(
                        session.run([("x", input_of(index))]).unwrap()[0],
                        expected[index]
                    );
                }
            });
        }
    });
}

/// Two alternating shapes, each with values of its own.
fn input_of(index: usize) -> Array4<f32> {
    let size = 4 + index % 2;
    Array4::from_shape_fn((1, 3, size, size), |(_, c, h, w)| {
        (index + c + h * w) as f32 * 0.25 - 1.0
    })
}

#[test]
fn threads_change_the_numbers_no_more_than_rounding_does() {
    let model = fixture("real/ch_ppocr_mobile_v2.0_cls_infer.onnx");
    let shape = [1, 3, 48, 192];
    let run = |threads| {
        let session = Session::builder()
            .threads(threads)
            .input_shape("x", shape)
            .open(&model)
            .unwrap();
        let inputs = session.random_inputs(1, &Shapes::new()).unwrap();
        session.run(inputs).unwrap()[0].to_f64().unwrap()
    };
    for (alone, together) in run(1).into_iter().zip(run(2)) {
        assert!((alone - together).abs() < 1e-5, "{alone} and {together}");
    }
}

#[test]
fn callers_who_share_the_threads_of_a_session_all_get_their_own_numbers() {
    let session = Session::builder()
        .threads(3)
        .input_shape("x", [1, 3, 48, 192])
        .open(fixture("real/ch_ppocr_mobile_v2.0_cls_infer.onnx"))
        .unwrap();
    let inputs: Vec<_> = (0..4)
        .map(|seed| session.random_inputs(seed, &Shapes::new()).unwrap())
        .collect();
    let run = |i: usize| session.run(inputs[i].clone()).unwrap()[0].clone();
    let expected: Vec<Tensor> = (0..4).map(run).collect();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (run, expected) = (&run, &expected);
            scope.spawn(move || (0..25).for_each(|_| assert_eq!(run(i), expected[i])));
        }
    });
}

#[test]
fn ports_are_what_the_file_declares() {
    let session = Session::open(fixture(FREE)).unwrap();
    let port = &session.inputs()[0];
    assert_eq!(
        (port.name.as_str(), port.element_type),
        ("x", Some(ElementType::F32))
    );
    assert!(port.to_string().starts_with("x float32 ["), "{port}");
    assert_eq!(port.fixed_shape(), None);
}

#[test]
fn an_operator_that_tract_lacks_is_named_with_its_node() {
    let error = Session::open(fixture("handmade/unknown_op.onnx"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("does not implement") && error.contains("::"),
        "{error}"
    );
}

#[test]
fn a_models_own_function_is_never_taken_for_a_builtin() {
    let name = "handmade/function_named_like_builtin.onnx";
    // tract alone would run its own operator of that name. The engine refuses; the facade inlines.
    let error = engine(name).build().unwrap_err();
    assert!(
        matches!(error, onnx_swish_tract::Error::ModelFunction { .. }),
        "{error}"
    );
    Session::open(fixture(name)).unwrap();
}

#[test]
fn bytes_that_are_no_model_are_refused() {
    assert!(matches!(
        Engine::builder(&b"\xff\xff\xff"[..]).build(),
        Err(onnx_swish_tract::Error::Decode(_))
    ));
    let error = Model::open(fixture("README.md")).map(|model| Session::builder().load(&model));
    assert!(!matches!(error, Ok(Ok(_))));
    let missing = Session::open(fixture("no/such/file.onnx"))
        .unwrap_err()
        .to_string();
    assert!(missing.contains("file.onnx"), "{missing}");
}

#[test]
fn every_activation_of_a_fused_model_runs_on_our_operators() {
    let model = Model::open(fixture("real/ch_ppocr_mobile_v2.0_cls_infer.onnx")).unwrap();
    let fused = onnx_swish::fuse(&model, &onnx_swish::FuseOptions::default()).unwrap();
    let fusions = fused.report.fusions.len();
    let bytes = fused.file.to_bytes();
    // Convolutions of ours would take the activations along, and no node of theirs would be left to count.
    let engine = Engine::builder(bytes)
        .input_shape("x", [1, 3, 48, 192])
        .convolutions(false)
        .build()
        .unwrap();
    let input = ArrayD::<f32>::zeros(vec![1, 3, 48, 192]);
    let (_, ranges) = engine.run_observed([("x", input.view())]).unwrap();
    assert_eq!(ranges.len(), fusions);
    let (_, times) = engine.run_timed([("x", input)]).unwrap();
    assert_eq!(
        times
            .iter()
            .filter(|node| node.op == "FusedHardSwish")
            .count(),
        fusions
    );
}

#[test]
fn what_tract_fuses_by_itself_runs_on_our_kernels_too() {
    // Not fused in the file: tract's own detection makes a SiLU of it, and we take that over.
    let engine = engine("exporters/silu.op13.onnx")
        .convolutions(false)
        .build()
        .unwrap();
    let (_, times) = engine.run_timed([("x", image(0.5))]).unwrap();
    assert!(times.iter().any(|node| node.op == "FusedSilu"), "{times:?}");
    let reference = self::engine("exporters/silu.op13.onnx")
        .operators(Operators::Reference)
        .build()
        .unwrap();
    let (_, times) = reference.run_timed([("x", image(0.5))]).unwrap();
    assert!(
        times
            .iter()
            .all(|node| !node.op.to_lowercase().contains("silu")),
        "{times:?}"
    );
}

#[test]
fn models_travel_through_nnef() {
    let files = [
        "exporters/silu.op13.onnx",
        "exporters/quick_gelu.op13.onnx",
        "exporters/hardswish.op13.onnx",
        "exporters/hard_02.op13.onnx",
        "exporters/beta_channel.op13.onnx",
    ];
    for name in files {
        let model = Model::open(fixture(name)).unwrap();
        let fused = onnx_swish::fuse(&model, &onnx_swish::FuseOptions::default()).unwrap();
        let engine = Engine::builder(fused.file.to_bytes()).build().unwrap();
        let mut archive = Vec::new();
        engine
            .write_nnef(&[vec![1, 3, 8, 8]], &mut archive)
            .unwrap();
        let again = Engine::nnef_builder(archive).build().unwrap();
        let x = Array4::from_shape_fn((1, 3, 8, 8), |(_, c, h, w)| {
            (c * 7 + h * 3 + w) as f32 * 0.3 - 6.0
        });
        let (before, _) = engine.run_observed([("x", x.view())]).unwrap();
        let (after, ranges) = again.run_observed([("x", x.view())]).unwrap();
        assert_eq!(ranges.len(), 1, "{name}");
        for (before, after) in before[0]
            .to_f64()
            .unwrap()
            .into_iter()
            .zip(after[0].to_f64().unwrap())
        {
            assert!(
                (before - after).abs() <= 1e-6 * before.abs().max(1.0),
                "{name}: {before} and {after}"
            );
        }
    }
}

#[test]
fn a_session_tells_what_it_did() {
    use std::sync::{Arc, Mutex};
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let session = Session::builder()
        .diagnostics(move |what| sink.lock().unwrap().push(what.to_string()))
        .open(fixture("handmade/local_function.onnx"))
        .unwrap();
    drop(session);
    let told = told.lock().unwrap().join("\n");
    assert!(told.contains("fused 1 activation in"), "{told}");
    assert!(told.contains("where called"), "{told}");
    assert!(told.contains("built a plan"), "{told}");
}

/// The two towers each have the names of our operators, and neither may see the other. tract ignores functions: what it loads, it loads
/// because the running tower knows the name, the domain and the attributes.
#[test]
fn what_fusing_writes_the_engine_knows_by_the_same_name() {
    use onnx_swish::{FuseOptions, fuse};
    use std::collections::BTreeSet;
    let mut written = BTreeSet::new();
    for name in [
        "exporters/silu.op13.onnx",
        "exporters/quick_gelu.op13.onnx",
        "exporters/hardswish.op13.onnx",
        "exporters/hard_02.op13.onnx",
    ] {
        let model = Model::open(fixture(name)).unwrap();
        let fused = fuse(&model, &FuseOptions::default()).unwrap();
        let fused = fused.into_model().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let functions = fused.functions().iter();
        let functions: BTreeSet<String> = functions.map(|it| text(fused.text(it.name()))).collect();
        let bytes = fused.bytes().to_vec();
        let engine = Engine::builder(bytes.clone()).build().unwrap();
        let row = onnx_swish_tests::table().into_iter();
        let stored = row
            .into_iter()
            .find(|row| row.model == name)
            .unwrap()
            .stored();
        let mut ops = BTreeSet::new();
        engine
            .run_watched(stored.inputs.clone(), |watched| {
                ops.insert(watched.op.to_owned());
            })
            .unwrap();
        assert_eq!(ops, functions, "{name}");
        let outputs = engine.run(stored.inputs).unwrap();
        for (output, expected) in stored.outputs {
            let found = outputs.get(&output).unwrap().to_f64().unwrap();
            for (found, expected) in found.into_iter().zip(expected.to_f64().unwrap()) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found} {expected}"
                );
            }
        }
        // The same file in another domain of the same length is somebody else's operator.
        let other = replaced(&bytes, b"onnx_swish", b"onnx_svish");
        let refused = Engine::builder(other).build();
        assert!(refused.is_err(), "{name} runs in another domain");
        written.extend(functions);
    }
    let ours = [
        "FusedHardSwish",
        "FusedSilu",
        "FusedSlopedHardSwish",
        "FusedSwish",
    ];
    assert_eq!(written.into_iter().collect::<Vec<_>>(), ours);
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len().saturating_sub(from.len()))
        .filter(|&at| bytes[at..].starts_with(from))
        .collect();
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

#[test]
fn external_data_is_checked_before_tract_opens_it() {
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/external.onnx");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    std::fs::copy(seed, &path).unwrap();
    let location = Model::open(&path)
        .unwrap()
        .external_locations()
        .first()
        .map(|location| String::from_utf8_lossy(location).into_owned())
        .unwrap();

    let missing = Session::open(&path).unwrap_err().to_string();
    assert!(missing.contains(&location), "{missing}");
    // Not a file to read from: opening it like one must not even be tried.
    std::fs::create_dir_all(dir.path().join(&location)).unwrap();
    let folder = Session::open(&path).unwrap_err();
    assert!(matches!(folder, onnx_swish::Error::External(_)), "{folder}");
}

#[test]
fn float16_is_computed_in_float32_unless_asked_otherwise() {
    use half::f16;
    let x = Array4::from_elem((1, 2, 160, 160), f16::from_f32(4.0));
    let mean = |native: bool| {
        let builder = Session::builder().native_half(native);
        let session = builder.open(fixture("half/gap.f16.onnx")).unwrap();
        let outputs = session.run([("x", x.view())]).unwrap();
        outputs[0]
            .view::<f16>()
            .unwrap()
            .iter()
            .next()
            .unwrap()
            .to_f32()
    };
    assert_eq!(mean(false), 4.0);
    // 25,600 fours are more than float16 holds.
    assert_eq!(mean(true), f32::INFINITY);
}

#[test]
fn bfloat16_goes_in_and_comes_out_in_its_own_type() {
    use half::bf16;
    let session = Session::open(fixture("half/gemm.bf16.onnx")).unwrap();
    assert_eq!(session.inputs()[0].element_type, Some(ElementType::BF16));
    assert_eq!(session.inputs()[0].to_string(), "x bfloat16 [3, 16]");
    let ones = Array2::from_elem((3, 16), bf16::ONE);
    let outputs = session.run([("x", ones.view())]).unwrap();
    assert!(
        outputs[0]
            .view::<bf16>()
            .unwrap()
            .iter()
            .all(|y| y.is_finite())
    );
    let wide = ones.mapv(bf16::to_f32);
    let error = session.run([("x", wide.view())]).unwrap_err().to_string();
    assert!(
        error.contains("bfloat16") && error.contains("float32"),
        "{error}"
    );
}

/// A function of ours whose body somebody edited means what the body says: here Sigmoid became Dropout, the identity.
#[test]
fn an_edited_function_of_ours_runs_as_its_body_says() {
    let patched = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        let (from, to) = (b"Sigmoid", b"Dropout");
        for at in 0..bytes.len() - from.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + from.len()].copy_from_slice(to);
            }
        }
        Model::from_bytes(bytes).unwrap()
    };
    let model = Model::open(fixture("exporters/silu.op13.onnx")).unwrap();
    let fused = onnx_swish::fuse(&model, &onnx_swish::FuseOptions::default()).unwrap();
    assert_eq!(fused.report.fusions.len(), 1);
    let edited = patched(fused.into_model().unwrap().bytes());
    let report = onnx_swish::inspect(&edited, &onnx_swish::FuseOptions::default());
    assert!(
        report
            .near_misses
            .iter()
            .any(|miss| miss.reason == "edited_function")
    );

    let run = |model: &Model| {
        let session = Session::builder().load(model).unwrap();
        let outputs = session.run([("x", image(0.5))]).unwrap();
        outputs[0].view::<f32>().unwrap().to_owned()
    };
    let (found, spelled) = (run(&edited), run(&patched(model.bytes())));
    assert_eq!(found.shape(), spelled.shape());
    let off = found.iter().zip(&spelled).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) < 1e-5);
    let silu = run(&model);
    assert!(found.iter().zip(&silu).any(|(a, b)| (a - b).abs() > 1e-3));
}

#[test]
fn a_pipeline_of_ones_own_computes_what_a_session_does() {
    use onnx_swish_tract::pipeline;
    use tract_onnx::prelude::*;

    let model = Model::open(fixture(SMALL)).unwrap();
    let fused = onnx_swish::fuse(&model, &onnx_swish::FuseOptions::default()).unwrap();
    let fused = fused.into_model().unwrap();

    let mut onnx = tract_onnx::onnx().with_ignore_value_info(true);
    pipeline::register(&mut onnx);
    let loaded = onnx.model_for_read(&mut fused.bytes().as_ref()).unwrap();
    let optimized = pipeline::optimize(loaded.into_typed().unwrap()).unwrap();
    // The convolution has taken the HardSwish along.
    let operators: Vec<_> = optimized
        .nodes()
        .iter()
        .map(|node| node.op.name())
        .collect();
    assert!(
        operators.iter().any(|op| op == "FusedConv"),
        "{operators:?}"
    );

    let values: Vec<f32> = (0..192).map(|i| i as f32 / 24.0 - 4.0).collect();
    let input = Tensor::from_shape(&[1, 3, 8, 8], &values).unwrap();
    let plan = optimized.into_runnable().unwrap();
    let found = plan.run(tvec!(input.into())).unwrap();

    let image = Array4::from_shape_vec((1, 3, 8, 8), values).unwrap();
    let session = Session::builder().fuse(false).load(&model).unwrap();
    let plain = session.run([("x", image.clone())]).unwrap();
    let session = Session::open(fixture(SMALL)).unwrap();
    let expected = session.run([("x", image)]).unwrap();
    let expected = expected[0].view::<f32>().unwrap();
    let found = found[0].to_plain_array_view::<f32>().unwrap();
    assert_eq!(
        found.iter().copied().collect::<Vec<_>>(),
        expected.iter().copied().collect::<Vec<_>>()
    );
    let plain = plain[0].view::<f32>().unwrap();
    for (one, other) in plain.iter().zip(found.iter()) {
        assert!((one - other).abs() < 1e-5, "{one} {other}");
    }
}
