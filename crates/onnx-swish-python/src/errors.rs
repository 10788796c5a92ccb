//! Failures of the library as exceptions of Python.
//! Given an error of the facade.
//! Promises the sentence that the command would print, in the class that says whose fault it is.

use std::error::Error as _;
use std::io;

use onnx_swish::{
    Error, FuseError, ModelError, Obstacles, RunError as EngineError, SaveError, TestDataError,
};
use pyo3::PyErr;
use pyo3::exceptions::{PyFileExistsError, PyMemoryError, PyOSError};

/// The package's own classes, by their names there.
mod python {
    use pyo3::import_exception;

    import_exception!(onnx_swish._errors, FuseError);
    import_exception!(onnx_swish._errors, InputError);
    import_exception!(onnx_swish._errors, ModelError);
    import_exception!(onnx_swish._errors, RunError);
}

/// An input that no model could take, in a sentence.
pub fn input_error(sentence: impl Into<String>) -> PyErr {
    python::InputError::new_err(sentence.into())
}

/// A file that is not written, as the runtime that is named would not load it.
pub fn not_loaded(doing: &str, obstacles: Obstacles) -> PyErr {
    let why = obstacles.sentences.join("; ");
    let help = obstacles
        .help
        .map_or_else(String::new, |help| format!(" ({help})"));
    python::FuseError::new_err(format!(
        "cannot {doing} for a runtime that would not load the result: {why}{help}"
    ))
}

/// The exception for an error.
pub fn raised(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    let text = told(&error);
    match &error {
        Error::Model(error) | Error::Fuse(FuseError::Model(error)) => of_model(error, text),
        Error::Invalid(_) | Error::External(_) => python::ModelError::new_err(text),
        Error::Splice(_) | Error::Fuse(_) => python::FuseError::new_err(text),
        Error::Memory { .. } | Error::Run(EngineError::Memory { .. }) => {
            PyMemoryError::new_err(text)
        }
        Error::TestData(TestDataError::Io { source, .. }) => of_system(source, text),
        Error::TestData(_)
        | Error::NotComparable(_)
        | Error::Run(EngineError::UnknownOutput { .. }) => python::InputError::new_err(text),
        error if error.is_input_error() => python::InputError::new_err(text),
        _ => python::RunError::new_err(text),
    }
}

fn of_model(error: &ModelError, text: String) -> PyErr {
    match error {
        ModelError::Io { source, .. } => of_system(source, text),
        ModelError::Save(SaveError::Exists { .. } | SaveError::DataExists { .. }) => {
            PyFileExistsError::new_err((17, text))
        }
        ModelError::Save(_) | ModelError::NotAFile { .. } => python::InputError::new_err(text),
        _ => python::ModelError::new_err(text),
    }
}

/// OSError chooses its own subclass by the number: FileNotFoundError, PermissionError.
///
/// These numbers are the same on every system; of other kinds the system's own is told. Python says the number itself.
fn of_system(error: &io::Error, text: String) -> PyErr {
    let number = match error.kind() {
        io::ErrorKind::NotFound => Some(2),
        io::ErrorKind::PermissionDenied => Some(13),
        io::ErrorKind::AlreadyExists => Some(17),
        io::ErrorKind::NotADirectory => Some(20),
        io::ErrorKind::IsADirectory => Some(21),
        _ => error.raw_os_error(),
    };
    let Some(number) = number else {
        return PyOSError::new_err(text);
    };
    let own = error.raw_os_error().map(|own| format!(" (os error {own})"));
    let text = own.map_or(text.clone(), |own| text.replace(&own, ""));
    PyOSError::new_err((number, text))
}

/// The error's sentence, its causes where they say more, and what to write in Python where the command names an option.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    let help = match error {
        Error::ShapeNeeded {
            input,
            example,
            others,
            ..
        } => {
            let one =
                |input: &str, example: &str| format!("{input:?}: [{}]", example.replace(',', ", "));
            let mut shapes = one(input, example);
            for (input, example) in others {
                shapes += &format!(", {}", one(input, example));
            }
            format!("input_shapes={{{shapes}}}")
        }
        Error::Run(EngineError::TooManyNodes { found, .. }) => format!("max_nodes={found}"),
        Error::Run(EngineError::BuildTime { .. }) => "max_build_time=SECONDS".to_owned(),
        Error::Model(ModelError::Save(SaveError::Exists { .. })) => "force=True".to_owned(),
        Error::Model(ModelError::Save(SaveError::SameFile { .. })) => "in_place=True".to_owned(),
        Error::Model(ModelError::Save(SaveError::DataExists { .. })) => {
            "force=True, or copy_external=False".to_owned()
        }
        Error::Model(ModelError::External(_)) | Error::External(_) => {
            "base_dir= says where the data is".to_owned()
        }
        _ => return text,
    };
    format!("{text} ({help})")
}
