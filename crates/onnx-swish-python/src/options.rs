//! Options as Python's callers write them: names, shapes, limits.
//! Given keyword arguments.
//! Promises a ValueError that lists what there is to choose from.

use std::ops::RangeInclusive;
use std::time::Duration;

use onnx_swish::{Convolutions, Emit, FuseOptions, Runtime, Shapes};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::errors::input_error;

/// What is to be written: a spelling, or what serves a runtime.
pub fn fusing(emit: &str, target: Option<&str>) -> PyResult<FuseOptions> {
    let emit_as = match emit {
        "custom" => Emit::Custom,
        "contrib" => Emit::Contrib,
        "standard" => Emit::Standard,
        other => {
            return Err(input_error(format!(
                "emit is 'custom', 'contrib' or 'standard', not {other:?}"
            )));
        }
    };
    match target {
        None => Ok(FuseOptions::emit(emit_as)),
        Some(_) if emit_as != Emit::Custom => Err(input_error(
            "target says what is written, and so does emit: give one of them",
        )),
        Some(target) => runtime(target).map(FuseOptions::runtime),
    }
}

/// A runtime by its name, `onnxruntime@1.20`.
pub fn runtime(name: &str) -> PyResult<&'static Runtime> {
    Runtime::find(name).map_err(|error| input_error(error.to_string()))
}

/// Shapes by the names of inputs, or one shape for a model with one input.
pub fn shapes(given: Option<&Bound<'_, PyAny>>) -> PyResult<Shapes> {
    let Some(given) = given else {
        return Ok(Shapes::new());
    };
    let shape = |given: &Bound<'_, PyAny>| {
        given.extract::<Vec<usize>>().map_err(|_| {
            input_error(format!(
                "a shape is a sequence of sizes, such as [1, 3, 224, 224], not {given}"
            ))
        })
    };
    match given.cast::<PyMapping>() {
        Ok(named) => {
            let named = named.items()?;
            let named = named.iter().map(|item| {
                let (name, sizes): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
                let name = name.extract().map_err(|_| {
                    input_error(format!(
                        "shapes are given by the names of inputs, which are text, not {name}"
                    ))
                });
                Ok((name?, shape(&sizes)?))
            });
            named.collect()
        }
        Err(_) => Ok(Shapes::from([(String::new(), shape(given)?)])),
    }
}

/// Who computes the convolutions.
pub fn convolutions(name: &str) -> PyResult<Convolutions> {
    name.parse().map_err(|_| {
        let names = Convolutions::NAMES.map(|name| format!("'{name}'"));
        input_error(format!(
            "convolutions is one of {}, not {name:?}",
            names.join(", ")
        ))
    })
}

/// A whole number as the caller gave it. Anything else is a TypeError, to which PyO3 adds the argument's name.
#[derive(Debug)]
pub enum Whole {
    /// One of 64 bits.
    Fits(u64),
    /// One that is less than nothing, or more than that, in digits.
    Beyond(String),
}

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match given.extract::<u64>() {
            Ok(number) => Ok(Whole::Fits(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => {
                // Python refuses to write out thousands of digits.
                let digits = given.str().map(|digits| digits.to_string());
                Ok(Whole::Beyond(digits.unwrap_or_else(|_| {
                    "a number of thousands of digits".to_owned()
                })))
            }
            Err(error) => Err(error),
        }
    }
}

impl Whole {
    /// The number for this argument, which has to be one of these.
    pub fn within<T: TryFrom<u64>>(
        &self,
        argument: &str,
        range: RangeInclusive<u64>,
    ) -> PyResult<T> {
        let (found, fits) = match self {
            Whole::Fits(number) => {
                let fits = Some(*number).filter(|number| range.contains(number));
                (number.to_string(), fits.and_then(|it| it.try_into().ok()))
            }
            Whole::Beyond(digits) => (digits.clone(), None),
        };
        fits.ok_or_else(|| {
            input_error(format!(
                "{argument} is a whole number from {} to {}, not {found}",
                range.start(),
                range.end()
            ))
        })
    }

    /// One of 64 bits for this argument.
    pub fn any<T: TryFrom<u64>>(&self, argument: &str) -> PyResult<T> {
        self.within(argument, 0..=u64::MAX)
    }
}

/// More threads than processors wait for each other, and the system's own limit would be met with half of them started.
const MOST_THREADS: u64 = 1024;

/// A number of threads.
pub fn threads(count: &Whole) -> PyResult<usize> {
    count.within("threads", 1..=MOST_THREADS)
}

/// The keyword argument of this name; what is of another type is refused by this name, as PyO3 does for arguments of its own.
pub fn argument<'py, T: FromPyObjectOwned<'py>>(
    given: &Bound<'py, PyDict>,
    name: &str,
) -> PyResult<T> {
    let value = given.as_any().get_item(name)?;
    value.extract::<T>().map_err(|error| {
        let error = error.into();
        if error.is_instance_of::<PyTypeError>(given.py()) {
            return PyTypeError::new_err(format!("argument '{name}': {}", error.value(given.py())));
        }
        error
    })
}

/// A time in seconds.
pub fn seconds(given: Option<f64>) -> PyResult<Option<Duration>> {
    let time = given.map(Duration::try_from_secs_f64).transpose();
    time.map_err(|error| input_error(format!("max_build_time is a time in seconds: {error}")))
}
