//! Words for products that differ from an activation.
//! Given: in what they differ, as their forms or their nodes tell.
//! Promises: the number or the value at fault.

use super::{Explainer, Words, short};
use crate::forms::products::{Beta, Mismatch};
use crate::pattern::Broken;

impl Explainer<'_, '_> {
    pub(super) fn mismatch(&self, mismatch: Mismatch) -> Words {
        match mismatch {
            Mismatch::AnotherTensor => self.another_tensor(),
            Mismatch::Offset(offset) => Words {
                reason: "offset",
                message: format!(
                    "{}, but inside the gate {} is added: that is no Swish",
                    self.product(),
                    short(offset)
                ),
                change: "nothing: a Swish has no offset".into(),
            },
            Mismatch::Bounds(lo, hi) => Words {
                reason: "bounds",
                message: format!(
                    "{}, which is clamped to [{}, {}]; a HardSwish gate closes at 0",
                    self.product(),
                    short(lo),
                    short(hi)
                ),
                change: "nothing: one of the bounds would have to be 0".into(),
            },
            Mismatch::HalfOpen => Words {
                reason: "half_open",
                message: format!("{}, which is clamped on one side only", self.product()),
                change: "nothing: a HardSwish gate has two bounds".into(),
            },
            Mismatch::NotFinite(beta) => Words::new(
                "beta",
                format!(
                    "{}, whose argument multiplies {} by {}: a Swish with a beta that is {} is no Swish",
                    self.product(),
                    self.name(self.miss.partner),
                    short(beta),
                    if beta.is_nan() {
                        "not a number"
                    } else {
                        "infinite"
                    },
                ),
                "give beta a finite value",
            ),
            Mismatch::NotFiniteIn(beta, element) => Words::new(
                "beta",
                format!(
                    "{}, whose beta {} has an element that is {}: a Swish has finite betas",
                    self.product(),
                    self.beta(beta),
                    short(element),
                ),
                "give every element of beta a finite value",
            ),
            Mismatch::Flat(factor) => self.degenerate(&format!(
                "multiplies {} by {}",
                self.name(self.miss.partner),
                short(factor)
            )),
            Mismatch::Unquantised(value) => Words::new(
                "unquantized_gate",
                format!(
                    "{}, which is computed from {} before that is quantised: gate and partner are functions of different numbers",
                    self.product(),
                    self.name(value)
                ),
                "compute the gate from the quantised value, too",
            ),
            Mismatch::TwoQuantisers(value) => Words::new(
                "two_quantisers",
                format!(
                    "{}, but {} was quantised in two ways, once for the gate and once for what it multiplies: no one code has both",
                    self.product(),
                    self.name(value)
                ),
                "quantise it once, or twice with one scale and zero point",
            ),
            Mismatch::Entangled(_) if self.is_tanh_gelu() => self.tanh_gelu(),
            Mismatch::Entangled(beta) => self.entangled(beta),
        }
    }

    pub(super) fn broken(&self, broken: Broken) -> Words {
        match broken {
            Broken::Foreign => Words {
                reason: "structure",
                message: format!(
                    "{} and both come from one value, but the gate is not computed from {}",
                    self.product(),
                    self.name(self.miss.partner)
                ),
                change: "compute the gate from the value that it multiplies".into(),
            },
            Broken::Captured(value) => Words {
                reason: "captured",
                message: format!(
                    "{}, but {} is computed in the graph outside",
                    self.product(),
                    self.name(value)
                ),
                change: "compute the gate in the graph that uses it".into(),
            },
            Broken::TooLong => Words {
                reason: "structure",
                message: format!(
                    "{}, but more nodes lie between them than a match may have",
                    self.product()
                ),
                change: "simplify the model first".into(),
            },
        }
    }

    /// What multiplies x in the argument is a function of x itself.
    fn entangled(&self, beta: Beta) -> Words {
        Words::new(
            "not_linear",
            format!(
                "{}, whose argument multiplies {} by {}, a function of it: that is no beta",
                self.product(),
                self.name(self.miss.partner),
                self.beta(beta)
            ),
            "nothing: the gate is not a function of beta·x",
        )
    }

    /// A beta as large as x: GELU has a quadratic one, and what is made from x is none.
    pub(super) fn full_rank_beta(&self, beta: Beta) -> Words {
        if self.is_tanh_gelu() {
            return self.tanh_gelu();
        }
        let (Beta::Times(_, tensor) | Beta::Over(_, tensor)) = beta else {
            return self.another_tensor();
        };
        let ops = self.ancestry_of(tensor, &[self.miss.partner], None);
        if ops.meets_partner {
            return self.entangled(beta);
        }
        Words::new(
            "full_rank_beta",
            format!(
                "{}, whose beta {} is computed and as large as x: another tensor, not a parameter",
                self.product(),
                self.beta(beta)
            ),
            "nothing: beta must be smaller than x, or stored",
        )
    }
}
