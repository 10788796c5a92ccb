//! The functions on registers, for the epilogues of other loops.
//!
//! Given a token and registers of any f32; promise what the functions on slices do, to the bit. Each is `#[inline(always)]` and
//! belongs inside of a [`onnx_swish_simd::Kernel`].

use onnx_swish_simd::{Kernel, Lane, Simd};

use crate::SwishConstants;
use crate::codes::{Requantize, Round, requantize};
use crate::formula::{Activation, Precision, Single, Use, hard_swish};
use crate::map::careful;

/// The most lanes of a register.
const MOST: usize = 64;

/// `x·σ(x)`.
#[must_use]
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    swish(s, x, &SwishConstants::SILU)
}

/// `x·σ(β·x)`.
#[must_use]
#[inline(always)]
pub fn swish<S: Simd>(s: S, x: S::V, constants: &SwishConstants) -> S::V {
    Single::choose(s, constants, Of { x, constants })
}

/// [`swish`] of each register, to the same bits, with constants that are loaded once.
#[inline(always)]
pub fn swish_each<S: Simd>(s: S, values: &mut [S::V], constants: &SwishConstants) {
    Single::choose(s, constants, OfEach { values, constants });
}

/// An activation of several registers.
struct OfEach<'a, V> {
    values: &'a mut [V],
    constants: &'a SwishConstants,
}

impl<S: Simd> Use<S> for OfEach<'_, S::V> {
    type Output = ();

    #[inline(always)]
    fn with<A: Activation<S>>(self, s: S, f: A) {
        let mut beyond = false;
        if A::LIMITED {
            let (groups, rest) = self.values.as_chunks::<4>();
            for group in groups {
                beyond |= s.any_beyond(*group, f.limit());
            }
            for x in rest {
                beyond |= s.any_beyond([*x], f.limit());
            }
        }
        if beyond {
            // Rare, and a function of its own: a call in the loop would drive the constants out of their registers.
            s.vectorize(Beyond {
                values: self.values.as_mut_ptr().cast(),
                registers: self.values.len(),
                constants: self.constants,
            });
            return;
        }
        for x in self.values.iter_mut() {
            *x = f.eval(s, *x);
        }
    }
}

/// [`swish`] of registers in memory, one after the other.
struct Beyond<'a> {
    values: *mut f32,
    registers: usize,
    constants: &'a SwishConstants,
}

impl Kernel for Beyond<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for i in 0..self.registers {
            let at = self.values.wrapping_add(i * S::LANES);
            // SAFETY: `OfEach`, the one caller, has so many registers there, and a register is its lanes.
            unsafe { f32::store(s, at, swish(s, f32::load(s, at), self.constants)) };
        }
    }
}

/// An activation of one register.
struct Of<'a, V> {
    x: V,
    constants: &'a SwishConstants,
}

impl<S: Simd> Use<S> for Of<'_, S::V> {
    type Output = S::V;

    #[inline(always)]
    fn with<A: Activation<S>>(self, s: S, f: A) -> S::V {
        if A::LIMITED && s.any_beyond([self.x], f.limit()) {
            let mut lanes = [0.0f32; MOST];
            let (x, y) = (lanes.as_ptr(), lanes.as_mut_ptr());
            // SAFETY: a register has no more than MOST lanes.
            unsafe {
                f32::store(s, y, self.x);
                careful::<f32, Single, S>(s, x, y, S::LANES, self.constants.beta);
                f32::load(s, y)
            }
        } else {
            f.eval(s, self.x)
        }
    }
}

/// `x·clamp(x/6 + 1/2, 0, 1)`.
#[must_use]
#[inline(always)]
pub fn hard_swish<S: Simd>(s: S, x: S::V) -> S::V {
    sloped_hard_swish(s, x, crate::HARD_SWISH_ALPHA, crate::HARD_SWISH_BETA)
}

/// `x·clamp(alpha·x + beta, 0, 1)`.
///
/// For finite parameters and an |alpha| of at least 2⁻⁸², which the functions on slices do not ask for.
#[must_use]
#[inline(always)]
pub fn sloped_hard_swish<S: Simd>(s: S, x: S::V, alpha: f32, beta: f32) -> S::V {
    hard_swish::HardSwish::new(s, alpha, beta).eval(s, x)
}

/// Registers whose rounding to codes is worth a copy of its loop.
const FEW: usize = 8;

/// [`crate::codes::requantize_in_place`] of each register, to the same bits.
#[inline(always)]
pub fn requantize_each<S: Simd>(s: S, values: &mut [S::V], by: &Requantize) {
    if by.table().is_none() && values.len() <= FEW {
        let f = Round::new(s, by);
        for x in values.iter_mut() {
            *x = f.eval(s, *x);
        }
        return;
    }
    // Long, and by way of memory: a function of its own instead of a copy in each loop.
    s.vectorize(ByTable {
        values: values.as_mut_ptr().cast(),
        registers: values.len(),
        by,
    });
}

/// [`requantize_each`] of registers in memory, one after the other.
struct ByTable<'a> {
    values: *mut f32,
    registers: usize,
    by: &'a Requantize,
}

impl Kernel for ByTable<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: `requantize_each`, the one caller, has so many registers there, and a register is its lanes.
        unsafe { requantize(s, self.values, self.registers * S::LANES, self.by) }
    }
}
