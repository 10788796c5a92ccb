//! QuantizeLinear and DequantizeLinear with one scale for the whole tensor, known before the model runs.
//!
//! Given floats or codes; promises ONNX's arithmetic as ONNX Runtime has it: `x / scale` divided in float32, rounded half to even,
//! the zero point added after that, saturated; NaN becomes the lowest code. And `(code - zero point) * scale` back. Codes of 8 bits
//! are the kernels'; 16 bits, and 32 to floats, are done here.

use bytemuck::Pod;
use onnx_swish_kernels::codes::{self as kernels, Linear};
use tract_core::internal::*;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};

use super::codes;
use crate::arena::uninitialized;
use crate::workers::in_chunks;

/// `1.5·2²³`: adding it to a float of magnitude below 2²² rounds to an integer, which is in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// An integer type that quantised values have.
pub(super) trait Code: Datum + Pod + Into<i32> {
    const LOWEST: i32;
    const HIGHEST: i32;
    /// Of a value in range.
    fn of(value: i32) -> Self;
}

macro_rules! codes {
    ($($code:ty),*) => {
        $(impl Code for $code {
            const LOWEST: i32 = <$code>::MIN as i32;
            const HIGHEST: i32 = <$code>::MAX as i32;
            fn of(value: i32) -> Self {
                value as $code
            }
        })*
    };
}

codes!(u8, i8, u16, i16);

/// The code of one float. Without a branch, for the compiler to vectorise.
#[inline(always)]
pub(super) fn code<T: Code>(x: f32, scale: f32, zero_point: i32) -> T {
    // Whole numbers of at most 17 bits: exact in f32, and clamping before rounding is clamping after it.
    let low = (T::LOWEST - zero_point) as f32;
    let high = (T::HIGHEST - zero_point) as f32;
    let q = x / scale;
    // Comparisons that a NaN fails: it becomes the lowest code, as in ONNX Runtime on x86.
    let q = if q > low { q } else { low };
    let q = if q < high { q } else { high };
    let rounded = (q + ROUND).to_bits() as i32;
    T::of(rounded - (ROUND.to_bits() as i32) + zero_point)
}

/// The float of one code.
#[inline(always)]
pub(super) fn float(code: i32, scale: f32, zero_point: i32) -> f32 {
    code.wrapping_sub(zero_point) as f32 * scale
}

/// Calls a generic function for a code type.
macro_rules! for_code {
    ($dt:expr, $what:expr, $function:ident($($argument:expr),*)) => {
        match $dt {
            DatumType::U8 => $function::<u8>($($argument),*),
            DatumType::I8 => $function::<i8>($($argument),*),
            DatumType::U16 => $function::<u16>($($argument),*),
            DatumType::I16 => $function::<i16>($($argument),*),
            other => bail!("{} has no arithmetic for codes of {other:?}", $what),
        }
    };
}
pub(super) use for_code;

/// The floats of a tensor that is to be quantised: float32 as they are, others converted.
pub(super) fn floats(x: &Tensor) -> TractResult<std::borrow::Cow<'_, Tensor>> {
    match x.datum_type() {
        DatumType::F32 | DatumType::F16 | DatumType::I32 => x.cast_to::<f32>(),
        other => bail!("QuantizeLinear takes float32, float16 and int32, not {other:?}"),
    }
}

/// Writes one element for each of another tensor's, on all threads of the run when that is worth it.
fn map<A: Datum, B: Datum + Pod>(
    xs: &Tensor,
    write: impl Fn(&[A], &mut [B]) + Sync,
) -> TractResult<Tensor> {
    let mut output = uninitialized::<B>(xs.shape())?;
    let xs = xs.try_as_plain_ram()?;
    let xs = xs.as_slice::<A>()?;
    let mut plain = output.try_as_plain_ram_mut()?;
    let ys = plain.as_slice_mut::<B>()?;
    let len = ys.len();
    in_chunks(ys, 1, len, |first, ys| write(&xs[first..][..ys.len()], ys));
    Ok(output)
}

/// `saturate(round(x / scale) + zero point)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantize {
    pub scale: f32,
    pub zero_point: i32,
    /// u8, i8, u16 or i16.
    pub to: DatumType,
}

// A NaN scale only makes two operators look different.
impl Eq for Quantize {}

impl Quantize {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }

    /// For codes of 8 bits.
    pub(crate) fn linear(&self) -> Option<Linear> {
        codes::linear(self.scale, self.zero_point, self.to)
    }

    fn run<T: Code>(&self, x: &Tensor) -> TractResult<Tensor> {
        map(x, |xs: &[f32], ys: &mut [T]| {
            for (x, y) in xs.iter().zip(ys) {
                *y = code(*x, self.scale, self.zero_point);
            }
        })
    }
}

impl ElementWiseMiniOp for Quantize {
    fn name(&self) -> String {
        "Quantize".to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Quantize {
            scale,
            zero_point,
            to,
        } = self;
        Ok(vec![format!(
            "to {to:?}, scale {scale}, zero point {zero_point}"
        )])
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        Some(self.to)
    }

    fn eval_out_of_place(&self, x: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let x = floats(x)?;
        if let Some(linear) = self.linear() {
            let plain = x.try_as_plain_ram()?;
            let xs = plain.as_slice::<f32>()?;
            return codes::written(self.to, x.shape(), |first, ys| {
                kernels::quantize(&xs[first..][..ys.len()], linear, ys);
            });
        }
        for_code!(self.to, "QuantizeLinear", run_quantize(self, &x))
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        tvec!((Cost::Div(dt), 1), (Cost::FMA(dt), 4))
    }
}

fn run_quantize<T: Code>(op: &Quantize, x: &Tensor) -> TractResult<Tensor> {
    op.run::<T>(x)
}

/// `(code - zero point) · scale`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dequantize {
    pub scale: f32,
    pub zero_point: i32,
    /// float32 or float16.
    pub to: DatumType,
}

impl Eq for Dequantize {}

impl Dequantize {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }

    /// For codes of this type, if it is one of 8 bits.
    pub(crate) fn linear(&self, codes: DatumType) -> Option<Linear> {
        codes::linear(self.scale, self.zero_point, codes)
    }

    /// Of 8-bit codes.
    fn run_bytes(&self, codes: &Tensor, linear: Linear) -> TractResult<Tensor> {
        let mut output = uninitialized::<f32>(codes.shape())?;
        let xs = codes::bytes(codes)?;
        let mut plain = output.try_as_plain_ram_mut()?;
        let ys = plain.as_slice_mut::<f32>()?;
        let len = ys.len();
        in_chunks(ys, 1, len, |first, ys| {
            kernels::dequantize(&xs[first..][..ys.len()], linear, ys);
        });
        Ok(output)
    }

    fn run<T: Datum + Copy + Into<i32>>(&self, codes: &Tensor) -> TractResult<Tensor> {
        map(codes, |xs: &[T], ys: &mut [f32]| {
            for (x, y) in xs.iter().zip(ys) {
                *y = float((*x).into(), self.scale, self.zero_point);
            }
        })
    }
}

impl ElementWiseMiniOp for Dequantize {
    fn name(&self) -> String {
        "Dequantize".to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Dequantize {
            scale, zero_point, ..
        } = self;
        Ok(vec![format!("scale {scale}, zero point {zero_point}")])
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        Some(self.to)
    }

    fn eval_out_of_place(&self, codes: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let floats = match codes.datum_type() {
            DatumType::I32 => self.run::<i32>(codes)?,
            dt => match self.linear(dt) {
                Some(linear) => self.run_bytes(codes, linear)?,
                None => for_code!(dt, "DequantizeLinear", run_dequantize(self, codes))?,
            },
        };
        Ok(floats.cast_to_dt(self.to)?.into_owned())
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        tvec!((Cost::FMA(dt), 2))
    }
}

fn run_dequantize<T: Code>(op: &Dequantize, codes: &Tensor) -> TractResult<Tensor> {
    op.run::<T>(codes)
}

#[cfg(test)]
mod tests;
