//! A convolution of 8-bit codes as a tract operator.
//!
//! Given codes; promises codes or floats, as the [`Ending`] of its convolution says, with exact sums.

use std::borrow::Cow;
use std::sync::Arc;

use bytemuck::{cast_slice, cast_slice_mut};
use onnx_swish_conv::{
    CodeType, Dynamic, Ending, Frame, QBias, QConv2d, QOperands, QOutput, QSpec, QWeights,
};
use onnx_swish_threads::Workers;
use tract_core::internal::*;

use super::describe;
use super::place::Place;
use crate::arena::Arena;
use crate::ops::codes::bytes;
use crate::shared;
use crate::workers::{in_chunks, with_workers};

/// Images of one pixel from which on they are the pixels of one image: its weights are then read once for many of them.
const MANY_ROWS: usize = 4;

/// A convolution of codes, its bias, and what its sums end in, in one pass. A second input, if there is one, is the zero point of the
/// first, and a third what floats are scaled by, as a model computes them.
#[derive(Debug, Clone)]
pub struct QConv {
    pub(super) conv: Arc<QConv2d>,
    pub(super) place: Place,
    /// What its table computes.
    pub(super) table: Option<Table>,
}

/// A table of codes that a convolution has taken along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// `SiLU`.
    pub what: String,
    /// Of the entries.
    pub to: DatumType,
}

impl PartialEq for QConv {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.conv, &other.conv) && self.place == other.place
    }
}

impl Eq for QConv {}

impl QConv {
    pub(crate) fn new(conv: Arc<QConv2d>, place: Place, table: Option<Table>) -> QConv {
        QConv { conv, place, table }
    }

    /// Where its packed weights are.
    #[cfg(test)]
    pub(super) fn address(&self) -> usize {
        Arc::as_ptr(&self.conv).addr()
    }

    fn output_type(&self) -> DatumType {
        match (&self.table, self.conv.spec().ending) {
            (Some(table), _) => table.to,
            (None, Ending::Sums) => DatumType::I32,
            (None, Ending::Floats(_)) => DatumType::F32,
            (None, Ending::Codes(output, _)) => match output.zero_point.codes() {
                CodeType::U8 => DatumType::U8,
                CodeType::I8 => DatumType::I8,
            },
        }
    }

    /// What it does, without sizes.
    pub(crate) fn kind(&self) -> String {
        describe::kind_of_codes(self.conv.spec(), self.table.as_ref())
    }

    /// What it does.
    pub(crate) fn details(&self) -> String {
        describe::info_of_codes(self.conv.spec(), self.table.as_ref())
    }
}

impl Op for QConv {
    fn name(&self) -> StaticName {
        let spec = self.conv.spec();
        if spec.is_depthwise() {
            "QConvDepthwise"
        } else if spec.window.taps() == 1 {
            "QConvPointwise"
        } else {
            "QConv"
        }
        .into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![self.details()])
    }

    op_as_typed_op!();
}

impl EvalOp for QConv {
    op_out_of_plan!();

    fn eval(&self, ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = inputs.first().context("a convolution without an input")?;
        let channels = self.conv.spec().out_channels;
        let (images, frame, shape) = self.place.geometry(input.shape(), channels)?;
        let codes = bytes(input)?;
        let pointwise = matches!(self.place, Place::Pointwise { .. });
        let many = pointwise && images >= MANY_ROWS && frame.input_area() == 1;
        let rows = many.then_some(images);
        let (images, frame, input) = match rows {
            Some(rows) => {
                let frame = Frame {
                    input: [1, rows],
                    output: [1, rows],
                    pad: [0, 0],
                };
                (1, frame, Cow::Owned(transposed(codes, rows)))
            }
            None => (images, frame, Cow::Borrowed(codes)),
        };
        let run = Run {
            conv: &self.conv,
            images,
            frame,
            input,
            dynamic: dynamic(&inputs)?,
            rows,
        };
        let output = match self.output_type() {
            DatumType::F32 => {
                Arena::output(ctx, &shape, |to| run.write(to, |to| QOutput::Floats(to)))
            }
            DatumType::I32 => {
                Arena::output(ctx, &shape, |to| run.write(to, |to| QOutput::Sums(to)))
            }
            DatumType::I8 => Arena::output(ctx, &shape, |to: &mut [i8]| {
                run.write(cast_slice_mut(to), |to| QOutput::Codes(to))
            }),
            _ => Arena::output(ctx, &shape, |to| run.write(to, |to| QOutput::Codes(to))),
        }?;
        Ok(tvec!(output.into_tvalue()))
    }
}

/// One evaluation.
struct Run<'a> {
    conv: &'a QConv2d,
    images: usize,
    frame: Frame,
    input: Cow<'a, [u8]>,
    dynamic: Option<Dynamic>,
    /// The rows that are pixels here, if they are: the output's then have to be rows again.
    rows: Option<usize>,
}

impl Run<'_> {
    fn write<T: Copy + Default + Send + Sync>(
        &self,
        output: &mut [T],
        kind: impl Fn(&mut [T]) -> QOutput<'_>,
    ) -> TractResult<()> {
        let Some(rows) = self.rows else {
            return self.run(kind(output));
        };
        let mut columns = vec![T::default(); output.len()];
        self.run(kind(&mut columns))?;
        transpose(&columns, rows, output);
        Ok(())
    }

    fn run(&self, output: QOutput) -> TractResult<()> {
        let operands = QOperands {
            input: &self.input,
            dynamic: self.dynamic,
        };
        let mut output = Some(output);
        with_workers(|workers: &dyn Workers| {
            let output = output.take().context("an output that is gone")?;
            Ok(self
                .conv
                .run(self.images, &self.frame, operands, output, workers)?)
        })
    }
}

/// The columns of a matrix of so many rows, one after the other.
fn transposed(matrix: &[u8], rows: usize) -> Vec<u8> {
    let mut columns = vec![0; matrix.len()];
    transpose(matrix, matrix.len() / rows.max(1), &mut columns);
    columns
}

/// Elements along each side of what is moved at a time: whole cache lines of bytes.
const SQUARE: usize = 64;

/// Writes the columns of a matrix one after the other, of which it has so many.
fn transpose<T: Copy + Send + Sync>(matrix: &[T], columns: usize, to: &mut [T]) {
    if to.is_empty() {
        return;
    }
    let rows = to.len() / columns;
    in_chunks(to, rows, matrix.len(), |first, to| {
        for (at, to) in to.chunks_mut(SQUARE * rows).enumerate() {
            let first = first + at * SQUARE;
            for (below, matrix) in matrix.chunks(SQUARE * columns).enumerate() {
                for (column, to) in to.chunks_exact_mut(rows).enumerate() {
                    let to = to[below * SQUARE..].iter_mut();
                    let from = matrix.iter().skip(first + column).step_by(columns);
                    for (to, from) in to.zip(from) {
                        *to = *from;
                    }
                }
            }
        }
    });
}

/// The convolution with its weights packed, or one of the same that another plan of the session has already; else why there is none.
pub(crate) fn packed(
    spec: QSpec,
    weights: QWeights,
    bias: QBias,
    table: Option<&[u8; 256]>,
) -> Result<Arc<QConv2d>, String> {
    // What is as long as there are channels is hashed, not written out.
    let (kind, offsets): (u8, &[u8]) = match &bias {
        QBias::None => (0, &[]),
        QBias::Sums(sums) => (1, cast_slice(sums)),
        QBias::Floats(floats) => (2, cast_slice(floats)),
    };
    let parts = [
        weights.bytes,
        cast_slice(weights.scales),
        cast_slice(weights.zero_points),
        offsets,
        table.map_or(&[], |table| &table[..]),
    ];
    shared::once(&(spec, weights.codes, kind), &parts, || {
        QConv2d::new(spec, weights, bias, table).map_err(|error| error.to_string())
    })
}

/// What the model has computed of its codes, if it has.
fn dynamic(inputs: &[TValue]) -> TractResult<Option<Dynamic>> {
    let Some(zero_point) = inputs.get(1) else {
        return Ok(None);
    };
    let first = |input: &TValue| {
        let floats = input.cast_to::<f32>()?;
        let floats = floats.try_as_plain_ram()?.as_slice::<f32>()?;
        floats
            .first()
            .copied()
            .context("a parameter of no elements")
    };
    Ok(Some(Dynamic {
        zero_point: first(zero_point)? as i32,
        scale: inputs.get(2).map(first).transpose()?.unwrap_or(1.0),
    }))
}

impl TypedOp for QConv {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let input = inputs.first().context("a convolution without an input")?;
        let channels = self.conv.spec().out_channels.to_dim();
        let shape: TVec<TDim> = self.place.output_shape(&input.shape, channels)?;
        Ok(tvec!(self.output_type().fact(&shape)))
    }

    fn cost(&self, inputs: &[&TypedFact]) -> TractResult<TVec<(Cost, TDim)>> {
        let outputs: TDim = self.output_facts(inputs)?[0].shape.iter().product();
        let terms = self.conv.spec().macs_per_output();
        Ok(tvec!((Cost::FMA(DatumType::I8), outputs * terms)))
    }

    as_op!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_any_matrix_become_rows() {
        for (rows, columns) in [
            (1, 1),
            (3, 5),
            (64, 64),
            (65, 130),
            (200, 7),
            (1, 300),
            (0, 4),
        ] {
            let matrix: Vec<usize> = (0..rows * columns).collect();
            let mut found = vec![0; matrix.len()];
            transpose(&matrix, columns, &mut found);
            let wanted = (0..columns).flat_map(|at| (0..rows).map(move |row| row * columns + at));
            assert!(found.into_iter().eq(wanted), "{rows} x {columns}");
        }
    }
}
