//! Pairs of f64 whose unevaluated sum carries 106 bits, as the oracle of f64.
//!
//! Given f64; promises about 2⁻⁹⁰ relative. Sums and products after Dekker 1971 and Knuth.

use super::{Exact, scale};

#[derive(Clone, Copy, Debug)]
struct Pair(f64, f64);

fn sum(a: f64, b: f64) -> Pair {
    let s = a + b;
    let b2 = s - a;
    Pair(s, (a - (s - b2)) + (b - b2))
}

fn product(a: f64, b: f64) -> Pair {
    let p = a * b;
    Pair(p, a.mul_add(b, -p))
}

impl Pair {
    fn plus(self, other: Pair) -> Pair {
        let s = sum(self.0, other.0);
        let t = sum(self.1, other.1);
        let s = sum(s.0, s.1 + t.0);
        sum(s.0, s.1 + t.1)
    }

    fn times(self, other: Pair) -> Pair {
        let p = product(self.0, other.0);
        sum(p.0, p.1 + (self.0 * other.1 + self.1 * other.0))
    }

    fn over(self, other: Pair) -> Pair {
        let q1 = self.0 / other.0;
        let r = self.plus(other.times(Pair(-q1, 0.0)));
        let q2 = r.0 / other.0;
        let r = r.plus(other.times(Pair(-q2, 0.0)));
        let q3 = r.0 / other.0;
        sum(q1, q2).plus(Pair(q3, 0.0))
    }
}

/// ln 2 to 160 bits, in three parts.
const LN_2: [f64; 3] = [
    std::f64::consts::LN_2,
    2.319_046_813_846_299_6e-17,
    5.707_708_438_416_212_e-34,
];

/// `e^t = m·2ⁿ`.
fn exp(t: Pair) -> (Pair, i32) {
    let n = (t.0 / LN_2[0]).round();
    let mut r = t;
    for part in LN_2 {
        let p = product(-n, part);
        r = r.plus(p);
    }
    // Taylor's series of r/1024, |r/1024| < 3.4e-4, then squared ten times.
    let r = Pair(r.0 / 1024.0, r.1 / 1024.0);
    let mut series = Pair(1.0, 0.0);
    for k in (1..=12).rev() {
        series = Pair(1.0, 0.0).plus(series.times(r).over(Pair(f64::from(k), 0.0)));
    }
    for _ in 0..10 {
        series = series.times(series);
    }
    (series, n as i32)
}

/// `x·σ(β·x)`.
pub fn swish(x: f64, beta: f64) -> Exact {
    let t = x * beta;
    if !x.is_finite() || !t.is_finite() || x == 0.0 || t == 0.0 {
        // σ is 0, 1/2, 1 or NaN.
        let sigma = 1.0 / (1.0 + (-t).exp());
        return Exact {
            high: x * sigma,
            low: 0.0,
            exponent: 0,
        };
    }
    // Brought to the middle of the range: the product's low part must not underflow.
    let e = super::exponent(x);
    let (mx, mb) = (scale(x, -e), scale(beta, e));
    let t = if t.abs() < 1e-300 {
        Pair(t, 0.0)
    } else {
        product(mx, mb)
    };
    if t.0 > 2000.0 {
        return Exact {
            high: x,
            low: 0.0,
            exponent: 0,
        };
    }
    if t.0 < -2500.0 {
        return Exact {
            high: 1.0f64.copysign(x),
            low: 0.0,
            exponent: -3000,
        };
    }
    let (denominator, up) = denominator(t);
    let y = Pair(mx, 0.0).over(denominator);
    Exact {
        high: y.0,
        low: y.1,
        exponent: e - up,
    }
}

/// `(1 + e⁻ᵗ)·2⁻ⁿ` and n, `e⁻ᵗ = m·2ⁿ`, or n = 0 where it is negative.
fn denominator(t: Pair) -> (Pair, i32) {
    let (m, n) = exp(Pair(-t.0, -t.1));
    let up = n.max(0);
    let one = Pair(scale(1.0, -up), 0.0);
    let power = Pair(scale(m.0, n - up), scale(m.1, n - up));
    (one.plus(power), up)
}

/// `σ(x)`.
pub fn sigmoid(x: f64) -> Exact {
    if x.is_nan() || x.abs() >= 2500.0 {
        return Exact {
            high: if x.is_nan() { x } else { f64::from(x > 0.0) },
            low: 0.0,
            exponent: 0,
        };
    }
    let (denominator, up) = denominator(Pair(x, 0.0));
    let y = Pair(1.0, 0.0).over(denominator);
    Exact {
        high: y.0,
        low: y.1,
        exponent: -up,
    }
}

/// `x·clamp(α·x + β, 0, 1)`.
pub fn hard_swish(x: f64, alpha: f64, beta: f64) -> Exact {
    let gate = line(x, alpha, beta);
    // A zero, too, whose sign the sums of a pair would lose.
    if x == 0.0 || !(gate.0 > 0.0 && gate.0 < 1.0) {
        return Exact {
            high: x * (gate.0.clamp(0.0, 1.0) + 0.0),
            low: 0.0,
            exponent: 0,
        };
    }
    let e = super::exponent(x);
    let y = Pair(scale(x, -e), 0.0).times(gate);
    Exact {
        high: y.0,
        low: y.1,
        exponent: e,
    }
}

/// `α·x + β`.
fn line(x: f64, alpha: f64, beta: f64) -> Pair {
    let product = product(alpha, x);
    if product.0.is_finite() && beta.is_finite() {
        product.plus(Pair(beta, 0.0))
    } else {
        Pair(alpha * x + beta, 0.0)
    }
}

/// `clamp(α·x + β, 0, 1)`.
pub fn hard_sigmoid(x: f64, alpha: f64, beta: f64) -> Exact {
    let gate = line(x, alpha, beta);
    let inside = gate.0 > 0.0 && gate.0 < 1.0;
    Exact {
        high: if inside {
            gate.0
        } else {
            gate.0.clamp(0.0, 1.0) + 0.0
        },
        low: if inside { gate.1 } else { 0.0 },
        exponent: 0,
    }
}
