//! The coefficients of the table formula.
//!
//! Given a fraction of a power of two; promises the relative errors stated at each. The polynomials
//! are minimax fits made by Remez exchange in 200-bit arithmetic and then rounded.

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

/// For 16 f32 in a register; relative error 2^-28.2 (of the fit before rounding: 2^-29.7).
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

/// For 8 f32 in a register; relative error 2^-27.9 (of the fit before rounding: 2^-33.5).
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error of `2^(k + r)` over the table and |r| <= 1/(2·N), as f64 has it.
    fn error<const N: usize, const DEGREE: usize>(table: &Exp2Table<N, DEGREE>) -> f64 {
        let mut largest = 0f64;
        for (i, (power, excess)) in table.power.iter().zip(table.excess).enumerate() {
            for step in -1000..=1000 {
                let r = f64::from(step) / (2000.0 * N as f64);
                let p = table
                    .coefficients
                    .iter()
                    .rev()
                    .fold(0.0, |p, c| (p + f64::from(*c)) * r);
                let computed = f64::from(*power) * (1.0 + f64::from(excess) + p);
                largest = largest.max((computed / (i as f64 / N as f64 + r).exp2() - 1.0).abs());
            }
        }
        largest
    }

    #[test]
    fn tables_are_as_exact_as_they_say() {
        assert!(
            error(&EXP2_16) < 2f64.powf(-28.2),
            "{}",
            error(&EXP2_16).log2()
        );
        assert!(
            error(&EXP2_8) < 2f64.powf(-27.9),
            "{}",
            error(&EXP2_8).log2()
        );
    }

    #[test]
    fn short_polynomials_are_as_exact_as_they_say() {
        for (n, c, bound) in [(16.0, EXP2_16_SHORT, -21.1), (8.0, EXP2_8_SHORT, -18.1)] {
            for step in -1000..=1000 {
                let r = f64::from(step) / (2000.0 * n);
                let [c0, c1, c2] = c.map(f64::from);
                let off = (c0 + r * (c1 + r * c2)) / (r - 1.0 / (2.0 * n)).exp2() - 1.0;
                assert!(
                    off.abs() < 2f64.powf(bound),
                    "{n} {r}: {}",
                    off.abs().log2()
                );
            }
        }
    }
}
