//! Operators that pick elements: Compress, ReverseSequence and OneHot.
//!
//! At fault: tract-onnx, `ops/array/compress.rs`, whose `Compress` "can not be typed", and tract-core, `ops/array/one_hot.rs`,
//! `OneHot::eval`, which panics at indices out of range, where the specification leaves a row off. There is no ReverseSequence.

use tract_core::ops::array::Gather;
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::error::demand;
use crate::ops::function::{Function, integers, plain, resolved_axis};

pub(super) fn compress(_: &ParsingContext, node: &NodeProto) -> Built {
    let axis = node.get_attr_opt::<i64>("axis")?;
    Ok((plain(Compress { axis }), vec![]))
}

pub(super) fn reverse_sequence(_: &ParsingContext, node: &NodeProto) -> Built {
    let op = ReverseSequence {
        time: node.get_attr_opt("time_axis")?.unwrap_or(0),
        batch: node.get_attr_opt("batch_axis")?.unwrap_or(1),
    };
    Ok((plain(op), vec![]))
}

pub(super) fn one_hot(_: &ParsingContext, node: &NodeProto) -> Built {
    let axis = node.get_attr_opt("axis")?.unwrap_or(-1);
    Ok((plain(OneHot { axis }), vec![]))
}

fn pick(tensor: &Tensor, axis: usize, at: &[i64]) -> TractResult<Tensor> {
    let (tensor, at) = (tensor.clone().into_tvalue(), tensor1(at).into_tvalue());
    let picked = Gather::new(axis).eval(&EvalContext::out_of_plan(), tvec!(tensor, at))?;
    Ok(args_1!(picked).into_tensor())
}

#[derive(Debug, Clone, PartialEq)]
struct Compress {
    axis: Option<i64>,
}

impl Compress {
    /// Which of so many elements are kept. What a condition says beyond them is not read.
    fn kept(condition: &Tensor, whole: Option<i64>) -> TractResult<Vec<i64>> {
        let kept = integers(condition)?
            .into_iter()
            .zip(0..whole.unwrap_or(i64::MAX));
        Ok(kept
            .filter(|(keep, _)| *keep != 0)
            .map(|(_, at)| at)
            .collect())
    }
}

impl Function for Compress {
    fn name(&self) -> &'static str {
        "Compress"
    }

    fn shaped_by(&self) -> Vec<usize> {
        vec![1]
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [x, condition] = inputs else {
            bail!("Compress takes two inputs");
        };
        let mut shape = x.shape.to_tvec();
        let whole = match self.axis {
            None => x.shape.volume(),
            Some(axis) => shape[resolved_axis(axis, x.rank())?].clone(),
        };
        let condition = condition.konst.as_ref();
        let condition = condition.context("a Compress whose condition is not known")?;
        let kept = Self::kept(condition, whole.to_i64().ok())?.len().to_dim();
        match self.axis {
            None => shape = tvec!(kept),
            Some(axis) => shape[resolved_axis(axis, x.rank())?] = kept,
        }
        Ok(tvec!(x.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, condition) = args_2!(inputs);
        let (x, axis) = match self.axis {
            Some(axis) => {
                let axis = resolved_axis(axis, x.rank())?;
                (x.into_tensor(), axis)
            }
            None => {
                let flat = [x.len()];
                (x.into_tensor().into_shape(&flat)?, 0)
            }
        };
        let kept = Self::kept(&condition, i64::try_from(x.shape()[axis]).ok())?;
        let picked = pick(&x, axis, &kept)?;
        Ok(tvec!(picked.into_tvalue()))
    }
}

#[derive(Debug, Clone, PartialEq)]
struct ReverseSequence {
    time: i64,
    batch: i64,
}

impl Function for ReverseSequence {
    fn name(&self) -> &'static str {
        "ReverseSequence"
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("ReverseSequence without an input")?;
        Ok(tvec!(x.without_value()))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, lengths) = args_2!(inputs);
        let (time, batch) = (
            resolved_axis(self.time, x.rank())?,
            resolved_axis(self.batch, x.rank())?,
        );
        let (steps, sequences) = (x.shape()[time], x.shape()[batch]);
        let lengths = integers(&lengths)?;
        ensure!(
            lengths.len() == sequences,
            "{} lengths for {sequences} sequences",
            lengths.len()
        );
        let mut reversed = Vec::with_capacity(sequences);
        for (at, length) in lengths.into_iter().enumerate() {
            let length = usize::try_from(length)
                .ok()
                .filter(|length| *length <= steps);
            let length = length
                .with_context(|| format!("a sequence longer than {steps} steps, or negative"))?;
            let order: Vec<i64> = (0..length as i64)
                .rev()
                .chain(length as i64..steps as i64)
                .collect();
            reversed.push(pick(&x.slice(batch, at, at + 1)?, time, &order)?);
        }
        Ok(tvec!(
            Tensor::stack_tensors(batch, &reversed)?.into_tvalue()
        ))
    }
}

#[derive(Debug, Clone, PartialEq)]
struct OneHot {
    axis: i64,
}

impl OneHot {
    fn filled<T: Datum>(
        &self,
        indices: &[i64],
        shape: &[usize],
        inner: usize,
        values: &Tensor,
    ) -> TractResult<Tensor> {
        let values = values.to_plain_array_view::<T>()?;
        let mut values = values.iter().cloned();
        let (Some(off), Some(on)) = (values.next(), values.next()) else {
            bail!("OneHot takes two values, off and on");
        };
        let mut filled = tract_ndarray::ArrayD::from_elem(shape, off);
        let depth = shape[resolved_axis(self.axis, shape.len())?] as i64;
        let elements = filled
            .as_slice_mut()
            .context("an array that is not in order")?;
        for (at, index) in indices.iter().enumerate() {
            let index = if *index < 0 { index + depth } else { *index };
            // Out of range: a row of off.
            if (0..depth).contains(&index) {
                let (outer, inner_at) = (at / inner, at % inner);
                let place = (outer * depth as usize + index as usize) * inner + inner_at;
                *elements
                    .get_mut(place)
                    .context("an index beyond the output")? = on.clone();
            }
        }
        Ok(filled.into_tensor())
    }
}

impl Function for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn shaped_by(&self) -> Vec<usize> {
        vec![1]
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let [indices, depth, values] = inputs else {
            bail!("OneHot takes three inputs");
        };
        let depth = integers(
            depth
                .konst
                .as_ref()
                .context("a OneHot whose depth is not known")?,
        )?;
        let depth = *depth.first().context("a OneHot without a depth")?;
        demand!(depth >= 0, "its depth is {depth}");
        let mut shape = indices.shape.to_tvec();
        shape.insert(resolved_axis(self.axis, shape.len() + 1)?, depth.to_dim());
        Ok(tvec!(values.datum_type.fact(shape)))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (indices, depth, values) = args_3!(inputs);
        let depth = integers(&depth)?;
        let depth = usize::try_from(*depth.first().context("a OneHot without a depth")?)?;
        let mut shape = indices.shape().to_vec();
        let axis = resolved_axis(self.axis, shape.len() + 1)?;
        let inner: usize = shape[axis..].iter().product();
        shape.insert(axis, depth);
        let indices = integers(&indices)?;
        let dt = values.datum_type();
        let filled = dispatch_datum!(Self::filled(dt)(
            self,
            &indices,
            &shape,
            inner.max(1),
            &values
        ))?;
        Ok(tvec!(filled.into_tvalue()))
    }
}
