//! The element types, and which implementation each function has for them.
//!
//! Given a type parameter of a public function; promises that it is one of f32, f64, f16, bf16.

use half::{bf16, f16};

use onnx_swish_simd::{Isa, bits};

use crate::formula::{GateOf, Short, Single, hard_swish, wide, wide64};
use crate::{lanewise, map};

pub(crate) use sealed::Sealed as Scalar;

/// A floating-point type that the kernels take: `f32`, `f64`, [`half::f16`] or [`half::bf16`].
pub trait Element: Copy + PartialEq + Send + Sync + 'static + sealed::Sealed {
    /// The type of a scalar β, slope or offset: `f64` for `f64`, `f32` for the others.
    type Param: Copy + PartialEq + From<f32> + Into<f64> + Send + Sync + 'static;

    /// The parameter of the same value, exactly.
    fn to_param(self) -> Self::Param;

    #[doc(hidden)]
    fn run_swish(isa: Isa, slices: sealed::Run<'_, Self>, beta: Self::Param);

    #[doc(hidden)]
    fn run_hard_swish(
        isa: Isa,
        slices: sealed::Run<'_, Self>,
        alpha: Self::Param,
        beta: Self::Param,
    );

    #[doc(hidden)]
    fn run_sigmoid(isa: Isa, slices: sealed::Run<'_, Self>);
}

pub(crate) mod sealed {
    use crate::slices::Slices;

    /// One element at a time, by arithmetic wider than it.
    pub trait Sealed: Copy {
        const ZERO: Self;

        /// What [`Sealed::swish_one`] takes for β = self.
        fn own_rate(self) -> f64;

        fn swish_one(self, rate: f64) -> Self;

        fn hard_swish_one(self, alpha: f64, beta: f64) -> Self;

        fn sigmoid_one(self) -> Self;

        fn hard_sigmoid_one(self, alpha: f64, beta: f64) -> Self;

        /// Whether |self| is below the limit of [`crate::SwishConstants`]; NaN is not.
        fn is_within(self, limit: f32) -> bool;
    }

    /// Slices, opaque outside of the crate.
    pub struct Run<'a, T>(pub(crate) Slices<'a, T>);
}

impl sealed::Sealed for f32 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn own_rate(self) -> f64 {
        wide::rate(self)
    }

    #[inline(always)]
    fn swish_one(self, rate: f64) -> Self {
        wide::swish(self, rate)
    }

    #[inline(always)]
    fn hard_swish_one(self, alpha: f64, beta: f64) -> Self {
        wide::hard_swish(self, alpha, beta)
    }

    #[inline(always)]
    fn sigmoid_one(self) -> Self {
        wide::sigmoid(self)
    }

    #[inline(always)]
    fn hard_sigmoid_one(self, alpha: f64, beta: f64) -> Self {
        wide::hard_sigmoid(self, alpha, beta)
    }

    #[inline(always)]
    fn is_within(self, limit: f32) -> bool {
        self.abs() < limit
    }
}

impl sealed::Sealed for f16 {
    const ZERO: Self = f16::ZERO;

    #[inline(always)]
    fn own_rate(self) -> f64 {
        wide::rate(bits::f16_to_f32(self.to_bits()))
    }

    #[inline(always)]
    fn swish_one(self, rate: f64) -> Self {
        let x = bits::f16_to_f32(self.to_bits());
        f16::from_bits(bits::f32_to_f16(wide::swish(x, rate)))
    }

    #[inline(always)]
    fn hard_swish_one(self, alpha: f64, beta: f64) -> Self {
        let x = bits::f16_to_f32(self.to_bits());
        f16::from_bits(bits::f32_to_f16(wide::hard_swish(x, alpha, beta)))
    }

    #[inline(always)]
    fn sigmoid_one(self) -> Self {
        let x = bits::f16_to_f32(self.to_bits());
        f16::from_bits(bits::f32_to_f16(wide::sigmoid(x)))
    }

    #[inline(always)]
    fn hard_sigmoid_one(self, alpha: f64, beta: f64) -> Self {
        let x = bits::f16_to_f32(self.to_bits());
        f16::from_bits(bits::f32_to_f16(wide::hard_sigmoid(x, alpha, beta)))
    }

    #[inline(always)]
    fn is_within(self, limit: f32) -> bool {
        bits::f16_to_f32(self.to_bits()).abs() < limit
    }
}

impl sealed::Sealed for bf16 {
    const ZERO: Self = bf16::ZERO;

    #[inline(always)]
    fn own_rate(self) -> f64 {
        wide::rate(bits::bf16_to_f32(self.to_bits()))
    }

    #[inline(always)]
    fn swish_one(self, rate: f64) -> Self {
        let x = bits::bf16_to_f32(self.to_bits());
        bf16::from_bits(bits::f32_to_bf16(wide::swish(x, rate)))
    }

    #[inline(always)]
    fn hard_swish_one(self, alpha: f64, beta: f64) -> Self {
        let x = bits::bf16_to_f32(self.to_bits());
        bf16::from_bits(bits::f32_to_bf16(wide::hard_swish(x, alpha, beta)))
    }

    #[inline(always)]
    fn sigmoid_one(self) -> Self {
        let x = bits::bf16_to_f32(self.to_bits());
        bf16::from_bits(bits::f32_to_bf16(wide::sigmoid(x)))
    }

    #[inline(always)]
    fn hard_sigmoid_one(self, alpha: f64, beta: f64) -> Self {
        let x = bits::bf16_to_f32(self.to_bits());
        bf16::from_bits(bits::f32_to_bf16(wide::hard_sigmoid(x, alpha, beta)))
    }

    #[inline(always)]
    fn is_within(self, limit: f32) -> bool {
        bits::bf16_to_f32(self.to_bits()).abs() < limit
    }
}

impl sealed::Sealed for f64 {
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn own_rate(self) -> f64 {
        self
    }

    #[inline(always)]
    fn swish_one(self, rate: f64) -> Self {
        wide64::swish(self, rate)
    }

    #[inline(always)]
    fn hard_swish_one(self, alpha: f64, beta: f64) -> Self {
        wide64::hard_swish(self, alpha, beta)
    }

    #[inline(always)]
    fn sigmoid_one(self) -> Self {
        wide64::sigmoid(self)
    }

    #[inline(always)]
    fn hard_sigmoid_one(self, alpha: f64, beta: f64) -> Self {
        wide64::hard_sigmoid(self, alpha, beta)
    }

    #[inline(always)]
    fn is_within(self, limit: f32) -> bool {
        self.abs() < f64::from(limit)
    }
}

/// The types that become registers of f32.
macro_rules! element {
    ($type:ty, $precision:ty, $to_param:expr) => {
        impl Element for $type {
            type Param = f32;

            fn to_param(self) -> f32 {
                ($to_param)(self)
            }

            fn run_swish(isa: Isa, run: sealed::Run<'_, Self>, beta: f32) {
                isa.run(map::Swish::<_, $precision>::new(run.0, beta));
            }

            fn run_hard_swish(isa: Isa, run: sealed::Run<'_, Self>, alpha: f32, beta: f32) {
                let slices = run.0;
                if hard_swish::takes(alpha, beta) {
                    isa.run(map::HardSwish::new(slices, alpha, beta));
                } else {
                    let (alpha, beta) = (alpha.into(), beta.into());
                    isa.run(lanewise::HardSwish {
                        slices,
                        alpha,
                        beta,
                    });
                }
            }

            fn run_sigmoid(isa: Isa, run: sealed::Run<'_, Self>) {
                isa.run(map::Swish::<_, GateOf<$precision>>::new(run.0, 1.0));
            }
        }
    };
}

element!(f32, Single, |x| x);
element!(f16, Short, |x: f16| bits::f16_to_f32(x.to_bits()));
element!(bf16, Short, |x: bf16| bits::bf16_to_f32(x.to_bits()));

impl Element for f64 {
    type Param = f64;

    fn to_param(self) -> f64 {
        self
    }

    fn run_swish(isa: Isa, run: sealed::Run<'_, Self>, beta: f64) {
        isa.run(lanewise::Swish {
            slices: run.0,
            rate: beta,
        });
    }

    fn run_hard_swish(isa: Isa, run: sealed::Run<'_, Self>, alpha: f64, beta: f64) {
        isa.run(lanewise::HardSwish {
            slices: run.0,
            alpha,
            beta,
        });
    }

    // The standard exponential is a call: no instruction set makes it faster.
    fn run_sigmoid(_: Isa, run: sealed::Run<'_, Self>) {
        lanewise::map(run.0, |x| x.sigmoid_one());
    }
}
