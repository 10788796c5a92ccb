//! Distances in units in the last place.
//!
//! Given values of one float type, widened; promises how many values of that type lie between two of them, and how wide the
//! step from one to the next is.

use crate::ElementType;

/// A float type as its neighbours see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ulps {
    F16,
    BF16,
    F32,
    F64,
    /// No float: values are the same or they are not.
    Exact,
}

impl Ulps {
    pub fn of(element_type: ElementType) -> Ulps {
        match element_type {
            ElementType::F16 => Ulps::F16,
            ElementType::BF16 => Ulps::BF16,
            ElementType::F32 => Ulps::F32,
            ElementType::F64 => Ulps::F64,
            _ => Ulps::Exact,
        }
    }

    /// How many values of the type lie between two of them: 1 for neighbours, 0 for the two zeros.
    pub fn between(self, a: f64, b: f64) -> u64 {
        if a == b || (a.is_nan() && b.is_nan()) {
            return 0;
        }
        if a.is_nan() || b.is_nan() {
            return u64::MAX;
        }
        // Sign and magnitude to one line of integers, on which neighbours differ by one and both zeros are 0.
        let ordered = |value: f64| {
            let (sign, magnitude) = match self {
                Ulps::F64 => (value.is_sign_negative(), value.abs().to_bits()),
                Ulps::F32 => (
                    value.is_sign_negative(),
                    u64::from((value as f32).abs().to_bits()),
                ),
                Ulps::F16 => (
                    value.is_sign_negative(),
                    u64::from(half::f16::from_f64(value.abs()).to_bits()),
                ),
                Ulps::BF16 => (
                    value.is_sign_negative(),
                    u64::from(half::bf16::from_f64(value.abs()).to_bits()),
                ),
                Ulps::Exact => return 0,
            };
            let magnitude = i128::from(magnitude);
            if sign { -magnitude } else { magnitude }
        };
        u64::try_from((ordered(a) - ordered(b)).unsigned_abs()).unwrap_or(u64::MAX)
    }

    /// The distance of `found` from `exact`, which need not be a value of the type, in steps of the type at `exact`.
    pub fn error_of(self, exact: f64, found: f64) -> f64 {
        let distance = super::tolerance::distance(exact, found);
        if distance == 0.0 {
            0.0
        } else {
            distance / self.step(exact)
        }
    }

    /// From a value of the type to the next: significands of 11, 8, 24 and 53 bits and smallest normal exponents.
    fn step(self, at: f64) -> f64 {
        let (precision, smallest) = match self {
            Ulps::F16 => (11, -14),
            Ulps::BF16 => (8, -126),
            Ulps::F32 => (24, -126),
            Ulps::F64 | Ulps::Exact => (53, -1022),
        };
        let biased = (at.abs().to_bits() >> 52) as i32;
        power_of_two((biased - 1023).max(smallest) - (precision - 1))
    }
}

/// 2 to an exponent, subnormal ones included: `powi` gives 0 for those on some targets.
fn power_of_two(exponent: i32) -> f64 {
    if exponent < -1022 {
        f64::from_bits(1 << (exponent + 1074).clamp(0, 51))
    } else {
        f64::from_bits(((exponent + 1023).clamp(1, 2046) as u64) << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_the_distance_of_neighbours() {
        for at in [1.0f32, 1.5, 1e-38, 1e-42, 3.4e38, 0.0] {
            let step = f64::from(at.next_up()) - f64::from(at);
            assert_eq!(Ulps::F32.step(f64::from(at)), step, "{at:e}");
        }
        for at in [1.0f64, 5e-324, 1e-310, 1.7e300] {
            assert_eq!(Ulps::F64.step(at), at.next_up() - at, "{at:e}");
        }
        assert_eq!(Ulps::F16.step(1.0), 0.5f64.powi(10));
        assert_eq!(Ulps::F16.step(0.0), 0.5f64.powi(24));
    }

    #[test]
    fn distances_from_an_exact_value_may_be_fractions() {
        assert_eq!(Ulps::F16.error_of(1.0 + 0.25 * 0.5f64.powi(10), 1.0), 0.25);
        assert_eq!(Ulps::F32.error_of(f64::NAN, f64::NAN), 0.0);
        assert_eq!(Ulps::F32.error_of(f64::NAN, 1.0), f64::INFINITY);
    }

    #[test]
    fn the_smallest_numbers_of_either_sign_are_two_apart() {
        let smallest = f64::from(f32::from_bits(1));
        assert_eq!(Ulps::F32.between(-smallest, smallest), 2);
    }
}
