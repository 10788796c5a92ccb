//! The activations a convolution may end in.
//! Given: a register of sums.
//! Promise: the formula of each variant, NaN in NaN out.

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

    /// Applies the function to `N` registers. The variant is looked at once for all of them.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const N: usize>(self, s: S, sums: &mut [S::V; N]) {
        // The constant comes first in every minimum and maximum, so that a NaN sum is what they return.
        let zero = s.splat(0.0);
        let one = s.splat(1.0);
        match self {
            Activation::None => {}
            Activation::Relu => {
                for v in sums {
                    *v = s.max(zero, *v);
                }
            }
            Activation::Clamp { low, high } => {
                let (low, high) = (s.splat(low), s.splat(high));
                for v in sums {
                    *v = s.min(high, s.max(low, *v));
                }
            }
            Activation::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (s.splat(alpha), s.splat(beta));
                for v in sums {
                    *v = s.min(one, s.max(zero, s.mul_add(*v, alpha, beta)));
                }
            }
            Activation::HardSwish { alpha, beta } => {
                let (alpha, beta) = (s.splat(alpha), s.splat(beta));
                for v in sums {
                    let gate = s.min(one, s.max(zero, s.mul_add(*v, alpha, beta)));
                    *v = s.mul(*v, gate);
                }
            }
        }
    }
}
