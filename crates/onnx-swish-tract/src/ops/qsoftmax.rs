//! ONNX Runtime's QLinearSoftmax.
//!
//! Given codes; promises ONNX Runtime's codes to the bit: exponentials are float32, from a table by how far a code lies below the largest of
//! its row, are added one after the other, and each is multiplied by the whole part of `1/scale` and divided by the sum in float64.

use onnx_swish_kernels::codes::{self as kernels, Linear, Table, ZeroPoint};
use tract_core::internal::*;

use super::codes::{bytes, written_in_rows};
use super::qaverage::linear;
use super::qlinear::input;

/// Codes of a row beyond which quotients of all 256 codes are cheaper than one of each element.
const LONG: usize = 256;
/// As many elements of an activation as one of a row is worth, which takes an addition and a division, one after the other.
const WORK: usize = 32;
/// How far below the end of float32 ONNX Runtime keeps sums, as a power of e.
const RESERVE: f64 = 5.0;

/// The operator, whose parameters are inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QSoftmax {
    /// As the file has it: from the end if it is negative.
    pub axis: i64,
    /// Whether this axis and those behind it are one row, as they were up to version 12 of the standard.
    pub to_the_end: bool,
    /// Where each of the node's inputs is, if it is given: codes, their scale and zero point, those of the result.
    pub at: [Option<usize>; 5],
}

impl QSoftmax {
    /// The elements of a row, and the distance from one to the next.
    fn row(&self, shape: &[usize]) -> TractResult<(usize, usize)> {
        let from_end = if self.axis < 0 { shape.len() as i64 } else { 0 };
        let axis = usize::try_from(self.axis + from_end)?;
        let (along, behind) = shape
            .get(axis..)
            .and_then(<[usize]>::split_first)
            .context("no such axis")?;
        let behind = behind.iter().product::<usize>();
        Ok(match self.to_the_end {
            true => (along * behind, 1),
            false => (*along, behind),
        })
    }
}

/// What makes an integer of a number of up to half of it: the sum's last bits are the integer, halves rounded to even.
const TO_INTEGER: f64 = (3u64 << 51) as f64;
/// A number of codes beyond all.
const BEYOND: f64 = 1e6;

/// What the rows of one call have in common.
struct Rows {
    /// `e` to the power of minus so many codes, times a factor.
    powers: [f32; 256],
    /// What makes unsigned codes of codes, in the same order, and back.
    flip: u8,
    /// Codes that are 1.
    one: f64,
    zero_point: i32,
    lowest: i32,
}

impl Rows {
    fn new(length: usize, from: Linear, to: Linear) -> Rows {
        let scale = f64::from(from.scale);
        // ONNX Runtime takes this one logarithm in float32.
        let largest = f64::from((f32::MAX / length as f32).ln());
        let shift = (largest - RESERVE).max(0.0) / scale;
        let signed = |zero_point| matches!(zero_point, ZeroPoint::I8(_));
        Rows {
            powers: std::array::from_fn(|below| ((shift - below as f64) * scale).exp() as f32),
            flip: if signed(from.zero_point) { 0x80 } else { 0 },
            one: f64::from((1.0 / to.scale).floor()),
            zero_point: to.zero_point.value().into(),
            lowest: if signed(to.zero_point) { -128 } else { 0 },
        }
    }

    fn softmax(&self, row: &[u8], codes: &mut [u8]) {
        let keys = row.iter().map(|code| code ^ self.flip);
        let largest = keys.clone().fold(0, u8::max);
        let power = |key: u8| self.powers[usize::from(largest.wrapping_sub(key))];
        let sum = keys.clone().fold(0f32, |sum, key| sum + power(key));
        let sum = f64::from(sum);
        let code = |key: u8| {
            let number = (f64::from(power(key)) * self.one / sum).min(BEYOND);
            let number = (number + TO_INTEGER).to_bits() as i32 + self.zero_point;
            number.clamp(self.lowest, self.lowest + 255) as u8
        };
        if row.len() < LONG {
            for (found, key) in codes.iter_mut().zip(keys) {
                *found = code(key);
            }
        } else {
            let mut table: Table = [0; 256];
            for key in 0..=largest {
                table[usize::from(key ^ self.flip)] = code(key);
            }
            kernels::look_up(&table, row, codes);
        }
    }

    /// The same of each column of a block of rows.
    fn columns(&self, block: &[u8], count: usize, codes: &mut [u8]) {
        let along = block.len() / count;
        let (mut column, mut found) = (vec![0; along], vec![0; along]);
        for at in 0..count {
            for (to, row) in column.iter_mut().zip(block.chunks_exact(count)) {
                *to = row[at];
            }
            self.softmax(&column, &mut found);
            for (from, row) in found.iter().zip(codes.chunks_exact_mut(count)) {
                row[at] = *from;
            }
        }
    }
}

impl Op for QSoftmax {
    fn name(&self) -> StaticName {
        "QSoftmax".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec!["from codes to codes, as ONNX Runtime".to_owned()])
    }

    op_as_typed_op!();
}

impl EvalOp for QSoftmax {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let tensor = input(&self.at, &inputs, 0)?;
        let (dt, shape) = (tensor.datum_type(), tensor.shape());
        let from = linear(&self.at, &inputs, [1, 2], dt)?;
        let to = linear(&self.at, &inputs, [3, 4], dt)?;
        let (along, behind) = self.row(shape)?;
        let block = (along * behind).max(1);
        let rows = Rows::new(along, from, to);
        let xs = bytes(tensor)?;
        let work = xs.len().saturating_mul(WORK);
        let written = written_in_rows(dt, shape, block, work, |first, codes| {
            let xs = &xs[first * block..][..codes.len()];
            for (xs, codes) in xs.chunks_exact(block).zip(codes.chunks_exact_mut(block)) {
                match behind {
                    1 => rows.softmax(xs, codes),
                    _ => rows.columns(xs, behind, codes),
                }
            }
        })?;
        Ok(tvec!(written.into_tvalue()))
    }
}

impl TypedOp for QSoftmax {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let codes = input(&self.at, inputs, 0)?;
        Ok(tvec!(codes.datum_type.fact(codes.shape.iter())))
    }

    as_op!();
}
