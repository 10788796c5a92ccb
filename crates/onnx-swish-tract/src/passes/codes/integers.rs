//! Convolutions and products of integers, as ConvInteger and MatMulInteger are in tract's graph, and the floats behind them.
//!
//! Given a graph; promises the same sums from one node for each whose weights are constant codes, and, where a scale of the model's, one
//! for all or one for each channel, a bias and an activation follow, their floats in the same pass: the same operations in the same order.

use onnx_swish_conv::{CodeType, Ending, QBias, QConv2d, QSpec, QWeights};
use onnx_swish_kernels::codes::{Linear, ZeroPoint};
use tract_core::internal::*;
use tract_core::ops::binary::TypedBinOp;
use tract_core::ops::cast::Cast;
use tract_core::ops::cnn::Conv;
use tract_core::ops::einsum::EinSum;
use tract_core::ops::math::Mul;

use super::{is_sane, only_reader, put};
use crate::conv::QConv;
use crate::conv::chain::{Chain, Residuals};
use crate::conv::codes::packed;
use crate::conv::root::{Root, as_floats};
use crate::load::dequantized::code_type;
use crate::passes::Findings;

/// Inputs of tract's quantised operators: two tensors and a bias, then the zero point and the scale of either and of the result.
const INPUTS: usize = 9;
const BIAS: usize = 2;
const ZERO_POINTS: [usize; 2] = [3, 5];
const SCALES: [usize; 3] = [4, 6, 8];
const ZERO_POINT_OF_RESULT: usize = 7;

/// A convolution or product whose sums are its result.
struct Integer {
    root: Root,
    input: CodeType,
    /// The input's, which the model may compute.
    zero_point: OutletId,
    weights: CodeType,
    /// The weights': one, or one for each output channel.
    zero_points: Vec<i32>,
}

/// Floats that are made of the sums.
struct Floats {
    scale: Scale,
    /// The operators that make them, the first of which multiplies by the scale.
    chain: Chain,
    /// All nodes behind the convolution, up to the last of the chain.
    nodes: Vec<usize>,
}

/// What sums are multiplied by.
struct Scale {
    /// A number that the model computes ...
    computed: OutletId,
    /// ... times these: one for all output channels, or one for each.
    channels: Vec<f32>,
}

pub(super) fn take_over(model: &mut TypedModel, findings: &mut Findings) -> TractResult<()> {
    for id in model.eval_order()? {
        let Some(integer) = Integer::at(model, id)? else {
            continue;
        };
        let floats = integer.floats(model)?;
        // What it refuses stays on tract.
        let Ok(conv) = integer.conv(floats.as_ref()) else {
            continue;
        };
        let op = QConv::new(conv, integer.root.place.clone(), None);
        let mut inputs = vec![integer.root.input, integer.zero_point];
        let (mut nodes, mut last) = (vec![id], OutletId::from(id));
        if let Some(floats) = floats {
            inputs.push(floats.scale.computed);
            nodes.extend(floats.nodes);
            last = floats.chain.last;
        }
        let put = put(model, id, nodes, last, op, &inputs)?;
        findings.convolutions.extend(put);
    }
    model.compact()
}

/// The elements of a constant.
fn constant(model: &TypedModel, value: OutletId) -> TractResult<Option<Vec<f32>>> {
    let constant = model.outlet_fact(value)?.konst.as_deref();
    constant.map(as_floats).transpose()
}

fn is_single(fact: &TypedFact) -> bool {
    fact.shape.iter().all(|size| *size == TDim::Val(1))
}

impl Integer {
    fn at(model: &TypedModel, id: usize) -> TractResult<Option<Integer>> {
        let node = model.node(id);
        let conv = node.op_as::<Conv>().and_then(|op| op.q_params);
        let product = node.op_as::<EinSum>().and_then(|op| op.q_params);
        if conv.or(product) != Some(DatumType::I32) || node.inputs.len() != INPUTS {
            return Ok(None);
        }
        let all = |input: usize, value: f32| {
            let elements = constant(model, node.inputs[input])?;
            TractResult::Ok(elements.is_some_and(|all| all.iter().all(|it| *it == value)))
        };
        if !all(BIAS, 0.0)? || !all(ZERO_POINT_OF_RESULT, 0.0)? {
            return Ok(None);
        }
        for scale in SCALES {
            if !all(scale, 1.0)? {
                return Ok(None);
            }
        }
        let Some(root) = Root::of_integers(model, id)? else {
            return Ok(None);
        };
        let data = usize::from(root.input != node.inputs[0]);
        let input = model.outlet_fact(root.input)?;
        let zero_point = node.inputs[ZERO_POINTS[data]];
        if !input.is_plain() || !is_single(model.outlet_fact(zero_point)?) {
            return Ok(None);
        }
        let weights = model.outlet_fact(node.inputs[1 - data])?.datum_type;
        let zero_points = constant(model, node.inputs[ZERO_POINTS[1 - data]])?;
        let (Some(input), Some(weights), Some(zero_points)) =
            (code_type(input.datum_type), code_type(weights), zero_points)
        else {
            return Ok(None);
        };
        Ok(Some(Integer {
            root,
            input,
            zero_point,
            weights,
            zero_points: zero_points.iter().map(|zero| *zero as i32).collect(),
        }))
    }

    /// The floats that the sums become, if these become nothing else.
    fn floats(&self, model: &TypedModel) -> TractResult<Option<Floats>> {
        let sums = OutletId::from(self.root.node);
        let Some(cast) = only_reader(model, sums)? else {
            return Ok(None);
        };
        let is_cast = model.node(cast).op_as::<Cast>();
        if is_cast.is_none_or(|op| op.to != DatumType::F32) {
            return Ok(None);
        }
        let Some(product) = only_reader(model, cast.into())? else {
            return Ok(None);
        };
        let node = model.node(product);
        let (Some(TypedBinOp(op, None)), &[a, b]) = (node.op_as::<TypedBinOp>(), &*node.inputs)
        else {
            return Ok(None);
        };
        let factor = if a.node == cast { b } else { a };
        let same = node.outputs[0].fact.shape == model.outlet_fact(sums)?.shape;
        if !op.is::<Mul>() || !same {
            return Ok(None);
        }
        let Some(scale) = self.scale(model, factor)? else {
            return Ok(None);
        };
        let root = Root {
            node: product,
            place: self.root.place.clone(),
            weights: Vec::new(),
            bias: Vec::new(),
            ..self.root
        };
        let chain = Chain::after(model, &root, Residuals::Left)?;
        // A second factor would be rounded in another order.
        if chain.scale.iter().any(|scale| *scale != 1.0) || chain.requantize.is_some() {
            return Ok(None);
        }
        let nodes = std::iter::once(cast).chain(chain.nodes.iter().copied());
        Ok(Some(Floats {
            scale,
            nodes: nodes.collect(),
            chain,
        }))
    }

    /// A factor of the sums as one number, or as the product of a number and a constant for each output channel: then the kernels multiply
    /// the two, which rounds as the model's own node does.
    fn scale(&self, model: &TypedModel, factor: OutletId) -> TractResult<Option<Scale>> {
        let fact = model.outlet_fact(factor)?;
        if fact.datum_type != DatumType::F32 {
            return Ok(None);
        }
        if is_single(fact) {
            return Ok(Some(Scale {
                computed: factor,
                channels: vec![1.0],
            }));
        }
        let channels = self.root.out_channels;
        let along_channels = fact.shape.iter().enumerate().all(|(axis, size)| {
            let own = axis == self.root.place.channel_axis() && *size == channels.to_dim();
            own || *size == TDim::Val(1)
        });
        if !along_channels {
            return Ok(None);
        }
        // With elements along one axis, whatever is done to axes keeps their order.
        let mut node = model.node(factor.node);
        while node.op_is::<AxisOp>() {
            node = model.node(node.inputs[0].node);
        }
        let (Some(TypedBinOp(op, None)), &[a, b]) = (node.op_as::<TypedBinOp>(), &*node.inputs)
        else {
            return Ok(None);
        };
        let (computed, each) = if model.outlet_fact(a)?.konst.is_some() {
            (b, a)
        } else {
            (a, b)
        };
        let Some(each) = constant(model, each)? else {
            return Ok(None);
        };
        let fact = model.outlet_fact(computed)?;
        let single = is_single(fact) && fact.datum_type == DatumType::F32;
        let sane = each.len() == channels && each.iter().all(|scale| is_sane(*scale));
        Ok((op.is::<Mul>() && single && sane).then_some(Scale {
            computed,
            channels: each,
        }))
    }

    fn conv(&self, floats: Option<&Floats>) -> Result<Arc<QConv2d>, String> {
        let Integer { root, .. } = self;
        let zero_point = ZeroPoint::new(self.input, 0).ok_or("no zero")?;
        let spec = QSpec {
            window: root.window,
            in_channels: root.in_channels,
            out_channels: root.out_channels,
            groups: root.groups,
            // Both are inputs.
            input: Linear {
                scale: 1.0,
                zero_point,
            },
            ending: match floats {
                Some(floats) => Ending::Floats(floats.chain.activation),
                None => Ending::Sums,
            },
        };
        let bytes: Vec<u8> = root.weights.iter().map(|code| *code as i32 as u8).collect();
        let weights = QWeights {
            bytes: &bytes,
            codes: self.weights,
            scales: floats.map_or(&[1.0][..], |floats| &floats.scale.channels),
            zero_points: &self.zero_points,
        };
        let offsets = floats.map_or(&[][..], |floats| &floats.chain.offset);
        let offsets: Vec<f32> = offsets.iter().map(|offset| *offset as f32).collect();
        let bias = if offsets.iter().all(|offset| *offset == 0.0) {
            QBias::None
        } else {
            QBias::Floats(&offsets)
        };
        packed(spec, weights, bias, None)
    }
}
