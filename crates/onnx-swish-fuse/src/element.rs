//! Element types of tensors, and the arithmetic of constants in them.
//! Given: ONNX data type codes and `f64` values.
//! Promises: rounding and comparing as the tensor's own type would, never by a global tolerance.

use half::{bf16, f16};

/// Element type of a tensor, as far as recognition tells types apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Element {
    /// Nothing in the file says.
    #[default]
    Unknown,
    /// One of the four floats; nothing in the file says which.
    Float,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
    /// Any integer type, signed or not.
    Integer,
    /// Boolean, string, complex, 8-bit float and whatever comes later.
    Other,
}

impl Element {
    /// From a `TensorProto.DataType` code.
    pub(crate) fn from_code(code: i32) -> Self {
        match code {
            1 => Self::F32,
            10 => Self::F16,
            11 => Self::F64,
            16 => Self::Bf16,
            2..=7 | 12 | 13 | 21 | 22 | 25 | 26 => Self::Integer,
            0 => Self::Unknown,
            _ => Self::Other,
        }
    }

    /// The `TensorProto.DataType` code of a float type.
    pub(crate) fn code(self) -> Option<i32> {
        match self {
            Self::F32 => Some(1),
            Self::F16 => Some(10),
            Self::F64 => Some(11),
            Self::Bf16 => Some(16),
            Self::Unknown | Self::Float | Self::Integer | Self::Other => None,
        }
    }

    /// The name that people know it by; empty when unknown.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F16 => "float16",
            Self::F64 => "float64",
            Self::Bf16 => "bfloat16",
            Self::Integer => "integer",
            Self::Other => "other",
            Self::Unknown | Self::Float => "",
        }
    }

    /// A certain one of the four types that the activations exist for.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::Bf16)
    }

    /// Certainly none of them.
    pub(crate) fn is_not_float(self) -> bool {
        matches!(self, Self::Integer | Self::Other)
    }

    /// The nearest value of this type, ties to even. An unknown type counts as `float32`: the constants whose type is open
    /// come from attributes, and this is the type that they have.
    pub(crate) fn round(self, value: f64) -> f64 {
        match self {
            Self::F64 => value,
            Self::F16 => f16::from_f64(value).to_f64(),
            Self::Bf16 => bf16::from_f64(value).to_f64(),
            Self::F32 | Self::Unknown | Self::Float => f64::from(value as f32),
            Self::Integer => value.trunc(),
            Self::Other => value,
        }
    }

    /// Distance from `value` to the next larger magnitude of this type.
    fn ulp(self, value: f64) -> f64 {
        // (bits of significand after the leading one, exponent of the smallest normal number)
        let (bits, least) = match self {
            Self::F64 => (52, -1022),
            Self::F16 => (10, -14),
            Self::Bf16 => (7, -126),
            _ => (23, -126),
        };
        let exponent = if value == 0.0 {
            least
        } else {
            value.abs().log2().floor() as i32
        };
        2f64.powi(exponent.clamp(least, 1023) - bits)
    }

    /// How far apart two constants may be and still be two spellings of one number.
    ///
    /// Two roundings of 1/6 that reach us by different ways (`6 · f16(1/6)`, Paddle's decimal `0.1666667`)
    /// are at most 2 ulp apart in the wide types. The narrow types get 1: there 2 ulp of 1/6 are already
    /// near 0.167, which people write and mean.
    fn slack(self) -> f64 {
        match self {
            Self::F16 | Self::Bf16 => 1.0,
            _ => 2.0,
        }
    }

    /// Whether two constants are the same number to a tensor of this type; to one of unknown type, if they are in the
    /// widest.
    pub(crate) fn same(self, a: f64, b: f64) -> bool {
        if matches!(self, Self::Unknown | Self::Float) {
            return Self::F64.same(a, b);
        }
        let (a, b) = (self.round(a), self.round(b));
        a == b || (a - b).abs() <= self.slack() * self.ulp(b)
    }
}

#[cfg(test)]
mod tests {
    use super::Element;

    const SIXTH: f64 = 1.0 / 6.0;

    #[test]
    fn the_sixths_that_exporters_write_are_a_sixth() {
        assert!(Element::F32.same(f64::from(0.166_666_67_f32), SIXTH));
        assert!(
            Element::F32.same(f64::from(0.166_666_7_f32), SIXTH),
            "Paddle's decimal, 2 ulp away"
        );
        assert!(Element::F16.same(0.166_625_976_562_5, SIXTH));
        assert!(
            Element::Bf16.same(0.166_992_187_5, SIXTH),
            "bf16(1/6) and bf16(0.167) are one number"
        );
        assert!(Element::F64.same(SIXTH, SIXTH));
    }

    #[test]
    fn other_slopes_are_not() {
        assert!(
            !Element::F32.same(f64::from(0.166_67_f32), SIXTH),
            "TensorFlow's slim gate"
        );
        assert!(!Element::F32.same(f64::from(0.2_f32), SIXTH));
        assert!(
            !Element::F16.same(0.166_992_187_5, SIXTH),
            "f16(0.167) is 3 ulp away"
        );
        assert!(
            !Element::F64.same(f64::from(0.166_666_67_f32), SIXTH),
            "a float32 sixth in float64"
        );
    }

    #[test]
    fn an_unknown_type_may_be_the_widest() {
        for element in [Element::Unknown, Element::Float] {
            assert!(element.same(SIXTH, 1.0 / 6.0));
            assert!(
                !element.same(f64::from(0.166_666_67_f32), SIXTH),
                "float64 would tell them apart"
            );
        }
    }

    #[test]
    fn six_rounded_sixths_are_one() {
        for element in [Element::F32, Element::F16, Element::Bf16, Element::F64] {
            assert!(element.same(6.0 * element.round(SIXTH), 1.0), "{element:?}");
        }
    }
}
