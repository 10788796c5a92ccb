//! Every coefficient, with where it comes from.
//!
//! The polynomials are minimax fits of relative error, made by Remez exchange in 200-bit
//! arithmetic and then rounded; a test measures each again.

/// `e⁻ᵗ = 2ᶻ` with `z = −t·log₂e`.
pub(crate) const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// `2^r − 1 = r·(c₁ + r·(c₂ + ...))`, `|r| <= 1/2`, for f32 results computed in f64: 2^-32.0.
pub(crate) const EXP2_WIDE: [f64; 7] = [
    0.693_147_183_816_894_8,
    0.240_226_509_207_816_88,
    0.055_504_003_752_297_82,
    0.009_618_056_919_485_45,
    0.001_334_195_107_188_152_3,
    0.000_154_613_676_150_416_42,
    1.335_981_585_334_656_6e-05,
];

/// `eʳ − 1 − r = r²·(c₂ + r·(c₃ + ...))`, `|r| <= ln 2 / 2`, for f64 results: 2^-64.0.
pub(crate) const EXP_64: [f64; 11] = [
    0.5,
    0.166_666_666_666_666_82,
    0.041_666_666_666_666_095,
    0.008_333_333_333_317_048,
    0.001_388_888_888_911_544_4,
    0.000_198_412_698_963_506_9,
    2.480_158_692_686_170_4e-05,
    2.755_723_489_572_084_5e-06,
    2.755_758_174_077_89e-07,
    2.511_202_483_213_227e-08,
    2.082_663_769_348_728_4e-09,
];

/// ln 2 in two parts, the first with 20 trailing zero bits, so that its product with an integer
/// below 2²⁰ is exact.
pub(crate) const LN_2: [f64; 2] = [0.693_147_180_485_539_1, 7.440_617_110_012_397e-11];

#[cfg(test)]
mod tests {
    use super::*;

    fn horner(c: &[f64], r: f64) -> f64 {
        c.iter().rev().fold(0.0, |p, c| p * r + c)
    }

    #[test]
    fn polynomials_are_as_exact_as_they_say() {
        for step in -1000..=1000 {
            let r = f64::from(step) / 2000.0;
            let off = (1.0 + r * horner(&EXP2_WIDE, r)) / r.exp2() - 1.0;
            assert!(off.abs() < 2f64.powf(-31.9), "{r}: {}", off.abs().log2());
            // f64 can only tell that the error is below its own.
            let r = r * std::f64::consts::LN_2;
            let off = (1.0 + (r + r * r * horner(&EXP_64, r))) / r.exp() - 1.0;
            assert!(off.abs() < 2f64.powi(-51), "{r}: {}", off.abs().log2());
        }
    }

    #[test]
    fn ln_2_in_parts_is_ln_2() {
        assert_eq!(LN_2[0].to_bits() & ((1 << 20) - 1), 0);
        assert_eq!(LN_2[0] + LN_2[1], std::f64::consts::LN_2);
    }
}
