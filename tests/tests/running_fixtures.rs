//! Every fixture on tract against the outputs that ONNX Runtime gave for the same inputs.

use std::path::{Path, PathBuf};

use onnx_swish_tests::Stored;
use onnx_swish_tract::{Operators, Outputs, Session, Tensor};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// One line of the fixtures' table, with the numbers that belong to it.
struct Fixture {
    model: PathBuf,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor)>,
    rtol: f64,
    atol: f64,
}

fn table(folder: &str) -> Vec<Fixture> {
    let table = std::fs::read_to_string(fixtures().join("table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_str(&table).unwrap();
    let lines = table.as_array().unwrap().iter().filter(|line| {
        line["model"].as_str().unwrap().starts_with(folder) && line["runs"] != false
    });
    lines
        .map(|line| {
            let model = line["model"].as_str().unwrap();
            let npz = fixtures().join("expected").join(model);
            let Stored { inputs, outputs } = Stored::read(&npz.with_extension("npz"));
            Fixture {
                model: fixtures().join(model),
                inputs,
                outputs,
                rtol: line["rtol"].as_f64().unwrap_or(1e-4),
                atol: line["atol"].as_f64().unwrap_or(1e-5),
            }
        })
        .collect()
}

impl Fixture {
    fn run(&self, operators: Operators) -> Result<Outputs, onnx_swish_tract::Error> {
        let session = Session::builder(std::fs::read(&self.model).unwrap())
            .base_dir(self.model.parent().unwrap())
            .operators(operators)
            .build()?;
        // Half-precision numbers are stored widened.
        let inputs = self.inputs.iter().map(|(name, tensor)| {
            let port = session
                .inputs()
                .iter()
                .find(|port| port.name == *name)
                .unwrap();
            (name, tensor.cast(port.element_type.unwrap()).unwrap())
        });
        session.run(inputs)
    }

    /// Fused in memory, or as it is written.
    fn run_file(&self, fuse: bool) -> Result<Outputs, onnx_swish::Error> {
        let session = onnx_swish::Session::builder()
            .fuse(fuse)
            .open(&self.model)?;
        let inputs = self.inputs.iter().map(|(name, tensor)| {
            let port = session
                .inputs()
                .iter()
                .find(|port| port.name == *name)
                .unwrap();
            (name, tensor.cast(port.element_type.unwrap()).unwrap())
        });
        session.run(inputs)
    }

    fn check(&self, what: &str, found: &Outputs) {
        for (name, expected) in &self.outputs {
            let found = found.get(name).unwrap();
            assert_eq!(found.shape(), expected.shape(), "{what}: shape of {name}");
            let expected = expected.to_f64().unwrap();
            // Sums that cancel keep the noise of their terms.
            let atol = self.atol
                * expected
                    .iter()
                    .fold(1.0f64, |most, value| most.max(value.abs()));
            let pairs = found.to_f64().unwrap().into_iter().zip(expected);
            for (index, (found, expected)) in pairs.enumerate() {
                assert!(
                    (found - expected).abs() <= atol + self.rtol * expected.abs(),
                    "{what}: {name}[{index}] is {found}, ONNX Runtime gives {expected}"
                );
            }
        }
    }
}

#[test]
fn exporters_models_give_onnx_runtimes_numbers() {
    let fixtures: Vec<Fixture> = table("exporters")
        .into_iter()
        .chain(table("real"))
        .collect();
    assert!(fixtures.len() > 130);
    for fixture in fixtures {
        for operators in [Operators::OnnxSwish, Operators::Reference] {
            let what = format!("{} with {operators:?}", fixture.model.display());
            let outputs = fixture
                .run(operators)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            fixture.check(&what, &outputs);
        }
    }
}

#[test]
fn every_fixture_gives_onnx_runtimes_numbers_fused_and_as_it_is() {
    for fixture in table("") {
        for fuse in [true, false] {
            let what = format!("{}, fuse {fuse}", fixture.model.display());
            let outputs = fixture
                .run_file(fuse)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            fixture.check(&what, &outputs);
        }
    }
}

#[test]
fn every_fixture_verifies() {
    use onnx_swish::{Model, Shapes, VerifyOptions, verify};
    for fixture in table("") {
        let what = fixture.model.display();
        let shapes: Shapes = fixture
            .inputs
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shape().to_vec()))
            .collect();
        let options = VerifyOptions {
            shapes,
            ..VerifyOptions::default()
        };
        let model = Model::open(&fixture.model).unwrap();
        let report = verify(&model, None, &options, |_| ())
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(report.equal, "{what}: {:#?}", report.outputs);
        assert_eq!(report.outputs.len(), fixture.outputs.len(), "{what}");
    }
}
