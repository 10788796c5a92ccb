//! The functions on registers, for the epilogues of other loops.
//!
//! Given a token and registers of any f32; promise what the functions on slices do, to the bit. Each is `#[inline(always)]` and
//! belongs inside of a [`onnx_swish_simd::Kernel`].

use onnx_swish_simd::{Lane, Simd};

use crate::SwishConstants;
use crate::formula::{Activation, by_table, hard_swish, plain, table};
use crate::map::repair;

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
    let y = if by_table::<S>() {
        table::Swish::new(s, constants).eval(s, x)
    } else if constants.exact {
        plain::Swish::<S, true>::new(s, constants).eval(s, x)
    } else {
        plain::Swish::<S, false>::new(s, constants).eval(s, x)
    };
    if s.any_beyond([x], s.splat(constants.limit)) {
        let (mut before, mut after) = ([0.0f32; MOST], [0.0f32; MOST]);
        // SAFETY: a register has no more than MOST lanes.
        unsafe {
            f32::store(s, before.as_mut_ptr(), x);
            f32::store(s, after.as_mut_ptr(), y);
            repair(
                s,
                before.as_mut_ptr(),
                after.as_mut_ptr(),
                S::LANES,
                constants,
            );
            f32::load(s, after.as_ptr())
        }
    } else {
        y
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
