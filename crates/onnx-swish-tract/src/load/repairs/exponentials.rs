//! Celu, Softplus and LogSoftmax where an exponential overflows, vanishes or loses its digits, and Selu's constants.
//!
//! At fault: tract-hir, `ops/activations.rs`: `Celu` multiplies its negative side by alpha once too often, `Softplus` takes
//! `ln(1 + e^x)` literally, infinite from 89 on and zero below -17; `ops/nn/layer_max.rs`: `LayerLogSoftmax` takes the logarithm of
//! a softmax that has become zero; tract-onnx, `ops/nn/mod.rs`: Selu's defaults end after five digits.

use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_hir::internal::*;
use tract_num_traits::Float;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use super::{Built, Delegate, Rewiring, builtin_op, rewired};
use crate::ops::function::{Function, Plain};

pub(super) fn celu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let alpha = node.get_attr_opt::<f32>("alpha")?.unwrap_or(1.0);
    let kind = Kind::Celu {
        alpha: alpha.into(),
    };
    rewired(ctx, node, "tract::Celu", kind)
}

/// Selu with the defaults of its schema: those of version 6, or the rounder ones before.
pub(super) fn selu(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let (alpha, gamma) = if ctx.onnx_operator_set_version < 6 {
        (1.6732, 1.0507)
    } else {
        (1.673_263_2, 1.050_701)
    };
    let mut node = node.clone();
    for (name, value) in [("alpha", alpha), ("gamma", gamma)] {
        if node.get_attr_opt::<f32>(name)?.is_none() {
            node.attribute.push(AttributeProto {
                name: name.to_owned(),
                r#type: AttributeType::Float as i32,
                f: value,
                ..AttributeProto::default()
            });
        }
    }
    builtin_op(ctx, &node, "tract::Selu")
}

pub(super) fn softplus(ctx: &ParsingContext, node: &NodeProto) -> Built {
    rewired(ctx, node, "tract::Softplus", Kind::Softplus)
}

pub(super) fn log_softmax(ctx: &ParsingContext, node: &NodeProto) -> Built {
    let axis = node.get_attr_opt::<i64>("axis")?;
    // Before opset 13 everything from the axis on is one vector.
    let kind = if ctx.onnx_operator_set_version < 13 {
        Kind::LogSoftmax {
            axis: axis.unwrap_or(1),
            to_the_end: true,
        }
    } else {
        Kind::LogSoftmax {
            axis: axis.unwrap_or(-1),
            to_the_end: false,
        }
    };
    rewired(ctx, node, "tract::LogSoftmax", kind)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Celu { alpha: f64 },
    Softplus,
    LogSoftmax { axis: i64, to_the_end: bool },
}

impl Rewiring for Kind {
    fn wire(
        &self,
        own: &Delegate,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let x = *inputs.first().context("an operator without an input")?;
        match model.outlet_fact(x)?.datum_type {
            DatumType::F32 | DatumType::F64 => match self {
                Kind::LogSoftmax { .. } => model.wire_node(prefix, Plain(*self), &[x]),
                // So that regions between codes go through it.
                Kind::Celu { .. } | Kind::Softplus => {
                    let op = ElementWiseOp(Box::new(OneByOne(*self)), None);
                    model.wire_node(prefix, op, &[x])
                }
            },
            _ => own.wire(prefix, model, inputs),
        }
    }
}

impl Kind {
    fn of<T: Datum + Float>(&self, x: &Tensor) -> TractResult<Tensor> {
        let x = x.to_plain_array_view::<T>()?;
        Ok(match *self {
            Kind::Celu { alpha } => {
                let alpha = T::from(alpha).context("the alpha of a Celu")?;
                x.mapv(|x| celu_one(x, alpha)).into_tensor()
            }
            Kind::Softplus => x.mapv(softplus_one).into_tensor(),
            Kind::LogSoftmax { axis, to_the_end } => {
                let rank = x.ndim() as i64;
                let axis = usize::try_from(if axis < 0 { axis + rank } else { axis })?;
                ensure!(
                    axis < x.ndim() || x.is_empty(),
                    "the axis {axis} of a LogSoftmax of {rank} axes"
                );
                let end = if to_the_end { x.ndim() } else { axis + 1 };
                let length: usize = x.shape()[axis..end].iter().product();
                let inner: usize = x.shape()[end..].iter().product();
                let mut y = x.to_owned().into_tensor();
                let mut plain = y.try_as_plain_ram_mut()?;
                log_softmax_in_place(plain.as_slice_mut::<T>()?, length, inner);
                y
            }
        })
    }
}

/// One that is computed element by element.
#[derive(Debug, Clone, PartialEq)]
struct OneByOne(Kind);

// A NaN alpha only makes two operators look different.
impl Eq for OneByOne {}

impl ElementWiseMiniOp for OneByOne {
    fn name(&self) -> String {
        Function::name(&self.0).to_owned()
    }

    fn eval_in_place(&self, x: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        *x = match x.datum_type() {
            DatumType::F64 => self.0.of::<f64>(x)?,
            _ => self.0.of::<f32>(x)?,
        };
        Ok(())
    }
}

/// `max(0, x) + min(0, alpha·(e^(x/alpha) - 1))`.
fn celu_one<T: Float>(x: T, alpha: T) -> T {
    let low = alpha * (x / alpha).exp_m1();
    // Comparisons that NaN fails, and then the sum.
    let high = if x <= T::zero() { T::zero() } else { x };
    high + if low >= T::zero() { T::zero() } else { low }
}

/// `ln(1 + e^x)`, by the exponential that is at most 1.
fn softplus_one<T: Float>(x: T) -> T {
    let high = if x <= T::zero() { T::zero() } else { x };
    high + (-x.abs()).exp().ln_1p()
}

/// `x - max - ln Σ e^(x - max)` along the middle one of the axes `[outer, length, inner]`.
fn log_softmax_in_place<T: Float>(xs: &mut [T], length: usize, inner: usize) {
    if length == 0 || inner == 0 {
        return;
    }
    for block in xs.chunks_exact_mut(length * inner) {
        for first in 0..inner {
            let lane = || (first..length * inner).step_by(inner);
            let greatest = |best: T, x: T| if x > best || x.is_nan() { x } else { best };
            let most = lane().fold(T::neg_infinity(), |best, at| greatest(best, block[at]));
            let sum = lane().fold(T::zero(), |sum, at| sum + (block[at] - most).exp());
            // In two steps: the sum of a large maximum and a small logarithm has lost digits.
            let log = sum.ln();
            for at in lane() {
                block[at] = (block[at] - most) - log;
            }
        }
    }
}

impl Function for Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Celu { .. } => "Celu",
            Kind::Softplus => "Softplus",
            Kind::LogSoftmax { .. } => "LogSoftmax",
        }
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("an operator without an input")?;
        Ok(tvec!(x.datum_type.fact(x.shape.clone())))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let x = args_1!(inputs);
        let y = if x.datum_type() == DatumType::F64 {
            self.of::<f64>(&x)?
        } else {
            self.of::<f32>(&x)?
        };
        Ok(tvec!(y.into_tvalue()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn celu_of_any_alpha_is_the_specifications() {
        // onnx.reference of alpha 2, -2 and -1: 2·(e^-1 - 1), 2·(e^-1/2 - 1).
        assert!((celu_one(-2.0, 2.0) - -1.264_241_117_657_115_f64).abs() < 1e-15);
        assert!((celu_one(-1.0, 2.0) - -0.786_938_680_574_733_f64).abs() < 1e-15);
        assert_eq!(celu_one(3.0f32, 2.0), 3.0);
        assert!(celu_one(f32::NAN, 2.0).is_nan());
    }

    #[test]
    fn softplus_has_both_tails() {
        assert_eq!(softplus_one(89.0f32), 89.0);
        assert!((softplus_one(-20.0f32) / 2.061_153_6e-9 - 1.0).abs() < 1e-6);
        assert_eq!(softplus_one(f32::NEG_INFINITY), 0.0);
        assert_eq!(softplus_one(f32::INFINITY), f32::INFINITY);
        assert!(softplus_one(f32::NAN).is_nan());
    }

    #[test]
    fn log_softmax_of_far_logits_is_finite() {
        let mut x = [0.0f32, -50.0, -150.0, -1000.0];
        log_softmax_in_place(&mut x, 4, 1);
        assert_eq!(x, [0.0, -50.0, -150.0, -1000.0]);
        // Along the first axis of [2, 2].
        let mut x = [1.0f64, 5.0, 1.0, 5.0];
        log_softmax_in_place(&mut x, 2, 2);
        assert!(x.iter().all(|x| (x + 2f64.ln()).abs() < 1e-15));
    }
}
