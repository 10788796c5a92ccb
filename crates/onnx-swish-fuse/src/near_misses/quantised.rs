//! Words for activations of quantised numbers that are no tables.
//! Given: what stands in the way.
//! Promises: which scale, which code, which gate; and what a quantiser would have to do.

use super::{Explainer, Words, short};
use crate::quantised::Obstacle;
use crate::quantised::params::Flaw;

impl Explainer<'_, '_> {
    pub(super) fn quantised(&self, obstacle: Obstacle) -> Words {
        let what = self.product();
        match obstacle {
            Obstacle::Flaw(flaw) => self.flaw(flaw),
            Obstacle::FloatPartner => Words::new(
                "quantized",
                format!(
                    "{what}, which is quantised in between, while {} is not: fusing would change values, and there is no code to make a table of",
                    self.name(self.miss.partner)
                ),
                "quantise what the gate is computed from and multiplied by, or leave the gate in floats",
            ),
            Obstacle::FloatResult => Words::new(
                "quantized",
                format!(
                    "{what}, a quantised activation whose result is not quantised again: fusing would change values, and no code leaves that a table could hold"
                ),
                "quantise the product, or leave the gate in floats",
            ),
            Obstacle::TensorBeta(beta) => Words::new(
                "quantized_beta",
                format!(
                    "{what}, a quantised Swish whose beta {} is a tensor, and a table holds one function",
                    self.beta(beta)
                ),
                "nothing: one number as beta would make it a table",
            ),
            Obstacle::Saturates(code, lo, hi) => Words::new(
                "saturates",
                format!(
                    "{what}, a quantised activation but for the quantiser of {}: it ends at {} and {}, and cuts off more than a step",
                    self.name(code),
                    short(lo),
                    short(hi)
                ),
                "calibrate again, with a range that these values fit into",
            ),
            Obstacle::Coarse(code, step) => Words::new(
                "coarse",
                format!(
                    "{what}, a quantised activation but for the quantiser of {}: its steps of {} round away more than the other codes would show",
                    self.name(code),
                    short(step)
                ),
                "calibrate again, so that the steps of this quantiser are finer",
            ),
            Obstacle::Open(code, bound, meant) => Words::new(
                "bounds",
                format!(
                    "{what}, which nothing but the quantiser of {} bounds, at {}: {}",
                    self.name(code),
                    short(bound),
                    if meant == 0.0 {
                        "a HardSwish gate closes at 0".to_owned()
                    } else {
                        format!("a gate that is 1/2 at zero ends at {}", short(meant))
                    }
                ),
                "keep the Clip, or quantise the gate with the Clip's bounds",
            ),
            Obstacle::Shifted(slope, offset) => Words::new(
                "code_offset",
                format!(
                    "{what}, a quantised activation, but of {} times the number that the code stands for plus {}, and activations have no such offset",
                    short(slope),
                    short(offset)
                ),
                "add the bias before x is quantised",
            ),
            Obstacle::Transposed => Words::new(
                "transposed",
                format!(
                    "{what}, a quantised activation with a Transpose between its codes: they are in different orders, and a table moves nothing"
                ),
                "transpose before or behind the activation, and back inside if there are two",
            ),
            Obstacle::Between => Words::new(
                "quantized",
                format!(
                    "{} is a float activation of {} between 8-bit codes, where it is not all that is computed: fusing would move codes",
                    self.name(self.miss.output),
                    self.name(self.miss.partner)
                ),
                "nothing: what lies between the codes is computed as the file has it",
            ),
            Obstacle::Broken(broken) => self.broken(broken),
        }
    }

    fn flaw(&self, flaw: Flaw) -> Words {
        let what = self.product();
        match flaw {
            Flaw::PerChannel(scale) => Words::new(
                "per_channel_scale",
                format!(
                    "{what}, a quantised activation, but the scale {} has more than one element: each channel would need its own table",
                    self.name(scale)
                ),
                "quantise activations per tensor, as every quantiser does",
            ),
            Flaw::CodeType(code) => Words::new(
                "code_type",
                format!(
                    "{what}, a quantised activation, but its codes are {}, and tables are made of 8-bit integers",
                    type_name(code)
                ),
                "quantise activations to uint8 or int8",
            ),
            Flaw::Scale(value, scale) => Words::new(
                "scale",
                format!(
                    "{what}, a quantised activation, but the scale {} is {}: runtimes disagree about scales that are not finite, normal and above zero",
                    self.name(value),
                    short(scale)
                ),
                "calibrate again",
            ),
            Flaw::Computed(value) => Words::new(
                "scale",
                format!(
                    "{what}, a quantised activation, but {} is no constant",
                    self.name(value)
                ),
                if self.graph.is_argument(value) {
                    "inline the model's functions first: what calls this one gives the scale"
                } else {
                    "quantise statically, or leave the activation in floats"
                },
            ),
            Flaw::Quotients(value) => Words::new(
                "scale",
                format!(
                    "{what}, a quantised activation, but the scale {} is so small that quotients leave the range of 32-bit integers, where runtimes disagree",
                    self.name(value)
                ),
                "calibrate again",
            ),
        }
    }
}

/// An element type as people know it.
fn type_name(code: Option<i32>) -> String {
    let name = match code {
        None | Some(i32::MAX) => "of a type that nothing says",
        Some(4) => "uint16",
        Some(5) => "int16",
        Some(6) => "int32",
        Some(17..=20) => "8-bit floats",
        Some(21 | 22) => "4-bit integers",
        Some(_) => "of another type",
    };
    name.to_owned()
}
