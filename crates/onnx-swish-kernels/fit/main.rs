//! Makes every coefficient of `src/formula/coefficients.rs`, in the form in which it stands there.
//!
//!     cargo run --release -p onnx-swish-kernels --example fit
//!
//! A test of this program holds the file to what it prints.

mod pair;
mod remez;

use std::fmt::Write as _;
use std::io::Write as _;

use pair::Pair;
use remez::{Fit, Problem};

const HALF_LN_2: f64 = std::f64::consts::LN_2 / 2.0;

fn to_f32(c: Pair) -> Pair {
    Pair::from(f64::from(nearest_f32(c)))
}

/// `c.0 as f32` would round twice where the second part decides a tie; for these numbers there is none.
fn nearest_f32(c: Pair) -> f32 {
    (c.0 + c.1) as f32
}

fn to_f64(c: Pair) -> Pair {
    Pair::from(c.0)
}

/// Digits in groups of three after the point, as Rust source has them.
fn grouped(digits: String) -> String {
    let (head, rest) = digits.split_at(digits.find('.').map_or(digits.len(), |at| at + 1));
    let (fraction, exponent) = rest.split_at(rest.find('e').unwrap_or(rest.len()));
    let mut out = head.to_owned();
    for (i, digit) in fraction.chars().enumerate() {
        if i > 0 && i % 3 == 0 {
            out.push('_');
        }
        out.push(digit);
    }
    out + exponent
}

fn source_f32(x: f32) -> String {
    grouped(if x.abs() < 1e-4 {
        format!("{x:e}")
    } else {
        format!("{x:?}")
    })
}

fn source_f64(x: f64) -> String {
    grouped(if x.abs() < 1e-4 {
        format!("{x:e}")
    } else {
        format!("{x:?}")
    })
}

fn list_f32(values: &[f32]) -> String {
    values
        .iter()
        .map(|x| format!("    {},\n", source_f32(*x)))
        .collect()
}

fn coefficients_f32(fit: &Fit) -> Vec<f32> {
    fit.coefficients.iter().map(|c| nearest_f32(*c)).collect()
}

/// `2^r − 1`, relative to `2^r`.
fn exp2_wide() -> Fit {
    Problem {
        function: |r| r.exp2() - Pair::ONE,
        weight: Pair::exp2,
        half: 0.5,
        powers: (1..=7).collect(),
    }
    .fit_rounded(to_f64)
}

/// `e^r − 1 − r`, relative to `e^r`.
fn exp_minus(half: f64, degree: i32) -> Problem {
    Problem {
        function: |r| r.exp() - Pair::ONE - r,
        weight: Pair::exp,
        half,
        powers: (2..=degree).collect(),
    }
}

/// `2^r`, relative to itself.
fn exp2_problem(half: f64, degree: i32) -> Problem {
    Problem {
        function: Pair::exp2,
        weight: Pair::exp2,
        half,
        powers: (0..=degree).collect(),
    }
}

/// `2^r − 1 − r·ln 2`, relative to `2^r`: for products that are added to before they are rounded.
fn exp2_fused() -> Fit {
    Problem {
        function: |r| r.exp2() - Pair::ONE - r * Pair::LN_2,
        weight: Pair::exp2,
        half: 0.5001,
        powers: (2..=6).collect(),
    }
    .fit_rounded(to_f32)
}

/// One table: powers, excesses, and the two polynomials.
struct Table {
    entries: u32,
    power: Vec<f32>,
    excess: Vec<f32>,
    coefficients: Vec<f32>,
    short: Vec<f32>,
    before: f64,
    short_error: f64,
}

/// With N entries: `2^r` for |r| <= 1/(2·N) times `2^(−1/(2·N))`, whose first coefficient becomes part of each excess.
fn table(entries: u32, degree: i32) -> Table {
    let half = 0.5 / f64::from(entries);
    let down = Pair::from(-half).exp2();
    let main = exp2_problem(half, degree).fit();
    let c: Vec<Pair> = main.coefficients.iter().map(|c| *c * down).collect();
    // The factor is part of what is rounded.
    let short = exp2_problem(half, 2).fit_rounded(|c| to_f32(c * down) / down);
    let exact: Vec<Pair> = (0..entries)
        .map(|i| Pair::from(f64::from(i) / f64::from(entries) + half).exp2())
        .collect();
    let power: Vec<f32> = exact.iter().map(|p| nearest_f32(*p)).collect();
    let excess = exact.iter().zip(&power).map(|(exact, power)| {
        nearest_f32(c[0] * *exact / Pair::from(f64::from(*power)) - Pair::ONE)
    });
    Table {
        entries,
        excess: excess.collect(),
        power,
        coefficients: c[1..].iter().map(|c| nearest_f32(*c)).collect(),
        short: short
            .coefficients
            .iter()
            .map(|c| nearest_f32(*c * down))
            .collect(),
        before: main.error,
        short_error: short.error,
    }
}

fn arrays() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |comment: String, declaration: &str, values: String| {
        let text = format!("const {declaration} = [\n{values}];\n");
        all.push((comment, text));
    };
    let error = |fit: &Fit| format!("2^{:.1}", fit.error.log2());
    let fit = exp2_wide();
    let values: String = fit
        .coefficients
        .iter()
        .map(|c| format!("    {},\n", source_f64(c.0)))
        .collect();
    add(error(&fit), "EXP2_WIDE: [f64; 7]", values);
    let fit = exp_minus(HALF_LN_2, 12).fit_rounded(to_f64);
    let values: String = fit
        .coefficients
        .iter()
        .map(|c| format!("    {},\n", source_f64(c.0)))
        .collect();
    add(
        error(&exp_minus(HALF_LN_2, 12).fit()),
        "EXP_64: [f64; 11]",
        values,
    );
    // k is rounded from a rounded product: a rest may be a little beyond the half.
    let fit = exp_minus(HALF_LN_2 * 1.001, 6).fit_rounded(to_f32);
    add(
        error(&fit),
        "EXP_PLAIN: [f32; 5]",
        list_f32(&coefficients_f32(&fit)),
    );
    let fit = exp2_fused();
    add(
        error(&fit),
        "EXP2_FUSED: [f32; 5]",
        list_f32(&coefficients_f32(&fit)),
    );
    let fit = exp2_problem(0.5005, 4).fit_rounded(to_f32);
    add(
        error(&fit),
        "EXP2_PLAIN_SHORT: [f32; 5]",
        list_f32(&coefficients_f32(&fit)),
    );
    for table in [table(16, 3), table(8, 4)] {
        let n = table.entries;
        let before = format!("2^{:.1} before rounding", table.before.log2());
        add(
            before,
            &format!("POWER_{n}: [f32; {n}]"),
            list_f32(&table.power),
        );
        add(
            String::new(),
            &format!("EXCESS_{n}: [f32; {n}]"),
            list_f32(&table.excess),
        );
        let count = table.coefficients.len();
        add(
            String::new(),
            &format!("POLYNOMIAL_{n}: [f32; {count}]"),
            list_f32(&table.coefficients),
        );
        let error = format!("2^{:.1}", table.short_error.log2());
        add(
            error,
            &format!("SHORT_{n}: [f32; 3]"),
            list_f32(&table.short),
        );
    }
    all
}

fn main() -> std::io::Result<()> {
    let mut text = String::new();
    for (comment, array) in arrays() {
        let comment = if comment.is_empty() {
            comment
        } else {
            format!("// {comment}\n")
        };
        let _ = writeln!(text, "{comment}{array}");
    }
    std::io::stdout().write_all(text.as_bytes())
}

#[test]
fn the_coefficients_are_those_that_this_program_makes() {
    let file = include_str!("../src/formula/coefficients.rs");
    // However the lines are broken.
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let file = words(file);
    for (_, array) in arrays() {
        let short = words(&array).replace(",]", "]");
        assert!(
            file.contains(&words(&array)) || file.contains(&short),
            "not in coefficients.rs:\n{array}"
        );
    }
}
