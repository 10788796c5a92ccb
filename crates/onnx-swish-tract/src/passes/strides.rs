//! Strides of convolutions that leave pixels out.
//!
//! Given a graph before declutter, with [`super::same`] done; promises that such a stride stays where the axis is that it runs along, and
//! behind convolutions whose padding is not in numbers. At fault: tract-core, `ops/cnn/conv/conv.rs`,
//! `declutter_stride_slice_to_downsample`, which makes a Downsample of it, and `ops/downsample/array.rs`, `pull_downsample_over_axis_op`,
//! which fails where the axis does not exist before a Reshape ("Invalid axis").

use std::collections::HashSet;

use tract_core::internal::*;
use tract_core::model::Rewriter;
use tract_core::ops::cnn::{Conv, PoolSpec};

use super::same::is_same;
use crate::ops::stride::Stride;

pub(super) fn keep(model: &mut TypedModel) -> TractResult<()> {
    Rewriter::default()
        .with_rule_for::<Conv>("strides", |_, model, node, name, conv| {
            let Some(&image) = node.inputs.first() else {
                return Ok(None);
            };
            let shape = model.outlet_fact(image)?.shape.to_tvec();
            let before = conv.pool_spec.data_format.shape(shape)?.h_axis();
            let mut strided = None;
            for along in (0..conv.pool_spec.rank()).filter(|it| leaves_out(&conv.pool_spec, *it)) {
                if must_stay(model, image, before + along)? {
                    strided = Some(along);
                    break;
                }
            }
            let Some(along) = strided else {
                return Ok(None);
            };
            let stride = conv.pool_spec.stride(along);
            let mut patch = TypedModelPatch::default();
            let mut taps = patch.taps(model, &node.inputs)?;
            let left = Stride {
                axis: before + along,
                step: isize::try_from(stride)?,
            };
            let left = patch.wire_node(format!("{name}.stride-{along}"), left, &taps[..1])?;
            taps[0] = left[0];
            let wires = patch.wire_node(name, without(conv, along), &taps)?;
            patch.shunt_outside(model, node.id.into(), wires[0])?;
            Ok(Some(patch))
        })
        .rewrite(&(), model)
}

/// Whether a convolution reads only every so many-th pixel along an axis: what tract takes for a Downsample.
fn leaves_out(spec: &PoolSpec, along: usize) -> bool {
    let stride = spec.stride(along);
    let size = spec.kernel_shape.get(along);
    stride > 1
        && spec.padding.valid_dim(along, false)
        && (size == Some(&1) || spec.dilation(along).is_multiple_of(stride))
}

/// The convolution of the pixels that are left.
fn without(conv: &Conv, along: usize) -> Conv {
    let mut conv = conv.clone();
    let spec = &mut conv.pool_spec;
    let stride = spec.stride(along);
    if let Some(own) = spec.strides.as_mut().and_then(|it| it.get_mut(along)) {
        *own = 1;
    }
    if let Some(dilation) = spec.dilations.as_mut().and_then(|it| it.get_mut(along)) {
        *dilation = dilation.div_ceil(stride);
    }
    conv
}

/// Whether a Downsample of an axis, pulled up as tract does it, would come to where the axis does not exist, or to a convolution whose
/// padding would be another one. What reads a value beside it is not asked: it may be gone by then.
fn must_stay(model: &TypedModel, value: OutletId, axis: usize) -> TractResult<bool> {
    let mut seen = HashSet::new();
    let mut left = vec![(value, axis)];
    while let Some((value, axis)) = left.pop() {
        let node = model.node(value.node);
        if !seen.insert((value, axis)) || node.inputs.is_empty() {
            continue;
        }
        if let Some(conv) = node.op_as::<Conv>() {
            if is_same(&conv.pool_spec) {
                return Ok(true);
            }
            continue;
        }
        if let Some(change) = node.op_as::<AxisOp>() {
            match change.recip().transform_axis(axis) {
                Some(axis) => left.extend(node.inputs.iter().map(|input| (*input, axis))),
                None => return Ok(true),
            }
            continue;
        }
        let (inputs, outputs) = model.node_facts(node.id)?;
        if value.slot > 0 || axis >= outputs[0].rank() {
            continue;
        }
        let mapping = node.op.axes_mapping(&inputs, &outputs)?;
        let tracked = mapping.axis((InOut::Out(0), axis))?;
        for (input, axes) in node.inputs.iter().zip(&tracked.inputs) {
            if let [axis] = **axes {
                left.push((*input, axis));
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_that_a_reshape_makes_is_met_and_another_is_not() {
        let mut model = TypedModel::default();
        let x = model.add_source("x", f32::fact([2, 6, 16])).unwrap();
        let square = AxisOp::Reshape(2, tvec!(16.to_dim()), tvec!(4.to_dim(), 4.to_dim()));
        let y = model.wire_node("y", square, &[x]).unwrap()[0];
        assert!(must_stay(&model, y, 2).unwrap());
        assert!(must_stay(&model, y, 3).unwrap());
        assert!(!must_stay(&model, y, 1).unwrap());
    }
}
