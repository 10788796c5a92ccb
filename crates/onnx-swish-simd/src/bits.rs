//! f16 and bf16 to f32 and back, without a branch, for the compiler to vectorise.
//!
//! Given bit patterns; promises round to nearest, ties to even, and NaN for NaN.

/// The f32 of an f16's bits, exactly.
#[must_use]
#[inline(always)]
pub fn f16_to_f32(h: u16) -> f32 {
    let h = u32::from(h);
    let sign = (h & 0x8000) << 16;
    let magnitude = h & 0x7fff;
    // With the exponent in place but biased by 15 and not 127, subnormals included.
    let finite = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
    let special = 0x7f80_0000 | (magnitude << 13);
    let bits = if magnitude >= 0x7c00 {
        special
    } else {
        finite.to_bits()
    };
    f32::from_bits(bits | sign)
}

/// The bits of the f16 next to an f32.
#[must_use]
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    // Normal: rebias the exponent by 112, round at bit 13; a carry moves into the exponent.
    let normal = magnitude
        .wrapping_sub(112 << 23)
        .wrapping_add(0xfff + ((magnitude >> 13) & 1))
        >> 13;
    // Below 2⁻¹⁴: adding 1/2 leaves a multiple of 2⁻²⁴, the smallest f16, in the low bits.
    let subnormal = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < (113 << 23) {
        subnormal
    } else {
        normal
    };
    // 65520 and above round to infinity.
    let capped = if magnitude >= 0x477f_f000 {
        0x7c00
    } else {
        finite
    };
    let h = if magnitude > 0x7f80_0000 {
        0x7e00
    } else {
        capped
    };
    (h | sign) as u16
}

/// The f32 of a bf16's bits, exactly.
#[must_use]
#[inline(always)]
pub fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits(u32::from(h) << 16)
}

/// The bits of the bf16 next to an f32.
#[must_use]
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let nan = (bits >> 16) | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 {
        nan
    } else {
        rounded
    }) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::{bf16, f16};

    #[test]
    fn every_f16_and_bf16_widens_as_half_widens_it() {
        for h in 0..=u16::MAX {
            let (ours, theirs) = (f16_to_f32(h), f16::from_bits(h).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()));
            let (ours, theirs) = (bf16_to_f32(h), bf16::from_bits(h).to_f32());
            assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()));
        }
    }

    #[test]
    fn f32_narrows_as_half_narrows_it() {
        for bits in (0..=u32::MAX).step_by(509).chain(0x477f_e000..0x4780_1000) {
            let x = f32::from_bits(bits);
            let (ours, theirs) = (f16::from_bits(f32_to_f16(x)), f16::from_f32_const(x));
            assert!(
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
                "{x:e} -> {ours:e}, not {theirs:e}"
            );
            let (ours, theirs) = (bf16::from_bits(f32_to_bf16(x)), bf16::from_f32(x));
            assert!(
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
                "{x:e} -> {ours:e}, not {theirs:e}"
            );
        }
    }
}
