//! The distinct functions among activations.
//! Given: activations with their parameters, one after the other.
//! Promises: one curve for each function, in the order in which they were met; one where beta is a tensor whose numbers are not at hand has
//! a sentence instead of a line.

use onnx_swish_fuse::{ActivationKind, BetaValue, Betas, FusionEntry, QuantisedEntry};

use crate::document::Curve;

/// An activation's function.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    activation: ActivationKind,
    beta: Option<f64>,
    betas: Option<Betas>,
    alpha: Option<f64>,
    offset: Option<f64>,
    factor: Option<f64>,
}

impl From<&QuantisedEntry> for Function {
    fn from(region: &QuantisedEntry) -> Self {
        Self {
            activation: region.activation,
            beta: region.beta,
            betas: None,
            alpha: region.alpha,
            offset: region.offset,
            factor: region.factor,
        }
    }
}

impl Function {
    /// Of a fusion, and of its beta where that is a tensor.
    pub(crate) fn new(fusion: &FusionEntry, betas: Option<Betas>) -> Self {
        Self {
            activation: fusion.activation,
            beta: match &fusion.beta {
                Some(BetaValue::Number(beta)) => Some(*beta),
                Some(BetaValue::Tensor(_)) | None => None,
            },
            betas,
            alpha: fusion.alpha,
            offset: fusion.offset,
            factor: fusion.factor,
        }
    }

    /// Its name, with the parameters that its kind leaves open.
    pub(crate) fn title(&self) -> String {
        let (alpha, offset) = (self.alpha.unwrap_or(SIXTH), self.offset.unwrap_or(0.5));
        let standard = (alpha - SIXTH).abs() < 1e-6 && (offset - 0.5).abs() < 1e-6;
        let name = self.activation.name();
        let name = match (self.activation, self.betas) {
            (ActivationKind::Silu, _) => name.to_owned(),
            (ActivationKind::Swish, Some(Betas::Known { min, max, .. })) => {
                format!("{name}, beta {} to {}", short(min), short(max))
            }
            (ActivationKind::Swish, Some(_)) => format!("{name}, beta is a tensor"),
            (ActivationKind::Swish, None) => format!("{name}, beta {}", self.beta.unwrap_or(1.0)),
            (ActivationKind::HardSwish, _) if standard => name.to_owned(),
            (ActivationKind::HardSwish, _) => format!("{name}, slope {alpha}, offset {offset}"),
        };
        match self.factor {
            Some(factor) => format!("{name}, times {factor}"),
            None => name,
        }
    }

    /// Why there is no line to draw.
    fn note(&self) -> Option<&'static str> {
        match self.betas? {
            Betas::Known { .. } => None,
            Betas::Elsewhere => Some("No curve: the numbers of beta are not in the file"),
            Betas::Computed => Some("No curve: beta is known once the model runs"),
        }
    }
}

/// Four digits, and no zeros behind them.
fn short(number: f64) -> f64 {
    format!("{number:.3e}").parse().unwrap_or(number)
}

const SIXTH: f64 = 1.0 / 6.0;

/// Collects curves.
#[derive(Default)]
pub(crate) struct Curves(Vec<Curve>);

impl Curves {
    /// The position of a function's curve.
    pub(crate) fn add(&mut self, function: &Function) -> Option<u32> {
        // A factor stays behind as a node of its own: the curve is the activation's.
        let plain = Function {
            factor: None,
            ..*function
        };
        let (title, note) = (plain.title(), plain.note());
        let same = |curve: &Curve| curve.title == title && curve.note == note;
        if let Some(at) = self.0.iter().position(same) {
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
            betas: match function.betas {
                Some(Betas::Known { min, median, max }) => Some([min, median, max]),
                _ => None,
            },
            note,
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
