//! Every fused activation against its own formula, as a run comes to it.
//!
//! Given an activation's input and output; promises its distance from the function that it stands for, computed here in f64 from the
//! same input, by arithmetic that shares nothing with the kernels. What came before it in the model does not matter to the figure.
//!
//! The bound is the kernels' contract, two units in the last place in float32: so a coefficient that is wrong in its seventh digit
//! shows here, where an output's tolerance would let it pass.

use std::collections::HashMap;

use onnx_swish_kernels::contract;
use onnx_swish_tract::{Element, Formula, Watched};
use serde::Serialize;

use super::ulps::Ulps;
use crate::ElementType;

/// What one fused activation was given and how exactly it computed, over all input sets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// The node.
    pub node: String,
    /// The activation.
    pub op: String,
    /// The value that it makes, by the file's name; null where the node is of tract's making.
    pub output: Option<String>,
    /// NumPy's name of the element type that it computed in.
    pub element_type: &'static str,
    /// The smallest finite value it was given.
    pub min: f64,
    /// The largest finite value it was given.
    pub max: f64,
    /// How many elements were compared with the formula.
    pub elements: usize,
    /// The largest distance from the formula, in units in the last place of the element type at the exact result.
    pub max_ulp: f64,
    /// What the kernels promise.
    pub allowed_ulp: f64,
    /// Whether every element is within that.
    pub exact: bool,
    /// The element farthest from the formula.
    pub worst: Option<Inexact>,
    /// With [`each`](super::VerifyOptions::each): the value against the reference's value of that name. Null where the reference has
    /// no such value, or was not asked.
    pub against_reference: Option<super::OutputComparison>,
}

/// An input, what the formula makes of it, and what the activation made of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Inexact {
    /// The input.
    pub x: f64,
    /// The formula's value.
    pub exact: f64,
    /// The activation's value.
    pub found: f64,
}

impl Coverage {
    /// Whether nothing about the activation is off.
    pub fn equal(&self) -> bool {
        self.exact
            && self
                .against_reference
                .as_ref()
                .is_none_or(|value| value.equal)
    }
}

/// All activations of a model as its runs come to them.
#[derive(Debug, Default)]
pub(super) struct Watcher {
    /// In the order of execution.
    pub seen: Vec<Coverage>,
    by_node: HashMap<String, usize>,
}

impl Watcher {
    pub fn see(&mut self, watched: &Watched<'_>) {
        let Some(found) = measure(watched) else {
            return;
        };
        let known = self.by_node.get(watched.node).copied();
        match known.and_then(|at| self.seen.get_mut(at)) {
            Some(coverage) => coverage.merge(found),
            None => {
                self.by_node
                    .insert(watched.node.to_owned(), self.seen.len());
                self.seen.push(found);
            }
        }
    }
}

impl Coverage {
    fn merge(&mut self, other: Coverage) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.elements += other.elements;
        self.exact &= other.exact;
        if other.max_ulp > self.max_ulp {
            self.max_ulp = other.max_ulp;
            self.worst = other.worst;
        }
    }
}

fn measure(watched: &Watched<'_>) -> Option<Coverage> {
    let element_type = watched.x.element_type();
    let mut coverage = Coverage {
        node: watched.node.to_owned(),
        op: watched.op.to_owned(),
        output: None,
        element_type: element_type.name(),
        min: f64::INFINITY,
        max: f64::NEG_INFINITY,
        elements: watched.y.len(),
        max_ulp: 0.0,
        allowed_ulp: allowed_ulp(element_type),
        exact: true,
        worst: None,
        against_reference: None,
    };
    match element_type {
        ElementType::F16 => coverage.compare::<half::f16>(watched, f64::from)?,
        ElementType::BF16 => coverage.compare::<half::bf16>(watched, f64::from)?,
        ElementType::F32 => coverage.compare::<f32>(watched, f64::from)?,
        ElementType::F64 => coverage.compare::<f64>(watched, |x| x)?,
        _ => return None,
    }
    // A tensor without finite elements visits nothing.
    (coverage.min <= coverage.max).then_some(coverage)
}

/// The bound of an activation: the kernels' contract, and for f64 what this oracle itself may lose.
fn allowed_ulp(element_type: ElementType) -> f64 {
    /// The exponential, its correction, the sum and the division, each rounded to f64.
    const ORACLE: f64 = 2.5;
    match element_type {
        ElementType::F16 => contract::F16_MAX_ULP,
        ElementType::BF16 => contract::BF16_MAX_ULP,
        ElementType::F64 => contract::F64_MAX_ULP + ORACLE,
        _ => contract::F32_MAX_ULP,
    }
}

impl Coverage {
    fn compare<T: Element + Copy>(
        &mut self,
        watched: &Watched<'_>,
        wide: impl Fn(T) -> f64,
    ) -> Option<()> {
        let ulps = Ulps::of(watched.x.element_type());
        let y = watched.y.view::<T>().ok()?;
        let x = watched.x.view::<T>().ok()?;
        let x = x.broadcast(y.shape())?;
        let mut see = |x: f64, exact: f64, found: f64| {
            if x.is_finite() {
                self.min = self.min.min(x);
                self.max = self.max.max(x);
            }
            let ulp = ulps.error_of(exact, found);
            self.exact &= ulp <= self.allowed_ulp;
            if ulp > self.max_ulp {
                self.max_ulp = ulp;
                self.worst = Some(Inexact { x, exact, found });
            }
        };
        match &watched.formula {
            &Formula::Swish { beta } => {
                for (&x, &y) in x.iter().zip(&y) {
                    let x = wide(x);
                    see(x, swish(x, beta), wide(y));
                }
            }
            &Formula::HardSwish { alpha, offset } => {
                for (&x, &y) in x.iter().zip(&y) {
                    let x = wide(x);
                    see(x, hard_swish(x, alpha, offset), wide(y));
                }
            }
            Formula::SwishBy { beta } => {
                let beta = beta.view::<T>().ok()?;
                let beta = beta.broadcast(y.shape())?;
                for ((&x, &beta), &y) in x.iter().zip(&beta).zip(&y) {
                    let x = wide(x);
                    see(x, swish(x, wide(beta)), wide(y));
                }
            }
            // A formula that this version does not know is not judged by it.
            _ => return None,
        }
        Some(())
    }
}

/// x·σ(βx) as x/(1 + e⁻ᵗ), t = βx (arXiv:1710.05941).
///
/// In f64: below 10⁻⁷ units in the last place of f32. What rounding takes from t is put back as a factor of the exponential, so that
/// it holds for f64, too, to 2.5 units.
fn swish(x: f64, beta: f64) -> f64 {
    let t = beta * x;
    let lost = beta.mul_add(x, -t);
    let lost = if lost.is_finite() { lost } else { 0.0 };
    // e⁻ᵗ overflows before x·eᵗ is too small for any of the types.
    if t < -700.0 && x.is_finite() {
        return x * ((0.5 * t).exp() * (1.0 + lost)) * (0.5 * t).exp();
    }
    x / (1.0 + (-t).exp() * (1.0 - lost))
}

/// x·clamp(αx + offset, 0, 1) (arXiv:1905.02244; ONNX HardSigmoid), the line rounded once.
fn hard_swish(x: f64, alpha: f64, offset: f64) -> f64 {
    let line = alpha.mul_add(x, offset);
    // `clamp` would leave a zero its sign; the bound is +0.
    x * (line.clamp(0.0, 1.0) + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use ndarray::{ArrayD, array};

    fn watched(formula: Formula, x: ArrayD<f32>, y: ArrayD<f32>) -> Option<Coverage> {
        measure(&Watched {
            node: "n",
            op: "FusedSilu",
            formula,
            x: Tensor::from(x),
            y: Tensor::from(y),
        })
    }

    #[test]
    fn the_kernels_are_within_their_contract() {
        let x: ArrayD<f32> = ndarray::Array1::linspace(-120.0, 120.0, 4001).into_dyn();
        for beta in [1.0f32, 1.702, -0.5, 30.0] {
            let mut y = x.clone();
            onnx_swish_kernels::swish_in_place(y.as_slice_mut().unwrap(), beta);
            let found = watched(Formula::Swish { beta: beta.into() }, x.clone(), y).unwrap();
            assert!(found.exact && found.max_ulp > 0.0, "{found:?}");
            assert_eq!((found.min, found.max), (-120.0, 120.0));
        }
        let mut y = x.clone();
        onnx_swish_kernels::hard_swish_in_place(y.as_slice_mut().unwrap());
        let formula = Formula::HardSwish {
            alpha: (1.0f32 / 6.0).into(),
            offset: 0.5,
        };
        assert!(watched(formula, x, y).unwrap().exact);
    }

    #[test]
    fn a_wrong_seventh_digit_shows() {
        let x = array![1.0f32, 2.0].into_dyn();
        let y = x.mapv(|x| (f64::from(x) / (1.0 + (-f64::from(x)).exp()) * (1.0 + 3e-7)) as f32);
        let found = watched(Formula::Swish { beta: 1.0 }, x, y).unwrap();
        assert!(!found.exact && found.max_ulp > 2.0, "{found:?}");
        assert!(found.worst.is_some());
    }

    #[test]
    fn beta_may_be_a_tensor() {
        let x = array![[1.0f32, -2.0], [3.0, 4.0]].into_dyn();
        let beta = array![[0.5f32], [2.0]].into_dyn();
        let exact = |x: f32, beta: f32| swish(x.into(), beta.into()) as f32;
        let y = array![
            [exact(1.0, 0.5), exact(-2.0, 0.5)],
            [exact(3.0, 2.0), exact(4.0, 2.0)]
        ];
        let beta = Tensor::from(beta);
        let found = watched(Formula::SwishBy { beta }, x, y.into_dyn()).unwrap();
        assert!(found.exact && found.max_ulp <= 0.5, "{found:?}");
    }

    #[test]
    fn infinities_are_what_the_functions_bodies_give() {
        assert_eq!(swish(f64::INFINITY, 1.0), f64::INFINITY);
        assert!(swish(f64::NEG_INFINITY, 1.0).is_nan());
        assert!(hard_swish(f64::NEG_INFINITY, 1.0 / 6.0, 0.5).is_nan());
        let nan = array![f32::NAN, 1.0].into_dyn();
        let found = watched(Formula::Swish { beta: 1.0 }, nan.clone(), nan).unwrap();
        assert!(!found.exact, "1 for 0.73");
    }

    #[test]
    fn far_below_zero_the_value_is_small_and_not_lost() {
        let x = -720.0f64;
        let expected = x * (-360.0f64).exp() * (-360.0f64).exp();
        assert!((swish(x, 1.0) / expected - 1.0).abs() < 1e-12);
    }
}
