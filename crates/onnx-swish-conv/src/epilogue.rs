//! What a convolution ends in: an activation, a line, a residual before or after it or a factor, and then perhaps a rounding to 8-bit codes.
//! Given: registers of sums.
//! Promise: the formula of each variant, NaN in NaN out where there are no codes; Swish, HardSwish and what becomes of codes are those
//! of `onnx-swish-kernels`.

use onnx_swish_kernels::codes::Requantize;
use onnx_swish_kernels::{SwishConstants, registers};
use onnx_swish_simd::{Kernel, Simd};

use crate::Spec;

/// Replaces each register `$v` of an array of arrays by `$y`.
macro_rules! each {
    ($v:ident of $sums:ident, $y:expr) => {
        unrolled!(m < M, {
            unrolled!(n < N, {
                let $v = $sums[m][n];
                $sums[m][n] = $y;
            });
        })
    };
}

/// An elementwise function of the convolution's sum.
// A table makes one variant long: there is one for each convolution, so its size does not matter.
#[allow(clippy::large_enum_variant)]
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
    /// To 8-bit codes, perhaps by a table to others, and back.
    Requantize(Requantize),
}

/// `scale·y + offset`, rounded once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// What is multiplied by.
    pub scale: f32,
    /// What is added.
    pub offset: f32,
}

/// Where a tensor of the output's shape is added, or multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residual {
    /// `activation(sum)`.
    #[default]
    None,
    /// `activation(sum + residual)`.
    BeforeActivation,
    /// `activation(sum) + residual`.
    AfterActivation,
    /// `activation(sum) * residual`: a gated unit, such as SwiGLU's SiLU(x·V)·(x·W) (arXiv:2002.05202), whose one product has the
    /// other for a factor.
    Factor,
}

/// What happens to sums before they are stored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epilogue {
    pub activation: Prepared,
    pub line: Option<Line>,
    pub residual: Residual,
    pub requantize: Option<Requantize>,
}

impl Epilogue {
    pub(crate) fn of(spec: &Spec) -> Epilogue {
        Epilogue {
            activation: spec.activation.prepare(),
            residual: spec.residual,
            line: spec.line,
            requantize: spec.requantize,
        }
    }

    /// Everything, where there is no residual.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const N: usize, const M: usize>(
        &self,
        s: S,
        sums: &mut [[S::V; N]; M],
    ) {
        self.activate(s, sums);
        self.requantize(s, sums);
    }

    /// The activation, and the line behind it.
    #[inline(always)]
    pub(crate) fn activate<S: Simd, const N: usize, const M: usize>(
        &self,
        s: S,
        sums: &mut [[S::V; N]; M],
    ) {
        self.activation.apply(s, sums);
        if let Some(Line { scale, offset }) = self.line {
            let (scale, offset) = (s.splat(scale), s.splat(offset));
            each!(v of sums, s.mul_add(v, scale, offset));
        }
    }

    /// What comes last.
    #[inline(always)]
    pub(crate) fn requantize<S: Simd, const N: usize, const M: usize>(
        &self,
        s: S,
        sums: &mut [[S::V; N]; M],
    ) {
        if let Some(by) = &self.requantize {
            requantize(s, sums, by);
        }
    }
}

/// By way of a copy, so that only the copy has to be in memory.
#[inline(always)]
fn requantize<S: Simd, const N: usize, const M: usize>(
    s: S,
    sums: &mut [[S::V; N]; M],
    by: &Requantize,
) {
    let mut values = *sums;
    registers::requantize_each(s, values.as_flattened_mut(), by);
    *sums = values;
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
            Activation::Requantize(by) => Prepared::Requantize(by),
        }
    }
}

/// An activation with its constants.
#[allow(
    clippy::large_enum_variant,
    reason = "one for each convolution, and looked at by reference"
)]
#[derive(Debug, Clone, Copy)]
pub(crate) enum Prepared {
    None,
    Relu,
    Clamp { low: f32, high: f32 },
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish { alpha: f32, beta: f32 },
    Swish(SwishConstants),
    Requantize(Requantize),
}

impl Prepared {
    /// Applies the function to registers. The variant is looked at once for all of them.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const N: usize, const M: usize>(
        &self,
        s: S,
        sums: &mut [[S::V; N]; M],
    ) {
        let zero = s.splat(0.0);
        match self {
            Prepared::None => {}
            Prepared::Relu => {
                each!(v of sums, s.at_least(zero, v));
            }
            Prepared::Clamp { low, high } => {
                let (low, high) = (s.splat(*low), s.splat(*high));
                each!(v of sums, s.at_most(high, s.at_least(low, v)));
            }
            Prepared::HardSigmoid { alpha, beta } => {
                let (alpha, beta, one) = (s.splat(*alpha), s.splat(*beta), s.splat(1.0));
                each!(v of sums, s.at_most(one, s.at_least(zero, s.mul_add(v, alpha, beta))));
            }
            Prepared::HardSwish { alpha, beta } => {
                each!(v of sums, registers::sloped_hard_swish(s, v, *alpha, *beta));
            }
            Prepared::Swish(constants) => {
                let mut values = *sums;
                if N * M <= INLINED {
                    registers::swish_each(s, values.as_flattened_mut(), constants);
                } else {
                    s.vectorize(Swish {
                        values: values.as_mut_ptr().cast(),
                        registers: N * M,
                        constants,
                    });
                }
                *sums = values;
            }
            Prepared::Requantize(by) => requantize(s, sums, by),
        }
    }
}

/// Registers whose Swish is computed where they are. Tiles have more of them, and one function for all loops instead of a copy in
/// each: it is long.
const INLINED: usize = 8;

/// Swish of registers in memory.
struct Swish<'a> {
    /// The registers, one behind the other, which nobody else uses meanwhile.
    values: *mut f32,
    registers: usize,
    constants: &'a SwishConstants,
}

impl Kernel for Swish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: `apply`, the one caller, has so many registers there, and nobody else uses them.
        let values =
            unsafe { std::slice::from_raw_parts_mut(self.values.cast::<S::V>(), self.registers) };
        registers::swish_each(s, values, self.constants);
    }
}
