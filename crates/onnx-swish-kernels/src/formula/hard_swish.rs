//! HardSwish, for every set.
//!
//! Given a register of any x; promises at most 2 ulp where [`takes`] the parameters.

use onnx_swish_simd::Simd;

use super::Activation;

/// `x·clamp(α·x + β, 0, 1)`.
#[derive(Clone, Copy)]
pub(crate) struct HardSwish<S: Simd> {
    alpha: S::V,
    beta: S::V,
}

/// Whether the bounds hold for these parameters. The clamping would swallow a NaN gate, which
/// takes a parameter that is not finite; and a gate below the normal range, not yet multiplied
/// by a large x, would have lost bits, which takes a slope below 2⁻⁸².
#[inline(always)]
pub(crate) fn takes(alpha: f32, beta: f32) -> bool {
    let slope = alpha.abs();
    1e-24 < slope && slope < f32::INFINITY && beta.is_finite()
}

impl<S: Simd> HardSwish<S> {
    #[inline(always)]
    pub(crate) fn new(s: S, alpha: f32, beta: f32) -> Self {
        Self {
            alpha: s.splat(alpha),
            beta: s.splat(beta),
        }
    }
}

impl<S: Simd> Activation<S> for HardSwish<S> {
    const LIMITED: bool = false;
    const LONG: bool = false;

    #[inline(always)]
    fn limit(&self) -> S::V {
        self.alpha
    }

    /// The gate: half an ulp, where product and offset cancel too.
    #[inline(always)]
    fn part(&self, s: S, x: S::V) -> S::V {
        let gate = s.mul_add_exact(x, self.alpha, self.beta);
        s.at_most(s.splat(1.0), s.at_least(s.splat(0.0), gate))
    }

    #[inline(always)]
    fn whole(&self, s: S, x: S::V, part: S::V) -> S::V {
        s.mul(x, part)
    }
}
