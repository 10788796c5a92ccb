//! Every coefficient, with where it comes from.
//!
//! The polynomials are minimax fits of relative error, made by Remez exchange in 200-bit
//! arithmetic and then rounded; a test measures each again against its stated error.

/// `e⁻ᵗ = 2ᶻ` with `z = −t·log₂e`.
pub(crate) const LOG2_E: f64 = std::f64::consts::LOG2_E;

/// A table of `2^(i/N)` for the top of a fraction, and a polynomial for the rest of it.
///
/// For `z = k + r`, `k` a multiple of `1/N` and `|r| <= 1/(2·N)`:
/// `2ᶻ = 2^⌊k⌋ · power[k mod N] · (1 + excess[k mod N] + r·(c₁ + r·(c₂ + ...)))`.
///
/// `power[i]` is `2^(i/N + 1/(2·N))` rounded to f32 and `excess[i]` makes up for the rounding and
/// for the half step, so that the last factor is never above 1. That is worth half an ulp where
/// 1 is added to a `2ᶻ` between 1 and 2: the sum of 1 and the correction then stays below 1, where
/// the spacing of f32 is finer.
pub(crate) struct Exp2Table<const N: usize, const DEGREE: usize> {
    pub(crate) power: [f32; N],
    pub(crate) excess: [f32; N],
    pub(crate) coefficients: [f32; DEGREE],
}

impl<const N: usize, const DEGREE: usize> Exp2Table<N, DEGREE> {
    /// The powers, with what adding the shifted index would change taken off their bits before.
    pub(crate) const fn powers_without_index(&self) -> [u32; N] {
        let mut bits = [0; N];
        let mut i = 0;
        while i < N {
            bits[i] = self.power[i].to_bits() - ((i as u32) << (23 - N.trailing_zeros()));
            i += 1;
        }
        bits
    }
}

/// For 16 f32 in a register; relative error of the polynomial 2^-29.7.
pub(crate) const EXP2_16: Exp2Table<16, 3> = Exp2Table {
    power: [
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
    ],
    excess: [
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
    ],
    coefficients: [0.678_294_5, 0.235_088_14, 0.054_313_496],
};

/// For 8 f32 in a register; relative error of the polynomial 2^-33.5.
pub(crate) const EXP2_8: Exp2Table<8, 4> = Exp2Table {
    power: [
        1.044_273_7,
        1.138_788_6,
        1.241_857_8,
        1.354_255_6,
        1.476_826_2,
        1.610_490_3,
        1.756_252_2,
        1.915_206_6,
    ],
    excess: [
        -0.042_396_676,
        -0.042_396_676,
        -0.042_396_683,
        -0.042_396_728,
        -0.042_396_75,
        -0.042_396_713,
        -0.042_396_724,
        -0.042_396_713,
    ],
    coefficients: [0.663_76, 0.230_041_7, 0.053_157_15, 0.009_209_632],
};

/// For results of 11 bits or fewer, `2^(r − 1/32) = c₀ + r·(c₁ + r·c₂)`, `|r| <= 1/32`: 2^-21.2.
pub(crate) const EXP2_16_SHORT: [f32; 3] = [0.978_572_1, 0.678_334_24, 0.235_072_06];

/// The same with 1/16 for 1/32: 2^-18.2.
pub(crate) const EXP2_8_SHORT: [f32; 3] = [0.957_603_4, 0.663_915_7, 0.230_014_71];

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
