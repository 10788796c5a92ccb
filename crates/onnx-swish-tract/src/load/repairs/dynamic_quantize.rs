//! DynamicQuantizeLinear of zeros, of infinities and of NaN, and on our kernels.
//!
//! At fault: tract-onnx, `ops/quant.rs`, `scale_and_zero_point`, whose scale of an empty range is 0, so that what is divided by it is NaN,
//! and which takes nothing but NaN for an empty range; there NaN has the zero point for a code, and one float is quantised at a time.

use onnx_swish_kernels::codes::{self, Linear, ZeroPoint};
use tract_hir::internal::*;
use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;

use super::Built;
use crate::arena::elements;
use crate::ops::codes::written;
use crate::ops::function::{Function, plain};

/// The highest code of u8.
const HIGHEST: f32 = 255.0;
/// Comparisons that run side by side.
const LANES: usize = 16;

pub(super) fn dynamic_quantize_linear(_: &ParsingContext, _: &NodeProto) -> Built {
    Ok((plain(DynamicQuantizeLinear), vec![]))
}

#[derive(Debug, Clone, PartialEq)]
struct DynamicQuantizeLinear;

impl Function for DynamicQuantizeLinear {
    fn name(&self) -> &'static str {
        "DynamicQuantizeLinear"
    }

    fn outputs(&self) -> usize {
        3
    }

    fn facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let floats = inputs.first().context("nothing to quantise")?;
        let codes = DatumType::U8.fact(&*floats.shape);
        let scale = DatumType::F32.fact([0usize; 0]);
        Ok(tvec!(codes, scale, DatumType::U8.fact([0usize; 0])))
    }

    fn eval(&self, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let input = input.cast_to::<f32>()?;
        let floats = elements::<f32>(&input)?;
        let (scale, zero_point) = parameters(floats);
        let codes = written(DatumType::U8, input.shape(), |first, codes| {
            let floats = floats.get(first..).unwrap_or_default();
            let floats = floats.get(..codes.len()).unwrap_or_default();
            codes::quantize(floats, linear(scale, zero_point), codes);
        })?;
        let (scale, zero_point) = (tensor0(scale), tensor0(zero_point));
        let outputs = [codes, scale, zero_point];
        Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
    }
}

/// The scale and the zero point of floats, as ONNX Runtime has them: the scale of no range is 1, that of an infinite one infinite, and that of
/// nothing but NaN is NaN. Where NaN stands among numbers the range is theirs.
///
/// Source: ONNX's DynamicQuantizeLinear, whose scale of zeros would be 0.
fn parameters(floats: &[f32]) -> (f32, u8) {
    let (mut least, mut greatest) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    let mut see = |floats: &[f32]| {
        for ((low, high), x) in least.iter_mut().zip(&mut greatest).zip(floats) {
            *low = if *x < *low { *x } else { *low };
            *high = if *x > *high { *x } else { *high };
        }
    };
    let chunks = floats.chunks_exact(LANES);
    let rest = chunks.remainder();
    chunks.for_each(&mut see);
    see(rest);
    let low = least.into_iter().fold(f32::INFINITY, f32::min);
    let high = greatest.into_iter().fold(f32::NEG_INFINITY, f32::max);
    let nothing_but_nan = !floats.is_empty() && low == f32::INFINITY && high < low;
    let (low, high) = (low.min(0.0), high.max(0.0));
    let scale = if nothing_but_nan {
        f32::NAN
    } else if low == high {
        1.0
    } else {
        (high - low) / HIGHEST
    };
    let zero_point = (-low / scale).round_ties_even();
    // In ONNX Runtime what is no number is clamped to the upper end.
    let zero_point = if zero_point <= HIGHEST {
        zero_point
    } else {
        HIGHEST
    };
    (scale, zero_point as u8)
}

fn linear(scale: f32, zero_point: u8) -> Linear {
    let zero_point = ZeroPoint::U8(zero_point);
    Linear { scale, zero_point }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;

    /// Floats that repeat these, their codes, and what these were made by.
    fn quantized(floats: &[f32], len: usize) -> (Vec<u8>, f32, u8) {
        let floats: Vec<f32> = floats.iter().copied().cycle().take(len).collect();
        let (scale, zero_point) = parameters(&floats);
        let mut codes = vec![0; len];
        codes::quantize(&floats, linear(scale, zero_point), &mut codes);
        (codes, scale, zero_point)
    }

    /// What ONNX Runtime 1.32 gives, and onnx.reference but for zeros.
    #[test]
    fn ranges_that_are_none_are_onnx_runtimes() {
        for len in [4, 40] {
            let same = |floats: &[f32], codes: &[u8], scale: f32, zero_point: u8| {
                let (found, own, zero) = quantized(floats, len);
                let expected: Vec<u8> = codes.iter().copied().cycle().take(len).collect();
                assert_eq!((found, zero), (expected, zero_point), "{floats:?}");
                assert_eq!(own.to_bits(), scale.to_bits(), "{floats:?}: {own}");
            };
            same(&[0.0], &[0], 1.0, 0);
            same(&[INF], &[0], INF, 0);
            same(&[-INF], &[0], INF, 255);
            same(&[INF, 1.0, -2.0, 0.0], &[0, 0, 0, 0], INF, 0);
            same(&[-INF, 1.0, -2.0, 0.0], &[0, 255, 255, 255], INF, 255);
            same(&[INF, 1.0, -INF, 0.0], &[0, 255, 0, 255], INF, 255);
            same(&[3e38, -3e38], &[0], INF, 0);
            same(&[1e-45], &[255], 0.0, 255);
            same(&[1e-43, -1e-44], &[255, 0], 0.0, 255);
            same(&[1e-40], &[255], 1e-40 / 255.0, 0);
        }
        assert_eq!(quantized(&[], 0), (vec![], 1.0, 0));
    }

    #[test]
    fn nothing_but_nan_has_no_scale() {
        for len in [1, 7, 16, 40] {
            let (codes, scale, zero_point) = quantized(&[NAN], len);
            assert!(scale.is_nan() && zero_point == 255, "{len}");
            assert!(codes.iter().all(|code| *code == 0), "{len}");
        }
    }

    #[test]
    fn nan_among_numbers_is_the_code_0_and_leaves_them_alone() {
        let (codes, scale, zero_point) = quantized(&[NAN, -1.0, 1.55], 3);
        assert_eq!((codes, zero_point), (vec![0, 0, 255], 100));
        assert_eq!(scale, 2.55 / 255.0);
    }

    #[test]
    fn every_float_has_the_code_of_the_definition() {
        let floats: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        let (codes, scale, zero_point) = quantized(&floats, floats.len());
        for (x, code) in floats.iter().zip(codes) {
            let exact = (x / scale).round_ties_even() + f32::from(zero_point);
            assert_eq!(f32::from(code), exact.clamp(0.0, HIGHEST), "{x}");
        }
    }
}
