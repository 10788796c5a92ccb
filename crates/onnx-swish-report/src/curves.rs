//! The distinct functions among activations.
//! Given: activations with their parameters, one after the other.
//! Promises: one curve for each function, in the order in which they were met; a Swish whose beta is a tensor has none to draw.

use onnx_swish_fuse::{ActivationKind, BetaValue, FusionEntry, QuantisedEntry};

use crate::document::Curve;

/// An activation's function.
pub(crate) struct Function {
    activation: ActivationKind,
    beta: Option<f64>,
    tensor: Option<String>,
    alpha: Option<f64>,
    offset: Option<f64>,
    factor: Option<f64>,
}

impl From<&FusionEntry> for Function {
    fn from(fusion: &FusionEntry) -> Self {
        let (beta, tensor) = match &fusion.beta {
            Some(BetaValue::Number(beta)) => (Some(*beta), None),
            Some(BetaValue::Tensor(tensor)) => (None, Some(tensor.clone())),
            None => (None, None),
        };
        Self {
            activation: fusion.activation,
            beta,
            tensor,
            alpha: fusion.alpha,
            offset: fusion.offset,
            factor: fusion.factor,
        }
    }
}

impl From<&QuantisedEntry> for Function {
    fn from(region: &QuantisedEntry) -> Self {
        Self {
            activation: region.activation,
            beta: region.beta,
            tensor: None,
            alpha: region.alpha,
            offset: region.offset,
            factor: region.factor,
        }
    }
}

impl Function {
    /// Its name, with the parameters that its kind leaves open.
    pub(crate) fn title(&self) -> String {
        let (alpha, offset) = (self.alpha.unwrap_or(SIXTH), self.offset.unwrap_or(0.5));
        let standard = (alpha - SIXTH).abs() < 1e-6 && (offset - 0.5).abs() < 1e-6;
        let name = match (self.activation, &self.tensor) {
            (ActivationKind::Silu, _) => "SiLU".to_owned(),
            (ActivationKind::Swish, Some(_)) => "Swish, beta is a tensor".to_owned(),
            (ActivationKind::Swish, None) => format!("Swish, beta {}", self.beta.unwrap_or(1.0)),
            (ActivationKind::HardSwish, _) if standard => "HardSwish".to_owned(),
            (ActivationKind::HardSwish, _) => format!("HardSwish, slope {alpha}, offset {offset}"),
        };
        match self.factor {
            Some(factor) => format!("{name}, times {factor}"),
            None => name,
        }
    }
}

const SIXTH: f64 = 1.0 / 6.0;

/// Collects curves.
#[derive(Default)]
pub(crate) struct Curves(Vec<Curve>);

impl Curves {
    /// The position of a function's curve.
    pub(crate) fn add(&mut self, function: &Function) -> Option<u32> {
        if function.tensor.is_some() {
            return None;
        }
        // A factor stays behind as a node of its own: the curve is the activation's.
        let plain = Function {
            tensor: None,
            factor: None,
            ..*function
        };
        let title = plain.title();
        if let Some(at) = self.0.iter().position(|curve| curve.title == title) {
            if let Some(curve) = self.0.get_mut(at) {
                curve.count += 1;
            }
            return Some(at as u32);
        }
        // Every learned beta of its own would be a curve of its own: nobody compares hundreds.
        if self.0.len() >= MOST {
            return None;
        }
        self.0.push(Curve {
            activation: function.activation,
            title,
            beta: function.beta,
            alpha: function.alpha,
            offset: function.offset,
            count: 1,
            range: None,
        });
        Some(self.0.len() as u32 - 1)
    }

    pub(crate) fn finish(self) -> Vec<Curve> {
        self.0
    }
}

/// Most curves.
const MOST: usize = 64;
