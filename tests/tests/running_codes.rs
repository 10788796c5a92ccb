//! Quantised models on codes and on floats.
//!
//! Given the fixtures of `quantised/`; promises convolutions of codes where they are due, the numbers of the float graph up to rounding,
//! and the same bits for any number of threads.

use onnx_swish::{Convolution, Session, SessionBuilder, Shapes, Tensor};
use onnx_swish_tests::{Fixture, Stored, folder, outputs, table};

fn fixtures() -> Vec<Fixture> {
    let mut all = table();
    all.retain(|fixture| fixture.model.starts_with("quantised/") && fixture.runs);
    assert!(all.len() > 35);
    all
}

fn open(builder: SessionBuilder, fixture: &Fixture) -> Session {
    let session = builder.open(fixture.path());
    session.unwrap_or_else(|error| panic!("{}: {error}", fixture.model))
}

/// Whether this machine has instructions for codes; without them convolutions stay with floats.
fn has_instructions() -> bool {
    !onnx_swish_conv::DotIsa::of(onnx_swish_kernels::Isa::best()).is_portable()
}

#[test]
fn small_networks_move_no_code_and_threads_change_no_bit() {
    for fixture in fixtures() {
        let shapes: Shapes = fixture.shapes.clone().into_iter().collect();
        let codes = open(Session::builder(), &fixture);
        let floats = open(Session::builder().codes(false), &fixture);
        let threads = open(Session::builder().threads(3), &fixture);
        let mut inputs = vec![fixture.stored().inputs];
        for seed in 0..4 {
            inputs.push(codes.random_inputs(seed, &shapes).unwrap());
        }
        for inputs in inputs {
            let got = outputs(&codes, &inputs);
            assert_eq!(got, outputs(&threads, &inputs), "{}", fixture.model);
            for ((name, got), (_, expected)) in got.iter().zip(outputs(&floats, &inputs)) {
                let (Ok(got), Ok(expected)) = (got.view::<f32>(), expected.view::<f32>()) else {
                    assert_eq!(*got, expected, "{} {name}", fixture.model);
                    continue;
                };
                let range = expected.iter().fold(0f32, |most, x| most.max(x.abs()));
                for (got, expected) in got.iter().zip(&expected) {
                    let near = (got - expected).abs() <= 1e-5 * range;
                    assert!(near, "{} {name}: {got} {expected}", fixture.model);
                }
            }
        }
    }
}

fn convolutions(model: &str) -> Vec<Convolution> {
    let fixture = fixtures().into_iter().find(|one| one.model == model);
    let fixture = fixture.unwrap_or_else(|| panic!("no fixture {model}"));
    let session = open(Session::builder(), &fixture);
    session.convolutions(&Shapes::new()).unwrap()
}

#[test]
fn convolutions_of_codes_run_on_codes_in_every_spelling() {
    if !has_instructions() {
        return;
    }
    for model in [
        "silu.QDQ.QUInt8",
        "silu.QDQ.QInt8",
        "silu.QDQ.msdomain",
        "silu.QDQ.convonly",
        "silu.dedicated.QUInt8",
        "hardswish.QDQ.QUInt8",
        "hardswish.pre.QDQ.QInt8",
        "hard02.symmetric.QInt8",
        "silu.QOperator.QInt8",
        "hardsigmoid.QOperator.QUInt8",
        "swish24.pre.QOperator.QUInt8",
        "swish_beta.QOperator.QUInt8",
    ] {
        let found = convolutions(&format!("quantised/{model}.onnx"));
        assert_eq!(found.len(), 2, "{model}: {found:?}");
        for one in found {
            assert!(one.codes && one.ours && one.floats.is_none(), "{one:?}");
        }
    }
}

#[test]
fn sixteen_bits_stay_with_floats_and_the_reason_is_told() {
    for one in convolutions("quantised/silu.QDQ.QUInt16.onnx") {
        assert!(!one.codes, "{one:?}");
    }
}

/// Of each output its name, what was computed and what is stored.
type Compared = Vec<(String, Tensor, Tensor)>;

/// A repaired model's convolutions, if there are instructions for codes, and its outputs.
fn beside_stored(file: &str) -> (Option<Vec<Convolution>>, Compared) {
    let path = folder().join("repairs").join(file);
    let stored = Stored::read(&path.with_extension("npz"));
    let session = Session::builder().open(&path).unwrap();
    let found = has_instructions().then(|| session.convolutions(&Shapes::new()).unwrap());
    let got = outputs(&session, &stored.inputs);
    assert_eq!(got.len(), stored.outputs.len());
    let both = stored.outputs.into_iter().map(|(name, expected)| {
        let (_, got) = got.iter().find(|(own, _)| *own == name).unwrap();
        (name, got.clone(), expected)
    });
    (found, both.collect())
}

/// How many say so of themselves.
fn that_say(convolutions: &[Convolution], what: &str) -> usize {
    let says = |one: &&Convolution| one.info.as_ref().is_some_and(|it| it.contains(what));
    convolutions.iter().filter(says).count()
}

fn assert_near(name: &str, got: &Tensor, expected: &Tensor) {
    let (got, expected) = (got.view::<f32>().unwrap(), expected.view::<f32>().unwrap());
    for (got, expected) in got.iter().zip(&expected) {
        let same = (got - expected).abs() <= 1e-6 + 1e-5 * expected.abs();
        assert!(same, "{name}: {got} {expected}");
    }
}

/// ConvInteger and MatMulInteger behind DynamicQuantizeLinear: sums and all their bits, and floats with the bias and the activation in one.
#[test]
fn products_of_codes_quantised_at_run_time_are_exact() {
    let (found, outputs) = beside_stored("products_of_codes_quantised_at_run_time.onnx");
    if let Some(found) = found {
        assert_eq!(found.len(), 7, "{found:?}");
        assert!(found.iter().all(|one| one.codes && one.ours), "{found:?}");
        assert_eq!(that_say(&found, "SiLU"), 2, "{found:?}");
    }
    for (name, got, expected) in outputs {
        if got.view::<f32>().is_ok() && expected.view::<f32>().is_ok() {
            assert_near(&name, &got, &expected);
        } else {
            assert_eq!(got, expected, "{name}");
        }
    }
}

/// The same with a scale for each output channel: multiplied by the codes' own in the kernels, to the same bits.
#[test]
fn a_scale_for_each_channel_is_part_of_the_product() {
    let (found, outputs) = beside_stored("products_of_codes_with_a_scale_for_each_channel.onnx");
    if let Some(found) = found {
        assert_eq!(found.len(), 6, "{found:?}");
        assert!(found.iter().all(|one| one.codes), "{found:?}");
        assert_eq!(that_say(&found, "to floats"), 6, "{found:?}");
        assert_eq!(that_say(&found, "SiLU"), 2, "{found:?}");
    }
    for (name, got, expected) in outputs {
        if name.ends_with("silu") {
            assert_near(&name, &got, &expected);
        } else {
            assert_eq!(got, expected, "{name}");
        }
    }
}
