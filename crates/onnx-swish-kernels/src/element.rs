//! The element types.
//!
//! Given a type parameter of a public function; promises that it is one of f32, f64, f16, bf16.

use half::{bf16, f16};

/// A floating-point type that the kernels take: `f32`, `f64`, [`f16`] or [`bf16`].
pub trait Element: Copy + PartialEq + Send + Sync + 'static + sealed::Sealed {
    /// The type of a scalar β, slope or offset: `f64` for `f64`, `f32` for the others.
    type Param: Copy + PartialEq + From<f32> + Send + Sync + 'static;

    /// The parameter of the same value, exactly.
    fn to_param(self) -> Self::Param;

    #[doc(hidden)]
    fn param_wide(param: Self::Param) -> f64;
}

pub(crate) mod sealed {
    pub trait Sealed: Sized {
        fn wide(self) -> f64;
        fn narrow(y: f64) -> Self;
    }
}

macro_rules! element {
    ($type:ty, $param:ty, $to_param:expr, $wide:expr, $narrow:expr) => {
        impl Element for $type {
            type Param = $param;

            fn to_param(self) -> $param {
                ($to_param)(self)
            }

            fn param_wide(param: $param) -> f64 {
                param.into()
            }
        }

        impl sealed::Sealed for $type {
            fn wide(self) -> f64 {
                ($wide)(self)
            }

            fn narrow(y: f64) -> Self {
                ($narrow)(y)
            }
        }
    };
}

element!(f32, f32, |x| x, f64::from, |y| y as f32);
element!(f64, f64, |x| x, |x| x, |y| y);
element!(f16, f32, f16::to_f32, f16::to_f64, f16::from_f64);
element!(bf16, f32, bf16::to_f32, bf16::to_f64, bf16::from_f64);
