//! The three linear maps of F(4x4, 3x3), one line at a time.
//! Given: six input values, three taps, or six products along one axis.
//! Promise: `A'·((G·g)∘(B'·d))` is the convolution of six inputs `d` with three taps `g`: four outputs. Along both axes it makes 36
//! products of what would be 144.
//!
//! The maps are those of Toom and Cook, as Lavin and Gray bring them to filters (arXiv:1509.09308), with other points: ±√½ and ±√2 with
//! 0 and ∞, where they take ±1 and ±2. The powers in all three maps then lie closer together, and errors are a third to a fifth of those
//! with their points (measured in f32 over 16 to 256 channels; why it matters: Barabasz and others, arXiv:1803.10986). With a² = ½ and
//! b² = 2 the sums of points and their products are 5/2 and 1, so the maps cost no more either.

use onnx_swish_simd::Simd;

/// The smaller pair of points, ±a.
const SMALL: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// The larger pair, ±b.
const LARGE: f64 = std::f64::consts::SQRT_2;

/// Outputs of a line.
pub(super) const OUT: usize = 4;
/// Inputs of a line, and its products.
pub(super) const IN: usize = 6;
/// Products of a tile.
pub(super) const POINTS: usize = IN * IN;

/// `B'·d`: row x of a point is the product of all other `(d − x')`, in which `dⁿ` stands for input n.
#[inline(always)]
pub(super) fn input<S: Simd>(s: S, d: [S::V; IN]) -> [S::V; IN] {
    let sum_of_squares = s.splat(-2.5);
    let (half, two) = (s.splat(-0.5), s.splat(-2.0));
    let even_small = s.mul_add(two, d[2], d[4]);
    let odd_small = s.mul_add(two, d[1], d[3]);
    let even_large = s.mul_add(half, d[2], d[4]);
    let odd_large = s.mul_add(half, d[1], d[3]);
    let (small, large) = (SMALL as f32, LARGE as f32);
    [
        s.mul_add(sum_of_squares, d[2], s.add(d[0], d[4])),
        s.mul_add(s.splat(small), odd_small, even_small),
        s.mul_add(s.splat(-small), odd_small, even_small),
        s.mul_add(s.splat(large), odd_large, even_large),
        s.mul_add(s.splat(-large), odd_large, even_large),
        s.mul_add(sum_of_squares, d[3], s.add(d[1], d[5])),
    ]
}

/// `A'·m`: output n is the sum of the products, each times its point to the power of n; that of ∞ belongs to the last alone.
#[inline(always)]
pub(super) fn output<S: Simd>(s: S, m: [S::V; IN]) -> [S::V; OUT] {
    let (small, large) = (SMALL as f32, LARGE as f32);
    let (even_small, odd_small) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
    let (even_large, odd_large) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
    [
        s.add(m[0], s.add(even_small, even_large)),
        s.mul_add(s.splat(small), odd_small, s.mul(s.splat(large), odd_large)),
        s.mul_add(s.splat(0.5), even_small, s.mul(s.splat(2.0), even_large)),
        s.mul_add(
            s.splat(0.5 * small),
            odd_small,
            s.mul_add(s.splat(2.0 * large), odd_large, m[5]),
        ),
    ]
}

/// `G·g·G'` of the nine taps of one filter: once, and in f64.
pub(super) fn filter(taps: &[f32]) -> [f64; POINTS] {
    let mut rows = [[0.0; 3]; IN];
    for x in 0..3 {
        let column = std::array::from_fn(|y| f64::from(taps[y * 3 + x]));
        for (row, value) in rows.iter_mut().zip(filter_line(column)) {
            row[x] = value;
        }
    }
    let mut points = [0.0; POINTS];
    for (points, row) in points.chunks_exact_mut(IN).zip(rows) {
        points.copy_from_slice(&filter_line(row));
    }
    points
}

/// `G·g`: the filter's polynomial at each point, over what `B'` has too much: the product of the differences to all other points.
fn filter_line(g: [f64; 3]) -> [f64; IN] {
    let at = |point: f64, product: f64| (g[0] + point * g[1] + point * point * g[2]) / product;
    let (a2, b2) = (SMALL * SMALL, LARGE * LARGE);
    let (of_small, of_large) = (2.0 * a2 * (a2 - b2), 2.0 * b2 * (b2 - a2));
    [
        at(0.0, a2 * b2),
        at(SMALL, of_small),
        at(-SMALL, of_small),
        at(LARGE, of_large),
        at(-LARGE, of_large),
        g[2],
    ]
}
