//! ONNX Runtime's operators on codes of two tensors: QLinearAdd and QLinearMul.
//!
//! Given slices whose lengths agree; promises the codes of ONNX Runtime to the bit: its constants, its order of roundings, and the zero point
//! before the last of them.

use onnx_swish_simd::{Kernel, Lane, Simd};

use super::loops::ROUND;
use super::pairs::{EVERY, End, Source, WORTH_A_TABLE, write};
use super::{Linear, ZeroPoint};

/// What is computed of two codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `round([a·ra + [b·rb + c]])`, where brackets round to float32, ra = `[sa/sy]`, rb = `[sb/sy]` and c = `[zy − [za·ra + [zb·rb]]]`.
    Add,
    /// `round([[(a − za)·(b − zb)·[[sa·sb]/sy]] + zy])`
    Mul,
}

/// One of ONNX Runtime's operators, with its parameters. All codes are of one type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QLinear {
    operator: Operator,
    a: Linear,
    b: Linear,
    to: Linear,
}

/// The operator's constants.
#[derive(Debug, Clone, Copy)]
enum Terms {
    Sum {
        a: f32,
        b: f32,
        fixed: f32,
    },
    Product {
        a: f32,
        b: f32,
        factor: f32,
        zero_point: f32,
    },
}

impl QLinear {
    /// None if codes are of different types.
    #[must_use]
    pub fn new(operator: Operator, a: Linear, b: Linear, to: Linear) -> Option<Self> {
        let alike = a.zero_point.is_like(to.zero_point) && b.zero_point.is_like(to.zero_point);
        alike.then_some(QLinear { operator, a, b, to })
    }

    /// What is computed.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What the first operand's codes stand for.
    #[must_use]
    pub fn a(&self) -> Linear {
        self.a
    }

    /// What the second's do.
    #[must_use]
    pub fn b(&self) -> Linear {
        self.b
    }

    /// What those of the result do.
    #[must_use]
    pub fn to(&self) -> Linear {
        self.to
    }

    /// The operator of the operands in the other order, which for sums rounds in another order.
    #[must_use]
    pub fn swapped(&self) -> Self {
        QLinear {
            a: self.b,
            b: self.a,
            ..*self
        }
    }

    fn terms(&self) -> Terms {
        let [za, zb, zy] = [self.a, self.b, self.to].map(|it| f32::from(it.zero_point.value()));
        match self.operator {
            Operator::Add => {
                let (a, b) = (self.a.scale / self.to.scale, self.b.scale / self.to.scale);
                let fixed = zy - za.mul_add(a, zb * b);
                Terms::Sum { a, b, fixed }
            }
            Operator::Mul => Terms::Product {
                a: za,
                b: zb,
                factor: self.a.scale * self.b.scale / self.to.scale,
                zero_point: zy,
            },
        }
    }

    /// The code of two codes, in scalar code: what [`combine`](super::combine) computes.
    #[must_use]
    pub fn code(&self, a: u8, b: u8) -> u8 {
        let number = self.terms().number(self.value(a), self.value(b));
        self.to.zero_point.nearest(number)
    }

    fn value(&self, byte: u8) -> f32 {
        self.to.zero_point.code(byte).into()
    }
}

impl Terms {
    /// What is rounded to a code.
    fn number(&self, x: f32, y: f32) -> f32 {
        match *self {
            Terms::Sum { a, b, fixed } => x.mul_add(a, y.mul_add(b, fixed)),
            Terms::Product {
                a,
                b,
                factor,
                zero_point,
            } => (x - a) * (y - b) * factor + zero_point,
        }
    }

    /// Whether float64 holds every sum exactly, so that float32 is all that it is rounded to: each is a multiple of the lowest bit of any
    /// constant, and none is beyond the sum of all.
    fn are_exact_in_f64(&self) -> bool {
        let Terms::Sum { a, b, fixed } = *self else {
            return true;
        };
        let most = 512.0 * (f64::from(a.abs()) + f64::from(b.abs()) + f64::from(fixed.abs()));
        let units = [a, b, fixed].into_iter().filter(|it| *it != 0.0);
        let least = units.map(lowest_bit).fold(f64::INFINITY, f64::min);
        most.is_finite() && (most == 0.0 || most / least < (1u64 << 53) as f64)
    }
}

/// The power of two that the lowest bit of a float is.
fn lowest_bit(x: f32) -> f64 {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 23 & 0xff) as i32, bits & 0x7f_ffff);
    let fraction = if exponent == 0 {
        fraction
    } else {
        fraction | 1 << 23
    };
    let power = exponent.max(1) - 150 + fraction.trailing_zeros().min(31) as i32;
    2.0f64.powi(power)
}

/// The operator's second operand.
#[derive(Debug, Clone, Copy)]
pub enum Second<'a> {
    /// As many codes as the first has.
    Each(&'a [u8]),
    /// One for each of the planes that the first is made of.
    Planes(&'a [u8]),
}

pub(super) struct Combine<'a> {
    pub by: &'a QLinear,
    pub a: &'a [u8],
    pub b: Second<'a>,
    pub codes: &'a mut [u8],
}

impl Kernel for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { by, a, b, codes } = self;
        let terms = by.terms();
        if !S::FUSED && !terms.are_exact_in_f64() {
            return one_by_one(by, a, b, codes);
        }
        let (from, to, n) = (a.as_ptr(), codes.as_mut_ptr(), codes.len());
        match b {
            Second::Each(b) => {
                let b = b.as_ptr();
                // SAFETY: slices of one length.
                unsafe {
                    match by.to.zero_point {
                        ZeroPoint::U8(_) => each::<u8, S>(s, &terms, from, b, to, n),
                        ZeroPoint::I8(_) => {
                            each::<i8, S>(s, &terms, from.cast(), b.cast(), to.cast(), n);
                        }
                    }
                }
            }
            Second::Planes(b) => {
                let plane = n / b.len().max(1);
                for (at, b) in b.iter().enumerate() {
                    let y = by.value(*b);
                    // SAFETY: there are as many planes as elements of b.
                    unsafe {
                        let (from, to) = (from.add(at * plane), to.add(at * plane));
                        match by.to.zero_point {
                            ZeroPoint::U8(_) => plane_of::<u8, S>(s, &terms, y, from, to, plane),
                            ZeroPoint::I8(_) => plane_of::<i8, S>(s, &terms, y, from, to, plane),
                        }
                    }
                }
            }
        }
    }
}

/// Without instructions that round once, where there is no other way.
#[inline(never)]
pub(super) fn one_by_one(by: &QLinear, a: &[u8], b: Second<'_>, codes: &mut [u8]) {
    match b {
        Second::Each(b) => {
            for ((code, a), b) in codes.iter_mut().zip(a).zip(b) {
                *code = by.code(*a, *b);
            }
        }
        Second::Planes(b) => {
            let plane = (codes.len() / b.len().max(1)).max(1);
            let planes = codes.chunks_mut(plane).zip(a.chunks(plane));
            for ((codes, a), b) in planes.zip(b) {
                for (code, a) in codes.iter_mut().zip(a) {
                    *code = by.code(*a, *b);
                }
            }
        }
    }
}

/// Numbers that are only to be rounded.
#[derive(Clone, Copy)]
struct Rounded<S: Simd>(S::V);

impl<S: Simd> End<S> for Rounded<S> {
    #[inline(always)]
    fn eval(&self, s: S, number: S::V) -> S::V {
        s.sub(s.add(number, self.0), self.0)
    }
}

/// What is computed of two registers of codes.
trait Formula<S: Simd>: Copy {
    fn eval(self, s: S, a: S::V, b: S::V) -> S::V;
}

/// `a·ra + (b·rb + c)`, each rounded once.
#[derive(Clone, Copy)]
struct Sum<S: Simd>(S::V, S::V, S::V);

impl<S: Simd> Formula<S> for Sum<S> {
    #[inline(always)]
    fn eval(self, s: S, a: S::V, b: S::V) -> S::V {
        s.mul_add_exact(a, self.0, s.mul_add_exact(b, self.1, self.2))
    }
}

/// `(a − za)·(b − zb)`, which is exact, times a factor, and the zero point.
#[derive(Clone, Copy)]
struct Product<S: Simd>(S::V, S::V, S::V, S::V);

impl<S: Simd> Formula<S> for Product<S> {
    #[inline(always)]
    fn eval(self, s: S, a: S::V, b: S::V) -> S::V {
        let exact = s.mul(s.sub(a, self.0), s.sub(b, self.1));
        s.add(s.mul(exact, self.2), self.3)
    }
}

/// A formula of the elements of two tensors.
#[derive(Clone, Copy)]
struct Each<C, F>(F, *const C, *const C);

impl<C: Lane, F: Formula<S>, S: Simd> Source<S> for Each<C, F> {
    #[inline(always)]
    unsafe fn group(self, s: S, i: usize) -> [S::V; 4] {
        let Each(formula, a, b) = self;
        // SAFETY: the caller's promise.
        let (mut a, b) = unsafe { (C::load_group(s, a.add(i)), C::load_group(s, b.add(i))) };
        for (a, b) in a.iter_mut().zip(b) {
            *a = formula.eval(s, *a, b);
        }
        a
    }
    #[inline(always)]
    unsafe fn register(self, s: S, i: usize) -> S::V {
        let Each(formula, a, b) = self;
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (C::load(s, a.add(i)), C::load(s, b.add(i))) };
        formula.eval(s, a, b)
    }
    #[inline(always)]
    unsafe fn first(self, s: S, n: usize) -> S::V {
        let Each(formula, a, b) = self;
        // SAFETY: the caller's promise.
        let (a, b) = unsafe { (C::load_first(s, a, n), C::load_first(s, b, n)) };
        formula.eval(s, a, b)
    }
}

/// A formula of a tensor's elements and one number.
#[derive(Clone, Copy)]
struct With<C, F, V>(F, *const C, V);

impl<C: Lane, F: Formula<S>, S: Simd> Source<S> for With<C, F, S::V> {
    #[inline(always)]
    unsafe fn group(self, s: S, i: usize) -> [S::V; 4] {
        let With(formula, a, b) = self;
        // SAFETY: the caller's promise.
        let mut a = unsafe { C::load_group(s, a.add(i)) };
        for a in &mut a {
            *a = formula.eval(s, *a, b);
        }
        a
    }
    #[inline(always)]
    unsafe fn register(self, s: S, i: usize) -> S::V {
        let With(formula, a, b) = self;
        // SAFETY: the caller's promise.
        formula.eval(s, unsafe { C::load(s, a.add(i)) }, b)
    }
    #[inline(always)]
    unsafe fn first(self, s: S, n: usize) -> S::V {
        let With(formula, a, b) = self;
        // SAFETY: the caller's promise.
        formula.eval(s, unsafe { C::load_first(s, a, n) }, b)
    }
}

/// Calls a function with the formula of some terms.
macro_rules! with_formula {
    ($s:expr, $terms:expr, $formula:ident => $body:expr) => {
        match *$terms {
            Terms::Sum { a, b, fixed } => {
                let $formula = Sum::<S>($s.splat(a), $s.splat(b), $s.splat(fixed));
                $body
            }
            Terms::Product {
                a,
                b,
                factor,
                zero_point,
            } => {
                let zeros = ($s.splat(a), $s.splat(b));
                let $formula =
                    Product::<S>(zeros.0, zeros.1, $s.splat(factor), $s.splat(zero_point));
                $body
            }
        }
    };
}

/// # Safety
/// n codes can be read at a and b, and written at `to`, which is no part of them.
#[inline(always)]
unsafe fn each<C: Lane, S: Simd>(
    s: S,
    terms: &Terms,
    a: *const C,
    b: *const C,
    to: *mut C,
    n: usize,
) {
    let end = Rounded::<S>(s.splat(ROUND));
    // SAFETY: the caller's promise.
    with_formula!(s, terms, formula => unsafe { write(s, end, Each(formula, a, b), to, n) });
}

/// # Safety
/// n codes can be read at a and written at `to`, which is no part of them.
#[inline(always)]
unsafe fn plane_of<C: Lane, S: Simd>(
    s: S,
    terms: &Terms,
    y: f32,
    a: *const u8,
    to: *mut u8,
    n: usize,
) {
    let (end, y) = (Rounded::<S>(s.splat(ROUND)), s.splat(y));
    let mut table = EVERY;
    let is_looked_up = n >= WORTH_A_TABLE;
    let (from, into, count) = if is_looked_up {
        (EVERY.as_ptr(), table.as_mut_ptr(), table.len())
    } else {
        (a, to, n)
    };
    // SAFETY: the caller's promise, and a table of as many bytes as there are.
    unsafe {
        with_formula!(s, terms, formula => {
            let source = With(formula, from.cast::<C>(), y);
            write(s, end, source, into.cast::<C>(), count);
        });
        if is_looked_up {
            s.look_up_bytes(&table, a, to, n);
        }
    }
}
