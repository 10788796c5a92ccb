//! Tensors as they go into a session and come out of it.
//!
//! Given ndarray arrays or views of any element type that tract has; promises views back without a copy, and no tract type in
//! sight.

use std::fmt;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use ndarray::{Array, ArrayBase, ArrayD, ArrayViewD, ArrayViewMutD, Data, Dimension};
use tract_core::internal as tract;

use crate::error::{Error, Result};
use crate::guard::Stage;

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
    BF16,
    F32,
    F64,
    String,
}

/// Each element type that tract has too and whose values are copied as bits, with its Rust type and its NumPy name.
macro_rules! element_types {
    ($($variant:ident $rust:ty, $name:literal;)*) => {
        impl ElementType {
            /// The NumPy name: `float32`, `int64`, ...
            pub fn name(self) -> &'static str {
                match self {
                    $(ElementType::$variant => $name,)*
                    ElementType::BF16 => "bfloat16",
                    ElementType::String => "string",
                }
            }

            pub(crate) fn of(dt: tract::DatumType) -> Option<ElementType> {
                match dt.unquantized() {
                    $(tract::DatumType::$variant => Some(ElementType::$variant),)*
                    tract::DatumType::String => Some(ElementType::String),
                    _ => None,
                }
            }

            /// What tract keeps it as: for bfloat16, which it lacks, the bits.
            pub(crate) fn datum_type(self) -> tract::DatumType {
                match self {
                    $(ElementType::$variant => tract::DatumType::$variant,)*
                    ElementType::BF16 => tract::DatumType::U16,
                    ElementType::String => tract::DatumType::String,
                }
            }
        }

        $(
            impl sealed::Sealed for $rust {
                fn store<D: Dimension>(array: Array<Self, D>) -> tract::Tensor {
                    tract::Tensor::from(array)
                }

                fn copied(view: ArrayViewD<'_, Self>) -> tract::Tensor {
                    bits(&view).unwrap_or_else(|| Self::store(view.to_owned()))
                }

                fn read(tensor: &tract::Tensor) -> Option<ArrayViewD<'_, Self>> {
                    tensor.to_plain_array_view::<Self>().ok()
                }

                fn write(tensor: &mut tract::Tensor) -> Option<ArrayViewMutD<'_, Self>> {
                    tensor.to_plain_array_view_mut::<Self>().ok()
                }
            }
            impl Element for $rust {
                const TYPE: ElementType = ElementType::$variant;
            }
        )*
    };
}

mod sealed {
    use ndarray::{Array, ArrayViewD, ArrayViewMutD, Dimension};

    /// How tract keeps the elements.
    pub trait Sealed: Sized {
        fn store<D: Dimension>(array: Array<Self, D>) -> tract_core::internal::Tensor;

        /// The same of a view, copied once where it is in standard layout.
        fn copied(view: ArrayViewD<'_, Self>) -> tract_core::internal::Tensor;

        /// `None` if the tensor is of another type.
        fn read(tensor: &tract_core::internal::Tensor) -> Option<ArrayViewD<'_, Self>>;

        /// The same to write to; `None` also if tract has no plain memory of it.
        fn write(tensor: &mut tract_core::internal::Tensor) -> Option<ArrayViewMutD<'_, Self>>;
    }
}

/// A Rust type that tensors can hold.
pub trait Element: Clone + Send + Sync + 'static + sealed::Sealed {
    /// Which one it is.
    const TYPE: ElementType;
}

/// A copy of plain values in standard layout.
fn bits<T: tract::Datum + Copy>(view: &ArrayViewD<'_, T>) -> Option<tract::Tensor> {
    tract::Tensor::from_shape(view.shape(), view.as_slice()?).ok()
}

impl sealed::Sealed for bf16 {
    fn store<D: Dimension>(array: Array<Self, D>) -> tract::Tensor {
        tract::Tensor::from(array.mapv(bf16::to_bits))
    }

    fn copied(view: ArrayViewD<'_, Self>) -> tract::Tensor {
        let slice = view.as_slice().map(HalfFloatSliceExt::reinterpret_cast);
        let bits = slice.and_then(|slice| tract::Tensor::from_shape(view.shape(), slice).ok());
        bits.unwrap_or_else(|| tract::Tensor::from(view.mapv(bf16::to_bits)))
    }

    fn read(tensor: &tract::Tensor) -> Option<ArrayViewD<'_, Self>> {
        let bits = tensor.to_plain_array_view::<u16>().ok()?.to_slice()?;
        ArrayViewD::from_shape(tensor.shape(), bits.reinterpret_cast()).ok()
    }

    fn write(tensor: &mut tract::Tensor) -> Option<ArrayViewMutD<'_, Self>> {
        let shape = tensor.shape().to_vec();
        let bits = tensor.to_plain_array_view_mut::<u16>().ok()?;
        ArrayViewMutD::from_shape(shape, bits.into_slice()?.reinterpret_cast_mut()).ok()
    }
}

impl Element for bf16 {
    const TYPE: ElementType = ElementType::BF16;
}

impl sealed::Sealed for String {
    fn store<D: Dimension>(array: Array<Self, D>) -> tract::Tensor {
        tract::Tensor::from(array)
    }

    fn copied(view: ArrayViewD<'_, Self>) -> tract::Tensor {
        tract::Tensor::from(view.to_owned())
    }

    fn read(tensor: &tract::Tensor) -> Option<ArrayViewD<'_, Self>> {
        tensor.to_plain_array_view::<Self>().ok()
    }

    fn write(tensor: &mut tract::Tensor) -> Option<ArrayViewMutD<'_, Self>> {
        tensor.to_plain_array_view_mut::<Self>().ok()
    }
}

impl Element for String {
    const TYPE: ElementType = ElementType::String;
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
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A tensor: element type, shape and values.
///
/// Made from an ndarray array or a view with one copy, because tract has its values in memory of its own; two where the view is not in
/// standard layout. Clones are cheap: they share the values.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    values: tract::Arc<tract::Tensor>,
    element_type: ElementType,
}

impl Tensor {
    /// A tensor of zeros (empty strings, false).
    pub fn zeros(element_type: ElementType, shape: &[usize]) -> Result<Tensor> {
        let zeros = tract::Tensor::zero_dt(element_type.datum_type(), shape);
        Ok(Tensor {
            values: zeros.map_err(failed)?.into(),
            element_type,
        })
    }

    /// Whether the system has memory for a tensor of this type and shape. Making one where it has not ends the process.
    ///
    /// # Errors
    /// [`Error::Memory`] if it has not.
    pub fn check_room(element_type: ElementType, shape: &[usize]) -> Result<()> {
        crate::arena::room_for(element_type.datum_type(), shape)
            .map_err(|error| Stage::Run.error(error))
    }

    pub(crate) fn from_tract(values: tract::Arc<tract::Tensor>) -> Result<Tensor> {
        if values.datum_type() == tract::DatumType::TDim {
            // Shape arithmetic that reaches an output: tract's symbolic integers, all known by now.
            let cast = values.cast_to::<i64>().map_err(failed)?;
            return Ok(Tensor {
                values: tract::Arc::new(cast.into_owned()),
                element_type: ElementType::I64,
            });
        }
        let dt = values.datum_type();
        let element_type = ElementType::of(dt)
            .ok_or_else(|| failed(tract::format_err!("a result is of type {dt:?}")))?;
        Ok(Tensor {
            values,
            element_type,
        })
    }

    /// As tract has it; bfloat16 as bits.
    pub(crate) fn into_tract(self) -> tract::Arc<tract::Tensor> {
        self.values
    }

    /// The type of the elements.
    pub fn element_type(&self) -> ElementType {
        self.element_type
    }

    /// The shape.
    pub fn shape(&self) -> &[usize] {
        self.values.shape()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
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
        let same = T::TYPE == self.element_type;
        let view = same.then(|| T::read(&self.values)).flatten();
        view.ok_or(Error::TensorType {
            asked: T::TYPE,
            found: self.element_type,
        })
    }

    /// Whether other tensors have the same values in the same memory.
    pub fn is_shared(&self) -> bool {
        tract::Arc::strong_count(&self.values) > 1
    }

    /// The values to be written to, without a copy. `None` where they are not this tensor's alone: a clone shares them, or the model,
    /// whose constant or input an output may be.
    ///
    /// # Errors
    /// If the elements are of another type.
    pub fn view_mut<T: Element>(&mut self) -> Result<Option<ArrayViewMutD<'_, T>>> {
        if T::TYPE != self.element_type {
            return Err(Error::TensorType {
                asked: T::TYPE,
                found: self.element_type,
            });
        }
        Ok(tract::Arc::get_mut(&mut self.values).and_then(T::write))
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
        if self.element_type == to {
            return Ok(self.clone());
        }
        if self.element_type == ElementType::BF16 {
            let wide = self.view::<bf16>()?.mapv(bf16::to_f32);
            return Tensor::from(wide).cast(to);
        }
        if to == ElementType::BF16 {
            let wide = self.cast(ElementType::F32)?;
            return Ok(wide.view::<f32>()?.mapv(bf16::from_f32).into());
        }
        let cast = self.values.cast_to_dt(to.datum_type()).map_err(failed)?;
        Ok(Tensor {
            values: tract::Arc::new(cast.into_owned()),
            element_type: to,
        })
    }

    /// The values as f64 in row-major order, `None` for strings.
    ///
    /// 64-bit integers beyond 2^53 round.
    pub fn to_f64(&self) -> Option<Vec<f64>> {
        let cast = self.cast(ElementType::F64).ok()?;
        let plain = cast.values.try_as_plain_ram().ok()?;
        plain.as_slice::<f64>().ok().map(<[f64]>::to_vec)
    }
}

fn failed(error: tract::TractError) -> Error {
    crate::guard::Stage::Run.error(error)
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {:?})", self.element_type(), self.shape())
    }
}

impl<T: Element, D: Dimension> From<Array<T, D>> for Tensor {
    fn from(array: Array<T, D>) -> Tensor {
        Tensor {
            values: tract::Arc::new(T::store(array)),
            element_type: T::TYPE,
        }
    }
}

impl<T: Element, S: Data<Elem = T>, D: Dimension> From<&ArrayBase<S, D>> for Tensor {
    fn from(array: &ArrayBase<S, D>) -> Tensor {
        array.view().into()
    }
}

impl<T: Element, D: Dimension> From<ndarray::ArrayView<'_, T, D>> for Tensor {
    fn from(view: ndarray::ArrayView<'_, T, D>) -> Tensor {
        Tensor {
            values: tract::Arc::new(T::copied(view.into_dyn())),
            element_type: T::TYPE,
        }
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

    #[test]
    fn values_that_are_shared_are_not_written_to() {
        let mut tensor = Tensor::from(array![1.0f32, 2.0]);
        let shared = tensor.clone();
        assert!(tensor.is_shared() && tensor.view_mut::<f32>().unwrap().is_none());
        drop(shared);
        assert!(!tensor.is_shared());
        tensor.view_mut::<f32>().unwrap().unwrap()[0] = 3.0;
        assert_eq!(tensor.to_f64().unwrap(), [3.0, 2.0]);
        assert!(tensor.view_mut::<f64>().is_err());
        let text = Tensor::from(array!["a".to_owned()].view());
        assert_eq!(text.view::<String>().unwrap()[0], "a");
        let mut half = Tensor::from(array![bf16::from_f32(1.0)].view());
        half.view_mut::<bf16>().unwrap().unwrap()[0] = bf16::from_f32(0.5);
        assert_eq!(half.to_f64().unwrap(), [0.5]);
    }

    #[test]
    fn bfloat16_goes_in_and_out_and_is_no_integer() {
        let values = array![1.0f32, -2.5, 3.140_625, f32::INFINITY].mapv(bf16::from_f32);
        let tensor = Tensor::from(values.clone());
        assert_eq!(tensor.element_type(), ElementType::BF16);
        assert_eq!(tensor.view::<bf16>().unwrap(), values.clone().into_dyn());
        assert!(tensor.view::<u16>().is_err());
        assert_eq!(
            tensor.to_f64().unwrap(),
            [1.0, -2.5, 3.140_625, f64::INFINITY]
        );
        let wide = tensor.cast(ElementType::F32).unwrap();
        assert_eq!(wide.cast(ElementType::BF16).unwrap(), tensor);
        // 1 + 2⁻⁹ is half way between two bfloat16 values, and the lower one is even.
        let rounded = Tensor::from(array![1.001_953_1f32]).cast(ElementType::BF16);
        assert_eq!(rounded.unwrap().to_f64().unwrap(), [1.0]);
        assert_eq!(
            Tensor::zeros(ElementType::BF16, &[2])
                .unwrap()
                .to_f64()
                .unwrap(),
            [0.0, 0.0]
        );
    }
}
