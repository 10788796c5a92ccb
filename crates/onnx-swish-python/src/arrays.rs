//! NumPy's arrays in, and out.
//! Given any object that `numpy.asarray` takes, and tensors of the engine.
//! Promises one copy in, because the engine's tensors have memory of their own, into memory that was written to before where there is
//! some; and none out but of what the model or an input has too, because a result is the caller's to write to.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD};
use numpy::{
    Element as NumpyElement, IntoPyArray, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
};
use onnx_swish::{Element, ElementType, Tensor};
use pyo3::exceptions::{PyException, PyMemoryError, PyModuleNotFoundError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};

use crate::errors::{input_error, raised};
use crate::lent::lent;

/// ndarray and NumPy 1 have room for this many dimensions; ONNX's operators do with fewer.
const MOST_DIMENSIONS: usize = 32;

/// The element types whose values are any bits of their size, each with its Rust type, tried in this order.
macro_rules! numpy_types {
    ($with:ident) => {
        $with! {
            F32 f32; I64 i64; U8 u8; F16 f16; F64 f64; I32 i32; I8 i8; U16 u16; I16 i16; U32 u32; U64 u64;
        }
    };
}

/// A tensor for the input of this name, which declares this element type.
///
/// Lists and numbers become arrays of that type. Arrays keep theirs: the engine refuses what does not fit. A spare tensor of the same
/// type and shape that nobody shares is written over: fresh memory costs several times what copying into known memory does.
pub fn tensor(
    name: &str,
    given: &Bound<'_, PyAny>,
    declared: Option<ElementType>,
    spare: Option<Tensor>,
) -> PyResult<Tensor> {
    let array = array_of(name, given, declared)?;
    if array.ndim() > MOST_DIMENSIONS {
        return Err(input_error(format!(
            "input `{name}` has {} dimensions; no more than {MOST_DIMENSIONS} are taken",
            array.ndim()
        )));
    }
    macro_rules! each {
        ($($variant:ident $rust:ty;)*) => {
            $(if let Ok(array) = array.cast::<PyArrayDyn<$rust>>() {
                return read(name, array, spare);
            })*
        };
    }
    numpy_types!(each);
    other_tensor(name, &array, spare)
}

/// The object as an array in the processor's byte order and alignment.
fn array_of<'py>(
    name: &str,
    given: &Bound<'py, PyAny>,
    declared: Option<ElementType>,
) -> PyResult<Bound<'py, PyUntypedArray>> {
    let py = given.py();
    let unfit = |error: PyErr| {
        // An interruption, an exit and a lack of memory are not about the input.
        if !error.is_instance_of::<PyException>(py) || error.is_instance_of::<PyMemoryError>(py) {
            return error;
        }
        let said = error.value(py);
        let unfit = input_error(format!("input `{name}` cannot be made an array: {said}"));
        unfit.set_cause(py, Some(error));
        unfit
    };
    let mut array = match given.cast::<PyUntypedArray>() {
        Ok(array) => array.as_any().clone(),
        Err(_) => {
            let options = PyDict::new(py);
            // What has a type of its own is not to be converted in silence.
            if let Some(declared) = declared.filter(|_| !given.hasattr("dtype").unwrap_or(true)) {
                options.set_item("dtype", dtype(py, declared)?)?;
            }
            let numpy = py.import(intern!(py, "numpy"))?;
            numpy
                .call_method("asarray", (given,), Some(&options))
                .map_err(unfit)?
        }
    };
    let dtype = array.getattr(intern!(py, "dtype"))?;
    let native: bool = dtype.getattr(intern!(py, "isnative"))?.extract()?;
    let aligned = || -> PyResult<bool> {
        let flags = array.getattr(intern!(py, "flags"))?;
        flags.getattr(intern!(py, "aligned"))?.extract()
    };
    if !native || !aligned()? {
        let native = dtype.call_method1("newbyteorder", ("=",))?;
        array = array.call_method1("astype", (native,))?;
    }
    array
        .cast_into()
        .map_err(|_| input_error(format!("input `{name}` is no array")))
}

/// NumPy's type of an element type.
fn dtype(py: Python<'_>, element_type: ElementType) -> PyResult<Bound<'_, PyAny>> {
    if element_type == ElementType::BF16 {
        return bfloat16(py);
    }
    let name = match element_type {
        ElementType::String => "object",
        other => other.name(),
    };
    py.import(intern!(py, "numpy"))?
        .call_method1("dtype", (name,))
}

fn bfloat16(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let package = py.import(intern!(py, "ml_dtypes")).map_err(|_| {
        PyModuleNotFoundError::new_err(
            "NumPy has no bfloat16, the package ml_dtypes brings it: pip install ml_dtypes",
        )
    })?;
    package.getattr(intern!(py, "bfloat16"))
}

fn read<T: Element + Copy + NumpyElement>(
    name: &str,
    array: &Bound<'_, PyArrayDyn<T>>,
    spare: Option<Tensor>,
) -> PyResult<Tensor> {
    let array = array.try_readonly().map_err(|_| {
        input_error(format!(
            "input `{name}` is being written to by somebody else"
        ))
    })?;
    copied(array.as_array(), spare)
}

fn copied<T: Element + Copy>(values: ArrayViewD<'_, T>, spare: Option<Tensor>) -> PyResult<Tensor> {
    let spare = spare.filter(|spare| spare.shape() == values.shape());
    let used = spare.and_then(|mut spare| written_over(&mut spare, &values).then_some(spare));
    match used {
        Some(used) => Ok(used),
        None => {
            has_room(T::TYPE, values.shape())?;
            Ok(Tensor::from(values))
        }
    }
}

/// MemoryError where there is no memory for a copy.
fn has_room(element_type: ElementType, shape: &[usize]) -> PyResult<()> {
    Tensor::check_room(element_type, shape).map_err(raised)
}

/// Whether the tensor has these values now.
fn written_over<T: Element + Copy>(tensor: &mut Tensor, values: &ArrayViewD<'_, T>) -> bool {
    let Ok(Some(mut room)) = tensor.view_mut::<T>() else {
        return false;
    };
    match (room.as_slice_mut(), values.as_slice()) {
        (Some(room), Some(values)) if room.len() == values.len() => room.copy_from_slice(values),
        _ => room.assign(values),
    }
    true
}

/// bfloat16, which is ml_dtypes', booleans, and text.
fn other_tensor(
    name: &str,
    array: &Bound<'_, PyUntypedArray>,
    spare: Option<Tensor>,
) -> PyResult<Tensor> {
    let dtype = array.dtype();
    let type_name: String = dtype.getattr("name")?.extract()?;
    let kind: char = dtype.getattr("kind")?.extract()?;
    if type_name == "bfloat16" {
        let bits = array.call_method1("view", ("uint16",))?;
        let bits = bits.cast_into::<PyArrayDyn<u16>>()?;
        let bits = bits.readonly();
        let bits = bits.as_array();
        let slice = bits.as_slice().map(HalfBitsSliceExt::reinterpret_cast);
        let values = slice.and_then(|slice| ArrayViewD::from_shape(bits.shape(), slice).ok());
        return match values {
            Some(values) => copied::<bf16>(values, spare),
            None => {
                has_room(ElementType::BF16, bits.shape())?;
                copied(bits.mapv(bf16::from_bits).view(), spare)
            }
        };
    }
    if kind == 'b' {
        // A view of other memory may hold any byte, and Rust knows two.
        let bytes = array.call_method1("view", ("uint8",))?;
        let bytes = bytes.cast_into::<PyArrayDyn<u8>>()?;
        let bytes = bytes.readonly();
        let bytes = bytes.as_array();
        has_room(ElementType::Bool, bytes.shape())?;
        return Ok(Tensor::from(bytes.mapv(|byte| byte != 0)));
    }
    if matches!(kind, 'U' | 'O' | 'T') {
        let flat: Vec<String> = array
            .call_method0("ravel")?
            .call_method0("tolist")?
            .extract()
            .map_err(|_| input_error(format!("input `{name}` holds objects that are no text")))?;
        let array = ArrayD::from_shape_vec(array.shape(), flat);
        return array
            .map(Tensor::from)
            .map_err(|error| input_error(error.to_string()));
    }
    Err(input_error(format!(
        "input `{name}` is of type {type_name}, which no tensor here has"
    )))
}

/// What a mapping holds now, by name: making an array of something may run the caller's code, and change the mapping.
pub fn by_name<'py>(feed: &Bound<'py, PyMapping>) -> PyResult<Vec<(String, Bound<'py, PyAny>)>> {
    let items = feed.items()?;
    let named = items.iter().map(|item| {
        let (name, value): (Bound<'_, PyAny>, _) = item.extract()?;
        let text = name.extract().map_err(|_| {
            PyTypeError::new_err(format!(
                "arrays are given by names, which are text, not {name}"
            ))
        });
        Ok((text?, value))
    });
    named.collect()
}

/// An array with the values of a tensor, to be written to: its memory where nobody shares that, else a copy.
pub fn array<'py>(py: Python<'py>, tensor: Tensor) -> PyResult<Bound<'py, PyAny>> {
    macro_rules! each {
        ($($variant:ident $rust:ty;)*) => {
            match tensor.element_type() {
                $(ElementType::$variant => written::<$rust>(py, tensor),)*
                ElementType::Bool => written::<bool>(py, tensor),
                ElementType::BF16 => {
                    let bits = match lent(py, tensor, bits_of)? {
                        Ok(bits) => bits,
                        Err(tensor) => {
                            let values = tensor.view::<bf16>().map_err(raised)?;
                            has_room(ElementType::BF16, values.shape())?;
                            values.mapv(bf16::to_bits).into_pyarray(py)
                        }
                    };
                    bits.call_method1("view", (bfloat16(py)?,))
                }
                ElementType::String => {
                    let values = tensor.view::<String>().map_err(raised)?;
                    let shape = values.shape().to_vec();
                    let flat: Vec<&String> = values.iter().collect();
                    let numpy = py.import(intern!(py, "numpy"))?;
                    let flat = numpy.call_method1("array", (flat, "object"))?;
                    flat.call_method1("reshape", (shape,))
                }
                other => Err(input_error(format!("NumPy has no {other}"))),
            }
        };
    }
    numpy_types!(each)
}

fn as_they_are<T>(values: ArrayViewMutD<'_, T>) -> Option<ArrayViewMutD<'_, T>> {
    Some(values)
}

fn bits_of(values: ArrayViewMutD<'_, bf16>) -> Option<ArrayViewMutD<'_, u16>> {
    let shape = values.raw_dim();
    let bits = values.into_slice()?.reinterpret_cast_mut();
    ArrayViewMutD::from_shape(shape, bits).ok()
}

fn written<'py, T: Element + NumpyElement>(
    py: Python<'py>,
    tensor: Tensor,
) -> PyResult<Bound<'py, PyAny>> {
    match lent(py, tensor, as_they_are::<T>)? {
        Ok(array) => Ok(array.into_any()),
        Err(tensor) => {
            has_room(tensor.element_type(), tensor.shape())?;
            let values = tensor.to_array::<T>().map_err(raised)?;
            Ok(values.into_pyarray(py).into_any())
        }
    }
}
