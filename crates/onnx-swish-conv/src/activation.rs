//! The activations a convolution may end in.
//! Given: a register of sums.
//! Promise: the formula of each variant, NaN in NaN out; Swish and HardSwish are those of `onnx-swish-kernels`.

use onnx_swish_kernels::SwishConstants;

use crate::arch::Simd;

/// An elementwise function of the convolution's sum.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// The sum itself.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`; ReLU6 is `0..6`.
    Clamp {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
    /// `clamp(alpha * x + beta, 0, 1)`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at zero.
        beta: f32,
    },
    /// `x * clamp(alpha * x + beta, 0, 1)`; HardSwish has a slope of 1/6 and 1/2 at zero.
    HardSwish {
        /// Slope of the gate.
        alpha: f32,
        /// Value of the gate at zero.
        beta: f32,
    },
    /// `x·σ(x)`.
    Silu,
    /// `x·σ(beta·x)`.
    Swish {
        /// The paper's β (arXiv:1710.05941).
        beta: f32,
    },
}

impl Activation {
    /// ReLU6.
    pub const RELU6: Activation = Activation::Clamp {
        low: 0.0,
        high: 6.0,
    };
    /// HardSwish as ONNX defines it.
    pub const HARD_SWISH: Activation = Activation::HardSwish {
        alpha: 1.0 / 6.0,
        beta: 0.5,
    };

    /// What the kernels need of it.
    pub(crate) fn prepare(self) -> Prepared {
        match self {
            Activation::None => Prepared::None,
            Activation::Relu => Prepared::Relu,
            Activation::Clamp { low, high } => Prepared::Clamp { low, high },
            Activation::HardSigmoid { alpha, beta } => Prepared::HardSigmoid { alpha, beta },
            Activation::HardSwish { alpha, beta } => Prepared::HardSwish { alpha, beta },
            Activation::Silu => Prepared::Swish(SwishConstants::SILU),
            Activation::Swish { beta } => Prepared::Swish(SwishConstants::new(beta)),
        }
    }
}

/// An activation with its constants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prepared {
    None,
    Relu,
    Clamp { low: f32, high: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish { alpha: f32, beta: f32 },
    Swish(SwishConstants),
}

impl Prepared {
    /// Applies the function to `N` registers. The variant is looked at once for all of them.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const N: usize>(&self, s: S, sums: &mut [S::V; N]) {
        // The constant comes first in every minimum and maximum, so that a NaN sum is what they return.
        let zero = s.splat(0.0);
        match self {
            Prepared::None => {}
            Prepared::Relu => {
                for v in sums {
                    *v = s.max(zero, *v);
                }
            }
            Prepared::Clamp { low, high } => {
                let (low, high) = (s.splat(*low), s.splat(*high));
                for v in sums {
                    *v = s.min(high, s.max(low, *v));
                }
            }
            Prepared::HardSigmoid { alpha, beta } => {
                let (alpha, beta, one) = (s.splat(*alpha), s.splat(*beta), s.splat(1.0));
                for v in sums {
                    *v = s.min(one, s.max(zero, s.mul_add(*v, alpha, beta)));
                }
            }
            Prepared::HardSwish { alpha, beta } => {
                for v in sums {
                    *v = s.hard_swish(*v, *alpha, *beta);
                }
            }
            Prepared::Swish(constants) => {
                for v in sums {
                    *v = s.swish(*v, constants);
                }
            }
        }
    }
}
