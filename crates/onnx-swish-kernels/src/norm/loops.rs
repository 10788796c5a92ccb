//! The loops of normalisation.
//!
//! Given rows of elements; promises to read and write these only. Two or three passes, over little enough to stay in the nearest
//! cache for any common length: the mean, where it is taken off, the mean square, the quotients.

use onnx_swish_simd::{Kernel, Simd};

/// Registers that a pass adds to in turn, to hide the latency of an addition.
const ABREAST: usize = 4;

/// Terms of one lane before what it holds goes to f64: rounding has then taken no more than so many units from it.
const TERMS: usize = 16;

/// What comes after the quotient.
#[derive(Clone, Copy)]
pub(super) struct Steps<'a> {
    pub(super) scale: Option<&'a [f32]>,
    pub(super) bias: Option<&'a [f32]>,
}

/// `y` is as long as `x`, which is whole rows, and scale and bias are one row each.
pub(super) struct Rows<'a, const CENTRED: bool> {
    pub(super) x: &'a [f32],
    pub(super) y: &'a mut [f32],
    pub(super) length: usize,
    pub(super) epsilon: f32,
    pub(super) steps: Steps<'a>,
}

impl<const CENTRED: bool> Kernel for Rows<'_, CENTRED> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let count = self.length as f64;
        let rows = self.x.chunks_exact(self.length);
        for (x, y) in rows.zip(self.y.chunks_exact_mut(self.length)) {
            let mean = if CENTRED {
                (sums(s, x, Terms::Plain)[0] / count) as f32
            } else {
                0.0
            };
            let (off, square) = if CENTRED {
                // What the mean lost by rounding is the mean of the differences.
                let [sum, squares] = sums(s, x, Terms::Differences(mean));
                let off = sum / count;
                (off, squares / count - off * off)
            } else {
                let [_, squares] = sums(s, x, Terms::Squares);
                (0.0, squares / count)
            };
            // By `max` a NaN would be lost.
            let square = if square < 0.0 { 0.0 } else { square };
            let factor = 1.0 / (square + f64::from(self.epsilon)).sqrt();
            let row = Row {
                mean: s.splat(mean),
                off: s.splat(off as f32),
                factor: s.splat(factor as f32),
            };
            match self.steps {
                Steps {
                    scale: Some(scale),
                    bias: Some(bias),
                } => quotients::<S, CENTRED, true, true>(s, &row, x, y, scale, bias),
                Steps {
                    scale: Some(scale),
                    bias: None,
                } => quotients::<S, CENTRED, true, false>(s, &row, x, y, scale, scale),
                Steps {
                    scale: None,
                    bias: Some(bias),
                } => quotients::<S, CENTRED, false, true>(s, &row, x, y, bias, bias),
                Steps {
                    scale: None,
                    bias: None,
                } => quotients::<S, CENTRED, false, false>(s, &row, x, y, x, x),
            }
        }
    }
}

/// What a pass sums up.
#[derive(Clone, Copy, PartialEq)]
enum Terms {
    /// The elements.
    Plain,
    /// Their squares, behind the first.
    Squares,
    /// The elements less this, and the squares of that.
    Differences(f32),
}

/// The sums over one row: of elements, and of squares.
#[inline(always)]
fn sums<S: Simd>(s: S, x: &[f32], terms: Terms) -> [f64; 2] {
    let mean = match terms {
        Terms::Differences(mean) => s.splat(mean),
        Terms::Plain | Terms::Squares => s.splat(0.0),
    };
    let add = |sum: &mut S::V, squares: &mut S::V, v: S::V| match terms {
        Terms::Plain => *sum = s.add(*sum, v),
        Terms::Squares => *squares = s.mul_add(v, v, *squares),
        Terms::Differences(_) => {
            *sum = s.add(*sum, v);
            *squares = s.mul_add(v, v, *squares);
        }
    };
    let mut total = [0.0; 2];
    for block in x.chunks(TERMS * ABREAST * S::LANES) {
        let mut sum = [s.splat(0.0); ABREAST];
        let mut squares = [s.splat(0.0); ABREAST];
        let rest = block.len() % S::LANES;
        let whole = block.len() - rest;
        let groups = whole - whole % (ABREAST * S::LANES);
        let x = block.as_ptr();
        for at in (0..groups).step_by(ABREAST * S::LANES) {
            for i in 0..ABREAST {
                // SAFETY: `at + ABREAST·LANES <= groups <= block.len()`.
                let v = s.sub(unsafe { s.load(x.add(at + i * S::LANES)) }, mean);
                add(&mut sum[i], &mut squares[i], v);
            }
        }
        for (i, at) in (groups..whole).step_by(S::LANES).enumerate() {
            // SAFETY: `at + LANES <= whole <= block.len()`.
            let v = s.sub(unsafe { s.load(x.add(at)) }, mean);
            add(&mut sum[i], &mut squares[i], v);
        }
        if rest > 0 {
            // SAFETY: `whole + rest = block.len()`.
            let v = s.sub(unsafe { s.load_first(x.add(whole), rest) }, mean);
            let v = s.keep(v, s.lanes(0, rest));
            add(&mut sum[ABREAST - 1], &mut squares[ABREAST - 1], v);
        }
        let [a, b, c, d] = sum;
        total[0] += s.sum_wide(s.add(s.add(a, b), s.add(c, d)));
        let [a, b, c, d] = squares;
        total[1] += s.sum_wide(s.add(s.add(a, b), s.add(c, d)));
    }
    total
}

/// What the elements of one row are taken less of, twice, and multiplied by.
struct Row<S: Simd> {
    mean: S::V,
    off: S::V,
    factor: S::V,
}

/// All slices are as long as `x`; those that are not asked for are not read.
#[inline(always)]
fn quotients<S: Simd, const CENTRED: bool, const SCALED: bool, const BIASED: bool>(
    s: S,
    row: &Row<S>,
    x: &[f32],
    y: &mut [f32],
    scale: &[f32],
    bias: &[f32],
) {
    let rest = x.len() % S::LANES;
    let whole = x.len() - rest;
    let (x, y) = (x.as_ptr(), y.as_mut_ptr());
    let (scale, bias) = (scale.as_ptr(), bias.as_ptr());
    let quotient = |v: S::V| {
        let v = if CENTRED {
            s.sub(s.sub(v, row.mean), row.off)
        } else {
            v
        };
        s.mul(v, row.factor)
    };
    let finish = |z: S::V, scale: S::V, bias: S::V| match (SCALED, BIASED) {
        (true, true) => s.mul_add(z, scale, bias),
        (true, false) => s.mul(z, scale),
        (false, true) => s.add(z, bias),
        (false, false) => z,
    };
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: `at + LANES <= whole`, and all slices are as long as x.
        unsafe {
            let z = quotient(s.load(x.add(at)));
            let scale = if SCALED { s.load(scale.add(at)) } else { z };
            let bias = if BIASED { s.load(bias.add(at)) } else { z };
            s.store(y.add(at), finish(z, scale, bias));
        }
    }
    if rest > 0 {
        // SAFETY: `whole + rest` is the length of each slice.
        unsafe {
            let z = quotient(s.load_first(x.add(whole), rest));
            let scale = if SCALED {
                s.load_first(scale.add(whole), rest)
            } else {
                z
            };
            let bias = if BIASED {
                s.load_first(bias.add(whole), rest)
            } else {
                z
            };
            s.store_exactly(y.add(whole), finish(z, scale, bias), rest);
        }
    }
}
