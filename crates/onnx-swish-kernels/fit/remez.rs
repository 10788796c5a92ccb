//! Polynomials of least relative error, by Remez exchange.
//!
//! Given a function on an interval, the powers of the polynomial and the type that its coefficients are rounded to; promises
//! coefficients whose largest relative error is, but for the rounding, the least there is to a part in a thousand.
//!
//! Source: Remez, "Sur le calcul effectif des polynomes d'approximation de Tchebichef", 1934.

use crate::pair::Pair;

/// Points at which an error is looked at: its extrema are flat, so that between two points it is hardly larger.
const POINTS: usize = 1500;

/// What is to be approximated.
pub struct Problem {
    /// The function, and what an error of it is divided by.
    pub function: fn(Pair) -> Pair,
    pub weight: fn(Pair) -> Pair,
    /// Where: `-half..=half`.
    pub half: f64,
    /// The powers of the polynomial, one after the other.
    pub powers: Vec<i32>,
}

/// What was found.
pub struct Fit {
    pub coefficients: Vec<Pair>,
    /// The largest relative error of the polynomial with these coefficients.
    pub error: f64,
}

/// One point of the interval: the weighted powers there, and the weighted function.
struct Point {
    powers: Vec<Pair>,
    function: Pair,
    /// That of the lowest power: a polynomial without a constant alternates as if it were divided by that.
    sign: f64,
}

impl Problem {
    /// The best polynomial.
    pub fn fit(&self) -> Fit {
        let points = self.points();
        let count = self.powers.len() + 1;
        // From points like a Chebyshev polynomial's extrema on, until the extrema stay where they are.
        let mut chosen: Vec<usize> = (0..count).map(|i| i * (POINTS - 1) / (count - 1)).collect();
        let mut coefficients = Vec::new();
        for _ in 0..60 {
            coefficients = levelled(&points, &chosen);
            let next = extrema(&points, &coefficients, count);
            if next.len() < count || next == chosen {
                break;
            }
            chosen = next;
        }
        Fit {
            error: largest(&points, &coefficients),
            coefficients,
        }
    }

    /// The best polynomial with its coefficients rounded, and the error that it then has.
    pub fn fit_rounded(&self, round: impl Fn(Pair) -> Pair) -> Fit {
        let coefficients: Vec<Pair> = self.fit().coefficients.into_iter().map(round).collect();
        Fit {
            error: largest(&self.points(), &coefficients),
            coefficients,
        }
    }

    fn points(&self) -> Vec<Point> {
        let point = |i: usize| {
            // Closer at the ends, where the extrema are.
            let at = -self.half * (std::f64::consts::PI * i as f64 / (POINTS - 1) as f64).cos();
            let x = Pair::from(at);
            let weight = (self.weight)(x);
            let weighted = |power: &i32| x.power(*power) / weight;
            Point {
                powers: self.powers.iter().map(weighted).collect(),
                function: (self.function)(x) / weight,
                sign: at.signum().powi(self.powers[0]),
            }
        };
        (0..POINTS).map(point).collect()
    }
}

fn error(point: &Point, coefficients: &[Pair]) -> Pair {
    let terms = point.powers.iter().zip(coefficients);
    terms.fold(-point.function, |sum, (power, c)| sum + *power * *c)
}

fn largest(points: &[Point], coefficients: &[Pair]) -> f64 {
    let errors = points
        .iter()
        .map(|point| error(point, coefficients).abs().0);
    errors.fold(0.0, f64::max)
}

/// The coefficients with which the errors at the chosen points are equal but for their alternating signs.
fn levelled(points: &[Point], chosen: &[usize]) -> Vec<Pair> {
    let n = chosen.len();
    let mut rows: Vec<Vec<Pair>> = Vec::new();
    for (i, point) in chosen.iter().map(|i| &points[*i]).enumerate() {
        let mut row = point.powers.clone();
        row.push(Pair::from(if i % 2 == 0 {
            point.sign
        } else {
            -point.sign
        }));
        row.push(point.function);
        rows.push(row);
    }
    solve(rows)[..n - 1].to_vec()
}

/// Gaussian elimination with the largest pivot of each column.
fn solve(mut rows: Vec<Vec<Pair>>) -> Vec<Pair> {
    let n = rows.len();
    for column in 0..n {
        let size = |row: &usize| rows[*row][column].abs().0;
        let pivot = (column..n).max_by(|a, b| size(a).total_cmp(&size(b)));
        rows.swap(column, pivot.unwrap_or(column));
        let pivot = rows[column].clone();
        for row in &mut rows[column + 1..] {
            let factor = row[column] / pivot[column];
            for (x, p) in row.iter_mut().zip(&pivot) {
                *x = *x - factor * *p;
            }
        }
    }
    let mut solution = vec![Pair::from(0.0); n];
    for i in (0..n).rev() {
        let known = (i + 1..n).fold(rows[i][n], |sum, j| sum - rows[i][j] * solution[j]);
        solution[i] = known / rows[i][i];
    }
    solution
}

/// The largest error of each run of errors of one sign: `count` neighbouring ones, the largest of all among them.
fn extrema(points: &[Point], coefficients: &[Pair], count: usize) -> Vec<usize> {
    let errors: Vec<f64> = points
        .iter()
        .map(|p| p.sign * error(p, coefficients).0)
        .collect();
    let mut runs: Vec<usize> = Vec::new();
    for (i, e) in errors.iter().enumerate() {
        match runs.last_mut() {
            Some(last) if (errors[*last] < 0.0) == (*e < 0.0) => {
                if e.abs() > errors[*last].abs() {
                    *last = i;
                }
            }
            _ => runs.push(i),
        }
    }
    while runs.len() > count {
        let (first, last) = (runs[0], runs[runs.len() - 1]);
        if errors[first].abs() < errors[last].abs() {
            runs.remove(0);
        } else {
            runs.pop();
        }
    }
    runs
}
