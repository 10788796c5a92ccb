//! Convolutions whose images and weights are dequantised codes.
//!
//! Given a graph; promises one node for each of them with its bias, its activation, the QuantizeLinear behind it and the table behind
//! that, and a clause about each that is left.

use onnx_swish_conv::{Ending, QBias, QConv2d, QSpec, QWeights};
use onnx_swish_kernels::codes::Linear;
use tract_core::internal::*;

use super::{dequantized, dequantizes_by, only_reader, put, quantized};
use crate::conv::Convolution;
use crate::conv::chain::{Chain, Residuals};
use crate::conv::codes::{QConv, Table, packed};
use crate::conv::policy::Policy;
use crate::conv::root::{Found, Root};
use crate::load::dequantized::{Codes, recall};
use crate::ops::LookUp;
use crate::passes::Findings;
use crate::passes::tables::element_wise;

/// How far a float bias may be from a whole number of sums, relative to it, to be that number: two roundings made it a float.
const WHOLE: f64 = 1.0 / (1u32 << 22) as f64;

/// A convolution of codes.
struct Quantised<'a> {
    root: &'a Root,
    codes: OutletId,
    input: Linear,
    weights: Codes,
}

/// What the sums end in, and the nodes that do it, the convolution among them.
struct End {
    chain: Chain,
    nodes: Vec<usize>,
    last: OutletId,
    ending: Ending,
    look_up: Option<LookUp>,
}

pub(super) fn take_over(
    model: &mut TypedModel,
    policy: &Policy,
    findings: &mut Findings,
) -> TractResult<()> {
    for id in model.eval_order()? {
        let Found::Root(root) = Root::of(model, id)? else {
            continue;
        };
        let found = match find(model, &root)? {
            Ok(Some(_)) if root.is_long_depthwise() => {
                Err("depthwise in one direction or of more than 7 taps".to_owned())
            }
            Ok(Some(quantised)) => match policy.left(root.is_depthwise()) {
                None => replace(model, &quantised)?,
                // A matrix unit for floats, for example.
                Some(why) => Err(why.to_owned()),
            },
            Ok(None) => continue,
            Err(why) => Err(why),
        };
        let name = model.node(id).name.clone();
        match found {
            Ok(convolution) => findings.convolutions.push(convolution),
            Err(why) => {
                findings.floats.insert(name, why);
            }
        }
    }
    Ok(())
}

/// Notes why those that are left compute with floats, where nothing has been noted of them: `why` for those that could run on codes.
pub(super) fn note_floats(
    model: &TypedModel,
    why: &str,
    findings: &mut Findings,
) -> TractResult<()> {
    for node in model.nodes() {
        if findings.floats.contains_key(&node.name) {
            continue;
        }
        let Found::Root(root) = Root::of(model, node.id)? else {
            continue;
        };
        let why = match find(model, &root)? {
            Ok(Some(_)) => why.to_owned(),
            Ok(None) => continue,
            Err(why) => why,
        };
        findings.floats.insert(node.name.clone(), why);
    }
    Ok(())
}

/// The convolution if it is one of codes; else why not, if its weights or its images were codes.
fn find<'a>(
    model: &TypedModel,
    root: &'a Root,
) -> TractResult<Result<Option<Quantised<'a>>, String>> {
    let input = dequantized(model, root.input)?;
    let weights = recall(model, &root.weights, root.out_channels);
    Ok(match (input, weights) {
        (Some((codes, input)), Some(weights)) => Ok(Some(Quantised {
            root,
            codes,
            input,
            weights,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err("its weights were no 8-bit codes".to_owned()),
        (None, Some(_)) if dequantizes_by(model.node(root.input.node)) => {
            let why = "its input has a scale with several elements, or one that the model computes";
            Err(why.to_owned())
        }
        (None, Some(_)) => Err("its input is not 8-bit codes with one scale".to_owned()),
    })
}

/// Puts a convolution of codes in the place of the nodes, or says why not.
fn replace(
    model: &mut TypedModel,
    quantised: &Quantised,
) -> TractResult<Result<Convolution, String>> {
    let end = End::after(model, quantised.root)?;
    let conv = match quantised.conv(&end) {
        Ok(conv) => conv,
        Err(why) => return Ok(Err(why)),
    };
    let table = end.look_up.as_ref().map(|op| Table {
        what: op.what.clone(),
        to: op.to,
    });
    let op = QConv::new(conv, quantised.root.place.clone(), table);
    let inputs = [quantised.codes];
    let put = put(model, quantised.root.node, end.nodes, end.last, op, &inputs)?;
    Ok(put.ok_or_else(|| "of sizes written in another way".to_owned()))
}

impl End {
    fn after(model: &TypedModel, root: &Root) -> TractResult<End> {
        let chain = Chain::after(model, root, Residuals::Left)?;
        let mut end = End {
            nodes: chain.nodes.clone(),
            last: chain.last,
            ending: Ending::Floats(chain.activation),
            chain,
            look_up: None,
        };
        let Some((quantize, linear)) = quantized(model, end.last)? else {
            return Ok(end);
        };
        end.ending = Ending::Codes(linear, end.chain.activation);
        end.last = quantize.into();
        end.nodes.push(quantize);
        let Some(reader) = only_reader(model, end.last)? else {
            return Ok(end);
        };
        if let Some(op) = element_wise::<LookUp>(model.node(reader)) {
            end.look_up = Some(op.clone());
            end.last = reader.into();
            end.nodes.push(reader);
        }
        Ok(end)
    }
}

impl Quantised<'_> {
    fn conv(&self, end: &End) -> Result<Arc<QConv2d>, String> {
        let Quantised {
            root,
            input,
            weights,
            ..
        } = self;
        let spec = QSpec {
            window: root.window,
            in_channels: root.in_channels,
            out_channels: root.out_channels,
            groups: root.groups,
            input: *input,
            ending: end.ending,
        };
        let chain = &end.chain;
        let scales: Vec<f32> = chain
            .scale
            .iter()
            .enumerate()
            .map(|(channel, scale)| {
                let own = weights.scales.get(channel).or(weights.scales.first());
                (f64::from(own.copied().unwrap_or(1.0)) * scale) as f32
            })
            .collect();
        let bias: Vec<f64> = root
            .bias
            .iter()
            .zip(chain.scale.iter().zip(&chain.offset))
            .map(|(bias, (scale, offset))| f64::from(*bias) * scale + offset)
            .collect();
        let whole = whole(&bias, &scales, input.scale);
        let floats: Vec<f32> = bias.iter().map(|bias| *bias as f32).collect();
        let none = bias.iter().all(|bias| *bias == 0.0);
        let bias = match &whole {
            _ if none => QBias::None,
            Some(whole) => QBias::Sums(whole),
            None => QBias::Floats(&floats),
        };
        let codes = QWeights {
            bytes: &weights.bytes,
            codes: weights.codes,
            scales: &scales,
            zero_points: &weights.zero_points,
        };
        let table = end.look_up.as_ref().map(|op| &*op.table);
        packed(spec, codes, bias, table)
    }
}

/// The bias in sums of codes, if it is a whole number of them up to its own rounding, as quantisers write it.
fn whole(bias: &[f64], scales: &[f32], input: f32) -> Option<Vec<i32>> {
    let sums = bias.iter().zip(scales).map(|(bias, scale)| {
        let sum = bias / f64::from(input * scale);
        let nearest = sum.round_ties_even();
        let near = (sum - nearest).abs() <= sum.abs() * WHOLE;
        (near && nearest.abs() <= f64::from(i32::MAX)).then_some(nearest as i32)
    });
    sums.collect()
}
