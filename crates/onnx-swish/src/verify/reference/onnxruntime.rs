//! ONNX Runtime as the reference: its CPU provider, its optimiser off, one thread.
//!
//! Given a model and, maybe, the path of ONNX Runtime's shared library; promises that nothing is loaded before it is asked for, that
//! a library which is missing, too old or no ONNX Runtime is said in words, and that the library's own messages reach nobody but
//! the error. The optimiser is off so that its own fusions do not judge ours. 8-bit products are asked to be exact, which 1.32 only heeds
//! with its optimiser on: without VNNI they saturate, and `saturation.rs` says so where something differs.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use onnx_swish_model::validate;
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session as Runtime, SessionInputValue};
use ort::value::{DynValue, Tensor as Value, TensorElementType, TensorRef};

use super::OnnxRuntimeError as Error;
use super::probe;
use crate::{Element, ElementType, Model, NamedTensors, Tensor};

/// Where the library is, when no caller says.
const PATH_VARIABLE: &str = "ORT_DYLIB_PATH";
/// A session option (since ONNX Runtime 1.20): where the files of a model's external data are that is itself in memory.
const EXTERNAL_DATA_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// A library that this process has loaded.
#[derive(Clone)]
struct Library {
    path: PathBuf,
    version: String,
    environment: Environment,
}

/// The library of this process: it can neither be unloaded nor loaded beside another one.
static LOADED: Mutex<Option<Library>> = Mutex::new(None);

/// A model on ONNX Runtime.
pub(in crate::verify) struct Session {
    library: Library,
    session: Runtime,
}

impl Session {
    /// Loads the library, unless it is loaded, and the model.
    pub fn load(model: &Model, library: Option<&Path>) -> Result<Session, crate::Error> {
        validate(model)?;
        // It opens whatever path a file names, as tract does.
        model.check_external_data()?;
        let library = Library::load(library)?;
        let failed = |error: ort::Error| Error::Load {
            version: library.version.clone(),
            reason: in_words(&error),
        };
        let mut builder = options(&library.environment).map_err(failed)?;
        if let Some(folder) = model.base_dir().and_then(Path::to_str) {
            builder = builder
                .with_config_entry(EXTERNAL_DATA_FOLDER, folder)
                .map_err(|error| failed(error.into()))?;
        }
        let session = builder.commit_from_memory(model.bytes()).map_err(failed)?;
        Ok(Session { session, library })
    }

    /// `1.32`.
    pub fn version(&self) -> &str {
        &self.library.version
    }

    /// The outputs by name.
    pub fn run(&mut self, inputs: &NamedTensors) -> Result<NamedTensors, Error> {
        let version = self.library.version.clone();
        let failed = move |error: ort::Error| Error::Run {
            version: version.clone(),
            reason: in_words(&error),
        };
        let inputs = inputs.iter().map(|(name, tensor)| {
            let value = to_runtime(tensor).map_err(&failed)?;
            Ok((name.as_str(), value))
        });
        let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
        let outputs = self.session.run(inputs).map_err(&failed)?;
        let tensors = outputs.into_iter().map(|(name, value)| {
            let tensor = from_runtime(&value).map_err(|found| Error::Output {
                name: name.to_owned(),
                found,
            })?;
            Ok((name.to_owned(), tensor))
        });
        tensors.collect()
    }
}

fn options(environment: &Environment) -> Result<SessionBuilder, ort::Error> {
    Ok(Runtime::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Disable)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_log_level(LogLevel::Fatal)?
        .with_precise_qmm()?)
}

impl Library {
    fn load(path: Option<&Path>) -> Result<Library, Error> {
        let from_environment = || std::env::var_os(PATH_VARIABLE).map(PathBuf::from);
        let path = path.map(Path::to_path_buf).or_else(from_environment);
        let path = path
            .filter(|path| !path.as_os_str().is_empty())
            .ok_or(Error::NoLibrary)?;
        // A bare name that is no file here is for the system to find, as `libonnxruntime.so`.
        let path = path.canonicalize().unwrap_or(path);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = &*loaded {
            return if library.path == path {
                Ok(library.clone())
            } else {
                Err(Error::Another {
                    wanted: path,
                    loaded: library.path.clone(),
                })
            };
        }
        let library = Library::open(path)?;
        *loaded = Some(library.clone());
        Ok(library)
    }

    fn open(path: PathBuf) -> Result<Library, Error> {
        // Asked before `ort` is, which panics where a library gives no interface, and keeps the first library for good.
        let version = probe::version(&path)?;
        let builder = ort::init_from(&path).map_err(|error| said(&path, error))?;
        let failed = |error: ort::Error| Error::Library {
            path: path.clone(),
            reason: in_words(&error),
        };
        let environment = builder.with_telemetry(false).build().map_err(failed)?;
        environment.set_log_level(LogLevel::Fatal);
        Ok(Library {
            path,
            version,
            environment,
        })
    }
}

fn said(path: &Path, error: ort::LoadDynamicError) -> Error {
    use ort::LoadDynamicError as Said;
    let path = path.to_path_buf();
    match error {
        Said::Dlopen { error, .. } => Error::unloadable(path, &error),
        Said::MissingApi { .. } => Error::NotOnnxRuntime { path },
        Said::BadVersion { version_str, .. } => Error::TooOld {
            path,
            found: version_str,
            needed: ort::MINOR_VERSION,
        },
        Said::InvalidVersionString => Error::Library {
            path,
            reason: "it gives no version that can be read".to_owned(),
        },
    }
}

/// What it says, on one line.
fn in_words(error: &ort::Error) -> String {
    error
        .message()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Does `$body` with `$rust` as the Rust type of an element type, `$text` for text.
macro_rules! with_type {
    ($element_type:expr; $rust:ident => $body:expr; $text:expr) => {
        with_type!(@ $element_type; $rust => $body; $text;
            Bool bool, U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F16 half::f16, BF16 half::bf16, F32 f32, F64 f64)
    };
    (@ $element_type:expr; $rust:ident => $body:expr; $text:expr; $($variant:ident $type:ty),*) => {
        match $element_type {
            $(ElementType::$variant => {
                type $rust = $type;
                $body
            })*
            _ => $text,
        }
    };
}

/// The element type that ONNX Runtime calls so.
fn element_type(theirs: TensorElementType) -> Option<ElementType> {
    Some(match theirs {
        TensorElementType::Bool => ElementType::Bool,
        TensorElementType::Uint8 => ElementType::U8,
        TensorElementType::Uint16 => ElementType::U16,
        TensorElementType::Uint32 => ElementType::U32,
        TensorElementType::Uint64 => ElementType::U64,
        TensorElementType::Int8 => ElementType::I8,
        TensorElementType::Int16 => ElementType::I16,
        TensorElementType::Int32 => ElementType::I32,
        TensorElementType::Int64 => ElementType::I64,
        TensorElementType::Float16 => ElementType::F16,
        TensorElementType::Bfloat16 => ElementType::BF16,
        TensorElementType::Float32 => ElementType::F32,
        TensorElementType::Float64 => ElementType::F64,
        TensorElementType::String => ElementType::String,
        _ => return None,
    })
}

/// A tensor's values as ONNX Runtime takes them; numbers without a copy.
fn to_runtime(tensor: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
    let shape = tensor.shape().to_vec();
    with_type!(tensor.element_type();
        T => match elements::<T>(tensor)? {
            Cow::Borrowed(values) => Ok(TensorRef::from_array_view((shape, values))?.into()),
            Cow::Owned(values) => Ok(Value::from_array((shape, values))?.into()),
        };
        Ok(Value::from_string_array((shape, &*elements::<String>(tensor)?))?.into())
    )
}

/// The elements in row-major order, copied only if they lie strided.
fn elements<T: Element>(tensor: &Tensor) -> Result<Cow<'_, [T]>, ort::Error> {
    let view = tensor.view::<T>();
    let view = view.map_err(|error| ort::Error::new(error.to_string()))?;
    Ok(match view.to_slice() {
        Some(elements) => Cow::Borrowed(elements),
        None => Cow::Owned(view.iter().cloned().collect()),
    })
}

/// A copy of what ONNX Runtime gives; the error says what it is instead of a tensor.
fn from_runtime(value: &DynValue) -> Result<Tensor, String> {
    let theirs = value.dtype().tensor_type().ok_or("no tensor")?;
    let element_type = element_type(theirs).ok_or_else(|| format!("of type {theirs}"))?;
    let unread = |error: ort::Error| in_words(&error);
    with_type!(element_type;
        T => {
            let (shape, values) = value.try_extract_tensor::<T>().map_err(unread)?;
            tensor(shape, values.to_vec())
        };
        {
            let (shape, values) = value.try_extract_strings().map_err(unread)?;
            tensor(shape, values)
        }
    )
}

fn tensor<T: Element>(shape: &[i64], values: Vec<T>) -> Result<Tensor, String> {
    let sizes = shape.iter().map(|&size| usize::try_from(size));
    let sizes = sizes.collect::<Result<Vec<_>, _>>();
    let sizes = sizes.map_err(|_| format!("of shape {shape:?}"))?;
    let array =
        ndarray::ArrayD::from_shape_vec(sizes, values).map_err(|error| error.to_string())?;
    Ok(array.into())
}
