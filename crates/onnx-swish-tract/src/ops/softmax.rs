//! Softmax of f32 on our kernels.
//!
//! Given a tensor and a run of neighbouring axes; promises the accuracy that `onnx-swish-kernels` documents, the same bits for
//! any number of threads.

use onnx_swish_kernels::{softmax_columns_in_place, softmax_in_place};
use tract_core::internal::*;

use crate::workers::in_chunks;

/// Elements that a thread takes at a time where one sum's neighbours are split: 128 KiB, a few tens of microseconds.
const PIECE: usize = 1 << 15;

/// Pieces begin at a multiple of this many columns, which is whole cache lines and whole blocks of the kernels.
const COLUMNS: usize = 64;

/// `e^xᵢ / Σⱼ e^xⱼ` over one axis or several neighbouring ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Softmax {
    /// Ascending, without gaps, not empty.
    axes: TVec<usize>,
}

impl Softmax {
    /// Over these axes, if they are one run of neighbours: only then is a tensor `[outer, length, inner]`.
    pub(crate) fn over(axes: &[usize]) -> Option<Softmax> {
        let mut axes = TVec::from_slice(axes);
        axes.sort_unstable();
        let neighbours = axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        (neighbours && !axes.is_empty()).then_some(Softmax { axes })
    }

    /// What it sums over.
    pub(crate) fn axes(&self) -> &[usize] {
        &self.axes
    }

    fn run(&self, tensor: &mut Tensor) -> TractResult<()> {
        let shape = tensor.shape();
        let (Some(&first), Some(&last)) = (self.axes.first(), self.axes.last()) else {
            bail!("a softmax without an axis");
        };
        ensure!(last < shape.len(), "axis {last} of the shape {shape:?}");
        let length: usize = shape[first..=last].iter().product();
        let inner: usize = shape[last + 1..].iter().product();
        let mut plain = tensor.try_as_plain_ram_mut()?;
        let x = plain.as_slice_mut::<f32>()?;
        let (elements, block) = (x.len(), length * inner);
        if elements == 0 {
            return Ok(());
        }
        if inner == 1 || block <= PIECE {
            in_chunks(x, block, elements, |_, x| {
                softmax_in_place(x, length, inner);
            });
            return Ok(());
        }
        // Few large blocks: columns of each, as slices of all their rows.
        let columns = (PIECE / length).next_multiple_of(COLUMNS).max(COLUMNS);
        let mut pieces: Vec<Vec<&mut [f32]>> = Vec::new();
        for block in x.chunks_exact_mut(block) {
            let first = pieces.len();
            pieces.resize_with(first + inner.div_ceil(columns), || {
                Vec::with_capacity(length)
            });
            for row in block.chunks_exact_mut(inner) {
                for (piece, part) in pieces[first..].iter_mut().zip(row.chunks_mut(columns)) {
                    piece.push(part);
                }
            }
        }
        in_chunks(&mut pieces, 1, elements, |_, pieces| {
            for rows in pieces {
                softmax_columns_in_place(rows);
            }
        });
        Ok(())
    }
}

impl Op for Softmax {
    fn name(&self) -> StaticName {
        "SimdSoftmax".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("axes: {:?}", self.axes)])
    }

    op_as_typed_op!();
}

impl EvalOp for Softmax {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        // In place if the plan owns the tensor; a copy if somebody else reads it too.
        let mut tensor = args_1!(inputs).into_tensor();
        self.run(&mut tensor)?;
        Ok(tvec!(tensor.into_tvalue()))
    }
}

impl TypedOp for Softmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = inputs.first().context("a softmax without an input")?;
        ensure!(
            input.datum_type == DatumType::F32,
            "{} is defined on float32, not on {:?}",
            self.name(),
            input.datum_type
        );
        Ok(tvec!(DatumType::F32.fact(input.shape.clone())))
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        own_axes_mapping(inputs, outputs, &self.axes)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _io: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let axes: Option<TVec<usize>> = self
            .axes
            .iter()
            .map(|axis| change.transform_axis(*axis))
            .collect();
        let changed = axes.and_then(|axes| Softmax::over(&axes));
        Ok(changed.map(|op| AxisChangeConsequence::new(model, node, Some(Box::new(op)), change)))
    }

    // Counts of the formula, not of one ISA's instructions: an exponential of about seven terms, and the product.
    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let input = inputs.first().context("a softmax without an input")?;
        let elements: TDim = input.shape.iter().product();
        Ok(tvec!((Cost::FMA(DatumType::F32), elements * 12)))
    }

    as_op!();
}

/// Each axis of the output is the input's, but for those that are summed over: an element there depends on all of them.
fn own_axes_mapping(
    inputs: &[&TypedFact],
    outputs: &[&TypedFact],
    summed: &[usize],
) -> TractResult<AxesMapping> {
    let mut mapping = AxesMapping::disconnected(inputs, outputs)?;
    let rank = inputs.first().context("a softmax without an input")?.rank();
    for (axis, name) in (0..rank).zip('a'..) {
        if !summed.contains(&axis) {
            mapping = mapping
                .renaming((InOut::In(0), axis), name)?
                .linking(name, (InOut::Out(0), axis))?;
        }
    }
    Ok(mapping)
}

/// tract's softmax or log-softmax with axes that are told apart.
///
/// tract's own (tract-core 0.23.9, `src/ops/nn/softmax/mod.rs`, `axes_mapping`) says that all its axes map one to one, as those of an
/// element-wise operator do. A slice with a step that follows (`pull_downsample_up`, `src/ops/downsample/mod.rs`) is then moved in
/// front of it, and the sum is over the elements that are left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnAxes(pub tract_core::ops::nn::Softmax);

impl Op for OwnAxes {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        self.0.info()
    }

    op_as_typed_op!();
}

impl EvalOp for OwnAxes {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.0.eval(ctx, inputs)
    }
}

impl TypedOp for OwnAxes {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        own_axes_mapping(inputs, outputs, &self.0.axes)
    }

    fn change_axes(
        &self,
        model: &TypedModel,
        node: &TypedNode,
        _io: InOut,
        change: &AxisOp,
    ) -> TractResult<Option<AxisChangeConsequence>> {
        let axes = self.0.axes.iter().map(|axis| change.transform_axis(*axis));
        let changed = axes.collect::<Option<TVec<usize>>>().map(|axes| {
            let mut op = self.clone();
            op.0.axes = axes;
            op
        });
        Ok(changed.map(|op| AxisChangeConsequence::new(model, node, Some(Box::new(op)), change)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        self.0.cost(inputs)
    }

    as_op!();
}
