//! Pairs of f64 whose unevaluated sum carries 106 bits.
//!
//! Given numbers of ordinary size; promises about 2⁻¹⁰⁰ relative. Sums and products after Dekker 1971 and Knuth.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// `self.0 + self.1`, of which the second is what rounding took from the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair(pub f64, pub f64);

fn sum(a: f64, b: f64) -> Pair {
    let s = a + b;
    let b2 = s - a;
    Pair(s, (a - (s - b2)) + (b - b2))
}

impl From<f64> for Pair {
    fn from(x: f64) -> Self {
        Pair(x, 0.0)
    }
}

impl Add for Pair {
    type Output = Pair;

    fn add(self, other: Pair) -> Pair {
        let s = sum(self.0, other.0);
        let t = sum(self.1, other.1);
        let s = sum(s.0, s.1 + t.0);
        sum(s.0, s.1 + t.1)
    }
}

impl Neg for Pair {
    type Output = Pair;

    fn neg(self) -> Pair {
        Pair(-self.0, -self.1)
    }
}

impl Sub for Pair {
    type Output = Pair;

    fn sub(self, other: Pair) -> Pair {
        self + -other
    }
}

impl Mul for Pair {
    type Output = Pair;

    fn mul(self, other: Pair) -> Pair {
        let p = self.0 * other.0;
        let lost = self.0.mul_add(other.0, -p);
        sum(p, lost + (self.0 * other.1 + self.1 * other.0))
    }
}

impl Div for Pair {
    type Output = Pair;

    fn div(self, other: Pair) -> Pair {
        let first = Pair::from(self.0 / other.0);
        let rest = self - first * other;
        let second = Pair::from(rest.0 / other.0);
        let rest = rest - second * other;
        first + second + Pair::from(rest.0 / other.0)
    }
}

impl Pair {
    pub const ONE: Pair = Pair(1.0, 0.0);

    /// ln 2: `std::f64::consts::LN_2` and what it lacks, 0x1.abc9e3b39803fp-56 (OEIS A002162).
    pub const LN_2: Pair = Pair(std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17);

    pub fn abs(self) -> Pair {
        if self.0 < 0.0 { -self } else { self }
    }

    pub fn power(self, n: i32) -> Pair {
        (0..n).fold(Pair::ONE, |p, _| p * self)
    }

    /// eˣ for |x| < 8: the series at `x/64`, squared six times.
    pub fn exp(self) -> Pair {
        let x = self * Pair::from(1.0 / 64.0);
        // The last term is below `8⁻²²/22!`.
        let series = (1..=22).rev().fold(Pair::ONE, |sum, n| {
            Pair::ONE + sum * x / Pair::from(f64::from(n))
        });
        (0..6).fold(series, |power, _| power * power)
    }

    /// `2ˣ` for |x| < 8.
    pub fn exp2(self) -> Pair {
        (self * Pair::LN_2).exp()
    }
}
