//! How far apart two computations of one model may be.
//!
//! Given an element type; promises the tolerance that is usual for it, and one formula for everybody who judges.

use serde::Serialize;

use super::VerifyOptions;
use crate::ElementType;

/// How far apart two values may be: `|fused - original| <= max(atol * m, floor) + rtol * |original|`, m being the largest
/// magnitude in the original output.
///
/// It is NumPy's `allclose` but for m: a value near zero in an output of hundreds is a sum that cancelled, and keeps the
/// rounding of its terms; and in an output of thousandths an error of a ten-thousandth is a wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tolerance {
    /// Relative to the original value.
    pub rtol: f64,
    /// Relative to the output's largest magnitude.
    pub atol: f64,
    /// What is allowed however small the output: a few roundings of numbers near one, which a Sigmoid or Softmax at the end
    /// was computed from. A caller's own `atol` is the floor, too.
    pub floor: f64,
}

impl Tolerance {
    /// What is usual for a computation in this type: two spellings of one activation differ by a few roundings, and every
    /// layer behind it adds its own.
    pub fn usual(element_type: ElementType) -> Tolerance {
        match element_type {
            ElementType::F16 => Tolerance {
                rtol: 1e-2,
                atol: 1e-2,
                floor: 4.0 * (0.5f64).powi(10),
            },
            ElementType::BF16 => Tolerance {
                rtol: 8e-2,
                atol: 8e-2,
                floor: 4.0 * (0.5f64).powi(7),
            },
            ElementType::F64 => Tolerance {
                rtol: 1e-5,
                atol: 1e-6,
                floor: 4.0 * f64::EPSILON,
            },
            _ => Tolerance {
                rtol: 1e-3,
                atol: 1e-4,
                floor: 4.0 * f64::from(f32::EPSILON),
            },
        }
    }

    /// The usual one for the narrower of two types, or what the caller said.
    pub(super) fn chosen(
        options: &VerifyOptions,
        output: ElementType,
        narrowest: Option<ElementType>,
    ) -> Tolerance {
        let usual = Tolerance::usual(narrowest.unwrap_or(output));
        Tolerance {
            rtol: options.rtol.unwrap_or(usual.rtol),
            atol: options.atol.unwrap_or(usual.atol),
            floor: options.atol.unwrap_or(usual.floor),
        }
    }

    /// How far a value may be from `original` in an output whose largest magnitude is `largest`.
    pub(super) fn allowed(&self, original: f64, largest: f64) -> f64 {
        (self.atol * largest).max(self.floor) + self.rtol * original.abs()
    }
}

/// The distance of two values: none between two NaN or two equal infinities, infinite where only one side is a number.
pub(super) fn distance(a: f64, b: f64) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let difference = (a - b).abs();
    if difference.is_nan() {
        f64::INFINITY
    } else {
        difference
    }
}
