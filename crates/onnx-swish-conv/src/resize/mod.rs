//! Images of another size: each element comes from one element of the image, or from two neighbours, along either axis.
//! Given: for each row and each column of the output the taps that make it up, then planes of f32, one after the other.
//! Promise: copies are exact, and along each axis `w0·x0 + w1·x1` with the rounding of a product and of its sum; what has no weight is not
//! looked at. The same bits for any number of workers.
//!
//! Rows are resized along their columns first, each once for all output rows that it takes part in.
//!
//! | module | has |
//! |---|---|
//! | `columns` | how a row is resized, by what its taps have in common |
//! | `rows` | the loop over rows of the output |

mod columns;
#[allow(unsafe_code)]
mod rows;

use onnx_swish_threads::Workers;

use crate::scratch::{self, bytes_for};
use crate::spec::{expect_length, volume};
use crate::split::{each_plane, share_rows};
use crate::tuning::{RESIZED_PER_NS, threads_for};
use crate::{ConvError, Isa};
use columns::Columns;
use rows::Rows;

/// What an element comes from along one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tap {
    /// The element at a place.
    One(usize),
    /// That at a place and the next, with their weights.
    Two(usize, [f32; 2]),
}

impl Tap {
    fn places(self) -> [usize; 2] {
        match self {
            Tap::One(at) => [at, at],
            Tap::Two(at, _) => [at, at + 1],
        }
    }

    /// Weights of both places; of one place those that give the element itself.
    fn weights(self) -> [f32; 2] {
        match self {
            Tap::One(_) => [0.5, 0.5],
            Tap::Two(_, weights) => weights,
        }
    }
}

/// A resize of images of one size to another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    input: [usize; 2],
    rows: Vec<Tap>,
    columns: Columns,
}

impl Resize {
    /// For images of this height and width, by the taps of each row and of each column of the output.
    ///
    /// # Errors
    /// If one reads beyond the image.
    pub fn new(input: [usize; 2], rows: Vec<Tap>, columns: Vec<Tap>) -> Result<Resize, ConvError> {
        let inside = |taps: &[Tap], size: usize| {
            let inside = |tap: &Tap| match *tap {
                Tap::One(at) => at < size,
                Tap::Two(at, _) => at.checked_add(1).is_some_and(|next| next < size),
            };
            taps.iter().all(inside)
        };
        if !inside(&rows, input[0]) || !inside(&columns, input[1]) {
            return Err(ConvError::NotResized);
        }
        Ok(Resize {
            input,
            rows,
            columns: Columns::of(input[1], columns),
        })
    }

    /// The size of an output image.
    pub fn output(&self) -> [usize; 2] {
        [self.rows.len(), self.columns.taps().len()]
    }

    /// Whether every element is a copy of one.
    pub fn is_nearest(&self) -> bool {
        let one = |tap: &Tap| matches!(tap, Tap::One(_));
        self.rows.iter().all(one) && self.columns.taps().iter().all(one)
    }

    /// Writes `planes` planes of the output from as many of the input.
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
        let [height, width] = self.output();
        let [input_height, input_width] = self.input;
        let want = volume(&[planes, input_height, input_width])?;
        expect_length("the input", input.len(), want)?;
        expect_length(
            "the output",
            output.len(),
            volume(&[planes, height, width])?,
        )?;
        if output.is_empty() {
            return Ok(());
        }
        let threads = threads_for(output.len(), RESIZED_PER_NS, workers);
        let (resized, padded) = (self.resized(isa), self.columns.padded());
        let bytes = 2 * bytes_for::<f32>(resized) + bytes_for::<f32>(padded);
        let area = input_height * input_width;
        share_rows(output, width, threads, workers, |rows, output| {
            scratch::with(bytes, |mut scratch| {
                let [first, second] = [scratch.take(resized), scratch.take(resized)];
                let padded = scratch.take(padded);
                each_plane(rows, [height, width], output, |plane, own, output| {
                    isa.run(Rows {
                        columns: &self.columns,
                        taps: &self.rows[own],
                        plane: &input[plane * area..(plane + 1) * area],
                        input_width,
                        output,
                        resized: [&mut *first, &mut *second],
                        padded: &mut *padded,
                    });
                });
            });
        });
        Ok(())
    }

    /// Elements of a row between the two steps, if there is a second one.
    fn resized(&self, isa: Isa) -> usize {
        let two = |tap: &Tap| matches!(tap, Tap::Two(..));
        if self.rows.iter().any(two) {
            self.columns.taps().len().next_multiple_of(isa.lanes())
        } else {
            0
        }
    }
}
