//! Which convolutions our kernels take over from tract, on which processors.
//!
//! Given what a caller asks for, our instruction set and what tract-linalg says the machine has; promises one answer for each kind
//! of convolution, with its reason. This is the only place that decides it.

use std::fmt;
use std::str::FromStr;

use onnx_swish_conv::DotIsa;
use onnx_swish_kernels::Isa;
use tract_linalg::isa::{Isa as Feature, IsaSet, native};

/// The reason that is the caller's own.
pub(crate) const AS_ASKED: &str = "as asked for";

/// Who computes the convolutions that our kernels cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Convolutions {
    /// Whoever is faster on this processor: ours, but for what tract has a matrix unit for, and where we have no instructions of
    /// the processor's.
    #[default]
    Auto,
    /// As `Auto`, with every product of the definition computed: not by Winograd's method, which makes do with fewer of them and is
    /// off by up to [`Method::WINOGRAD_ERROR`](onnx_swish_conv::Method::WINOGRAD_ERROR) of the largest sum, or brings a NaN to
    /// neighbours of what reads it.
    Exact,
    /// Our kernels, all that they cover.
    Ours,
    /// tract, all of them.
    Tract,
}

impl Convolutions {
    /// What [`Convolutions::from_str`] takes.
    pub const NAMES: [&'static str; 4] = ["auto", "exact", "ours", "tract"];

    /// Whether our kernels compute every product.
    pub(crate) fn exact(self) -> bool {
        self == Convolutions::Exact
    }
}

/// `true` is [`Convolutions::Auto`], `false` is [`Convolutions::Tract`].
impl From<bool> for Convolutions {
    fn from(on: bool) -> Self {
        if on {
            Convolutions::Auto
        } else {
            Convolutions::Tract
        }
    }
}

impl FromStr for Convolutions {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "auto" => Ok(Convolutions::Auto),
            "exact" => Ok(Convolutions::Exact),
            "ours" => Ok(Convolutions::Ours),
            "tract" => Ok(Convolutions::Tract),
            _ => Err(format!(
                "\"{name}\" computes no convolutions: give one of {}",
                Convolutions::NAMES.join(", ")
            )),
        }
    }
}

impl fmt::Display for Convolutions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Convolutions::Auto => "auto",
            Convolutions::Exact => "exact",
            Convolutions::Ours => "ours",
            Convolutions::Tract => "tract",
        })
    }
}

/// Whether graphs keep the layout that our kernels compute, channels before pixels, although tract might be faster with another.
pub(crate) fn keeps_planes(asked: Convolutions) -> bool {
    Policy::new(asked).left(true).is_none()
}

/// The answers for one machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    asked: Convolutions,
    isa: Isa,
    features: IsaSet,
}

impl Policy {
    /// For this machine.
    pub(crate) fn new(asked: Convolutions) -> Policy {
        Policy {
            asked,
            isa: Isa::best(),
            features: native(),
        }
    }

    /// Why convolutions between 8-bit codes, and what else is computed on codes, are computed in floats: a clause about one. `None` if
    /// they run on the codes. Without instructions for sums of codes, plain Rust is slower than floats.
    pub(crate) fn codes_left(&self) -> Option<&'static str> {
        match self.asked {
            Convolutions::Ours => None,
            Convolutions::Tract => Some(AS_ASKED),
            Convolutions::Auto | Convolutions::Exact => DotIsa::of(self.isa)
                .is_portable()
                .then_some("sums of codes would be plain Rust"),
        }
    }

    /// Why a convolution that we cover stays on tract: a clause about it. `None` if it does not.
    ///
    /// - Without a set of ours for the processor, our kernels are what the compiler made of plain Rust, and tract's are written by
    ///   hand for many processors, or at least no slower.
    /// - A matrix unit (Apple's AMX, or SME) multiplies several times as fast as the vector unit, and tract's products of matrices use
    ///   it. Depthwise convolutions are no such products: tract computes them on the vector unit, as we do.
    /// - SVE2 is no reason: the cores that have it have vectors of 128 bits, as NEON has.
    pub(crate) fn left(&self, is_depthwise: bool) -> Option<&'static str> {
        match self.asked {
            Convolutions::Ours => None,
            Convolutions::Tract => Some(AS_ASKED),
            Convolutions::Auto | Convolutions::Exact if self.isa.is_portable() => {
                Some("ours would be plain Rust, without instructions of the processor's own")
            }
            Convolutions::Auto | Convolutions::Exact if is_depthwise => None,
            Convolutions::Auto | Convolutions::Exact => self.matrix_unit(),
        }
    }

    fn matrix_unit(&self) -> Option<&'static str> {
        let has = |feature| self.features.has(feature);
        if has(Feature::Aarch64AppleAmx) {
            Some("a product that tract computes on the matrix unit AMX")
        } else if has(Feature::Aarch64Sme) || has(Feature::Aarch64Sme2) {
            Some("a product that tract computes on the matrix unit SME")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use tract_linalg::isa::Arch;

    use super::*;

    /// The answers for a depthwise convolution and for another.
    fn answers(asked: Convolutions, isa: Isa, features: IsaSet) -> [Option<&'static str>; 2] {
        let policy = Policy {
            asked,
            isa,
            features,
        };
        [policy.left(true), policy.left(false)]
    }

    fn portable() -> Isa {
        "portable".parse().expect("every machine has it")
    }

    #[test]
    fn a_matrix_unit_gets_products_and_nothing_else() {
        let neon = IsaSet::of_arch(Arch::Aarch64);
        let Some(isa) = Isa::available().into_iter().find(|isa| !isa.is_portable()) else {
            return;
        };
        assert_eq!(answers(Convolutions::Auto, isa, neon), [None, None]);
        assert_eq!(answers(Convolutions::Exact, isa, neon), [None, None]);
        for feature in [
            Feature::Aarch64AppleAmx,
            Feature::Aarch64Sme,
            Feature::Aarch64Sme2,
        ] {
            let [depthwise, product] = answers(Convolutions::Auto, isa, neon.with(feature));
            assert_eq!(depthwise, None);
            assert!(product.is_some_and(|why| why.contains("matrix unit")));
            let forced = answers(Convolutions::Ours, isa, neon.with(feature));
            assert_eq!(forced, [None, None]);
        }
        // What x86-64 calls AMX computes in 8 and 16 bits.
        let x86 = IsaSet::of_arch(Arch::X86_64).with(Feature::X86_64AmxBf16);
        assert_eq!(answers(Convolutions::Auto, isa, x86), [None, None]);
    }

    #[test]
    fn what_is_only_portable_is_left_to_tract() {
        let features = IsaSet::of_arch(Arch::RiscV64);
        let left = answers(Convolutions::Auto, portable(), features);
        assert!(left.iter().all(Option::is_some), "{left:?}");
        let forced = answers(Convolutions::Ours, portable(), features);
        assert_eq!(forced, [None, None]);
        let left = answers(Convolutions::Tract, portable(), features);
        assert!(left.iter().all(Option::is_some), "{left:?}");
    }

    #[test]
    fn codes_run_on_codes_but_where_that_is_slower_or_nobody_wants_it() {
        let left = |asked, isa| {
            let policy = Policy {
                asked,
                isa,
                features: IsaSet::of_arch(Arch::X86_64),
            };
            policy.codes_left()
        };
        for isa in Isa::available() {
            assert_eq!(left(Convolutions::Ours, isa), None, "{isa}");
            assert_eq!(left(Convolutions::Tract, isa), Some(AS_ASKED), "{isa}");
        }
        assert!(left(Convolutions::Auto, portable()).is_some());
        assert!(left(Convolutions::Exact, portable()).is_some());
    }

    #[test]
    fn names_round_trip() {
        for name in Convolutions::NAMES {
            let parsed: Convolutions = name.parse().expect("one of its names");
            assert_eq!(parsed.to_string(), name);
        }
        assert!("yes".parse::<Convolutions>().is_err());
        assert_eq!(Convolutions::from(true), Convolutions::default());
    }
}
