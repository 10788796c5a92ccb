//! Tensors as they go into a session and come out of it.
//!
//! Given ndarray arrays or views of any element type that tract has; promises views back without a copy, and no tract type in
//! sight.

use std::fmt;

use half::f16;
use ndarray::{Array, ArrayBase, ArrayD, ArrayViewD, Data, Dimension};
use tract_core::internal as tract;

use crate::error::{Error, Result};

/// The element types that tensors have here, under their NumPy names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ElementType {
    Bool,
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F16,
    F32,
    F64,
    String,
}

/// Each element type with its Rust type and NumPy name.
macro_rules! element_types {
    ($($variant:ident $rust:ty, $name:literal;)*) => {
        impl ElementType {
            /// The NumPy name: `float32`, `int64`, ...
            pub fn name(self) -> &'static str {
                match self { $(ElementType::$variant => $name,)* }
            }

            pub(crate) fn of(dt: tract::DatumType) -> Option<ElementType> {
                match dt.unquantized() {
                    $(tract::DatumType::$variant => Some(ElementType::$variant),)*
                    _ => None,
                }
            }

            pub(crate) fn datum_type(self) -> tract::DatumType {
                match self { $(ElementType::$variant => tract::DatumType::$variant,)* }
            }
        }

        $(
            impl sealed::Sealed for $rust {}
            impl Element for $rust {
                const TYPE: ElementType = ElementType::$variant;
            }
        )*
    };
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that tensors can hold.
pub trait Element: tract::Datum + Clone + sealed::Sealed {
    /// Which one it is.
    const TYPE: ElementType;
}

element_types! {
    Bool bool, "bool";
    U8 u8, "uint8";
    U16 u16, "uint16";
    U32 u32, "uint32";
    U64 u64, "uint64";
    I8 i8, "int8";
    I16 i16, "int16";
    I32 i32, "int32";
    I64 i64, "int64";
    F16 f16, "float16";
    F32 f32, "float32";
    F64 f64, "float64";
    String String, "string";
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A tensor: element type, shape and values.
///
/// Made from an owned ndarray array without a copy when it is in standard layout, from a view with one.
/// Clones are cheap: they share the values.
#[derive(Clone, PartialEq)]
pub struct Tensor(pub(crate) tract::Arc<tract::Tensor>);

impl Tensor {
    /// A tensor of zeros (empty strings, false).
    pub fn zeros(element_type: ElementType, shape: &[usize]) -> Result<Tensor> {
        let zeros = tract::Tensor::zero_dt(element_type.datum_type(), shape);
        zeros
            .map(|zeros| Tensor(zeros.into()))
            .map_err(|error| crate::guard::Stage::Run.error(&error))
    }

    pub(crate) fn from_tract(tensor: tract::Arc<tract::Tensor>) -> Result<Tensor> {
        if tensor.datum_type() == tract::DatumType::TDim {
            // Shape arithmetic that reaches an output: tract's symbolic integers, all known by now.
            let cast = tensor
                .cast_to::<i64>()
                .map_err(|error| crate::guard::Stage::Run.error(&error))?;
            return Ok(Tensor(tract::Arc::new(cast.into_owned())));
        }
        Ok(Tensor(tensor))
    }

    /// The type of the elements.
    pub fn element_type(&self) -> ElementType {
        // Every constructor takes one of the types of `ElementType` or converts to one.
        ElementType::of(self.0.datum_type()).unwrap_or(ElementType::U8)
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as an ndarray view.
    ///
    /// # Errors
    /// If the elements are of another type.
    pub fn view<T: Element>(&self) -> Result<ArrayViewD<'_, T>> {
        self.0
            .to_plain_array_view::<T>()
            .map_err(|_| Error::TensorType {
                asked: T::TYPE,
                found: self.element_type(),
            })
    }

    /// The values as an ndarray array of their own.
    ///
    /// # Errors
    /// If the elements are of another type.
    pub fn to_array<T: Element>(&self) -> Result<ArrayD<T>> {
        Ok(self.view::<T>()?.to_owned())
    }

    /// The same values in another element type, rounded where it is narrower.
    ///
    /// # Errors
    /// If there is no such conversion, as from text that is no number.
    pub fn cast(&self, to: ElementType) -> Result<Tensor> {
        let cast = self.0.cast_to_dt(to.datum_type());
        let cast = cast.map_err(|error| crate::guard::Stage::Run.error(&error))?;
        Ok(Tensor(tract::Arc::new(cast.into_owned())))
    }

    /// The values as f64 in row-major order, `None` for strings.
    ///
    /// 64-bit integers beyond 2^53 round.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        let cast = self.0.cast_to::<f64>().ok()?;
        let plain = cast.try_as_plain_ram().ok()?;
        plain.as_slice::<f64>().ok().map(<[f64]>::to_vec)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?})", self.element_type(), self.shape())
    }
}

impl<T: Element, D: Dimension> From<Array<T, D>> for Tensor {
    fn from(array: Array<T, D>) -> Tensor {
        Tensor(tract::Arc::new(tract::Tensor::from(array)))
    }
}

impl<T: Element, S: Data<Elem = T>, D: Dimension> From<&ArrayBase<S, D>> for Tensor {
    fn from(array: &ArrayBase<S, D>) -> Tensor {
        array.to_owned().into()
    }
}

impl<T: Element, D: Dimension> From<ndarray::ArrayView<'_, T, D>> for Tensor {
    fn from(view: ndarray::ArrayView<'_, T, D>) -> Tensor {
        view.to_owned().into()
    }
}

impl From<&Tensor> for Tensor {
    fn from(tensor: &Tensor) -> Tensor {
        tensor.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn arrays_views_and_transposed_arrays_keep_their_values() {
        let array = array![[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
        for tensor in [
            Tensor::from(array.clone()),
            Tensor::from(&array),
            Tensor::from(array.view()),
        ] {
            assert_eq!(tensor.view::<f32>().unwrap(), array.clone().into_dyn());
        }
        let transposed = Tensor::from(array.t());
        assert_eq!(transposed.shape(), [3, 2]);
        assert_eq!(transposed.to_f64().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn reading_as_another_type_is_an_error() {
        let error = Tensor::from(array![1i64, 2]).view::<f32>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the tensor is int64, it was read as float32"
        );
    }
}
