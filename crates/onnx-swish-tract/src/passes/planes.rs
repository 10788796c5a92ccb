//! What computes on planes around convolutions: pools, sums of planes, resizes and concatenations.
//!
//! Given a graph whose codes and convolutions are ours already; promises that those of f32 which our kernels cover are ours where depthwise
//! convolutions are, and that all others, those of codes among them, stay as tract has them.

use onnx_swish_conv::Pooling;
use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::array::TypedConcat;
use tract_core::ops::cnn::{MaxPool, PoolSpec, SumPool};
use tract_core::ops::nn::resize::{NearestUpsample, Resize};
use tract_core::ops::nn::{Reduce, Reducer};

use crate::conv::Convolutions;
use crate::conv::policy::Policy;
use crate::ops::{Join, PlaneSums, PoolPlanes, ResizePlanes};

pub(super) fn take_over(model: &mut TypedModel, asked: Convolutions) -> TractResult<()> {
    if Policy::new(asked).left(true).is_some() {
        return Ok(());
    }
    Rewriter::default()
        .with_rule_for::<MaxPool>("maximum", |_, model, node, _, op| {
            if op.with_index_outputs.is_some() {
                return Ok(None);
            }
            pool(model, node, &op.pool_spec, Pooling::Max)
        })
        .with_rule_for::<SumPool>("mean", |_, model, node, _, op| {
            let counts_padding = op.count_include_pad;
            if !op.normalize {
                return Ok(None);
            }
            pool(model, node, &op.pool_spec, Pooling::Mean { counts_padding })
        })
        .with_rule_for::<Reduce>("sum", |_, model, node, _, op| sum(model, node, op))
        .with_rule_for::<NearestUpsample>("repetition", |_, model, node, _, op| {
            let found = shape(model, node)?;
            let ours = found.and_then(|input| ResizePlanes::repeated(input, &op.scales));
            replaced(model, node, ours)
        })
        .with_rule_for::<Resize>("resize", |_, model, node, _, op| resize(model, node, op))
        .with_rule_for::<TypedConcat>("concatenation", |_, model, node, _, op| {
            join(model, node, op)
        })
        .rewrite(&(), model)
}

/// The shape of a node's first input, if it is of f32.
fn shape<'a>(model: &'a TypedModel, node: &TypedNode) -> TractResult<Option<&'a [usize]>> {
    let input = *node.inputs.first().context("a node without an input")?;
    let fact = model.outlet_fact(input)?;
    let ours = fact.datum_type == DatumType::F32 && fact.is_plain() && fact.konst.is_none();
    Ok(fact.shape.as_concrete().filter(|_| ours))
}

/// The node as this operator of its first input, unless there is none or it gives another shape.
fn replaced(
    model: &TypedModel,
    node: &TypedNode,
    op: Option<impl TypedOp + 'static>,
) -> TractResult<Option<TypedModelPatch>> {
    let Some(op) = op else { return Ok(None) };
    let inputs = &node.inputs[..1];
    let facts = op.output_facts(&[model.outlet_fact(inputs[0])?])?;
    let same =
        matches!((&*facts, &*node.outputs), ([fact], [output]) if fact.shape == output.fact.shape);
    if !same {
        return Ok(None);
    }
    TypedModelPatch::replace_single_op(model, node, inputs, op).map(Some)
}

fn pool(
    model: &TypedModel,
    node: &TypedNode,
    spec: &PoolSpec,
    pooling: Pooling,
) -> TractResult<Option<TypedModelPatch>> {
    let found = shape(model, node)?;
    let ours = found.and_then(|input| PoolPlanes::of(spec, pooling, input));
    replaced(model, node, ours)
}

fn sum(model: &TypedModel, node: &TypedNode, op: &Reduce) -> TractResult<Option<TypedModelPatch>> {
    if op.reducer != Reducer::Sum {
        return Ok(None);
    }
    let found = shape(model, node)?;
    let ours = found.and_then(|input| PlaneSums::over(&op.axes, input.len()));
    replaced(model, node, ours)
}

fn resize(
    model: &TypedModel,
    node: &TypedNode,
    op: &Resize,
) -> TractResult<Option<TypedModelPatch>> {
    let (Some(input), Some(output)) = (
        shape(model, node)?,
        node.outputs
            .first()
            .and_then(|it| it.fact.shape.as_concrete()),
    ) else {
        return Ok(None);
    };
    let scales = op.optional_scales_input.and_then(|at| node.inputs.get(at));
    let ours = match scales {
        Some(scales) => {
            let constant = model.outlet_fact(*scales)?.konst.as_ref();
            let Some(scales) = constant.filter(|it| it.datum_type() == DatumType::F32) else {
                return Ok(None);
            };
            let plain = scales.try_as_plain_ram()?;
            // Where they are of another number tract takes the sizes.
            let scales = Some(plain.as_slice::<f32>()?).filter(|it| it.len() == input.len());
            ResizePlanes::resampled(op, input, output, scales)
        }
        None => ResizePlanes::resampled(op, input, output, None),
    };
    replaced(model, node, ours)
}

fn join(
    model: &TypedModel,
    node: &TypedNode,
    op: &TypedConcat,
) -> TractResult<Option<TypedModelPatch>> {
    let facts = model.node_input_facts(node.id)?;
    let ours = |fact: &&TypedFact| fact.datum_type == DatumType::F32 && fact.is_plain();
    let shapes: Option<Vec<&[usize]>> = facts.iter().map(|it| it.shape.as_concrete()).collect();
    let output = node
        .outputs
        .first()
        .and_then(|it| it.fact.shape.as_concrete());
    let (Some(shapes), Some(output), true) = (shapes, output, facts.iter().all(ours)) else {
        return Ok(None);
    };
    match Join::along(op.axis, &shapes, output) {
        Some(join) => TypedModelPatch::replace_single_op(model, node, &node.inputs, join).map(Some),
        None => Ok(None),
    }
}
