//! The functions as their definitions say them, in arithmetic wider than the type under test, and
//! the distance of a result from them.
//!
//! Given an input, its parameters and a result; promises the result's error in ulp, itself exact to
//! well below a thousandth of an ulp.
#![allow(dead_code, reason = "each test and example uses a part")]

pub mod double_double;
pub mod sweep;

use half::{bf16, f16};
use onnx_swish_kernels::contract;

/// A function under test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    Swish { beta: f64 },
    HardSwish { alpha: f64, beta: f64 },
    Sigmoid,
    HardSigmoid { alpha: f64, beta: f64 },
}

/// The exact value: `high + low`, times two to the exponent.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    pub high: f64,
    pub low: f64,
    pub exponent: i32,
}

impl Exact {
    fn plain(high: f64) -> Self {
        Self {
            high,
            low: 0.0,
            exponent: 0,
        }
    }
}

/// What the oracle wants of an element type.
pub trait Oracle: onnx_swish_kernels::Element + std::fmt::LowerExp {
    const NAME: &'static str;
    /// Bits of the significand, the hidden one included.
    const PRECISION: i32;
    /// The exponent of the smallest normal number.
    const MIN_EXPONENT: i32;
    /// The bound of the contract.
    const MAX_ULP: f64;

    fn exact(self, function: Function) -> Exact;
    fn wide(self) -> f64;
    fn param(p: f64) -> Self::Param;
    fn from_wide(x: f64) -> Self;
}

/// f64 is 29 bits wider than f32: its own rounding is below 2⁻²⁶ ulp.
fn exact_in_f64(x: f64, function: Function) -> f64 {
    match function {
        Function::Swish { beta } => {
            let t = x * beta;
            // Not 1/(1 + e⁻ᵗ) throughout: e⁻ᵗ would overflow before x·eᵗ leaves f32.
            if t < -700.0 && x.is_finite() {
                x * t.exp()
            } else {
                x / (1.0 + (-t).exp())
            }
        }
        Function::HardSwish { alpha, beta } => x * hard_gate(x, alpha, beta),
        Function::HardSigmoid { alpha, beta } => hard_gate(x, alpha, beta),
        Function::Sigmoid if x < -700.0 => x.exp(),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
    }
}

fn hard_gate(x: f64, alpha: f64, beta: f64) -> f64 {
    // The lower bound is +0, which `clamp` would leave to the sign of a zero.
    (alpha * x + beta).clamp(0.0, 1.0) + 0.0
}

macro_rules! in_f64 {
    ($type:ty, $name:literal, $precision:literal, $min:literal, $max:expr, $wide:expr, $from:expr) => {
        impl Oracle for $type {
            const NAME: &'static str = $name;
            const PRECISION: i32 = $precision;
            const MIN_EXPONENT: i32 = $min;
            const MAX_ULP: f64 = $max;

            fn exact(self, function: Function) -> Exact {
                Exact::plain(exact_in_f64(self.wide(), function))
            }
            fn wide(self) -> f64 {
                ($wide)(self)
            }
            fn param(p: f64) -> f32 {
                p as f32
            }
            fn from_wide(x: f64) -> Self {
                ($from)(x)
            }
        }
    };
}

in_f64!(
    f32,
    "f32",
    24,
    -126,
    contract::F32_MAX_ULP,
    f64::from,
    |x| x as f32
);
in_f64!(
    f16,
    "f16",
    11,
    -14,
    contract::F16_MAX_ULP,
    f16::to_f64,
    f16::from_f64
);
in_f64!(
    bf16,
    "bf16",
    8,
    -126,
    contract::BF16_MAX_ULP,
    bf16::to_f64,
    bf16::from_f64
);

impl Oracle for f64 {
    const NAME: &'static str = "f64";
    const PRECISION: i32 = 53;
    const MIN_EXPONENT: i32 = -1022;
    const MAX_ULP: f64 = contract::F64_MAX_ULP;

    fn exact(self, function: Function) -> Exact {
        match function {
            Function::Swish { beta } => double_double::swish(self, beta),
            Function::HardSwish { alpha, beta } => double_double::hard_swish(self, alpha, beta),
            Function::Sigmoid => double_double::sigmoid(self),
            Function::HardSigmoid { alpha, beta } => double_double::hard_sigmoid(self, alpha, beta),
        }
    }
    fn wide(self) -> f64 {
        self
    }
    fn param(p: f64) -> f64 {
        p
    }
    fn from_wide(x: f64) -> Self {
        x
    }
}

/// How a result compares with the exact value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The error, in units in the last place of the exact value.
    Ulp(f64),
    /// NaN, an infinity, a zero or a sign that should be another.
    Mismatch,
}

/// Compares `y` with the exact value.
#[inline]
pub fn judge<T: Oracle>(exact: Exact, y: T) -> Verdict {
    let y = y.wide();
    if exact.high.is_nan() || y.is_nan() {
        return if exact.high.is_nan() && y.is_nan() {
            Verdict::Ulp(0.0)
        } else {
            Verdict::Mismatch
        };
    }
    if exact.high.is_infinite() || y.is_infinite() {
        return if exact.high == y {
            Verdict::Ulp(0.0)
        } else {
            Verdict::Mismatch
        };
    }
    // A zero must have the sign too, be it exact or what underflow left.
    if exact.high.is_sign_negative() != y.is_sign_negative() {
        return Verdict::Mismatch;
    }
    if exact.high == 0.0 {
        return if y == 0.0 {
            Verdict::Ulp(0.0)
        } else {
            Verdict::Mismatch
        };
    }
    let ulp_exponent =
        (exponent(exact.high) + exact.exponent).max(T::MIN_EXPONENT) - T::PRECISION + 1;
    // In units of two to the exact value's exponent, to which y is brought.
    let difference = (scale(y, -exact.exponent) - exact.high) - exact.low;
    Verdict::Ulp(scale(difference, exact.exponent - ulp_exponent).abs())
}

/// ⌊log₂|x|⌋ of a finite x; something below all others for 0.
fn exponent(x: f64) -> i32 {
    let biased = (x.to_bits() >> 52) as i32 & 0x7ff;
    if x == 0.0 {
        return -1100;
    }
    if biased == 0 {
        exponent(x * 2f64.powi(60)) - 60
    } else {
        biased - 1023
    }
}

/// `x·2ⁿ` for any n, in steps that neither over- nor underflow before the result does.
pub fn scale(mut x: f64, mut n: i32) -> f64 {
    while n.abs() > 1000 {
        let step = 1000 * n.signum();
        x *= 2f64.powi(step);
        n -= step;
    }
    x * 2f64.powi(n)
}
