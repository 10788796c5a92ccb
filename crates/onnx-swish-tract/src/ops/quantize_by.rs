//! QuantizeLinear and DequantizeLinear with a scale per axis or per block, or with one that the model computes.
//!
//! Given the tensor, the scales and, if the node has them, the zero points; promises the arithmetic of [`super::quantize`].

use tract_core::internal::*;

use super::quantize::{Code, code, float, floats, for_code};
use crate::arena::uninitialized;
use crate::error::demand;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Quantize,
    Dequantize,
}

/// Scales that are an input of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuantizeBy {
    pub direction: Direction,
    pub to: DatumType,
    /// Along which the scales vary, if there is more than one of them.
    pub axis: usize,
    /// How many neighbours along the axis share a scale; 0 for one scale per element of the axis, the same everywhere else.
    pub block: usize,
}

/// How the scales lie along a tensor seen as `outer × length × inner`.
struct Layout {
    length: usize,
    inner: usize,
    step: Step,
}

enum Step {
    /// One scale.
    Same,
    /// One for each element of the axis.
    Axis,
    /// One for each block of so many along the axis, and so many blocks.
    Block(usize, usize),
}

impl Layout {
    /// The scale of the first element of a row of `inner`, and whether the following ones have the following scales.
    fn of_row(&self, row: usize) -> (usize, bool) {
        let at = row % self.length;
        match self.step {
            Step::Same => (0, false),
            Step::Axis => (at, false),
            Step::Block(block, blocks) => {
                let outer = row / self.length;
                ((outer * blocks + at / block) * self.inner, true)
            }
        }
    }
}

impl QuantizeBy {
    fn layout(&self, x: &[usize], scale: &[usize]) -> TractResult<Layout> {
        let scales: usize = scale.iter().product();
        let axis = self.axis;
        if scales == 1 && self.block == 0 {
            return Ok(Layout {
                length: 1,
                inner: 1,
                step: Step::Same,
            });
        }
        demand!(
            axis < x.len(),
            "it names axis {axis} of a tensor of {} axes",
            x.len()
        );
        let (length, inner) = (x[axis], x[axis + 1..].iter().product());
        if self.block == 0 {
            demand!(
                scales == length,
                "it has {scales} scales for {length} elements of axis {axis}"
            );
            return Ok(Layout {
                length,
                inner,
                step: Step::Axis,
            });
        }
        let blocks = length.div_ceil(self.block);
        let mut expected: TVec<usize> = x.into();
        expected[axis] = blocks;
        demand!(
            *expected == *scale,
            "its scales are of shape {scale:?}, where blocks of {} need {expected:?}",
            self.block
        );
        Ok(Layout {
            length,
            inner,
            step: Step::Block(self.block, blocks),
        })
    }

    /// Writes `one(x, scale, zero point)` for each element.
    fn map<A: Copy, B>(
        layout: &Layout,
        (xs, ys): (&[A], &mut [B]),
        (scales, zero_points): (&[f32], &[i32]),
        one: impl Fn(A, f32, i32) -> B,
    ) -> TractResult<()> {
        let zero_point = |at: usize| zero_points.get(at).copied().unwrap_or(0);
        if matches!(layout.step, Step::Same) {
            let scale = *scales.first().context("no scale")?;
            for (x, y) in xs.iter().zip(ys) {
                *y = one(*x, scale, zero_point(0));
            }
            return Ok(());
        }
        let inner = layout.inner.max(1);
        for (row, (xs, ys)) in xs.chunks(inner).zip(ys.chunks_mut(inner)).enumerate() {
            let (first, varies) = layout.of_row(row);
            let end = if varies { first + xs.len() } else { first + 1 };
            let scales = scales.get(first..end).context("fewer scales than blocks")?;
            for (i, (x, y)) in xs.iter().zip(ys).enumerate() {
                let at = if varies { i } else { 0 };
                *y = one(*x, scales[at], zero_point(first + at));
            }
        }
        Ok(())
    }

    fn quantize<T: Code>(&self, x: &Tensor, scales: &Tensor, zeros: &[i32]) -> TractResult<Tensor> {
        let layout = self.layout(x.shape(), scales.shape())?;
        let x = floats(x)?;
        let mut y = uninitialized::<T>(x.shape())?;
        let (x, scales) = (x.try_as_plain_ram()?, scales.try_as_plain_ram()?);
        let mut plain = y.try_as_plain_ram_mut()?;
        let slices = (x.as_slice::<f32>()?, plain.as_slice_mut::<T>()?);
        Self::map(&layout, slices, (scales.as_slice()?, zeros), code)?;
        Ok(y)
    }

    fn dequantize<T: Datum + Copy + Into<i32>>(
        &self,
        x: &Tensor,
        scales: &Tensor,
        zeros: &[i32],
    ) -> TractResult<Tensor> {
        let layout = self.layout(x.shape(), scales.shape())?;
        let mut y = uninitialized::<f32>(x.shape())?;
        let (x, scales) = (x.try_as_plain_ram()?, scales.try_as_plain_ram()?);
        let mut plain = y.try_as_plain_ram_mut()?;
        let slices = (x.as_slice::<T>()?, plain.as_slice_mut::<f32>()?);
        let one = |x: T, scale, zero| float(x.into(), scale, zero);
        Self::map(&layout, slices, (scales.as_slice()?, zeros), one)?;
        Ok(y)
    }
}

fn quantize<T: Code>(
    op: &QuantizeBy,
    x: &Tensor,
    scales: &Tensor,
    zeros: &[i32],
) -> TractResult<Tensor> {
    op.quantize::<T>(x, scales, zeros)
}

fn dequantize<T: Code>(
    op: &QuantizeBy,
    x: &Tensor,
    scales: &Tensor,
    zeros: &[i32],
) -> TractResult<Tensor> {
    op.dequantize::<T>(x, scales, zeros)
}

impl Op for QuantizeBy {
    fn name(&self) -> StaticName {
        match self.direction {
            Direction::Quantize => "QuantizeBy".into(),
            Direction::Dequantize => "DequantizeBy".into(),
        }
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let blocks = if self.block > 0 {
            format!(", blocks of {}", self.block)
        } else {
            String::new()
        };
        Ok(vec![format!("axis {}{blocks}", self.axis)])
    }

    op_as_typed_op!();
}

impl EvalOp for QuantizeBy {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, scales) = match &*inputs {
            [x, scales] | [x, scales, _] => (x, scales.cast_to::<f32>()?),
            _ => bail!("{} takes two or three inputs", self.name()),
        };
        let zeros = match inputs.get(2) {
            Some(zeros) => {
                ensure!(
                    zeros.len() == scales.len(),
                    "{} scales and {} zero points",
                    scales.len(),
                    zeros.len()
                );
                zeros
                    .cast_to::<i32>()?
                    .try_as_plain_ram()?
                    .as_slice::<i32>()?
                    .to_vec()
            }
            None => Vec::new(),
        };
        let y = match self.direction {
            Direction::Quantize => for_code!(
                self.to,
                "QuantizeLinear",
                quantize(self, x, &scales, &zeros)
            )?,
            Direction::Dequantize => {
                let floats = match x.datum_type() {
                    DatumType::I32 => self.dequantize::<i32>(x, &scales, &zeros)?,
                    dt => for_code!(dt, "DequantizeLinear", dequantize(self, x, &scales, &zeros))?,
                };
                floats.cast_to_dt(self.to)?.into_owned()
            }
        };
        Ok(tvec!(y.into_tvalue()))
    }
}

impl TypedOp for QuantizeBy {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let x = inputs.first().context("no input")?;
        Ok(tvec!(self.to.fact(x.shape.clone())))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let elements: TDim = inputs.first().context("no input")?.shape.iter().product();
        Ok(tvec!((Cost::FMA(DatumType::F32), elements * 4)))
    }

    as_op!();
}
