//! Element-wise operators between 8-bit codes, one after the other on pieces that stay in the first caches.
//!
//! Given codes and floats that broadcast, and steps in the file's order; promises what the steps give for whole tensors, bit for bit: each
//! is the operator, or the one rounding, that it would be by itself, and no element knows of its neighbours.

mod arithmetic;
mod spread;

use std::sync::{Arc, Mutex, PoisonError};

use bytemuck::cast_slice_mut;
use onnx_swish_kernels::clean_vector_registers;
use onnx_swish_kernels::codes::{self as kernels, Linear, ZeroPoint};
use tract_core::broadcast::multi_broadcast;
use tract_core::internal::*;
use tract_core::ops::element_wise::ElementWiseMiniOp;

use super::codes::bytes;
use crate::arena::{Arena, elements, uninitialized};
use crate::workers::in_chunks;
pub(crate) use arithmetic::Arithmetic;
use arithmetic::{By, combine};
use spread::Spread;

/// Elements that go through all steps together. Four tensors of them are 64 KiB: between the sizes of a first-level cache and a second.
const PIECE: usize = 4096;

/// How an input becomes floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// It is float32.
    Floats,
    /// It is 8-bit codes.
    Codes(Linear),
}

/// What a step takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operand {
    /// A value: the inputs come first, then the steps.
    Value(usize),
    /// A constant of one element.
    Constant(Arc<Tensor>),
}

/// What a step computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// One rounding, by whoever computes it: by us.
    Arithmetic(Arithmetic),
    /// An operator of one operand, in its place.
    InPlace(Box<dyn ElementWiseMiniOp>),
    /// Any other, as the graph would run it.
    Whole(Box<dyn TypedOp>),
}

/// An operator of the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub work: Work,
    pub operands: TVec<Operand>,
}

/// A region that ends in codes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QElementwise {
    loads: Vec<Load>,
    steps: Vec<Step>,
    /// For each step the values that nobody reads behind it.
    done: Vec<TVec<usize>>,
    to: Linear,
    /// What it computes: `sum of two tensors, SiLU,`.
    what: String,
}

impl Eq for QElementwise {}

impl QElementwise {
    /// `None` if there is no step, or one takes what is not there.
    pub(crate) fn new(
        loads: Vec<Load>,
        steps: Vec<Step>,
        to: Linear,
        what: String,
    ) -> Option<QElementwise> {
        let mut last_reads: HashMap<usize, usize> = HashMap::new();
        for (at, step) in steps.iter().enumerate() {
            for operand in &step.operands {
                if let Operand::Value(value) = operand {
                    if *value >= loads.len() + at {
                        return None;
                    }
                    last_reads.insert(*value, at);
                }
            }
        }
        let mut done: Vec<TVec<usize>> = vec![tvec!(); steps.len()];
        for (value, at) in last_reads {
            done.get_mut(at)?.push(value);
        }
        (!steps.is_empty()).then_some(QElementwise {
            loads,
            steps,
            done,
            to,
            what,
        })
    }

    fn codes(&self) -> DatumType {
        match self.to.zero_point {
            ZeroPoint::U8(_) => DatumType::U8,
            ZeroPoint::I8(_) => DatumType::I8,
        }
    }

    fn write(&self, sources: &[Source<'_>], codes: &mut [u8]) -> TractResult<()> {
        let failed = Mutex::new(None);
        let work = codes.len().saturating_mul(self.steps.len());
        in_chunks(codes, 1, work, |first, codes| {
            if let Err(error) = self.write_chunk(sources, first, codes) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(error);
            }
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.map_or(Ok(()), Err)
    }

    fn write_chunk(
        &self,
        sources: &[Source<'_>],
        first: usize,
        codes: &mut [u8],
    ) -> TractResult<()> {
        let mut piece = Piece::new(self.loads.len() + self.steps.len());
        for (i, codes) in codes.chunks_mut(PIECE).enumerate() {
            piece.start(first + i * PIECE, codes.len());
            for (at, (step, done)) in self.steps.iter().zip(&self.done).enumerate() {
                piece.load(step, sources)?;
                let result = piece.compute(step, done)?;
                for value in done {
                    piece.give_up(*value);
                }
                piece.values[sources.len() + at] = Some(result.into_arc_tensor());
            }
            let last = sources.len() + self.steps.len() - 1;
            clean_vector_registers();
            kernels::quantize(elements::<f32>(&*piece.read(last)?)?, self.to, codes);
            piece.give_up(last);
        }
        Ok(())
    }
}

/// An input during a run.
struct Source<'a> {
    load: Load,
    tensor: &'a Tensor,
    spread: Spread,
}

/// The values of some elements on their way through the steps.
struct Piece {
    first: usize,
    len: usize,
    values: Vec<Option<Arc<Tensor>>>,
    /// Floats of this piece's length that nobody needs any more.
    spare: Vec<Tensor>,
    /// Codes of an input that broadcasts.
    codes: Vec<u8>,
}

impl Piece {
    fn new(values: usize) -> Piece {
        Piece {
            first: 0,
            len: 0,
            values: vec![None; values],
            spare: Vec::new(),
            codes: Vec::new(),
        }
    }

    fn start(&mut self, first: usize, len: usize) {
        if len != self.len {
            self.spare.clear();
        }
        (self.first, self.len) = (first, len);
    }

    fn room(&mut self) -> TractResult<Tensor> {
        match self.spare.pop() {
            Some(tensor) => Ok(tensor),
            None => uninitialized::<f32>(&[self.len]),
        }
    }

    /// Loads the inputs that a step takes and that are not there yet.
    fn load(&mut self, step: &Step, sources: &[Source<'_>]) -> TractResult<()> {
        for operand in &step.operands {
            let Operand::Value(value) = *operand else {
                continue;
            };
            let Some(source) = sources.get(value).filter(|_| self.values[value].is_none()) else {
                continue;
            };
            let mut floats = self.room()?;
            let mut plain = floats.try_as_plain_ram_mut()?;
            let to = plain.as_slice_mut::<f32>()?;
            match source.load {
                Load::Floats => source
                    .spread
                    .copy(elements::<f32>(source.tensor)?, self.first, to),
                Load::Codes(linear) => {
                    let from = bytes(source.tensor)?;
                    let codes = if source.spread.is_whole() {
                        &from[self.first..][..self.len]
                    } else {
                        self.codes.resize(self.len, 0);
                        source.spread.copy(from, self.first, &mut self.codes);
                        &*self.codes
                    };
                    kernels::dequantize(codes, linear, to);
                }
            }
            self.values[value] = Some(floats.into_arc_tensor());
        }
        Ok(())
    }

    fn compute(&mut self, step: &Step, done: &[usize]) -> TractResult<Tensor> {
        match &step.work {
            Work::Arithmetic(op) => {
                if let [a, b] = &*step.operands {
                    return self.combine(*op, a, b, done);
                }
                bail!("{op:?} of {} operands", step.operands.len())
            }
            Work::InPlace(op) => {
                let [Operand::Value(x)] = *step.operands else {
                    bail!("{} takes one value", op.name());
                };
                let mut x = self.own(x, done)?;
                op.eval_in_place(&mut x, None)?;
                clean_vector_registers();
                Ok(x)
            }
            Work::Whole(op) => {
                let mut inputs = tvec!();
                for operand in &step.operands {
                    inputs.push(match operand {
                        Operand::Constant(constant) => constant.clone().into_tvalue(),
                        Operand::Value(value) => self.read(*value)?.into_tvalue(),
                    });
                }
                // What is in the operator's hands alone it may overwrite.
                for value in done {
                    self.values[*value] = None;
                }
                let mut outputs = op.eval(&EvalContext::out_of_plan(), inputs)?;
                clean_vector_registers();
                let output = outputs.pop().context("no output")?;
                Ok(output.into_tensor())
            }
        }
    }

    fn combine(
        &mut self,
        op: Arithmetic,
        a: &Operand,
        b: &Operand,
        done: &[usize],
    ) -> TractResult<Tensor> {
        let (op, x, by) = match (a, b) {
            (Operand::Value(a), Operand::Value(b)) if !done.contains(a) && done.contains(b) => {
                (op.swapped(), *b, Operand::Value(*a))
            }
            (Operand::Value(a), b) => (op, *a, b.clone()),
            (a, Operand::Value(b)) => (op.swapped(), *b, a.clone()),
            _ => bail!("{op:?} of two constants"),
        };
        let is_itself = by == Operand::Value(x);
        let mut result = self.own(x, if is_itself { &[] } else { done })?;
        let by = match by {
            Operand::Constant(constant) => constant,
            Operand::Value(value) => self.read(value)?,
        };
        let by = elements::<f32>(&by)?;
        let mut plain = result.try_as_plain_ram_mut()?;
        let xs = plain.as_slice_mut::<f32>()?;
        match by {
            &[number] => combine(op, xs, By::Number(number)),
            by => {
                ensure!(by.len() == xs.len(), "{} and {}", xs.len(), by.len());
                combine(op, xs, By::Slice(by));
            }
        }
        Ok(result)
    }

    fn read(&self, value: usize) -> TractResult<Arc<Tensor>> {
        let value = self.values.get(value).and_then(Option::as_ref);
        value.cloned().context("a value that is not there")
    }

    /// A value to be overwritten: itself if nobody else needs it.
    fn own(&mut self, value: usize, done: &[usize]) -> TractResult<Tensor> {
        let shared = self.read(value)?;
        if done.contains(&value) {
            self.values[value] = None;
            return Ok(shared.into_tensor());
        }
        if shared.datum_type() != DatumType::F32 {
            return Ok(shared.into_tensor());
        }
        let mut copy = self.room()?;
        let mut plain = copy.try_as_plain_ram_mut()?;
        let to = plain.as_slice_mut::<f32>()?;
        to.copy_from_slice(elements::<f32>(&shared)?);
        Ok(copy)
    }

    /// Keeps the memory of a value.
    fn give_up(&mut self, value: usize) {
        if let Some(tensor) = self.values[value].take().and_then(Arc::into_inner)
            && tensor.datum_type() == DatumType::F32
            && tensor.len() == self.len
        {
            self.spare.push(tensor);
        }
    }
}

impl Op for QElementwise {
    fn name(&self) -> StaticName {
        "QElementwise".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let steps = self.steps.len();
        Ok(vec![format!(
            "{} from codes to codes, {steps} steps",
            self.what
        )])
    }

    op_as_typed_op!();
}

impl EvalOp for QElementwise {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        ensure!(
            inputs.len() == self.loads.len(),
            "{} inputs for {}",
            inputs.len(),
            self.loads.len()
        );
        let shapes: TVec<&[usize]> = inputs.iter().map(|input| input.shape()).collect();
        let shape = multi_broadcast(&shapes)?;
        let sources = inputs.iter().zip(&self.loads).map(|(input, load)| {
            Ok(Source {
                load: *load,
                tensor: input,
                spread: Spread::new(input.shape(), &shape)?,
            })
        });
        let sources = sources.collect::<TractResult<Vec<_>>>()?;
        let output = if self.codes() == DatumType::I8 {
            Arena::output(ctx, &shape, |codes: &mut [i8]| {
                self.write(&sources, cast_slice_mut(codes))
            })
        } else {
            Arena::output(ctx, &shape, |codes: &mut [u8]| self.write(&sources, codes))
        }?;
        Ok(tvec!(output.into_tvalue()))
    }
}

impl TypedOp for QElementwise {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shapes: TVec<TVec<TDim>> = inputs.iter().map(|fact| fact.shape.to_tvec()).collect();
        Ok(tvec!(self.codes().fact(&*multi_broadcast(&shapes)?)))
    }

    as_op!();
}
