//! What `verify` compares with, as the command line says it.
//! Given `--against`, `--expected` or `--test-data`, and the inputs that files hold.
//! Promises that known outputs come with the inputs they belong to, or a sentence that says how to give them.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use onnx_swish::{Error, Model, NamedTensors, OnnxRuntimeError, Reference, read_test_data};

use crate::failure::Failure;
use crate::tensors;

/// What the fused model is compared with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reference")]
pub struct Against {
    /// Who computes the numbers to compare with [default: tract]
    #[arg(long, value_enum, value_name = "ENGINE")]
    against: Option<Engine>,
    /// ONNX Runtime's shared library; without this, ORT_DYLIB_PATH says where it is
    #[arg(long, value_name = "PATH", requires = "against")]
    ort_library: Option<PathBuf>,
    /// Known outputs by name, for the inputs that --input or --inputs gives
    #[arg(long, value_name = "FILE.npz", conflicts_with = "against")]
    expected: Option<PathBuf>,
    /// Folder of ONNX's test data, `test_data_set_N/{input,output}_K.pb`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["against", "expected", "inputs", "archive", "shapes"])]
    test_data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// tract's plain operators: shares tract's defects with what it judges
    Tract,
    /// ONNX Runtime, its optimiser off
    Onnxruntime,
}

impl Against {
    /// The reference, and the sets of inputs to run on: `given` unless test data brings its own.
    pub fn with(
        &self,
        model: &Model,
        given: NamedTensors,
    ) -> Result<(Reference, Vec<NamedTensors>), Failure> {
        if let Some(folder) = &self.test_data {
            let sets = read_test_data(folder, model)?;
            let (inputs, outputs) = sets
                .into_iter()
                .map(|set| (set.inputs, set.outputs))
                .unzip();
            return Ok((Reference::Expected(outputs), inputs));
        }
        if let Some(file) = &self.expected {
            if given.is_empty() {
                return Err(Failure::new(
                    "--expected holds outputs, and the inputs that they belong to are not given",
                )
                .help("give them with --inputs FILE.npz, or --input NAME=FILE.npy"));
            }
            let expected = tensors::read_npz(file)?;
            return Ok((Reference::Expected(vec![expected]), vec![given]));
        }
        let sets = if given.is_empty() {
            vec![]
        } else {
            vec![given]
        };
        let reference = match self.against {
            None | Some(Engine::Tract) if self.ort_library.is_some() => {
                return Err(Failure::new("--ort-library is for --against onnxruntime"));
            }
            None | Some(Engine::Tract) => Reference::Tract,
            Some(Engine::Onnxruntime) => Reference::OnnxRuntime {
                library: self.ort_library.clone(),
            },
        };
        Ok((reference, sets))
    }
}

/// A failure of verifying, with what to do where the reference is to blame.
pub fn failure(model: &Path, error: Error) -> Failure {
    use OnnxRuntimeError as Runtime;
    let help = match &error {
        Error::OnnxRuntime(Runtime::NotBuiltIn) => {
            Some("cargo install --path crates/onnx-swish-cli --features onnxruntime")
        }
        Error::OnnxRuntime(
            Runtime::NoLibrary
            | Runtime::Library { .. }
            | Runtime::NotOnnxRuntime { .. }
            | Runtime::NoInterface { .. },
        ) => Some("--ort-library /path/to/libonnxruntime.so"),
        Error::OnnxRuntime(Runtime::TooOld { .. }) => Some("pip install --upgrade onnxruntime"),
        Error::OnnxRuntime(Runtime::Load { .. }) => {
            Some("--against tract, or --expected with outputs from a runtime that knows the model")
        }
        _ => None,
    };
    let failure = Failure::on("verify", model, error);
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
