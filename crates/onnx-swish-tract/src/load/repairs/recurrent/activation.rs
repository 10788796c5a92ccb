//! The activation functions that recurrent operators may name.
//!
//! Source: the ONNX operator specification, "RNN", section "Activation functions", and its table of defaults.

use tract_hir::internal::*;
use tract_num_traits::Float;
use tract_onnx::pb::NodeProto;

use super::cell::Kind;
use crate::error::reject;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Activation {
    Relu,
    Tanh,
    Sigmoid,
    Affine { alpha: f64, beta: f64 },
    LeakyRelu { alpha: f64 },
    ThresholdedRelu { alpha: f64 },
    ScaledTanh { alpha: f64, beta: f64 },
    HardSigmoid { alpha: f64, beta: f64 },
    Elu { alpha: f64 },
    Softsign,
    Softplus,
}

impl Activation {
    /// What an operator uses that names none, for one direction.
    pub fn usual(kind: Kind) -> Vec<Activation> {
        match kind {
            Kind::Rnn => vec![Activation::Tanh],
            Kind::Gru { .. } => vec![Activation::Sigmoid, Activation::Tanh],
            Kind::Lstm { .. } => vec![Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        }
    }

    /// What a node names, in order; a parameter belongs to the next function that has one.
    pub fn named(node: &NodeProto) -> TractResult<Vec<Activation>> {
        let names: Vec<String> = node.get_attr_opt_vec("activations")?.unwrap_or_default();
        let parameters = |name| -> TractResult<std::vec::IntoIter<f32>> {
            Ok(node
                .get_attr_opt_vec::<f32>(name)?
                .unwrap_or_default()
                .into_iter())
        };
        let mut alphas = parameters("activation_alpha")?;
        let mut betas = parameters("activation_beta")?;
        let mut alpha = |usual: f64| alphas.next().map_or(usual, f64::from);
        let mut beta = |usual: f64| betas.next().map_or(usual, f64::from);
        let named = names.iter().map(|name| {
            Ok(match name.to_lowercase().as_str() {
                "relu" => Activation::Relu,
                "tanh" => Activation::Tanh,
                "sigmoid" => Activation::Sigmoid,
                "affine" => Activation::Affine {
                    alpha: alpha(1.0),
                    beta: beta(0.0),
                },
                "leakyrelu" => Activation::LeakyRelu { alpha: alpha(0.01) },
                "thresholdedrelu" => Activation::ThresholdedRelu { alpha: alpha(1.0) },
                "scaledtanh" => Activation::ScaledTanh {
                    alpha: alpha(1.0),
                    beta: beta(1.0),
                },
                "hardsigmoid" => Activation::HardSigmoid {
                    alpha: alpha(0.2),
                    beta: beta(0.5),
                },
                "elu" => Activation::Elu { alpha: alpha(1.0) },
                "softsign" => Activation::Softsign,
                "softplus" => Activation::Softplus,
                other => reject!("there is no recurrent activation `{other}`"),
            })
        });
        named.collect()
    }

    pub fn of<T: Float>(self, x: T) -> T {
        let number = |x: f64| T::from(x).unwrap_or_else(T::nan);
        let (zero, one) = (T::zero(), T::one());
        match self {
            Activation::Relu => x.max(zero),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => one / (one + (-x).exp()),
            Activation::Affine { alpha, beta } => number(alpha) * x + number(beta),
            Activation::LeakyRelu { alpha } if x < zero => number(alpha) * x,
            Activation::LeakyRelu { .. } => x,
            Activation::ThresholdedRelu { alpha } if x >= number(alpha) => x,
            Activation::ThresholdedRelu { .. } => zero,
            Activation::ScaledTanh { alpha, beta } => number(alpha) * (number(beta) * x).tanh(),
            Activation::HardSigmoid { alpha, beta } => {
                (number(alpha) * x + number(beta)).max(zero).min(one)
            }
            Activation::Elu { alpha } if x < zero => number(alpha) * x.exp_m1(),
            Activation::Elu { .. } => x,
            Activation::Softsign => x / (one + x.abs()),
            // ln(1 + e^x) without overflow.
            Activation::Softplus => x.max(zero) + (-x.abs()).exp().ln_1p(),
        }
    }
}
