//! ONNX Runtime's QLinearAveragePool.
//!
//! Given codes of images whose channels come first; promises ONNX Runtime's codes to the bit: floats are added one after the other in the
//! order of the window's rows and columns, divided by their number and by the scale, and the zero point is added before rounding.

use onnx_swish_kernels::codes::Linear;
use tract_core::internal::*;
use tract_core::ops::cnn::PaddingSpec;

use super::codes::{bytes, written_in_rows};
use super::qlinear::{self, input};
use crate::error::demand;

/// Axes of the largest images that it takes.
const MOST_AXES: usize = 3;

/// The operator, whose parameters are inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QAverage {
    pub kernel: TVec<usize>,
    pub strides: TVec<usize>,
    pub padding: PaddingSpec,
    /// Whether what is padded counts in means.
    pub counts_padding: bool,
    /// Where each of the node's inputs is, if it is given: codes, their scale and zero point, those of the result.
    pub at: [Option<usize>; 5],
}

impl QAverage {
    /// The shape of what comes out.
    pub(crate) fn output_shape<D: DimLike>(&self, image: &[D]) -> TractResult<TVec<D>> {
        let (outer, spatial) = image.split_at_checked(2).context("no image")?;
        demand!(
            spatial.len() == self.kernel.len() && self.strides.len() == self.kernel.len(),
            "its image, its kernel and its strides are not of as many axes"
        );
        let ones = vec![1; spatial.len()];
        let padded = self
            .padding
            .compute(spatial, &self.kernel, &ones, &self.strides);
        let sizes = padded.into_iter().map(|axis| axis.convoluted);
        Ok(outer.iter().cloned().chain(sizes).collect())
    }

    /// How windows move along the last axes; images of fewer have one element along the others.
    fn axes(&self, spatial: &[usize]) -> TractResult<[Axis; MOST_AXES]> {
        let mut axes = [Axis::NONE; MOST_AXES];
        demand!(
            spatial.len() <= MOST_AXES,
            "images of more than {MOST_AXES} axes"
        );
        for (at, size) in spatial.iter().enumerate() {
            let (kernel, stride) = (self.kernel[at], self.strides[at]);
            let padded = self.padding.compute_one(at, size, kernel, 1, stride);
            axes[MOST_AXES - spatial.len() + at] = Axis {
                size: *size,
                kernel,
                stride,
                before: padded.pad_before,
                places: padded.convoluted,
            };
        }
        Ok(axes)
    }
}

/// What codes stand for, with the scale and the zero point in these places of the node.
pub(super) fn linear(
    at: &[Option<usize>],
    inputs: &[TValue],
    [scale, zero_point]: [usize; 2],
    codes: DatumType,
) -> TractResult<Linear> {
    let zero_point = input(at, inputs, zero_point).ok();
    qlinear::linear(input(at, inputs, scale)?, zero_point.map(|it| &**it), codes)
}

/// Windows along an axis.
#[derive(Debug, Clone, Copy)]
struct Axis {
    size: usize,
    kernel: usize,
    stride: usize,
    /// Elements that are padded before the first.
    before: usize,
    /// Where windows are.
    places: usize,
}

impl Axis {
    const NONE: Axis = Axis {
        size: 1,
        kernel: 1,
        stride: 1,
        before: 0,
        places: 1,
    };

    /// What lies within the image of a window.
    fn window(&self, place: usize) -> std::ops::Range<usize> {
        let start = place * self.stride;
        let end = (start + self.kernel).saturating_sub(self.before);
        start.saturating_sub(self.before)..end.min(self.size)
    }

    /// The places whose window has an element of the image at this of its own, and that of the first of them.
    fn places_of(&self, own: usize) -> (std::ops::Range<usize>, usize) {
        let first = self.before.saturating_sub(own).div_ceil(self.stride);
        let end = (self.size + self.before).saturating_sub(own);
        let end = end.div_ceil(self.stride).min(self.places);
        let at = (first * self.stride + own).saturating_sub(self.before);
        (first..end, at)
    }
}

/// The means of an image's windows.
struct Means<'a> {
    axes: [Axis; MOST_AXES],
    counts_padding: bool,
    /// What each code stands for.
    numbers: &'a [f32; 256],
    to: Linear,
}

impl Means<'_> {
    fn write(&self, image: &[u8], codes: &mut [u8]) {
        let [depth, height, width] = self.axes;
        let image: Vec<f32> = image
            .iter()
            .map(|code| self.numbers[usize::from(*code)])
            .collect();
        let mut sums = vec![0f32; width.places];
        let rows = codes.chunks_exact_mut(width.places.max(1));
        for (at, codes) in rows.enumerate() {
            let planes = depth.window(at / height.places);
            let lines = height.window(at % height.places);
            sums.fill(0.0);
            for plane in planes.clone() {
                for line in lines.clone() {
                    let row = (plane * height.size + line) * width.size;
                    let row = image.get(row..).and_then(|rest| rest.get(..width.size));
                    add_row(&width, row.unwrap_or_default(), &mut sums);
                }
            }
            for (place, (code, sum)) in codes.iter_mut().zip(&sums).enumerate() {
                let count = if self.counts_padding {
                    depth.kernel * height.kernel * width.kernel
                } else {
                    planes.len() * lines.len() * width.window(place).len()
                };
                *code = self.code(*sum / count.max(1) as f32);
            }
        }
    }

    fn code(&self, mean: f32) -> u8 {
        let zero_point = self.to.zero_point;
        zero_point.nearest(mean / self.to.scale + f32::from(zero_point.value()))
    }
}

/// Adds a row of the image to the sums of all windows that it is in, the leftmost element of each window first.
fn add_row(width: &Axis, row: &[f32], sums: &mut [f32]) {
    let reach = width.kernel.min(width.size + width.before);
    for own in 0..reach {
        let (places, at) = width.places_of(own);
        let (Some(sums), Some(row)) = (sums.get_mut(places), row.get(at..)) else {
            continue;
        };
        if width.stride == 1 {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += x;
            }
        } else {
            for (sum, x) in sums.iter_mut().zip(row.iter().step_by(width.stride)) {
                *sum += x;
            }
        }
    }
}

impl Op for QAverage {
    fn name(&self) -> StaticName {
        "QAveragePool".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        Ok(vec!["from codes to codes, as ONNX Runtime".to_owned()])
    }

    op_as_typed_op!();
}

impl EvalOp for QAverage {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let images = input(&self.at, &inputs, 0)?;
        let dt = images.datum_type();
        let from = linear(&self.at, &inputs, [1, 2], dt)?;
        let to = linear(&self.at, &inputs, [3, 4], dt)?;
        let shape = self.output_shape(images.shape())?;
        let axes = self.axes(images.shape().get(2..).context("no image")?)?;
        let numbers = std::array::from_fn(|byte| {
            let code = from.zero_point.code(byte as u8);
            f32::from(code - from.zero_point.value()) * from.scale
        });
        let means = Means {
            axes,
            counts_padding: self.counts_padding,
            numbers: &numbers,
            to,
        };
        let size: usize = axes.iter().map(|axis| axis.size).product();
        let places: usize = axes.iter().map(|axis| axis.places).product();
        let images = bytes(images)?;
        let written = written_in_rows(dt, &shape, places.max(1), images.len(), |first, codes| {
            let codes = codes.chunks_exact_mut(places.max(1)).enumerate();
            for (at, codes) in codes {
                let image = images.get((first + at) * size..);
                let image = image.and_then(|rest| rest.get(..size));
                means.write(image.unwrap_or_default(), codes);
            }
        })?;
        Ok(tvec!(written.into_tvalue()))
    }
}

impl TypedOp for QAverage {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let image = input(&self.at, inputs, 0)?;
        let shape = self.output_shape(&image.shape.to_tvec())?;
        Ok(tvec!(image.datum_type.fact(&shape)))
    }

    as_op!();
}
