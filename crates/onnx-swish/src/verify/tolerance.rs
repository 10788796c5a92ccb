//! How far apart two computations of one model may be.
//!
//! Given an element type; promises the tolerance that is usual for it, and one formula for everybody who judges.

use serde::Serialize;

use super::VerifyOptions;
use super::compare::is_float;
use crate::ElementType;

/// How far apart two values may be: `|fused - original| <= max(atol * m, floor) + rtol * |original|`, m being the largest
/// magnitude in the original output.
///
/// It is NumPy's `allclose` but for m: a value near zero in an output of hundreds is a sum that cancelled, and keeps the
/// rounding of its terms; and in an output of thousandths an error of a ten-thousandth is a wrong answer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
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
    /// None.
    pub(super) const EXACT: Tolerance = Tolerance {
        rtol: 0.0,
        atol: 0.0,
        floor: 0.0,
    };

    /// What is usual for a computation in this type: two spellings of one activation differ by a few roundings, and every
    /// layer behind it adds its own. Whole numbers are the same or they are not: an index beside the right one is a wrong one.
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
            _ if !is_float(element_type) => Tolerance::EXACT,
            _ => Tolerance {
                rtol: 1e-3,
                atol: 1e-4,
                floor: 4.0 * f64::from(f32::EPSILON),
            },
        }
    }

    /// The usual one for the narrower of two types, or what the caller said of floats.
    pub(super) fn chosen(
        options: &VerifyOptions,
        output: ElementType,
        narrowest: Option<ElementType>,
    ) -> Tolerance {
        if !is_float(output) {
            return Tolerance::EXACT;
        }
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

    /// How far it may be where it is rounded to codes, whose scale says how large it is meant to be.
    pub(super) fn allowed_of_codes(&self, original: f64, largest: f64) -> f64 {
        if largest <= self.floor {
            self.allowed_by_size(original, largest)
        } else {
            self.allowed(original, largest)
        }
    }

    /// As much of it as is a part of the output's own size.
    pub(super) fn allowed_by_size(&self, original: f64, largest: f64) -> f64 {
        let part = if self.atol < 1.0 { self.atol } else { 0.0 };
        part * largest + self.rtol * original.abs()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_beside_the_right_one_is_a_wrong_one() {
        let options = VerifyOptions {
            rtol: Some(1e-2),
            ..VerifyOptions::default()
        };
        let tolerance = Tolerance::chosen(&options, ElementType::I64, Some(ElementType::F16));
        assert_eq!(tolerance.allowed(40_000.0, 40_000.0), 0.0);
    }
}
