//! Pooling: the greatest element or the mean of each window of a plane, and sums of whole planes.
//! Given: a window and the sizes of an image once, then planes of f32, one after the other.
//! Promise: ONNX's MaxPool and AveragePool; the same bits for any number of workers and for every instruction set.
//!
//! A window is first folded along its columns and then along its rows: `kernel[0] + kernel[1]` steps instead of their product, and the
//! columns of a row lie side by side. Of a maximum the order makes no difference but to the sign of a zero. A mean is the sum of the sums of
//! the columns, each from the top to the bottom, from left to right, divided once.
//!
//! | module | has |
//! |---|---|
//! | `rows` | the loops over rows of the output |
//! | `sums` | sums of planes |

#[allow(unsafe_code)]
mod rows;
#[allow(unsafe_code)]
mod sums;

use std::ops::Range;

use onnx_swish_threads::Workers;

use crate::scratch;
use crate::spec::{expect_length, volume};
use crate::split::{each_plane, share_rows};
use crate::tuning::{POOLED_PER_NS, threads_for};
use crate::{ConvError, Frame, Isa, Window};
use rows::{Buffer, Greatest, Rows, Sum};

pub use sums::sum_planes;

/// What becomes of the elements of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The greatest; NaN if one is NaN. Of zeros of both signs either.
    Max,
    /// Their sum, divided by how many they are, or by how many elements of the image and of its padding the window meets.
    Mean {
        /// Whether those of the padding count.
        counts_padding: bool,
    },
}

/// A pooling of images of one size.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    pooling: Pooling,
    window: Window,
    frame: Frame,
    rows: Vec<Place>,
    columns: Vec<Place>,
    /// The sizes of the columns' windows, and ones behind them.
    sizes: Vec<f32>,
}

/// A window along one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The first element of the image that it meets.
    first: usize,
    /// How many it meets, at least one.
    met: usize,
    /// What it counts for in a mean.
    size: usize,
}

/// Windows wider than any vector has lanes.
const MOST_LANES: usize = 64;

/// Columns from the first tap to the last of the widest window: rows are copied with as much padding.
const MOST_REACH: usize = 1 << 16;

impl Pool {
    /// `after` is the padding behind the last row and column. It matters where windows reach beyond it, as they do where sizes are
    /// rounded up: what is there does not count in a mean.
    ///
    /// # Errors
    /// If a size of the window is zero, a window meets no element, or positions overflow.
    pub fn new(
        pooling: Pooling,
        window: Window,
        frame: Frame,
        after: [usize; 2],
    ) -> Result<Pool, ConvError> {
        window.check()?;
        frame.check(&window)?;
        if window.reach(1) > MOST_REACH {
            return Err(ConvError::TooLarge);
        }
        let places = |axis: usize| {
            let padded = (frame.pad[axis] + frame.input[axis]).saturating_add(after[axis]);
            let place = |at: usize| place(&window, &frame, axis, at, padded, pooling);
            (0..frame.output[axis]).map(place).collect()
        };
        let (rows, columns): (Option<Vec<Place>>, Option<Vec<Place>>) = (places(0), places(1));
        let (Some(rows), Some(columns)) = (rows, columns) else {
            return Err(ConvError::EmptyWindow);
        };
        let sizes = columns.iter().map(|place| place.size as f32);
        let sizes = sizes.chain(std::iter::repeat_n(1.0, MOST_LANES)).collect();
        Ok(Pool {
            pooling,
            window,
            frame,
            rows,
            columns,
            sizes,
        })
    }

    /// What becomes of windows.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Writes `planes` planes of the output, `[planes, output height, output width]`, from as many of the input.
    ///
    /// # Errors
    /// If a slice has the wrong length, or sizes overflow.
    pub fn run(
        &self,
        isa: Isa,
        planes: usize,
        input: &[f32],
        output: &mut [f32],
        workers: &dyn Workers,
    ) -> Result<(), ConvError> {
        let sizes = |[height, width]: [usize; 2]| volume(&[planes, height, width]);
        expect_length("the input", input.len(), sizes(self.frame.input)?)?;
        expect_length("the output", output.len(), sizes(self.frame.output)?)?;
        if output.is_empty() {
            return Ok(());
        }
        let [height, width] = self.frame.output;
        let [kernel_y, kernel_x] = self.window.kernel;
        let steps = kernel_y * self.window.stride[1].min(self.frame.input[1]) + kernel_x;
        let threads = threads_for(output.len().saturating_mul(steps), POOLED_PER_NS, workers);
        let buffer = Buffer::new(self, isa.lanes());
        let area = self.frame.input_area();
        share_rows(output, width, threads, workers, |rows, output| {
            scratch::with(buffer.bytes(), |mut scratch| {
                let memory = scratch.take::<f32>(buffer.len());
                buffer.clear(memory, self.identity());
                each_plane(rows, [height, width], output, |plane, own, output| {
                    let plane = &input[plane * area..(plane + 1) * area];
                    self.write_rows(isa, plane, own, output, (&buffer, &mut *memory));
                });
            });
        });
        Ok(())
    }

    fn identity(&self) -> f32 {
        match self.pooling {
            Pooling::Max => f32::NEG_INFINITY,
            Pooling::Mean { .. } => 0.0,
        }
    }

    /// Writes some rows of one plane.
    fn write_rows(
        &self,
        isa: Isa,
        plane: &[f32],
        rows: Range<usize>,
        output: &mut [f32],
        (buffer, memory): (&Buffer, &mut [f32]),
    ) {
        match self.pooling {
            Pooling::Mean { .. } => {
                let all = Rows::<Sum>::new(self, plane, rows, output, buffer, memory);
                isa.run(all);
            }
            Pooling::Max => {
                let again = rows.clone();
                let all = Rows::<Greatest>::new(self, plane, rows, output, buffer, memory);
                if isa.run(all) && plane.iter().any(|x| x.is_nan()) {
                    self.mark(isa, plane, again, output, (buffer, memory));
                }
            }
        }
    }

    /// Puts NaN where a window has one: the greatest of marks says where. What is there otherwise is any number of the window.
    #[cold]
    fn mark(
        &self,
        isa: Isa,
        plane: &[f32],
        rows: Range<usize>,
        output: &mut [f32],
        (buffer, memory): (&Buffer, &mut [f32]),
    ) {
        let marks: Vec<f32> = plane.iter().map(|x| f32::from(x.is_nan())).collect();
        let mut marked = vec![0.0; output.len()];
        isa.run(Rows::<Greatest>::new(
            self,
            &marks,
            rows,
            &mut marked,
            buffer,
            memory,
        ));
        for (to, mark) in output.iter_mut().zip(&marked) {
            if *mark > 0.0 {
                *to = f32::NAN;
            }
        }
    }
}

/// The window of the output at `at` along an axis whose image ends, with its padding, at `padded`; `None` if it meets no element.
fn place(
    window: &Window,
    frame: &Frame,
    axis: usize,
    at: usize,
    padded: usize,
    pooling: Pooling,
) -> Option<Place> {
    let (stride, dilation, pad) = (window.stride[axis], window.dilation[axis], frame.pad[axis]);
    let (kernel, start) = (window.kernel[axis], at * stride);
    // Taps that come before a position of the padded image.
    let before = |end: usize| end.saturating_sub(start).div_ceil(dilation).min(kernel);
    let (skipped, end) = (before(pad), before(pad + frame.input[axis]));
    let met = end.checked_sub(skipped).filter(|met| *met > 0)?;
    let size = match pooling {
        Pooling::Mean {
            counts_padding: true,
        } => before(padded),
        _ => met,
    };
    Some(Place {
        first: start + skipped * dilation - pad,
        met,
        size,
    })
}
