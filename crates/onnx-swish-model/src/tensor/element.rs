//! Element types: their size and their value as f64.
//!
//! Given: the little-endian bytes of elements. Promises: the exact value, or `None` where f64 has none.

use crate::schema::tensor_proto::DataType;

/// Bits of one element, for types whose elements have a fixed size.
pub(crate) fn bits(data_type: DataType) -> Option<u64> {
    Some(match data_type {
        DataType::Undefined | DataType::String => return None,
        DataType::Uint2 | DataType::Int2 => 2,
        DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1 => 4,
        DataType::Float6e2m3 | DataType::Float6e3m2 => 6,
        DataType::Uint8
        | DataType::Int8
        | DataType::Bool
        | DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz
        | DataType::Float8e8m0 => 8,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 16,
        DataType::Float | DataType::Int32 | DataType::Uint32 => 32,
        DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64 => 64,
        DataType::Complex128 => 128,
    })
}

/// Bytes that `elements` of a type take in `raw_data`: elements below a byte share one, the last is padded.
pub(crate) fn raw_len(data_type: DataType, elements: u64) -> Option<u64> {
    bits(data_type)?
        .checked_mul(elements)
        .map(|bits| bits.div_ceil(8))
}

/// The value of one element stored in whole bytes.
pub(crate) fn from_le(data_type: DataType, bytes: &[u8]) -> Option<f64> {
    Some(match data_type {
        DataType::Float => f64::from(f32::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Double => f64::from_le_bytes(bytes.try_into().ok()?),
        DataType::Float16 => f16(u16::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Bfloat16 => {
            let bits = u16::from_le_bytes(bytes.try_into().ok()?);
            f64::from(f32::from_bits(u32::from(bits) << 16))
        }
        DataType::Int8 => f64::from(i8::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Uint8 => f64::from(u8::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Bool => f64::from(u8::from(u8::from_le_bytes(bytes.try_into().ok()?) != 0)),
        DataType::Int16 => f64::from(i16::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Uint16 => f64::from(u16::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Int32 => f64::from(i32::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Uint32 => f64::from(u32::from_le_bytes(bytes.try_into().ok()?)),
        DataType::Int64 => from_i64(i64::from_le_bytes(bytes.try_into().ok()?))?,
        DataType::Uint64 => from_u64(u64::from_le_bytes(bytes.try_into().ok()?))?,
        _ => return None,
    })
}

/// An element of `int32_data`, which holds the integers up to 32 bits and the bits of 16-bit floats.
pub(crate) fn from_int32_data(data_type: DataType, value: i32) -> Option<f64> {
    match data_type {
        DataType::Int32 => Some(f64::from(value)),
        DataType::Int16 => i16::try_from(value).ok().map(f64::from),
        DataType::Int8 => i8::try_from(value).ok().map(f64::from),
        DataType::Uint16 => u16::try_from(value).ok().map(f64::from),
        DataType::Uint8 => u8::try_from(value).ok().map(f64::from),
        DataType::Bool => Some(f64::from(u8::from(value != 0))),
        DataType::Float16 | DataType::Bfloat16 => {
            from_le(data_type, &u16::try_from(value).ok()?.to_le_bytes())
        }
        _ => None,
    }
}

/// An integer that f64 has exactly.
pub(crate) fn from_i64(value: i64) -> Option<f64> {
    let float = value as f64;
    // i64::MAX rounds to 2^63, which saturates back to i64::MAX: compare in 128 bits.
    (float as i128 == i128::from(value)).then_some(float)
}

/// An integer that f64 has exactly.
pub(crate) fn from_u64(value: u64) -> Option<f64> {
    let float = value as f64;
    (float as u128 == u128::from(value)).then_some(float)
}

/// IEEE 754 binary16: 1 sign, 5 exponent and 10 fraction bits, exponent bias 15.
fn f16(bits: u16) -> f64 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    sign * magnitude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_and_bf16_has_its_value() {
        for bits in 0..=u16::MAX {
            let ours = from_le(DataType::Float16, &bits.to_le_bytes()).expect("a value");
            let theirs = half::f16::from_bits(bits).to_f64();
            assert!(
                ours == theirs || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}"
            );
            assert_eq!(
                ours.is_sign_negative(),
                theirs.is_sign_negative() || ours.is_nan() && bits >> 15 == 1
            );
            let ours = from_le(DataType::Bfloat16, &bits.to_le_bytes()).expect("a value");
            let theirs = half::bf16::from_bits(bits).to_f64();
            assert!(
                ours == theirs || ours.is_nan() && theirs.is_nan(),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn integers_without_an_f64_have_none() {
        assert_eq!(from_i64(1 << 53), Some(9007199254740992.0));
        assert_eq!(from_i64((1 << 53) + 1), None);
        assert_eq!(from_i64(i64::MAX), None);
        assert_eq!(from_i64(i64::MIN), Some(-9223372036854775808.0));
        assert_eq!(from_u64(u64::MAX), None);
    }

    #[test]
    fn a_value_that_its_type_cannot_hold_is_refused() {
        assert_eq!(from_int32_data(DataType::Int8, 200), None);
        assert_eq!(from_int32_data(DataType::Uint8, 200), Some(200.0));
        assert_eq!(from_int32_data(DataType::Float16, 0x3c00), Some(1.0));
    }
}
