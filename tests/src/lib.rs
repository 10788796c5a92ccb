//! What the tests across crates share: the fixtures, their table, and ONNX Runtime's numbers for them.
//! Given the `fixtures` folder at the root.
//! Promises panics with the fixture's name: this is test code.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::NpzReader;
use onnx_swish::{ElementType, Session, Tensor};
use serde::Deserialize;

/// One line of `fixtures/table.json`; `fixtures/README.md` describes the fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Fixture {
    pub model: String,
    #[serde(default)]
    pub silu: usize,
    #[serde(default)]
    pub swish: usize,
    #[serde(default)]
    pub hard_swish: usize,
    pub beta: Option<Beta>,
    pub alpha: Option<f64>,
    #[serde(default)]
    pub quantised: BTreeMap<String, usize>,
    #[serde(default)]
    pub already_fused: BTreeMap<String, usize>,
    #[serde(default)]
    pub near_misses: BTreeMap<String, usize>,
    #[serde(default)]
    pub shapes: BTreeMap<String, Vec<usize>>,
    #[serde(default = "yes")]
    pub runs: bool,
    pub why: Option<String>,
    pub onnxruntime: Option<String>,
    #[serde(default = "yes")]
    pub plain_runs: bool,
    #[serde(default = "rtol")]
    pub rtol: f64,
    #[serde(default = "atol")]
    pub atol: f64,
}

fn yes() -> bool {
    true
}
fn rtol() -> f64 {
    1e-4
}
fn atol() -> f64 {
    1e-5
}

/// The outputs of a run by name.
pub fn outputs(session: &Session, inputs: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let inputs = inputs.iter().map(|(name, value)| (name, value.clone()));
    let outputs = session.run(inputs).expect("a fixture that runs");
    let outputs = outputs.iter();
    outputs
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

/// What a Swish's beta must be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Beta {
    /// This number.
    Scalar(f64),
    /// `"tensor"`: a value of the model, whatever its name.
    Tensor(String),
}

impl Fixture {
    /// Where the model is.
    pub fn path(&self) -> PathBuf {
        folder().join(&self.model)
    }

    /// The inputs and ONNX Runtime's outputs, by name.
    pub fn stored(&self) -> Stored {
        let path = folder().join("expected").join(&self.model);
        Stored::read(&path.with_extension("npz"))
    }
}

/// Stored tensors; half precision is stored widened.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Stored {
    pub inputs: Vec<(String, Tensor)>,
    pub outputs: Vec<(String, Tensor)>,
}

impl Stored {
    /// The arrays of an `.npz`, whose names begin with `in/` or `out/`.
    pub fn read(path: &Path) -> Stored {
        let shown = path.display();
        let file = File::open(path).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut archive = NpzReader::new(file).unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut stored = Stored {
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        for name in archive.names().expect("names") {
            let tensor = tensor(&mut archive, &name)
                .unwrap_or_else(|| panic!("{shown}: {name} is of a type that is not read here"));
            match name
                .trim_end_matches(".npy")
                .split_once('/')
                .expect("in/ or out/")
            {
                ("in", name) => stored.inputs.push((name.to_owned(), tensor)),
                ("out", name) => stored.outputs.push((name.to_owned(), tensor)),
                other => panic!("{shown}: {other:?}"),
            }
        }
        stored
    }
}

fn tensor(archive: &mut NpzReader<File>, name: &str) -> Option<Tensor> {
    macro_rules! first_that_fits {
        ($($element:ty),*) => {$(
            if let Ok(array) = archive.by_name::<OwnedRepr<$element>, IxDyn>(name) {
                return Some(array.into());
            }
        )*};
    }
    first_that_fits!(f32, f64, i64, i32, bool, u8, i8, u16, i16, u32, u64);
    None
}

/// The tensor in another floating-point type, for models in half precision.
pub fn narrowed(tensor: &Tensor, to: Option<ElementType>) -> Tensor {
    match to {
        Some(ElementType::F16) => {
            let wide: ArrayD<f32> = tensor
                .to_array()
                .expect("half precision is stored as float32");
            wide.mapv(half::f16::from_f32).into()
        }
        Some(ElementType::BF16) => tensor.cast(ElementType::BF16).expect("float32 narrows"),
        _ => tensor.clone(),
    }
}

/// The `fixtures` folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// Every line of the table.
pub fn table() -> Vec<Fixture> {
    let text = fs::read_to_string(folder().join("table.json")).expect("fixtures/table.json");
    serde_json::from_str(&text).expect("fixtures/table.json")
}

/// The guide's examples, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/running.md")]
struct Guide;

/// The front page's example, likewise.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

/// The one of the facade's page on crates.io.
#[cfg(doctest)]
#[doc = include_str!("../../crates/onnx-swish/README.md")]
struct CratePage;
