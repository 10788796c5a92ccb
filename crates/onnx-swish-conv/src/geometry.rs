//! Where a kernel looks.
//! Given: kernel size, strides, dilations, and the sizes of one image.
//! Promise: plain numbers in the order height, width; positions outside the input count as zeros.

use crate::ConvError;

/// The kernel's size and steps, each as height then width. Nothing may be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Taps.
    pub kernel: [usize; 2],
    /// Input elements between neighbouring outputs.
    pub stride: [usize; 2],
    /// Input elements between neighbouring taps.
    pub dilation: [usize; 2],
}

impl Window {
    /// A square kernel without dilation.
    pub fn square(kernel: usize, stride: usize) -> Window {
        Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [1; 2],
        }
    }

    /// Taps of the whole kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Input elements from the first tap to the last along `axis`.
    pub(crate) fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis]
    }

    /// Rows, or columns, of a phase plane (see [`PaddedBand`](crate::padded::PaddedBand)) beyond those that have an
    /// output.
    pub(crate) fn beyond(&self, axis: usize) -> usize {
        self.reach(axis) / self.stride[axis]
    }

    pub(crate) fn check(&self) -> Result<(), ConvError> {
        let sizes = [
            (self.kernel, "the kernel"),
            (self.stride, "a stride"),
            (self.dilation, "a dilation"),
        ];
        for (size, what) in sizes {
            if size.contains(&0) {
                return Err(ConvError::Zero { what });
            }
        }
        Ok(())
    }
}

/// The sizes of one image, each as height then width.
///
/// Output `(y, x)` reads input `(y * stride - pad + tap * dilation, ...)`; padding after the last row or column is
/// whatever the output size implies, so every padding rule (explicit, SAME_UPPER, SAME_LOWER) fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Input height and width.
    pub input: [usize; 2],
    /// Output height and width.
    pub output: [usize; 2],
    /// Zeros before the first row and the first column.
    pub pad: [usize; 2],
}

impl Frame {
    /// The frame of an explicitly padded convolution; `None` where the padded input is smaller than the kernel.
    pub fn padded(
        window: &Window,
        input: [usize; 2],
        before: [usize; 2],
        after: [usize; 2],
    ) -> Option<Frame> {
        let mut output = [0; 2];
        for axis in 0..2 {
            let padded = input[axis] + before[axis] + after[axis];
            output[axis] = padded.checked_sub(window.reach(axis) + 1)? / window.stride[axis] + 1;
        }
        Some(Frame {
            input,
            output,
            pad: before,
        })
    }

    /// Checks that positions can be computed without overflow: a frame must be as small as the memory it describes.
    pub(crate) fn check(&self, window: &Window) -> Result<(), ConvError> {
        let furthest = |axis: usize| {
            self.output[axis]
                .checked_mul(window.stride[axis])?
                .checked_add((window.kernel[axis] - 1).checked_mul(window.dilation[axis])?)?
                .checked_add(self.pad[axis])?
                .checked_add(self.input[axis])
        };
        let fits = |axis| furthest(axis).is_some_and(|at| at <= isize::MAX as usize / 64);
        if fits(0) && fits(1) {
            Ok(())
        } else {
            Err(ConvError::TooLarge)
        }
    }

    /// Whether each output meets the input element in its own place and no other.
    pub(crate) fn is_flat(&self, window: &Window) -> bool {
        window.taps() == 1
            && window.stride == [1, 1]
            && self.pad == [0, 0]
            && self.input == self.output
    }

    /// The frame without its rows where these mean nothing: to a kernel of one tap that reads every element.
    pub(crate) fn flattened(&self, window: &Window) -> Option<Frame> {
        let area = self.output_area();
        self.is_flat(window).then_some(Frame {
            input: [1, area],
            output: [1, area],
            pad: [0, 0],
        })
    }

    /// Input elements of one channel.
    pub fn input_area(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Output elements of one channel.
    pub fn output_area(&self) -> usize {
        self.output[0] * self.output[1]
    }
}
