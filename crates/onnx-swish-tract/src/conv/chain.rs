//! What follows a convolution and can be computed with it.
//!
//! Given a convolution; promises the longest run of nodes of which each is the only reader of the one before: constant scales and
//! offsets per channel, then a residual and an activation in either order, or a factor behind them, then a rounding to 8-bit codes.

use std::borrow::Cow;

use onnx_swish_conv::{Activation, Line, Residual};
use onnx_swish_kernels::codes::Requantize;
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::{Add, Div, Max, Min, Mul, Sub};
use tract_core::ops::nn::{HardSwish, Silu};

use super::f32_constant;
use super::root::Root;
use crate::ops;

/// A run of nodes.
pub(crate) struct Chain {
    /// All nodes that one operator replaces, the convolution included.
    pub nodes: Vec<usize>,
    /// What it replaces them by: the value of the last one.
    pub last: OutletId,
    /// Per output channel: the convolution's sum is multiplied by this ...
    pub scale: Vec<f64>,
    /// ... and this is added.
    pub offset: Vec<f64>,
    pub activation: Activation,
    /// What comes behind the activation.
    pub line: Option<Line>,
    pub residual_at: Residual,
    pub residual: Option<OutletId>,
    /// What comes last.
    pub requantize: Option<Requantize>,
    /// What the tables among these compute, in words, in their order.
    pub tables: Vec<String>,
}

/// Whether a tensor that is added goes into the convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residuals {
    Taken,
    Left,
}

impl Chain {
    /// The run that starts with `root`.
    pub fn after(model: &TypedModel, root: &Root, residuals: Residuals) -> TractResult<Chain> {
        let mut chain = Chain {
            nodes: vec![root.node],
            last: OutletId::new(root.node, 0),
            scale: vec![1.0; root.out_channels],
            offset: vec![0.0; root.out_channels],
            activation: Activation::None,
            residual_at: Residual::None,
            residual: None,
            line: None,
            requantize: None,
            tables: Vec::new(),
        };
        let outputs = model.output_outlets()?;
        while !outputs.contains(&chain.last) && chain.requantize.is_none() {
            let &[successor] = &*model.node(chain.last.node).outputs[chain.last.slot].successors
            else {
                break;
            };
            let node = model.node(successor.node);
            let taken = if let Some(op) = node.op_as::<ElementWiseOp>() {
                chain.take_activation(op)
            } else if let Some(op) = node.op_as::<TypedBinOp>() {
                chain.take_binary(model, root, residuals, (node, op, successor.slot))?
            } else {
                false
            };
            if !taken || node.outputs.len() != 1 {
                break;
            }
            chain.nodes.push(node.id);
            chain.last = OutletId::new(node.id, 0);
        }
        Ok(chain)
    }

    /// The convolution's weights and bias with the scales and offsets behind it in them.
    pub fn weights_and_bias<'a>(&self, root: &'a Root) -> (Cow<'a, [f32]>, Vec<f32>) {
        let weights = if self.scale.iter().all(|scale| *scale == 1.0) {
            Cow::Borrowed(&*root.weights)
        } else {
            let per_filter = (root.weights.len() / root.out_channels.max(1)).max(1);
            let scaled = root.weights.chunks(per_filter).zip(&self.scale);
            let scaled = scaled.flat_map(|(filter, scale)| {
                filter.iter().map(move |w| (f64::from(*w) * scale) as f32)
            });
            scaled.collect()
        };
        let bias: Vec<f32> = root
            .bias
            .iter()
            .zip(self.scale.iter().zip(&self.offset))
            .map(|(bias, (scale, offset))| (f64::from(*bias) * scale + offset) as f32)
            .collect();
        (weights, bias)
    }

    fn take_activation(&mut self, op: &ElementWiseOp) -> bool {
        if let Some(codes) = op.0.downcast_ref::<ops::Requantize>() {
            self.tables.extend(codes.what.clone());
            if self.activation == Activation::None && self.residual_at == Residual::None {
                self.activation = Activation::Requantize(codes.by);
            } else {
                self.requantize = Some(codes.by);
            }
            return true;
        }
        if self.activation != Activation::None || self.is_behind_activation() {
            return false;
        }
        if op.1.is_some_and(|dt| dt != DatumType::F32) {
            return false;
        }
        self.activation = if op.0.is::<Silu>() {
            Activation::Silu
        } else if op.0.is::<HardSwish>() {
            Activation::HARD_SWISH
        } else if let Some(ours) = op.0.downcast_ref::<ops::Activation>() {
            // Parameters of an f32 node are f32 already.
            match *ours {
                ops::Activation::Silu => Activation::Silu,
                ops::Activation::Swish { beta } => Activation::Swish { beta: beta as f32 },
                ops::Activation::HardSwish => Activation::HARD_SWISH,
                ops::Activation::SlopedHardSwish { alpha, beta } => Activation::HardSwish {
                    alpha: alpha as f32,
                    beta: beta as f32,
                },
            }
        } else if let Some(ops::Gate::HardSigmoid { alpha, beta }) = op.0.downcast_ref() {
            Activation::HardSigmoid {
                alpha: *alpha as f32,
                beta: *beta as f32,
            }
        } else {
            return false;
        };
        true
    }

    /// Whether what was taken last comes after any activation.
    fn is_behind_activation(&self) -> bool {
        matches!(
            self.residual_at,
            Residual::AfterActivation | Residual::Factor
        ) || self.line.is_some()
    }

    fn take_binary(
        &mut self,
        model: &TypedModel,
        root: &Root,
        residuals: Residuals,
        (node, op, slot): (&TypedNode, &TypedBinOp, usize),
    ) -> TractResult<bool> {
        let other = node.inputs[1 - slot];
        let fact = model.outlet_fact(other)?;
        if fact.datum_type != DatumType::F32 || op.1.is_some_and(|dt| dt != DatumType::F32) {
            return Ok(false);
        }
        // The operator must not broadcast the convolution's value itself.
        if model.outlet_fact(OutletId::new(node.id, 0))?.shape
            != model.outlet_fact(self.last)?.shape
        {
            return Ok(false);
        }
        let Some(constant) = &fact.konst else {
            if residuals == Residuals::Left || !(op.0.is::<Add>() || op.0.is::<Mul>()) {
                return Ok(false);
            }
            return self.take_residual(model, root, other, op.0.is::<Mul>());
        };
        if op.0.is::<Max>() || op.0.is::<Min>() {
            return Ok(self.take_bound(constant, op.0.is::<Max>()));
        }
        let Some(values) = per_channel(constant, root) else {
            return Ok(false);
        };
        Ok(self.take_line(&values, op, slot))
    }

    fn take_residual(
        &mut self,
        model: &TypedModel,
        root: &Root,
        other: OutletId,
        is_factor: bool,
    ) -> TractResult<bool> {
        let same = model.outlet_fact(other)?.shape == model.outlet_fact(self.last)?.shape;
        if root.is_depthwise() || !same || self.residual.is_some() {
            return Ok(false);
        }
        self.residual = Some(other);
        self.residual_at = if is_factor {
            Residual::Factor
        } else if self.activation == Activation::None {
            Residual::BeforeActivation
        } else {
            Residual::AfterActivation
        };
        Ok(true)
    }

    /// ReLU, ReLU6 and every Clip are a maximum, a minimum, or both.
    fn take_bound(&mut self, constant: &Tensor, is_maximum: bool) -> bool {
        let Some(&[bound]) = f32_constant(constant) else {
            return false;
        };
        if bound.is_nan() || self.is_behind_activation() {
            return false;
        }
        self.activation = match (self.activation, is_maximum) {
            (Activation::None, true) if bound == 0.0 => Activation::Relu,
            (Activation::None, true) => Activation::Clamp {
                low: bound,
                high: f32::INFINITY,
            },
            (Activation::None, false) => Activation::Clamp {
                low: f32::NEG_INFINITY,
                high: bound,
            },
            (Activation::Relu, false) if bound >= 0.0 => Activation::Clamp {
                low: 0.0,
                high: bound,
            },
            (
                Activation::Clamp {
                    low,
                    high: f32::INFINITY,
                },
                false,
            ) if low <= bound => Activation::Clamp { low, high: bound },
            (
                Activation::Clamp {
                    low: f32::NEG_INFINITY,
                    high,
                },
                true,
            ) if bound <= high => Activation::Clamp { low: bound, high },
            _ => return false,
        };
        true
    }

    /// Batch normalisation that tract did not fold, an offset, the slope of a hard sigmoid.
    fn take_line(&mut self, values: &[f64], op: &TypedBinOp, slot: usize) -> bool {
        let behind = self.activation != Activation::None;
        if self.residual.is_some() && !(behind && self.residual_at == Residual::BeforeActivation) {
            return false;
        }
        let step: fn(f64, f64, f64) -> (f64, f64) = if op.0.is::<Add>() {
            |scale, offset, c| (scale, offset + c)
        } else if op.0.is::<Mul>() {
            |scale, offset, c| (scale * c, offset * c)
        } else if op.0.is::<Sub>() && slot == 0 {
            |scale, offset, c| (scale, offset - c)
        } else if op.0.is::<Sub>() {
            |scale, offset, c| (-scale, c - offset)
        } else if op.0.is::<Div>() && slot == 0 {
            |scale, offset, c| (scale / c, offset / c)
        } else {
            return false;
        };
        if behind {
            return self.take_line_behind(values, step);
        }
        let lines: Vec<(f64, f64)> = self
            .scale
            .iter()
            .zip(&self.offset)
            .zip(values)
            .map(|((scale, offset), c)| step(*scale, *offset, *c))
            .collect();
        // An infinite factor times weights that are zero is not what the two operators would give.
        if lines
            .iter()
            .any(|(scale, offset)| !scale.is_finite() || !offset.is_finite())
        {
            return false;
        }
        (self.scale, self.offset) = lines.into_iter().unzip();
        true
    }
}

impl Chain {
    /// A scale and an offset of all channels, behind the activation.
    fn take_line_behind(&mut self, values: &[f64], step: fn(f64, f64, f64) -> (f64, f64)) -> bool {
        let Some((&value, others)) = values.split_first() else {
            return false;
        };
        if others.iter().any(|other| *other != value) {
            return false;
        }
        let (scale, offset) = self.line.map_or((1.0, 0.0), |line| {
            (f64::from(line.scale), f64::from(line.offset))
        });
        let (scale, offset) = step(scale, offset, value);
        let line = Line {
            scale: scale as f32,
            offset: offset as f32,
        };
        if !line.scale.is_finite() || !line.offset.is_finite() {
            return false;
        }
        self.line = Some(line);
        true
    }
}

/// A constant that varies along the channels at most, as one value for each.
fn per_channel(constant: &Tensor, root: &Root) -> Option<Vec<f64>> {
    let values = f32_constant(constant)?;
    match *values {
        [value] => Some(vec![value.into(); root.out_channels]),
        _ if values.len() == root.out_channels
            && constant.shape().get(root.place.channel_axis()) == Some(&values.len()) =>
        {
            Some(values.iter().map(|value| f64::from(*value)).collect())
        }
        _ => None,
    }
}
