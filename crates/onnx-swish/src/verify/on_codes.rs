//! What of a fused model ran on 8-bit codes.
//!
//! Given the engine and the inputs of a run; promises counts of what that run computed on codes: activations there are tables, which no
//! formula of floats is compared with, and their values are judged by the codes of the outputs.

use onnx_swish_tract::Session as Engine;
use serde::Serialize;

use crate::NamedTensors;
use crate::error::Result;
use crate::words::counted;

/// What ran on 8-bit codes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OnCodes {
    /// Quantised SiLU, Swish and HardSwish that ran as tables of 256 entries.
    pub activations: usize,
    /// Other functions of one code that ran as tables.
    pub other_tables: usize,
    /// Convolutions and products whose sums were of codes.
    pub convolutions: usize,
}

impl OnCodes {
    /// What a run on these inputs has computed on codes.
    pub(super) fn of(engine: &Engine, inputs: &NamedTensors) -> Result<OnCodes> {
        let shape = |name: &String| {
            let mut named = inputs.iter();
            let (_, tensor) = named.find(|(own, _)| own == name || own.is_empty())?;
            Some(tensor.shape().to_vec())
        };
        let shapes = engine.inputs().iter().map(|port| shape(&port.name));
        // An input that has a value of its own need not be given.
        let Some(shapes) = shapes.collect::<Option<Vec<_>>>() else {
            return Ok(OnCodes::default());
        };
        let tables = engine.tables(&shapes)?;
        let tables = || tables.iter().filter(|one| one.table);
        let activations = tables().filter(|one| one.is_quantised_swish()).count();
        let convolutions = engine.convolutions(&shapes)?;
        Ok(OnCodes {
            activations,
            other_tables: tables().count() - activations,
            convolutions: convolutions.iter().filter(|one| one.codes).count(),
        })
    }
}

/// `2 quantised activations and 1 other function ran as tables, 3 convolutions and products on codes`; nothing where nothing did.
impl std::fmt::Display for OnCodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = |number, what| (number > 0).then(|| counted(number, what));
        let activations = named(self.activations, "quantised activation");
        let other = match activations {
            Some(_) => named(self.other_tables, "other function"),
            None => named(self.other_tables, "function of one code"),
        };
        let tables: Vec<String> = activations.into_iter().chain(other).collect();
        let tables = (!tables.is_empty()).then(|| {
            let one = self.activations + self.other_tables == 1;
            let as_what = if one { "a table" } else { "tables" };
            format!("{} ran as {as_what}", tables.join(" and "))
        });
        let convolutions = named(self.convolutions, "convolution or product").map(|said| {
            let said = said.replace("convolution or products", "convolutions and products");
            let ran = if tables.is_none() { " ran" } else { "" };
            format!("{said}{ran} on codes")
        });
        let all: Vec<String> = tables.into_iter().chain(convolutions).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ran_is_told_in_words() {
        let told = |activations, other_tables, convolutions| {
            let ran = OnCodes {
                activations,
                other_tables,
                convolutions,
            };
            ran.to_string()
        };
        assert_eq!(told(0, 0, 0), "");
        assert_eq!(
            told(2, 1, 3),
            "2 quantised activations and 1 other function ran as tables, 3 convolutions and products on codes"
        );
        assert_eq!(told(1, 0, 0), "1 quantised activation ran as a table");
        assert_eq!(told(0, 1, 0), "1 function of one code ran as a table");
        assert_eq!(told(0, 0, 1), "1 convolution or product ran on codes");
    }
}
