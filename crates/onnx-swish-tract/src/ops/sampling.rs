//! GridSample at places that are no numbers, and by cubic polynomials beyond the image's border.
//!
//! Given tract's operator; promises what ONNX Runtime gives: a coordinate that is NaN, or infinite, is the first one, -1; and with the
//! border's elements around the image, a polynomial goes through those that surround the place, wherever that is.
//!
//! At fault: tract-core, `ops/nn/grid_sample.rs`, `GridSample::sample_nd`, which takes the cast of NaN to an integer for a place, and
//! weighs elements by the distance from it, which is NaN; and moves a place outside of the image to its border before it takes the four
//! elements around it in each direction.

use tract_core::internal::tract_ndarray::{Array4, Axis, Ix4};
use tract_core::internal::*;
use tract_core::ops::nn::grid_sample::{GridSample, InterpolationMode, PaddingMode};

/// Beyond this a coordinate of any image is beyond 64 bits, which count its elements: as good as infinite.
const FARTHEST: f32 = 1e18;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sampling(pub GridSample);

impl Op for Sampling {
    fn name(&self) -> StaticName {
        self.0.name()
    }

    op_as_typed_op!();
}

impl EvalOp for Sampling {
    op_out_of_plan!();

    fn eval(&self, context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (x, grid) = args_2!(inputs);
        let mut grid = grid.cast_to::<f32>()?.into_owned();
        {
            let mut plain = grid.try_as_plain_ram_mut()?;
            for at in plain.as_slice_mut::<f32>()? {
                if at.is_nan() || at.abs() > FARTHEST {
                    *at = -1.0;
                }
            }
        }
        let (cubic, border) = (InterpolationMode::Bicubic, PaddingMode::Border);
        if self.0.mode == cubic && self.0.padding_mode == border && x.rank() == 4 {
            return Ok(tvec!(self.cubic_border(&x, &grid)?.into_tvalue()));
        }
        self.0.eval(context, tvec!(x, grid.into_tvalue()))
    }
}

impl Sampling {
    /// `x` is `[batch, channels, height, width]`, `grid` `[batch, out_height, out_width, 2]`, of coordinates x and y from -1 to 1.
    fn cubic_border(&self, x: &Tensor, grid: &Tensor) -> TractResult<Tensor> {
        let floats = x.cast_to::<f32>()?;
        let images = floats.to_plain_array_view::<f32>()?;
        let images = images.into_dimensionality::<Ix4>()?;
        let grid = grid.to_plain_array_view::<f32>()?;
        let grid = grid.into_dimensionality::<Ix4>()?;
        let (batch, channels, height, width) = images.dim();
        let (grids, rows, columns, dims) = grid.dim();
        ensure!(
            grids == batch && dims == 2,
            "a grid of shape {:?} for images of shape {:?}",
            grid.shape(),
            images.shape()
        );
        let mut result = Array4::<f32>::zeros((batch, channels, rows, columns));
        ensure!(
            result.is_empty() || height > 0 && width > 0,
            "places in images of no elements"
        );
        for ((n, row, column), _) in grid.index_axis(Axis(3), 0).indexed_iter() {
            let across = self.taps(grid[[n, row, column, 0]], width);
            let down = self.taps(grid[[n, row, column, 1]], height);
            for channel in 0..channels {
                let sum = down.iter().map(|&(y, weight)| {
                    let line = across
                        .iter()
                        .map(|&(x, weight)| weight * images[[n, channel, y, x]]);
                    weight * line.sum::<f32>()
                });
                result[[n, channel, row, column]] = sum.sum();
            }
        }
        Ok(result
            .into_tensor()
            .cast_to_dt(x.datum_type())?
            .into_owned())
    }

    /// The four elements around a place along one axis, those beyond the border being the border's, each with its weight: the
    /// convolution of R. Keys, "Cubic convolution interpolation for digital image processing" (1981), with a = -0.75.
    fn taps(&self, coordinate: f32, size: usize) -> [(usize, f32); 4] {
        const A: f32 = -0.75;
        let at = if self.0.align_corners {
            (coordinate + 1.0) / 2.0 * (size as f32 - 1.0)
        } else {
            ((coordinate + 1.0) * size as f32 - 1.0) / 2.0
        };
        let first = at.floor();
        let near = |d: f32| ((A + 2.0) * d - (A + 3.0)) * d * d + 1.0;
        let far = |d: f32| ((A * d - 5.0 * A) * d + 8.0 * A) * d - 4.0 * A;
        let fraction = at - first;
        let weights = [
            far(fraction + 1.0),
            near(fraction),
            near(1.0 - fraction),
            far(2.0 - fraction),
        ];
        let last = size.saturating_sub(1) as f32;
        std::array::from_fn(|tap| {
            let place = first - 1.0 + tap as f32;
            (place.clamp(0.0, last) as usize, weights[tap])
        })
    }
}

impl TypedOp for Sampling {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        self.0.output_facts(inputs)
    }

    as_op!();
}
