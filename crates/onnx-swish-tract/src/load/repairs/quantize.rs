//! QuantizeLinear and DequantizeLinear of ONNX and of com.microsoft.
//!
//! Given a node; promises ONNX Runtime's codes and floats for scales per tensor, per axis and per block, constant or computed.
//!
//! They stand in for tract's. `DequantizeLinearF32::declutter` (tract-core 0.23.9, `src/ops/quant.rs`) makes a lookup table of
//! everything between a DequantizeLinear and the next QuantizeLinear whose axes map one to one, which softmax and log-softmax
//! do too, and feeds the table codes of the output's type, so that u8 in and i8 out does not load. `QuantizeLinear::wire`
//! (tract-onnx, `src/ops/quant.rs`) takes every zero point that is not u8 for i8, and multiplies by the reciprocal of the scale.

use tract_hir::internal::*;
use tract_onnx::model::{ParsingContext, optional_inputs};
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::load::dequantized;
use crate::load::widen::HALF_BY_CODES;
use crate::ops::{Dequantize, Direction, HalfByCodes, Quantize, QuantizeBy};

pub(in crate::load) fn quantize(_: &ParsingContext, node: &NodeProto) -> Built {
    Ok((expand(Linear::of(node, Direction::Quantize)?), vec![]))
}

pub(in crate::load) fn dequantize(_: &ParsingContext, node: &NodeProto) -> Built {
    Ok((expand(Linear::of(node, Direction::Dequantize)?), vec![]))
}

/// One of the two as a node asks for it.
#[derive(Debug, Clone)]
struct Linear {
    direction: Direction,
    has_zero_point: bool,
    axis: i64,
    block: usize,
    /// What the attribute says.
    output: Option<DatumType>,
    /// Whether the floats are float16 in the file.
    half: bool,
}

impl Linear {
    fn of(node: &NodeProto, direction: Direction) -> TractResult<Linear> {
        let output = match node.get_attr_opt::<i32>("output_dtype")?.unwrap_or(0) {
            0 => None,
            _ => Some(node.get_attr::<DatumType>("output_dtype")?),
        };
        let has_zero_point = optional_inputs(node).nth(2).flatten().is_some();
        Ok(Linear {
            direction,
            has_zero_point,
            axis: node.get_attr_opt("axis")?.unwrap_or(1),
            block: node.get_attr_opt("block_size")?.unwrap_or(0),
            output,
            half: node.get_attr_opt::<i64>(HALF_BY_CODES)?.is_some(),
        })
    }

    /// Keeps in mind what codes weights are, which become floats here.
    fn remember(
        &self,
        model: &TypedModel,
        inputs: &[OutletId],
        wires: &[OutletId],
    ) -> TractResult<()> {
        let constant = |at: usize| {
            let outlet = inputs.get(at).copied();
            TractResult::Ok(match outlet {
                Some(outlet) => model.outlet_fact(outlet)?.konst.clone(),
                None => None,
            })
        };
        let (Some(codes), Some(scales)) = (constant(0)?, constant(1)?) else {
            return Ok(());
        };
        let floats = match wires.first() {
            Some(wire) => model.outlet_fact(*wire)?.konst.clone(),
            None => None,
        };
        let (Direction::Dequantize, 0, Some(floats)) = (self.direction, self.block, floats) else {
            return Ok(());
        };
        let zero_points = constant(2)?;
        let codes = codes.datum_type();
        dequantized::remember(&floats, codes, &scales, zero_points.as_deref())
    }

    /// A number for the whole tensor.
    fn single(model: &TypedModel, outlet: OutletId) -> TractResult<Option<Arc<Tensor>>> {
        let constant = model.outlet_fact(outlet)?.konst.clone();
        Ok(constant.filter(|constant| constant.len() == 1))
    }
}

impl Expansion for Linear {
    fn name(&self) -> StaticName {
        match self.direction {
            Direction::Quantize => "QuantizeLinear".into(),
            Direction::Dequantize => "DequantizeLinear".into(),
        }
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.has_zero_point))?;
        check_output_arity(outputs, 1)?;
        s.equals(&inputs[0].shape, &outputs[0].shape)?;
        match (self.direction, self.output) {
            (Direction::Quantize, _) if self.has_zero_point => {
                s.equals(&outputs[0].datum_type, &inputs[2].datum_type)
            }
            (_, Some(output)) => s.equals(&outputs[0].datum_type, output),
            (Direction::Quantize, None) => s.equals(&outputs[0].datum_type, DatumType::U8),
            (Direction::Dequantize, None) => {
                s.equals(&outputs[0].datum_type, &inputs[1].datum_type)
            }
        }
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let float = inputs.first().copied().context("no input")?;
        if !self.half || model.outlet_fact(float)?.konst.is_some() {
            return self.wire_single(prefix, model, inputs);
        }
        let half = HalfByCodes.into_op();
        match self.direction {
            Direction::Quantize => {
                let half = model.wire_node(format!("{prefix}.float16"), half, &[float])?;
                let inputs: TVec<OutletId> = half
                    .into_iter()
                    .chain(inputs[1..].iter().copied())
                    .collect();
                self.wire_single(prefix, model, &inputs)
            }
            Direction::Dequantize => {
                let floats = self.wire_single(&format!("{prefix}.float32"), model, inputs)?;
                model.wire_node(prefix, half, &floats)
            }
        }
    }
}

impl Linear {
    /// Of float32.
    fn wire_single(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let (x, scale) = match *inputs {
            [x, scale] | [x, scale, _] => (x, scale),
            _ => bail!("{} takes two or three inputs", self.name()),
        };
        let type_of = |outlet: OutletId| TractResult::Ok(model.outlet_fact(outlet)?.datum_type);
        let to = match (self.direction, self.output, inputs.get(2)) {
            (Direction::Quantize, _, Some(zero_point)) => type_of(*zero_point)?,
            (_, Some(output), _) => output,
            (Direction::Quantize, None, None) => DatumType::U8,
            (Direction::Dequantize, None, _) => type_of(scale)?,
        };
        let zero_point = match inputs.get(2) {
            Some(zero_point) => Linear::single(model, *zero_point)?,
            None => Some(rctensor0(0i32)),
        };
        if let (Some(scale), Some(zero_point), 0) =
            (Linear::single(model, scale)?, zero_point, self.block)
        {
            let scale = scale
                .cast_to::<f32>()?
                .try_as_plain_ram()?
                .as_slice::<f32>()?[0];
            let zero_point = zero_point
                .cast_to::<i32>()?
                .try_as_plain_ram()?
                .as_slice::<i32>()?[0];
            let op = match self.direction {
                Direction::Quantize => Quantize {
                    scale,
                    zero_point,
                    to,
                }
                .into_op(),
                Direction::Dequantize => Dequantize {
                    scale,
                    zero_point,
                    to,
                }
                .into_op(),
            };
            let wires = wire_or_fold(prefix, model, op, &[x])?;
            self.remember(model, inputs, &wires)?;
            return Ok(wires);
        }
        let rank = model.outlet_fact(x)?.rank() as i64;
        let axis = if self.axis < 0 {
            self.axis + rank
        } else {
            self.axis
        };
        let axis =
            usize::try_from(axis).with_context(|| format!("axis {} of {rank}", self.axis))?;
        let op = QuantizeBy {
            direction: self.direction,
            to,
            axis,
            block: self.block,
        };
        let wires = wire_or_fold(prefix, model, op, inputs)?;
        self.remember(model, inputs, &wires)?;
        Ok(wires)
    }
}

/// Weights become constants here: tract would leave those that grow beyond a few megabytes to be computed in every run
/// (`CONST_FOLD_MEM_BUDGET`, tract-core `src/optim/prop_const.rs`), and convolutions take constants only.
fn wire_or_fold(
    prefix: &str,
    model: &mut TypedModel,
    op: impl Into<Box<dyn TypedOp>>,
    inputs: &[OutletId],
) -> TractResult<TVec<OutletId>> {
    let op = op.into();
    let facts = inputs.iter().map(|input| model.outlet_fact(*input));
    let constants: Option<TVec<TValue>> = facts
        .map(|fact| Ok(fact?.konst.clone().map(|it| it.into_tvalue())))
        .collect::<TractResult<Option<_>>>()?;
    if let Some(constants) = constants
        && let Some(folded) = op.eval_out_of_plan(constants)?
    {
        let folded = folded.into_iter().next().context("no output")?;
        return Ok(tvec!(model.add_const(prefix, folded.into_arc_tensor())?));
    }
    model.wire_node(prefix, op, inputs)
}
