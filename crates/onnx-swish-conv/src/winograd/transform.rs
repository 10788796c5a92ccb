//! The linear maps of F(4, k), one line at a time.
//! Given: the input values, taps or products along one axis.
//! Promise: `A'·((G·g)∘(B'·d))` is the convolution of `k + 3` inputs `d` with `k` taps `g`: four outputs, from `k + 3` products instead
//! of `4·k`. Along both axes, F(4x4, 3x3), it makes 36 products of what would be 144. An axis of one tap stays as it is.
//!
//! The maps are those of Toom and Cook, as Lavin and Gray bring them to filters (arXiv:1509.09308). Points are 0, ∞ and pairs ±p, so that
//! what is even and what is odd in a point is computed once for both of a pair. A pair's reciprocals are points as well: the powers in
//! all three maps then lie close together (why it matters: Barabasz and others, arXiv:1803.10986). For three taps ±√½ and ±√2 had a third
//! to a fifth of the error of ±1 and ±2.

use onnx_swish_simd::Simd;

/// The most pairs of points.
const PAIRS: usize = 4;

/// The positive points of as many pairs.
const fn points(pairs: usize) -> [f64; PAIRS] {
    use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
    match pairs {
        2 => [FRAC_1_SQRT_2, SQRT_2, 0.0, 0.0],
        3 => [0.5, 1.0, 2.0, 0.0],
        _ => [0.5, 0.75, 4.0 / 3.0, 2.0],
    }
}

/// Outputs of a line, of an axis that has more than one tap.
pub(super) const OUT: usize = 4;

/// Outputs and inputs of a tile along each axis, height and width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TileSize {
    pub outs: [usize; 2],
    pub ins: [usize; 2],
}

impl TileSize {
    /// For a kernel of so many taps along each axis, see [`super::covers`].
    pub(super) fn of(kernel: [usize; 2]) -> TileSize {
        let outs = kernel.map(|taps| if taps > 1 { OUT } else { 1 });
        let ins = [0, 1].map(|axis: usize| outs[axis] + kernel[axis] - 1);
        TileSize { outs, ins }
    }

    /// Products of a tile.
    pub(super) fn points(&self) -> usize {
        self.ins[0] * self.ins[1]
    }

    /// Planes that a channel is split to: a row of a tile is found in the plane of its number modulo the rows of outputs, and each of its
    /// columns has a plane. So vectors take neighbouring tiles from neighbouring places, those of the next row of tiles too.
    pub(super) fn planes(&self) -> usize {
        self.outs[0] * self.ins[1]
    }

    /// Tiles that follow a tile along an axis and have the last of its inputs.
    pub(super) fn beyond(&self, axis: usize) -> usize {
        (self.ins[axis] - 1) / self.outs[axis]
    }
}

/// The maps of a line of `2·pairs + 2` inputs.
struct Line {
    pairs: usize,
    points: [f64; PAIRS],
    /// Coefficients of the product of all `(t − p²)`, lowest power first.
    all: [f64; PAIRS + 1],
    /// The same without one of the points.
    but: [[f64; PAIRS + 1]; PAIRS],
}

impl Line {
    const fn of(inputs: usize) -> Line {
        let pairs = inputs / 2 - 1;
        let points = points(pairs);
        let mut but = [[0.0; PAIRS + 1]; PAIRS];
        let mut k = 0;
        while k < pairs {
            but[k] = product(points, pairs, k);
            k += 1;
        }
        Line {
            pairs,
            points,
            all: product(points, pairs, pairs),
            but,
        }
    }

    /// A point to the power of `n`, up to three.
    #[inline(always)]
    fn power(&self, k: usize, n: usize) -> f32 {
        let p = self.points[k];
        [1.0, p, p * p, p * p * p][n] as f32
    }
}

/// The coefficients of the product of `(t − p²)` for all pairs but one.
const fn product(points: [f64; PAIRS], pairs: usize, but: usize) -> [f64; PAIRS + 1] {
    let mut product = [0.0; PAIRS + 1];
    product[0] = 1.0;
    let mut k = 0;
    while k < pairs {
        if k != but {
            let square = points[k] * points[k];
            let mut i = PAIRS;
            while i > 0 {
                product[i] = product[i - 1] - square * product[i];
                i -= 1;
            }
            product[0] *= -square;
        }
        k += 1;
    }
    product
}

/// `B'·d`: row x of a point is the product of all other `(d − x')`, in which `dⁿ` stands for input n.
#[inline(always)]
pub(super) fn input<S: Simd, const IN: usize>(s: S, d: [S::V; IN]) -> [S::V; IN] {
    if IN == 1 {
        return d;
    }
    let line = const { Line::of(if IN == 1 { 4 } else { IN }) };
    let pairs = line.pairs;
    let mut points = [s.splat(0.0); IN];
    // Of 0 and of ∞.
    let (mut even, mut odd) = (d[2 * pairs], d[IN - 1]);
    unrolled!(n < pairs, of 4, {
        let i = pairs - 1 - n;
        let factor = s.splat(line.all[i] as f32);
        even = s.mul_add(factor, d[2 * i], even);
        odd = s.mul_add(factor, d[2 * i + 1], odd);
    });
    (points[0], points[IN - 1]) = (even, odd);
    unrolled!(k < pairs, of 4, {
        let (mut even, mut odd) = (d[2 * pairs], d[2 * pairs - 1]);
        unrolled!(n < pairs - 1, of 4, {
            let i = pairs - 2 - n;
            let factor = s.splat(line.but[k][i] as f32);
            even = s.mul_add(factor, d[2 * i + 2], even);
            odd = s.mul_add(factor, d[2 * i + 1], odd);
        });
        let point = line.points[k] as f32;
        points[2 * k + 1] = s.mul_add(s.splat(point), odd, even);
        points[2 * k + 2] = s.mul_add(s.splat(-point), odd, even);
    });
    points
}

/// `A'·m`: output n is the sum of the products, each times its point to the power of n; that of ∞ belongs to the last alone.
#[inline(always)]
pub(super) fn output<S: Simd, const IN: usize, const OUTS: usize>(
    s: S,
    m: [S::V; IN],
) -> [S::V; OUTS] {
    if IN == 1 {
        return [m[0]; OUTS];
    }
    let line = const { Line::of(if IN == 1 { 4 } else { IN }) };
    let pairs = line.pairs;
    let mut sums = [[s.splat(0.0); 2]; PAIRS];
    unrolled!(k < pairs, of 4, {
        let (plus, minus) = (m[2 * k + 1], m[2 * k + 2]);
        sums[k] = [s.add(plus, minus), s.sub(plus, minus)];
    });
    let mut outputs = [s.splat(0.0); OUTS];
    unrolled!(n < OUTS, of 4, {
        // The largest powers last.
        outputs[n] = match n {
            0 => s.add(m[0], sums[0][0]),
            3 => s.mul_add(s.splat(line.power(0, n)), sums[0][1], m[IN - 1]),
            _ => s.mul(s.splat(line.power(0, n)), sums[0][n % 2]),
        };
        unrolled!(k < pairs, of 4, {
            if k > 0 {
                outputs[n] = s.mul_add(s.splat(line.power(k, n)), sums[k][n % 2], outputs[n]);
            }
        });
    });
    outputs
}

/// `G·g·G'` of the taps of one filter: once, and in f64.
pub(super) fn filter(taps: &[f32], tile: TileSize) -> Vec<f64> {
    let [height, width] = [0, 1].map(|axis: usize| tile.ins[axis] + 1 - tile.outs[axis]);
    // The columns of taps first, each a line of as many points.
    let columns: Vec<Vec<f64>> = (0..width)
        .map(|x| {
            filter_line(
                (0..height)
                    .map(|y| f64::from(taps[y * width + x]))
                    .collect(),
            )
        })
        .collect();
    (0..tile.ins[0])
        .flat_map(|y| filter_line(columns.iter().map(|column| column[y]).collect()))
        .collect()
}

/// `G·g`: the filter's polynomial at each point, over what `B'` has too much: the product of the differences to all other points.
fn filter_line(taps: Vec<f64>) -> Vec<f64> {
    if taps.len() < 2 {
        return taps;
    }
    let line = Line::of(taps.len() + OUT - 1);
    let points = &line.points[..line.pairs];
    let all = || points.iter().flat_map(|point| [*point, -point]);
    let at = |point: f64| {
        let value = taps.iter().rev().fold(0.0, |sum, tap| sum * point + tap);
        let others = std::iter::once(0.0)
            .chain(all())
            .filter(|other| *other != point);
        value / others.map(|other| point - other).product::<f64>()
    };
    let mut line: Vec<f64> = std::iter::once(0.0).chain(all()).map(at).collect();
    line.extend(taps.last());
    line
}
