//! Max, Min and Clip that keep NaN, and tanh that does.
//!
//! Given float tensors; promises NaN wherever an operand is NaN, as ONNX Runtime has it, and elsewhere tract's numbers, but for tanh of f32.
//!
//! tract's own lose it: `Max` and `Min` (tract-core 0.23.9, `src/ops/math/mod.rs`, and the kernels of `tract-linalg`'s
//! `src/generic/by_scalar.rs` and `unicast.rs`) are Rust's `max` and `min`, which prefer a number to NaN, so that ReLU of NaN is 0;
//! its tanh (`tract-linalg/x86_64/*/*tanh_f32.S.j2`) clamps its input. Where a product of matrices takes the maximum along, NaN
//! stays NaN: `vmaxps` with the sum as its last operand.

use onnx_swish_kernels::tanh_in_place;
use tract_core::internal::*;
use tract_core::ndarray::Zip;
use tract_core::ops::binary::BinMiniOp;
use tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_core::ops::math;

use super::activation::in_place;

/// The type of the elements of a bound.
trait Float: Datum + Copy + PartialOrd {
    fn of(value: f64) -> Self;
}

impl Float for f16 {
    fn of(value: f64) -> Self {
        f16::from_f64(value)
    }
}

impl Float for f32 {
    fn of(value: f64) -> Self {
        value as f32
    }
}

impl Float for f64 {
    fn of(value: f64) -> Self {
        value
    }
}

/// Calls a generic function for a float type.
macro_rules! for_float {
    ($dt:expr, $what:expr, $function:ident($($argument:expr),*)) => {
        match $dt {
            DatumType::F16 => $function::<f16>($($argument),*),
            DatumType::F32 => $function::<f32>($($argument),*),
            DatumType::F64 => $function::<f64>($($argument),*),
            other => bail!("{} is defined on floats, not on {other:?}", $what),
        }
    };
}

/// `min(max(x, low), high)` with constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Clamp {
    low: f64,
    high: f64,
}

impl Eq for Clamp {}

impl Clamp {
    /// That bounds nothing.
    pub(crate) const NONE: Clamp = Clamp {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };

    /// This and then another maximum or minimum, if one clamp is the same.
    pub(crate) fn then(self, extremum: Extremum, bound: f64) -> Option<Clamp> {
        let Clamp { low, high } = self;
        let clamp = match extremum {
            Extremum::Max => Clamp {
                low: low.max(bound),
                high,
            },
            Extremum::Min => Clamp {
                low,
                high: high.min(bound),
            },
        };
        (!bound.is_nan() && clamp.low <= clamp.high).then_some(clamp)
    }

    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

fn clamp<T: Float>(Clamp { low, high }: Clamp, tensor: &mut Tensor) -> TractResult<()> {
    let (low, high) = (T::of(low), T::of(high));
    in_place::<T>(tensor, |xs| {
        for x in xs {
            // Comparisons that NaN fails.
            let y = if *x < low { low } else { *x };
            *x = if y > high { high } else { y };
        }
    })
}

impl ElementWiseMiniOp for Clamp {
    fn name(&self) -> String {
        "Clamp".to_owned()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec![format!("{} to {}", self.low, self.high)])
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        for_float!(tensor.datum_type(), "Clamp", clamp(*self, tensor))
    }
}

/// The larger or the smaller of two numbers, NaN if one of them is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extremum {
    Max,
    Min,
}

impl Extremum {
    /// tract's operator as ours.
    pub(crate) fn of(op: &dyn BinMiniOp) -> Option<Extremum> {
        if op.is::<math::Max>() {
            Some(Extremum::Max)
        } else if op.is::<math::Min>() {
            Some(Extremum::Min)
        } else {
            None
        }
    }

    fn one<T: Float>(self, a: T, b: T) -> T {
        let first = match self {
            Extremum::Max => a > b,
            Extremum::Min => a < b,
        };
        // NaN is the only value that differs from itself.
        #[allow(clippy::eq_op)]
        if first || a != a { a } else { b }
    }
}

fn in_a<T: Float>(op: Extremum, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
    let b = b.to_plain_array_view::<T>()?;
    let mut plain = a.try_as_plain_ram_mut()?;
    let a = plain.to_array_view_mut::<T>()?;
    Zip::from(a)
        .and_broadcast(b)
        .for_each(|a, b| *a = op.one(*a, *b));
    Ok(())
}

fn out_of_place<T: Float>(op: Extremum, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
    let (a, b) = (a.to_plain_array_view::<T>()?, b.to_plain_array_view::<T>()?);
    let mut plain = c.try_as_plain_ram_mut()?;
    let c = plain.to_array_view_mut::<T>()?;
    let operands = Zip::from(c).and_broadcast(a).and_broadcast(b);
    operands.for_each(|c, a, b| *c = op.one(*a, *b));
    Ok(())
}

impl BinMiniOp for Extremum {
    fn name(&self) -> &'static str {
        match self {
            Extremum::Max => "MaxOrNaN",
            Extremum::Min => "MinOrNaN",
        }
    }

    fn result_datum_type(&self, a: DatumType, b: DatumType) -> TractResult<DatumType> {
        ensure!(a == b && a.is_float(), "{} of {a:?} and {b:?}", self.name());
        Ok(a)
    }

    fn eval_in_a(&self, a: &mut Tensor, b: &Tensor) -> TractResult<()> {
        for_float!(a.datum_type(), self.name(), in_a(*self, a, b))
    }

    fn eval_out_of_place(&self, c: &mut Tensor, a: &Tensor, b: &Tensor) -> TractResult<()> {
        for_float!(a.datum_type(), self.name(), out_of_place(*self, c, a, b))
    }
}

/// A tanh that is NaN for NaN: that of our kernels for f32, within 0.52 ulp, else tract's (tract-linalg 0.23.9), which is up to 12 ulp low where
/// it is nearly 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tanh;

impl Tanh {
    pub(crate) fn into_op(self) -> ElementWiseOp {
        ElementWiseOp(Box::new(self), None)
    }
}

/// Where NaN is, which is nowhere as a rule: asking is one comparison an element.
#[allow(clippy::eq_op)]
fn nan_places<T: Float>(tensor: &Tensor) -> TractResult<Vec<usize>> {
    let plain = tensor.try_as_plain_ram()?;
    let xs = plain.as_slice::<T>()?;
    // Without a way out of the loop, for the compiler to vectorise.
    let any = xs.iter().fold(0u32, |any, x| any | u32::from(*x != *x));
    let places = xs.iter().enumerate().filter(|(_, x)| **x != **x);
    Ok(if any == 0 {
        Vec::new()
    } else {
        places.map(|(i, _)| i).collect()
    })
}

fn put_nan<T: Float>(tensor: &mut Tensor, places: &[usize]) -> TractResult<()> {
    let mut plain = tensor.try_as_plain_ram_mut()?;
    let ys = plain.as_slice_mut::<T>()?;
    for place in places {
        ys[*place] = T::of(f64::NAN);
    }
    Ok(())
}

impl ElementWiseMiniOp for Tanh {
    fn name(&self) -> String {
        "TanhOrNaN".to_owned()
    }

    fn eval_in_place(&self, tensor: &mut Tensor, out_dt: Option<DatumType>) -> TractResult<()> {
        let dt = tensor.datum_type();
        if dt == DatumType::F32 && out_dt.is_none_or(|out_dt| out_dt == dt) {
            return in_place::<f32>(tensor, tanh_in_place);
        }
        let places = for_float!(dt, "Tanh", nan_places(tensor))?;
        math::Tanh {}.eval_in_place(tensor, out_dt)?;
        if places.is_empty() {
            return Ok(());
        }
        for_float!(dt, "Tanh", put_nan(tensor, &places))
    }

    fn cost_per_element(&self, dt: DatumType) -> TVec<(Cost, usize)> {
        math::Tanh {}.cost_per_element(dt)
    }
}
