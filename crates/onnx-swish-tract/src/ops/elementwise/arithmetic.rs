//! Sums, differences, products and quotients of float32.
//!
//! Given slices whose lengths agree; promises IEEE arithmetic, one rounding for each element, and so the same bits on every instruction
//! set.

use onnx_swish_simd::{Isa, Kernel, Simd};

/// What becomes of `x[i]` and `by[i]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// `x + by`.
    Add,
    /// `x − by`.
    Subtract,
    /// `by − x`.
    SubtractFrom,
    /// `x · by`.
    Multiply,
    /// `x / by`.
    Divide,
    /// `by / x`.
    DivideInto,
}

impl Arithmetic {
    /// The same with x and the other operand in each other's places.
    pub(super) const fn swapped(self) -> Arithmetic {
        match self {
            Arithmetic::Subtract => Arithmetic::SubtractFrom,
            Arithmetic::SubtractFrom => Arithmetic::Subtract,
            Arithmetic::Divide => Arithmetic::DivideInto,
            Arithmetic::DivideInto => Arithmetic::Divide,
            Arithmetic::Add | Arithmetic::Multiply => self,
        }
    }
}

/// The other operand.
#[derive(Debug, Clone, Copy)]
pub(super) enum By<'a> {
    /// The same for every element.
    Number(f32),
    /// One for each.
    Slice(&'a [f32]),
}

/// Replaces each element by what it and the other operand's make. Both are of one length.
pub(super) fn combine(op: Arithmetic, x: &mut [f32], by: By<'_>) {
    Isa::best().run(Combine { op, x, by });
}

struct Combine<'a> {
    op: Arithmetic,
    x: &'a mut [f32],
    by: By<'a>,
}

impl Kernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Combine { op, x, by } = self;
        match op {
            Arithmetic::Add => map(x, by, |x, by| x + by),
            Arithmetic::Subtract => map(x, by, |x, by| x - by),
            Arithmetic::SubtractFrom => map(x, by, |x, by| by - x),
            Arithmetic::Multiply => map(x, by, |x, by| x * by),
            Arithmetic::Divide => map(x, by, |x, by| x / by),
            Arithmetic::DivideInto => map(x, by, |x, by| by / x),
        }
    }
}

// Inlined by force: each instruction set enables its own instructions for it.
#[inline(always)]
fn map(x: &mut [f32], by: By<'_>, f: impl Fn(f32, f32) -> f32) {
    match by {
        By::Number(by) => x.iter_mut().for_each(|x| *x = f(*x, by)),
        By::Slice(by) => x.iter_mut().zip(by).for_each(|(x, by)| *x = f(*x, *by)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, mut word: u32) -> Vec<f32> {
        let special = [0.0, -0.0, f32::INFINITY, f32::NAN, f32::MIN_POSITIVE, 1.0];
        let numbers = (0..n).map(|i| {
            word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match i % 7 {
                0 => special[(word >> 16) as usize % special.len()],
                1 => f32::from_bits(word),
                _ => (word >> 8) as f32 * 1e-6 - 4.0,
            }
        });
        numbers.collect()
    }

    fn expected(op: Arithmetic, x: f32, by: f32) -> f32 {
        match op {
            Arithmetic::Add => x + by,
            Arithmetic::Subtract => x - by,
            Arithmetic::SubtractFrom => by - x,
            Arithmetic::Multiply => x * by,
            Arithmetic::Divide => x / by,
            Arithmetic::DivideInto => by / x,
        }
    }

    fn is_same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    }

    #[test]
    fn every_set_rounds_once() {
        let all = [
            Arithmetic::Add,
            Arithmetic::Subtract,
            Arithmetic::SubtractFrom,
            Arithmetic::Multiply,
            Arithmetic::Divide,
            Arithmetic::DivideInto,
        ];
        for isa in Isa::available() {
            for n in (0..70).chain([255, 1000]) {
                let (x, by) = (numbers(n, 7), numbers(n, 99));
                for op in all {
                    let mut each = x.clone();
                    isa.run(Combine {
                        op,
                        x: &mut each,
                        by: By::Slice(&by),
                    });
                    let mut same = x.clone();
                    isa.run(Combine {
                        op,
                        x: &mut same,
                        by: By::Number(0.3),
                    });
                    for i in 0..n {
                        let (x, by) = (x[i], by[i]);
                        assert!(is_same(each[i], expected(op, x, by)), "{x} {op:?} {by}");
                        assert!(is_same(same[i], expected(op, x, 0.3)), "{x} {op:?} 0.3");
                        assert!(is_same(expected(op.swapped(), by, x), expected(op, x, by)));
                    }
                }
            }
        }
    }
}
