//! 8-bit codes on our kernels: the parameters of quantisation, tables from codes to codes, and floats that go through codes.
//!
//! Given tensors of u8 and i8, or floats; promises what `onnx-swish-kernels` does, split over the threads of the run where that
//! is worth it.

use std::sync::Arc;

use bytemuck::{cast_slice, cast_slice_mut};
use onnx_swish_kernels::codes::{self, Linear, Table, ZeroPoint};
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use super::activation::in_place;
use crate::arena::{elements, uninitialized};
use crate::workers::in_chunks;

/// The parameters for codes of 8 bits; `None` for other types, and for a zero point that the type does not have.
pub(super) fn linear(scale: f32, zero_point: i32, codes: DatumType) -> Option<Linear> {
    let zero_point = match codes {
        DatumType::U8 => ZeroPoint::U8(zero_point.try_into().ok()?),
        DatumType::I8 => ZeroPoint::I8(zero_point.try_into().ok()?),
        _ => return None,
    };
    Some(Linear { scale, zero_point })
}

/// Whether a type is one of 8-bit codes.
pub(crate) fn is_code(dt: DatumType) -> bool {
    matches!(dt, DatumType::U8 | DatumType::I8)
}

/// The bytes of a tensor of codes.
pub(crate) fn bytes(codes: &Tensor) -> TractResult<&[u8]> {
    match codes.datum_type() {
        DatumType::U8 => elements::<u8>(codes),
        DatumType::I8 => Ok(cast_slice(elements::<i8>(codes)?)),
        other => bail!("codes of {other:?}"),
    }
}

/// A tensor of codes that `write` fills, given a place and the bytes from there on.
pub(crate) fn written(
    dt: DatumType,
    shape: &[usize],
    write: impl Fn(usize, &mut [u8]) + Sync,
) -> TractResult<Tensor> {
    let elements = shape.iter().product();
    written_in_rows(dt, shape, 1, elements, write)
}

/// The same, of whole rows, given the number of the first, where so many elements are read.
pub(super) fn written_in_rows(
    dt: DatumType,
    shape: &[usize],
    row: usize,
    elements: usize,
    write: impl Fn(usize, &mut [u8]) + Sync,
) -> TractResult<Tensor> {
    let fill = |ys: &mut [u8]| in_chunks(ys, row, elements, &write);
    Ok(match dt {
        DatumType::U8 => {
            let mut output = uninitialized::<u8>(shape)?;
            fill(output.try_as_plain_ram_mut()?.as_slice_mut::<u8>()?);
            output
        }
        DatumType::I8 => {
            let mut output = uninitialized::<i8>(shape)?;
            let mut plain = output.try_as_plain_ram_mut()?;
            fill(cast_slice_mut(plain.as_slice_mut::<i8>()?));
            output
        }
        other => bail!("codes of {other:?}"),
    })
}

/// An entry for each code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LookUp {
    pub table: Arc<Table>,
    /// Of the codes that are given.
    pub from: DatumType,
    /// Of the entries.
    pub to: DatumType,
    /// What it computes: `SiLU`.
    pub what: String,
}

impl LookUp {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

impl ElementWiseMiniOp for LookUp {
    fn name(&self) -> String {
        "LookUp".to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!(
            "{} from codes to codes, table of 256",
            self.what
        )])
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        (self.from != self.to).then_some(self.to)
    }

    fn eval_in_place(&self, codes: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        match codes.datum_type() {
            DatumType::U8 => in_place::<u8>(codes, |xs| codes::look_up_in_place(&self.table, xs)),
            DatumType::I8 => in_place::<i8>(codes, |xs| {
                codes::look_up_in_place(&self.table, cast_slice_mut(xs));
            }),
            other => bail!("a table for codes of {other:?}"),
        }
    }

    fn eval_out_of_place(&self, codes: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let xs = bytes(codes)?;
        written(self.to, codes.shape(), |first, ys| {
            codes::look_up(&self.table, &xs[first..][..ys.len()], ys);
        })
    }
}

/// Floats to codes, perhaps by a table to others, and back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Requantize {
    pub by: codes::Requantize,
    /// What the table computes; `None` where there is none.
    pub what: Option<String>,
}

// A NaN scale only makes two operators look different.
impl Eq for Requantize {}

impl Requantize {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

impl ElementWiseMiniOp for Requantize {
    fn name(&self) -> String {
        "Requantize".to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![match &self.what {
            Some(what) => format!("{what} through codes, from floats to floats, table of 256"),
            None => "rounding to codes, from floats to floats".to_owned(),
        }])
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        in_place::<f32>(tensor, |xs| codes::requantize_in_place(xs, &self.by))
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        tvec!((Cost::Div(dt), 1), (Cost::FMA(dt), 6))
    }
}
