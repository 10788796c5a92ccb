//! Every coefficient. The program in `fit/` makes them, and a test of it holds this file to what it makes.
//!
//! Given a fraction of a power of two; promises the relative errors stated at each. The polynomials are minimax fits of
//! relative error by Remez exchange in 106 bits, then rounded; a test measures each again.

/// `e⁻ᵗ = 2ᶻ` with `z = −t·log₂e`.
pub(crate) const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// log₂ e as the sum of two f32.
pub(crate) const LOG2_E_PARTS: [f32; 2] = [LOG2_E as f32, (LOG2_E - LOG2_E as f32 as f64) as f32];

/// ln 2 as the sum of two f32, the first of 15 bits, so that its product with an integer below 2⁹ is exact.
pub(crate) const LN_2_PARTS: [f32; 2] = [
    22_712.0 / 32_768.0,
    (std::f64::consts::LN_2 - 22_712.0 / 32_768.0) as f32,
];

/// ln 2 in two parts, the first with 20 trailing zero bits, so that its product with an integer
/// below 2²⁰ is exact.
pub(crate) const LN_2: [f64; 2] = [0.693_147_180_485_539_1, 7.440_617_110_012_397e-11];

/// `2^r − 1 = r·(c₁ + r·(c₂ + ...))`, `|r| <= 1/2`, for f32 results computed in f64: 2^-34.3.
#[rustfmt::skip]
pub(crate) const EXP2_WIDE: [f64; 7] = [
    0.693_147_180_704_537_3,
    0.240_226_510_665_597_8,
    0.055_504_103_659_729_895,
    0.009_618_038_132_205_744,
    0.001_333_393_507_065_952_4,
    0.000_154_667_562_836_278_82,
    1.519_615_315_671_088e-5,
];

/// `eʳ − 1 − r = r²·(c₂ + r·(c₃ + ...))`, `|r| <= ln 2 / 2`, for f64 results: 2^-64.0.
#[rustfmt::skip]
pub(crate) const EXP_64: [f64; 11] = [
    0.5,
    0.166_666_666_666_666_82,
    0.041_666_666_666_666_095,
    0.008_333_333_333_317_048,
    0.001_388_888_888_911_545_5,
    0.000_198_412_698_963_508_62,
    2.480_158_692_684_379_5e-5,
    2.755_723_489_555_79e-6,
    2.755_758_175_468_214e-7,
    2.511_202_488_622_056_4e-8,
    2.082_663_369_426_862_5e-9,
];

/// `eʳ − 1 − r = r²·(c₂ + r·(c₃ + ...))`, `|r|` a little above `ln 2 / 2`, for f32 results without a table: 2^-27.8.
#[rustfmt::skip]
pub(crate) const EXP_PLAIN: [f32; 5] = [
    0.499_999_94,
    0.166_665_2,
    0.041_668_393,
    0.008_368_781,
    0.001_381_446_8,
];

/// `2^r − 1 − r·ln 2 = r²·(c₂ + r·(c₃ + ...))`, `|r|` a little above 1/2, for f32 results by fused products: 2^-28.0.
#[rustfmt::skip]
pub(crate) const EXP2_FUSED: [f32; 5] = [
    0.240_226_48,
    0.055_503_62,
    0.009_618_526,
    0.001_339_018_5,
    0.000_153_211_24,
];

/// `2^r = c₀ + r·(c₁ + ...)`, `|r|` a little above 1/2, for results of 11 bits or fewer without a table: 2^-18.5.
#[rustfmt::skip]
pub(crate) const EXP2_PLAIN_SHORT: [f32; 5] = [
    0.999_999_3,
    0.693_121_73,
    0.240_247_53,
    0.055_918_682,
    0.009_570_006,
];

/// A table of `2^(i/N)` for the top of a fraction, and a polynomial for the rest of it.
///
/// For `z = k + r`, `k` a multiple of `1/N` and `|r| <= 1/(2·N)`:
/// `2ᶻ = 2^⌊k⌋ · power[k mod N] · (1 + excess[k mod N] + r·(c₁ + r·(c₂ + ...)))`.
///
/// `power[i]` is `2^(i/N + 1/(2·N))` rounded to f32 and `excess[i]` makes up for the rounding and
/// for the half step, so that the last factor is never above 1. That is worth half an ulp where
/// 1 is added to a `2ᶻ` between 1 and 2: the sum of 1 and the correction then stays below 1, where
/// the spacing of f32 is finer.
pub(crate) struct Exp2Table {
    /// The powers, with what adding the shifted index would change taken off their bits before. A table of 8 stands here twice.
    pub(crate) power_without_index: [f32; 16],
    pub(crate) excess: [f32; 16],
    /// Of a table of 16 the last is 0.
    pub(crate) coefficients: [f32; 4],
    /// For results of 11 bits or fewer, `2^(r − 1/(2·N)) = c₀ + r·(c₁ + r·c₂)`.
    pub(crate) short: [f32; 3],
    /// `1.5·2²³/N`: adding it rounds to a multiple of 1/N; the low bits of the sum are then the index
    /// and, above it, the integer part.
    pub(crate) round: f32,
    /// 1, which formulas want beside the others.
    pub(crate) one: f32,
}

const fn without_index<const N: usize>(power: &[f32; N]) -> [f32; 16] {
    let mut all = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        let index = ((i % N) as u32) << (23 - N.trailing_zeros());
        all[i] = f32::from_bits(power[i % N].to_bits() - index);
        i += 1;
    }
    all
}

const fn twice(entries: [f32; 8]) -> [f32; 16] {
    let mut all = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        all[i] = entries[i % 8];
        i += 1;
    }
    all
}

/// 16 entries; relative error 2^-28.2 (of the fit before rounding: 2^-29.7), and 2^-21.2 of the short polynomial.
pub(crate) static EXP2_16: Exp2Table = Exp2Table {
    power_without_index: without_index(&POWER_16),
    excess: EXCESS_16,
    coefficients: [POLYNOMIAL_16[0], POLYNOMIAL_16[1], POLYNOMIAL_16[2], 0.0],
    short: SHORT_16,
    round: 12_582_912.0 / 16.0,
    one: 1.0,
};

/// 8 entries; relative error 2^-27.9 (of the fit before rounding: 2^-33.6), and 2^-18.2 of the short polynomial.
pub(crate) static EXP2_8: Exp2Table = Exp2Table {
    power_without_index: without_index(&POWER_8),
    excess: twice(EXCESS_8),
    coefficients: POLYNOMIAL_8,
    short: SHORT_8,
    round: 12_582_912.0 / 8.0,
    one: 1.0,
};

#[rustfmt::skip]
const POWER_16: [f32; 16] = [
    1.021_897_2,
    1.067_140_5,
    1.114_386_8,
    1.163_724_9,
    1.215_247_4,
    1.269_051,
    1.325_236_7,
    1.383_91,
    1.445_180_8,
    1.509_164_5,
    1.575_980_9,
    1.645_755_5,
    1.718_619_3,
    1.794_709_1,
    1.874_167_7,
    1.957_144_1,
];

#[rustfmt::skip]
const EXCESS_16: [f32; 16] = [
    -0.021_427_985,
    -0.021_427_993,
    -0.021_427_987,
    -0.021_427_972,
    -0.021_427_965,
    -0.021_427_939,
    -0.021_427_965,
    -0.021_427_98,
    -0.021_427_916,
    -0.021_427_955,
    -0.021_427_974,
    -0.021_427_97,
    -0.021_427_967,
    -0.021_427_946,
    -0.021_427_963,
    -0.021_427_948,
];

#[rustfmt::skip]
const POLYNOMIAL_16: [f32; 3] = [
    0.678_294_5,
    0.235_088_14,
    0.054_313_496,
];

#[rustfmt::skip]
const SHORT_16: [f32; 3] = [
    0.978_572_1,
    0.678_334_24,
    0.235_072_06,
];

#[rustfmt::skip]
const POWER_8: [f32; 8] = [
    1.044_273_7,
    1.138_788_6,
    1.241_857_8,
    1.354_255_6,
    1.476_826_2,
    1.610_490_3,
    1.756_252_2,
    1.915_206_6,
];

#[rustfmt::skip]
const EXCESS_8: [f32; 8] = [
    -0.042_396_676,
    -0.042_396_676,
    -0.042_396_683,
    -0.042_396_728,
    -0.042_396_75,
    -0.042_396_713,
    -0.042_396_724,
    -0.042_396_713,
];

#[rustfmt::skip]
const POLYNOMIAL_8: [f32; 4] = [
    0.663_76,
    0.230_041_7,
    0.053_157_15,
    0.009_209_632,
];

#[rustfmt::skip]
const SHORT_8: [f32; 3] = [
    0.957_603_4,
    0.663_915_7,
    0.230_014_71,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn horner(c: &[f64], r: f64) -> f64 {
        c.iter().rev().fold(0.0, |p, c| p * r + c)
    }

    fn wide(c: &[f32]) -> Vec<f64> {
        c.iter().map(|c| f64::from(*c)).collect()
    }

    #[test]
    fn polynomials_are_as_exact_as_they_say() {
        for step in -1000..=1000 {
            let r = f64::from(step) / 2000.0;
            let off = (1.0 + r * horner(&EXP2_WIDE, r)) / r.exp2() - 1.0;
            assert!(off.abs() < 2f64.powf(-34.2), "{r}: {}", off.abs().log2());
            // With ln 2 as the formula has it, rounded to f32.
            let rest = r * r * horner(&wide(&EXP2_FUSED), r);
            let off = (1.0 + (r * f64::from(std::f32::consts::LN_2) + rest)) / r.exp2() - 1.0;
            assert!(off.abs() < 2f64.powf(-27.7), "{r}: {}", off.abs().log2());
            let off = horner(&wide(&EXP2_PLAIN_SHORT), r) / r.exp2() - 1.0;
            assert!(off.abs() < 2f64.powf(-18.4), "{r}: {}", off.abs().log2());
            // f64 can only tell that the error is below its own.
            let r = r * std::f64::consts::LN_2;
            let off = (1.0 + (r + r * r * horner(&EXP_64, r))) / r.exp() - 1.0;
            assert!(off.abs() < 2f64.powi(-51), "{r}: {}", off.abs().log2());
            let off = (1.0 + (r + r * r * horner(&wide(&EXP_PLAIN), r))) / r.exp() - 1.0;
            assert!(off.abs() < 2f64.powf(-27.7), "{r}: {}", off.abs().log2());
        }
    }

    #[test]
    fn ln_2_in_parts_is_ln_2() {
        assert_eq!(LN_2[0].to_bits() & ((1 << 20) - 1), 0);
        assert_eq!(LN_2[0] + LN_2[1], std::f64::consts::LN_2);
        assert_eq!(LN_2_PARTS[0].to_bits() & ((1 << 9) - 1), 0);
        let sum = LN_2_PARTS.map(f64::from).iter().sum::<f64>();
        assert!((sum - std::f64::consts::LN_2).abs() < 2f64.powi(-39));
    }

    /// The largest relative error of `2^(k + r)` over the table and |r| <= 1/(2·N), as f64 has it; and of the short polynomial.
    fn errors(power: &[f32], table: &Exp2Table) -> [f64; 2] {
        let n = power.len() as f64;
        let (mut largest, mut short) = (0f64, 0f64);
        for step in -1000..=1000 {
            let r = f64::from(step) / (2000.0 * n);
            let p = r * horner(&wide(&table.coefficients), r);
            for (i, (power, excess)) in power.iter().zip(table.excess).enumerate() {
                let computed = f64::from(*power) * (1.0 + f64::from(excess) + p);
                largest = largest.max((computed / (i as f64 / n + r).exp2() - 1.0).abs());
            }
            let computed = horner(&wide(&table.short), r);
            short = short.max((computed / (r - 0.5 / n).exp2() - 1.0).abs());
        }
        [largest, short].map(f64::log2)
    }

    #[test]
    fn tables_are_as_exact_as_they_say() {
        let [table, short] = errors(&POWER_16, &EXP2_16);
        assert!(table < -28.2 && short < -21.1, "{table} {short}");
        let [table, short] = errors(&POWER_8, &EXP2_8);
        assert!(table < -27.9 && short < -18.1, "{table} {short}");
    }
}
